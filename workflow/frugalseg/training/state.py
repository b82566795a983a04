"""The running state of a training run, kept so that a killed run goes on where it was.

It lives in a folder of its own, since Snakemake deletes the declared outputs of a job that failed. The folder holds

    lock        held while a run uses the folder; says who holds it
    next        held by the run that waits for the folder
    state.pt    the last complete state, replaced as a whole

Snakemake may be killed while its Slurm jobs live on, and submit them again when it is started: two trainers, one folder.
The second takes over: the first sees at its next save that it is waited for, and ends once its state is saved. So no
two train at once, and neither a GPU waits for days nor is a step lost.

Locks are those of flock(2), given back by the operating system however their holder dies. They hold between the nodes of
a cluster if its file system carries them: NFS does, Lustre where it is mounted with ``flock``. Where each node sees its
own locks only (Lustre's ``localflock``), two runs on two nodes are not kept apart; the state is still replaced as a
whole, and both find the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frugalseg.training.checkpoints import write_tensors

# A job that gave its folder up fails, and Snakemake then deletes its outputs: those of the run that goes on, too.
_SECONDS_TO_SETTLE = 20.0


class TakenOverError(RuntimeError):
    """Another run waits for the folder of a running state, which is saved and left to it."""


class RunningState:
    """The state of one run in a folder that is locked for it; made by `hold`."""

    def __init__(self, folder: Path, stamp: str) -> None:
        self._folder = folder
        self._stamp = stamp

    def save(self, tensors: dict[str, Any]) -> None:
        """Replace the state by nested dictionaries of tensors; raises TakenOverError, when it is saved, if another run waits."""
        write_tensors({"stamp": self._stamp, "tensors": tensors}, self._path)
        if self._is_waited_for():
            raise TakenOverError(f"{self._folder}: another run of this training waits here and goes on from this state")

    def load(self) -> dict[str, Any] | None:
        """The last state of a run with the same stamp, or None where there is none: the run starts afresh."""
        if not self._path.exists():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
        # Saving is atomic, so this is a damaged disk or a stranger's file; days of training are not stopped for it.
        except Exception as error:
            warnings.warn(f"{self._path}: cannot be read ({type(error).__name__}); the run starts afresh", stacklevel=2)
            return None
        return content["tensors"] if content["stamp"] == self._stamp else None

    def remove(self) -> None:
        """Delete the state, once the run's outputs are in place; the lock goes with it when it is released.

        A run that waits gets it nevertheless: it then has little left to do until it finds the same.
        """
        if self._is_waited_for():
            return
        self._path.unlink(missing_ok=True)
        self._path.with_name(self._path.name + ".partial").unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / "state.pt"

    def _is_waited_for(self) -> bool:
        try:
            descriptor = os.open(self._folder / "next", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _try_to_lock(descriptor, self._folder)
        finally:
            os.close(descriptor)


@contextmanager
def hold(folder: str | Path, stamp: str) -> Iterator[RunningState]:
    """Lock the folder of a running state for the length of a context, after the run that has it has given it up.

    A state with another stamp (see `stamp_of`) is not loaded. On leaving, a folder without a state is removed.
    """
    folder = Path(folder)
    descriptor = _lock(folder)
    try:
        yield RunningState(folder, stamp)
        # Under the lock: a process that waits for it finds that its file is gone, and takes a new one.
        if not (folder / "state.pt").exists():
            (folder / "next").unlink(missing_ok=True)
            (folder / "lock").unlink()
            with suppress(OSError):  # something else lies there
                folder.rmdir()
    finally:
        os.close(descriptor)


def stamp_of(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Tensor]) -> str:
    """SHA-256 of what decides the result of a run: parameters that JSON can hold, and arrays by name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for name, array in arrays.items():
        values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _lock(folder: Path) -> int:
    path = folder / "lock"
    while True:
        descriptor = _open(path)
        waited = not _try_to_lock(descriptor, folder)
        if waited:
            _wait(descriptor, folder)
        if _is_the_file(descriptor, path):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, _this_process().encode(), 0)
            if waited:
                time.sleep(_SECONDS_TO_SETTLE)
            return descriptor
        os.close(descriptor)


def _wait(descriptor: int, folder: Path) -> None:
    holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "a process that has not said which"
    print(f"{folder}: {holder} is training here; this run goes on from its next save", file=sys.stderr, flush=True)
    queue = _open(folder / "next")
    try:
        # Of several that wait one asks for the folder, and the others wait for that one.
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(queue)


def _open(path: Path) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The holder may end and remove the folder just now.
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _try_to_lock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise OSError(
            error.errno,
            f"{folder}: this file system has no locks ({error.strerror}), so that nothing would keep two runs of a "
            "training apart; keep results on one that has, or mount it with them (Lustre: -o flock)",
        ) from None
    return True


def _this_process() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f"process {os.getpid()} on {socket.gethostname()}" + (f" (Slurm job {job})" if job else "")


def _is_the_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
