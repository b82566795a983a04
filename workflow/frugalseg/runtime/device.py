"""The device that a job computes on: the GPUs of a machine shared out among its jobs, or the CPU."""

from __future__ import annotations

import fcntl
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

_SECONDS_BETWEEN_LOOKS = 1.0
# A claim lasts as long as its process: the operating system gives up the locks of what has ended, however it ended.
_claims: list[int] = []


def choose_device() -> torch.device:
    """A GPU where there is one, else the CPU; for what needs no GPU for itself, such as naming it."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def claim_device(jobs_per_gpu: int = 1) -> torch.device:
    """One GPU, or the CPU, see `claim_devices`."""
    return claim_devices(1, jobs_per_gpu)[0]


def claim_devices(count: int = 1, jobs_per_gpu: int = 1) -> list[torch.device]:
    """`count` different GPUs that are this process's until it ends, or the CPU where there is none, or for a count of 0.

    Snakemake counts GPUs but hands out none: without this every job of a machine would compute on the first. GPUs
    that the environment hides (``CUDA_VISIBLE_DEVICES``, as Slurm sets it) are not taken, and those that other jobs have are
    waited for. Only jobs of one user on one machine see each other's claims.
    """
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    if not names or count == 0:
        return [torch.device("cpu")]
    folder = Path(tempfile.gettempdir()) / f"frugalseg-gpus-{os.getuid()}"
    indices, locks = claim(names, count, jobs_per_gpu, folder)
    _claims.extend(locks)
    torch.cuda.set_device(indices[0])
    return [torch.device("cuda", index) for index in indices]


def claim(names: Sequence[str], count: int, jobs_per_gpu: int, folder: Path) -> tuple[list[int], list[int]]:
    """Lock some of the named GPUs, as soon as that many have room at once.

    Names are the same in every process, and a GPU gives `jobs_per_gpu` locks: files in a folder that its owner alone reads.
    Returns which GPUs, ascending, and open file descriptors: closing one gives its GPU back.
    """
    if count > len(names):
        raise ValueError(
            f"the job asks for {count} GPUs and this machine shows it {len(names)}; "
            "ask for fewer by the resource 'gpu' of its rule, in the profile"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    waits = False
    # All or none, so that two jobs never wait for each other's.
    while (claimed := _try_to_claim(names, count, jobs_per_gpu, folder)) is None:
        if not waits:
            print(
                f"waiting for {count} of the {len(names)} GPUs here: other jobs have them", file=sys.stderr, flush=True
            )
        waits = True
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return sorted(claimed), [claimed[index] for index in sorted(claimed)]


def _try_to_claim(names: Sequence[str], count: int, jobs_per_gpu: int, folder: Path) -> dict[int, int] | None:
    claimed: dict[int, int] = {}
    # The first job of every GPU comes before the second of any: jobs spread before they share.
    for job in range(jobs_per_gpu):
        for index, name in enumerate(names):
            if len(claimed) < count and index not in claimed:
                lock = _try_to_lock(folder / f"{name}-{job}")
                if lock is not None:
                    claimed[index] = lock
    if len(claimed) == count:
        return claimed
    for lock in claimed.values():
        os.close(lock)
    return None


def _try_to_lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def processor_name() -> str:
    """Name of this machine's processor, or of its architecture where the processor does not tell."""
    return torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
