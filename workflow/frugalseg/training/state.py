"""The running state of a training run, kept so that a killed run goes on where it was.

It lives in a folder of its own, since Snakemake deletes the declared outputs of a job that failed. The folder holds

    lock        held while a run uses the folder; says who holds it
    state.pt    the last complete state, replaced as a whole
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
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


class FolderInUseError(RuntimeError):
    """Another run holds the folder of a running state."""


class RunningState:
    """The state of one run in a folder that is locked for it; made by `hold`."""

    def __init__(self, folder: Path, stamp: str) -> None:
        self._folder = folder
        self._stamp = stamp

    def save(self, tensors: dict[str, Any]) -> None:
        """Replace the state by nested dictionaries of tensors."""
        write_tensors({"stamp": self._stamp, "tensors": tensors}, self._path)

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
        """Delete the state, once the run's outputs are in place; the lock goes with it when it is released."""
        self._path.unlink(missing_ok=True)
        self._path.with_name(self._path.name + ".partial").unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / "state.pt"


@contextmanager
def hold(folder: str | Path, stamp: str, patience: float = 60.0) -> Iterator[RunningState]:
    """Lock the folder of a running state for the length of a context.

    Snakemake may be killed while its Slurm jobs live on, and then submit them again: two trainers, one folder. The
    second waits for a while, in case the first is about to end, and then gives up. The operating system releases
    the lock of a process that dies, however it dies. On leaving, a folder without a state is removed.

    Parameters
    ----------
    folder : str or Path
        Made if it is missing.
    stamp : str
        Hash of all that decides the result, see `stamp_of`; a state with another stamp is not loaded.
    patience : float
        Seconds to wait for a lock that another process holds.

    Raises
    ------
    FolderInUseError
        When the lock is still held after that; the message names the folder and the holder.
    """
    folder = Path(folder)
    descriptor = _lock(folder, patience)
    try:
        yield RunningState(folder, stamp)
        # Under the lock: a process that waits for it finds that its file is gone, and takes a new one.
        if not (folder / "state.pt").exists():
            (folder / "lock").unlink()
            with suppress(OSError):  # something else lies there
                folder.rmdir()
    finally:
        os.close(descriptor)


def stamp_of(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Tensor]) -> str:
    """Hash of what decides the result of a run.

    Parameters
    ----------
    parameters : mapping
        What JSON can hold.
    arrays : mapping
        Name -> array, hashed with name, type, shape and bytes.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for name, array in arrays.items():
        values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _lock(folder: Path, patience: float) -> int:
    path = folder / "lock"
    end = time.monotonic() + patience
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the holder ended and removed the folder just now
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "a process that did not say"
            os.close(descriptor)
            if time.monotonic() >= end:
                raise FolderInUseError(
                    f"{folder}: another run is training in this folder ({holder}); "
                    "wait until it ends, or stop it and run again"
                ) from None
            time.sleep(min(1.0, patience))
            continue
        if _is_the_file(descriptor, path):
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            return descriptor
        os.close(descriptor)


def _is_the_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
