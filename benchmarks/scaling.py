"""How time and memory of every kernel grow with the size of its input."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import inputs
from augment_cases import batch
from frugalseg.kernels.augment import random_affine
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows
from frugalseg.kernels.overlap import overlap_matrix
from frugalseg.kernels.quantize import greedy_bins
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models import build
from measure import call_seconds, set_threads
from memory import in_fresh_process, peak_of_call
from overlap_cases import shifted
from report import duration, markdown, megabytes

#: One cell in so many pixels, whatever the size of the image.
PIXELS_PER_CELL = 1600
DIMENSIONS = 768
PAGE = 4096


@dataclass(frozen=True)
class Series:
    """A kernel on inputs that grow.

    Attributes
    ----------
    unit : str
        What a size counts.
    sizes : tuple of int
        At least four, growing.
    draw : callable
        Size -> inputs.
    run : callable
        Inputs -> anything.
    """

    unit: str
    sizes: tuple[int, ...]
    draw: Callable[[int], Any]
    run: Callable[[Any], Any]


def series() -> dict[str, Series]:
    """Every kernel by name."""
    patches, sides = (1_250, 2_500, 5_000, 10_000), (128, 256, 512, 1024)
    drawn = partial(inputs.vit_like, dimensions=DIMENSIONS)
    return {
        **{
            f"greedy_bins {gain}": Series(
                "patches", patches, drawn, lambda rows, gain=gain: greedy_bins(rows, 10, gain)
            )
            for gain in ("sum", "mean", "graphcut")
        },
        "labels_to_flows": Series("pixels", _areas(sides), _labels, labels_to_flows),
        "flows_to_labels": Series(
            "pixels", _areas(sides), lambda area: inputs.noisy_prediction(_labels(area)), lambda p: flows_to_labels(*p)
        ),
        "overlap_matrix": Series(
            "pixels",
            _areas(sides),
            lambda area: shifted(1, round(area**0.5), area // PIXELS_PER_CELL),
            lambda pair: overlap_matrix(pair[0][0], pair[1][0]),
        ),
        "random_affine": Series("patches 224 x 224", (2, 4, 8, 16), partial(batch, size=224, cells=30), _augment),
        "input_gradient_norm": Series(
            "images 128 x 128", (2, 4, 8, 16), _capped, lambda drawn: input_gradient_norm(*drawn)
        ),
    }


def measure_series(name: str, repeats: int, threads: int) -> list[tuple[int, float, int]]:
    """Size, seconds and peak bytes beyond the inputs for every size of a kernel; for a process of its own."""
    set_threads(threads)
    chosen = series()[name]
    chosen.run(chosen.draw(chosen.sizes[0]))
    results = []
    for size in chosen.sizes:
        drawn = chosen.draw(size)
        peak = peak_of_call(chosen.run, drawn)[0]
        results.append((size, statistics.median(call_seconds(chosen.run, drawn, 1) for _ in range(repeats)), peak))
    return results


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Exponent e of values that grow as sizes^e: the slope of a line through their logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def scaling_rows(repeats: int, threads: int) -> Iterator[dict[str, Any]]:
    """One row a kernel and size, each with the kernel's exponents."""
    for name, chosen in series().items():
        print(f"measuring the scaling of {name}", flush=True)
        results = in_fresh_process(measure_series, name, repeats, threads)
        sizes, seconds, peaks = zip(*results, strict=True)
        # Less than a page of memory is not seen.
        exponents = exponent(sizes, seconds), exponent(sizes, np.maximum(peaks, PAGE))
        for size, taken, peak in results:
            yield {
                "kernel": name,
                "unit": chosen.unit,
                "size": size,
                "seconds": taken,
                "memory": peak,
                "time_exponent": exponents[0],
                "memory_exponent": exponents[1],
            }


def scaling_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: one row a kernel, its times and peaks from the smallest to the largest size."""
    kernels = {row["kernel"]: [other for other in rows if other["kernel"] == row["kernel"]] for row in rows}
    return markdown(
        {
            "kernel": name,
            "sizes": f"{', '.join(format(row['size'], ',') for row in part)} {part[0]['unit']}",
            "time": ", ".join(duration(row["seconds"]) for row in part),
            "exponent of time": f"{part[0]['time_exponent']:.2f}",
            "memory": ", ".join(megabytes(row["memory"]) for row in part),
            "exponent of memory": f"{part[0]['memory_exponent']:.2f}",
        }
        for name, part in kernels.items()
    )


def _areas(sides: Sequence[int]) -> tuple[int, ...]:
    return tuple(side**2 for side in sides)


def _labels(area: int) -> torch.Tensor:
    return inputs.label_images(1, round(area**0.5), area // PIXELS_PER_CELL)


def _capped(count: int) -> tuple[torch.nn.Module, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = build("unet-cap8", 1, 2, (128, 128), generator=generator)
    return model, torch.randn(count, 1, 128, 128, generator=generator)


def _augment(parts: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return random_affine(*parts, torch.Generator().manual_seed(0), size=224, scale_range=1.0)
