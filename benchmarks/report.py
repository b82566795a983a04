"""Rows of results as CSV and Markdown, with what they were measured on."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from frugalseg.reporting.versions import versions
from frugalseg.runtime.files import replacing
from roofline import Machine

PEERS = ("cellpose", "pycocotools", "opencv-python-headless")


def describe(machine: Machine, threads: int, repeats: int) -> dict[str, str]:
    """What the results were measured on and how, by name."""
    peers = {}
    for package in PEERS:
        try:
            peers[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            peers[package] = "not installed"
    products = machine.operations_per_second
    return {
        "date": datetime.date.today().isoformat(),
        **versions(),
        **peers,
        "threads": str(threads),
        "load average": f"{os.getloadavg()[0]:.1f} at the start (work of others counts)",
        "repeats": f"{repeats} (fewer of peers that take long: column pairs)",
        "stream copy": f"{machine.bytes_per_second / 1e9:.1f} GB/s",
        "matrix product float32": f"{products[torch.float32] / 1e9:.0f} GFLOP/s",
        "matrix product bfloat16": f"{products[torch.bfloat16] / 1e9:.0f} GFLOP/s",
    }


def write_csv(path: Path, description: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of equal keys under a header of comment lines."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {value}\n" for name, value in description.items())
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_text(path: Path, text: str) -> None:
    """Write a text file and move it into place."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def markdown(rows: Iterable[Mapping[str, object]]) -> str:
    """A Markdown table of rows of equal keys."""
    rows = list(rows)
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    for row in rows:
        lines.append("| " + " | ".join(str(value).replace("|", "\\|") for value in row.values()) + " |")
    return "\n".join(lines) + "\n"


def duration(seconds: float) -> str:
    """Seconds with three figures in a unit that suits them."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 1000:
        return f"{seconds:.3g} s"
    return f"{seconds / 3600:.3g} h"


def megabytes(count: float) -> str:
    """Bytes as megabytes."""
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"
