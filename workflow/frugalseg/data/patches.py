"""Patches: windows of a regular grid over whole images, with labels and target flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from skimage.measure import label as connected_components
from tqdm import tqdm

from frugalseg.data.stores import Images, PatchWriter
from frugalseg.kernels.flows import labels_to_flows

Border = Literal["pad", "drop"]

_BATCH = 64
_MOST_CELLS = np.iinfo(np.uint16).max


def windows(height: int, width: int, size: int, stride: int, border: Border = "pad") -> list[tuple[int, int]]:
    """Upper left corners (y, x) of the windows of an image, row by row, `stride` pixels apart.

    "pad" takes every multiple of the stride that lies inside the image, so the last windows may hang over its border; this
    gives the 2,997 patches that Zhao & Chen 2025 count in 37 MoNuSeg images of 1000 x 1000. "drop" takes the windows that
    fit, none if the image is smaller than a window.
    """
    overhang = {"pad": size - 1, "drop": 0}[border]
    rows, columns = (range(0, length - size + overhang + 1, stride) for length in (height, width))
    return [(y, x) for y in rows for x in columns]


def cut(
    images: Images, folder: str | Path, *, size: int, stride: int, border: Border = "pad", most: int | None = None
) -> None:
    """Cut images into patches, compute their target flows, and write a patch store to `folder`.

    What hangs over the border is the reflected image and its reflected labels. Cells are numbered 1..n in each patch. The grid is
    that of `windows`; of its patches no more than `most` are written, spread evenly over all. If `border` is "drop" and
    images are smaller than a patch, a ValueError names them all.
    """
    table = _table(images, size, stride, border)
    if most is not None and most < len(table):
        kept = np.arange(most) * len(table) // most
        table = table.iloc[kept].reset_index(drop=True)
    table = table.assign(patch=np.arange(len(table)))
    channels = int(images.table["channels"].iloc[0])
    with (
        PatchWriter(folder, table, channels, size) as writer,
        tqdm(total=len(table), unit="patch", mininterval=1) as progress,
    ):
        for pixels, labels in _batches(images, table, size):
            flows = labels_to_flows(torch.from_numpy(labels)).numpy()
            writer.add(pixels, labels, flows)
            progress.update(len(labels))


def _table(images: Images, size: int, stride: int, border: Border) -> pd.DataFrame:
    """Image and window (image, y, x) of every patch, with the row of the image in its store (number)."""
    rows, too_small = [], []
    for number, image in enumerate(images.table.itertuples()):
        corners = windows(image.height, image.width, size, stride, border)
        if not corners:
            too_small.append(f"{image.image} ({image.height}x{image.width})")
        rows.extend((number, image.image, y, x) for y, x in corners)
    if too_small:
        raise ValueError(
            f"images smaller than a patch of {size}x{size} pixels: {', '.join(too_small)}; "
            "take smaller patches, or `border: pad`"
        )
    table = pd.DataFrame(rows, columns=["number", "image", "y", "x"])
    if "official" in images.table:
        table["official"] = images.table["official"].to_numpy()[table["number"]]
    return table


def _batches(images: Images, table: pd.DataFrame, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pixels (B, C, H, W) float32 and labels (B, H, W) int32 of the patches, in order."""
    pixels, labels = [], []
    for number, corners in table.groupby("number", sort=False):
        image, image_labels = images.pixels(number), images.labels(number)
        for patch in corners.itertuples():
            pixels.append(_window(image, patch.y, patch.x, size))
            labels.append(_label_window(image_labels, patch.y, patch.x, size))
            if len(labels) == _BATCH:
                yield np.stack(pixels), np.stack(labels)
                pixels, labels = [], []
    if labels:
        yield np.stack(pixels), np.stack(labels)


def _window(image: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    """A window (C, size, size) of an image (C, H, W), reflected at the border as often as it takes."""
    height, width = image.shape[1:]
    return image[:, _reflected(y, size, height)[:, None], _reflected(x, size, width)]


def _reflected(start: int, size: int, length: int) -> np.ndarray:
    """Positions start .. start + size - 1 folded into 0 .. length - 1, the border pixel not repeated."""
    last = length - 1
    if last == 0:
        return np.zeros(size, np.int64)
    return last - np.abs(np.arange(start, start + size) % (2 * last) - last)


def _label_window(labels: np.ndarray, y: int, x: int, size: int) -> np.ndarray:
    """A window (size, size) int32 of a label image (H, W), reflected as the image is, each connected piece of a number 1..n.

    A mirrored copy of a cell is a cell of its own, as is each part of one that the window cuts in two: a flow leads to one
    centre. Where a cell touches its copy the two are one.
    """
    height, width = labels.shape
    window = labels[_reflected(y, size, height)[:, None], _reflected(x, size, width)]
    pieces = connected_components(window, connectivity=2).astype(np.int32)
    if pieces.max() > _MOST_CELLS:
        raise ValueError(
            f"a patch holds {pieces.max()} cells and a patch store at most {_MOST_CELLS}; cut smaller patches"
        )
    return pieces
