"""Peak memory of one call, in a process of its own: what it holds beyond its inputs."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import case
from measure import set_threads

# The C library is to give back what is freed, so that a peak is not hidden in memory that an earlier call left behind.
GIVE_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Result of a function of a module, called in a new process."""
    before = dict(os.environ)
    os.environ.update(GIVE_BACK)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return pickle.loads(process.submit(_pickled, function, *arguments).result())
    finally:
        os.environ.clear()
        os.environ.update(before)


def peak_of_side(module: str, name: str, side: str, threads: int) -> tuple[int, Any]:
    """Peak bytes of one side of a case beyond its inputs, and its result; for a process of its own."""
    set_threads(threads)
    chosen = case.find(module, name)
    call = chosen.sides()[side]
    call(chosen.toy())
    peak, result = peak_of_call(call, chosen.draw())
    return peak, result.result if isinstance(result, case.Timed) else result


def peak_of_call(call: Callable[[Any], Any], inputs: Any) -> tuple[int, Any]:
    """Largest resident memory during a call less that before it, in bytes, and the result of the call."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _resident("VmRSS")
    # Linux: 5 sets the peak to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    result = call(inputs)
    return _resident("VmHWM") - before, result


def _pickled(function: Callable[..., Any], *arguments: Any) -> bytes:
    # Bytes, because tensors would be shared with a process that is about to end.
    return pickle.dumps(function(*arguments))


def _resident(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", status)[1])
