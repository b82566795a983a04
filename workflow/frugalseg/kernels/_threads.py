"""Compiled loops on several threads; what they compute does not depend on how many."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch


def share(items: int, work: Callable[[int, int], None], ranges_per_thread: int) -> None:
    """Run `work(first, last)` over ranges that cover `items`, on as many threads as torch uses, this one included.

    Compiled functions release the interpreter lock, so that plain threads share the work; each range writes to places
    of its own. Several ranges for each thread level out items that differ in work.
    """
    threads = min(torch.get_num_threads(), items)
    if threads <= 1:
        work(0, items)
        return
    bounds = np.linspace(0, items, min(items, ranges_per_thread * threads) + 1).astype(int).tolist()
    # Whoever is free takes the next range; a list's iterator may be shared by threads.
    ranges = iter(list(pairwise(bounds)))

    def run() -> None:
        for first, last in ranges:
            work(first, last)

    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(run) for _ in range(threads - 1)]
        run()
        for other in others:
            other.result()
