"""Times of ours and the peers, taking turns, and the ratios of times taken side by side."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numba
import threadpoolctl
import torch

from case import Case, Timed

#: A timing repeats short calls until it lasts this long, in seconds.
SHORTEST_TIMING = 0.05


@dataclass(frozen=True)
class Ratio:
    """Peer's time / our time over the pairs of timings that were taken one after the other."""

    median: float
    lowest: float
    highest: float
    pairs: int


def pair_ratios(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Median and range of the ratios of timings taken side by side; the longer series is cut to the shorter.

    Raises
    ------
    ValueError
        When one of them is empty.
    """
    ratios = [peer / mine for mine, peer in zip(ours, theirs, strict=False)]
    if not ratios:
        raise ValueError("a ratio needs a timing of each side")
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def take_turns(case: Case, inputs: Any, repeats: int) -> dict[str, list[float]]:
    """Seconds of every side of a case, by name: ours, then each peer, again and again.

    Each side is called once before, uncounted, on the toy inputs, and also on the inputs themselves unless it is
    a peer that gets fewer repeats because it takes long.
    """
    turns = {peer.name: repeats if peer.repeats is None else min(peer.repeats, repeats) for peer in case.peers}
    turns["ours"] = max(turns.values())
    takes_long = {peer.name for peer in case.peers if peer.repeats is not None}
    calls, toy = {}, case.toy()
    for name, side in case.sides().items():
        side(toy)
        seconds = SHORTEST_TIMING if name in takes_long else call_seconds(side, inputs, 1)
        calls[name] = math.ceil(SHORTEST_TIMING / seconds)
    timings = {name: [] for name in calls}
    for turn in range(turns["ours"]):
        for name, side in case.sides().items():
            if turn < turns[name]:
                timings[name].append(call_seconds(side, inputs, calls[name]))
    return timings


def call_seconds(side: Callable[[Any], Any], inputs: Any, calls: int) -> float:
    """Seconds of one call, the mean over some; of a side that keeps its own time, what it says of a single one."""
    start = time.perf_counter()
    for _ in range(calls):
        result = side(inputs)
    seconds = (time.perf_counter() - start) / calls
    return result.seconds if isinstance(result, Timed) else seconds


def set_threads(threads: int) -> None:
    """Let PyTorch, numba, NumPy's BLAS and OpenCV use this many threads."""
    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    threadpoolctl.threadpool_limits(threads)
    cv2.setNumThreads(threads)
