"""What this machine reaches at best, measured, and how much of it a piece of work got.

Williams et al. (2009), Roofline, CACM 52(4): work of F operations and B bytes takes at least
max(F / operations a second, B / bytes a second).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from case import Work

COPIED_FLOATS = 64 * 2**20
MATRIX_SIDE = 2048
TRIALS = 5


@dataclass(frozen=True)
class Machine:
    """Measured limits.

    Attributes
    ----------
    bytes_per_second : float
        Of a copy much larger than the caches, read and written bytes together.
    operations_per_second : dict of torch.dtype to float
        Of a product of two square matrices, a multiplication and an addition being two.
    """

    bytes_per_second: float
    operations_per_second: dict[torch.dtype, float]

    def fraction(self, work: Work, seconds: float, precision: torch.dtype) -> float:
        """Shortest time the work could take by both limits, in numbers of this type / the time it took."""
        # Vectors hold half as many float64 numbers as float32.
        speeds = self.operations_per_second | {torch.float64: self.operations_per_second[torch.float32] / 2}
        moving = work.of_width(precision).bytes / self.bytes_per_second
        return max(work.operations / speeds[precision], moving) / seconds


def measure_machine() -> Machine:
    """Measure a stream copy and matrix products in float32 and bfloat16, the best of a few trials each."""
    source = torch.ones(COPIED_FLOATS)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / _shortest(lambda: target.copy_(source))
    products = {}
    for precision in (torch.float32, torch.bfloat16):
        matrix = torch.ones(MATRIX_SIDE, MATRIX_SIDE, dtype=precision)
        products[precision] = 2 * MATRIX_SIDE**3 / _shortest(lambda matrix=matrix: matrix @ matrix)
    return Machine(copy, products)


def count_network(step: Callable[[], object]) -> Work:
    """Operations and bytes of a call of PyTorch, backward pass included, as it runs operation by operation.

    Operations are those of convolutions and matrix products; bytes are the inputs and outputs of all operations. On
    the device ``meta`` nothing is computed.
    """
    operations, traffic = FlopCounterMode(display=False), _Traffic()
    with operations, traffic:
        step()
    return Work(operations.get_total_flops(), traffic.bytes)


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of the tensors that operations take and give; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if not function.is_view:
            tensors = (leaf for leaf in tree_leaves((arguments, keywords, result)) if isinstance(leaf, torch.Tensor))
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def _shortest(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
