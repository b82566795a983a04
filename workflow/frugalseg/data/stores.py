"""Stores of images and patches: a few memory-mapped arrays and one CSV row per image or patch.

An image store holds the whole, normalised images of one split, of any sizes, one after another in flat arrays.
A patch store holds windows of one size with their training targets. Both are written under ``.partial`` names and
moved into place when they are complete, the CSV last.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import pandas as pd

from frugalseg.runtime.files import writing

IMAGE_COLUMNS = ["image", "channels", "height", "width", "cells", "diameter"]
PATCH_COLUMNS = ["patch", "image", "y", "x", "cells", "diameter"]
_TEXT = ("image", "official", "dataset", "test", "recipe", "chain")
_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Patches:
    """Patches of one dataset with their labels and target flows."""

    images: np.memmap
    """(N, C, H, W) float16, normalised."""
    labels: np.memmap
    """(N, H, W) uint16, 1..n in each patch, 0 is background."""
    flows: np.memmap
    """(N, 2, H, W) float16, unit vectors (y, x), 0 outside cells."""
    table: pd.DataFrame
    """N rows: patch, image, y, x, cells, diameter."""

    def __len__(self) -> int:
        return len(self.table)


class Images:
    """Whole images of one split, read from memory-mapped flat arrays; `table` has one row of IMAGE_COLUMNS for each."""

    def __init__(self, table: pd.DataFrame, pixels: np.memmap, labels: np.memmap) -> None:
        self.table = table
        self._pixels = pixels
        self._labels = labels
        areas = (table["height"] * table["width"]).to_numpy(np.int64)
        self._label_ends = np.cumsum(areas)
        self._pixel_ends = np.cumsum(areas * table["channels"].to_numpy(np.int64))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def names(self) -> list[str]:
        """Names of the images, in the order of the store."""
        return self.table["image"].tolist()

    def pixels(self, index: int) -> np.ndarray:
        """Normalised pixels of one image, (C, H, W) float32."""
        shape = tuple(self.table.loc[index, ["channels", "height", "width"]].astype(int))
        end = self._pixel_ends[index]
        return self._pixels[end - math.prod(shape) : end].astype(np.float32).reshape(shape)

    def labels(self, index: int) -> np.ndarray:
        """Label image of one image, (H, W) int32, 0 is background."""
        shape = tuple(self.table.loc[index, ["height", "width"]].astype(int))
        end = self._label_ends[index]
        return self._labels[end - math.prod(shape) : end].astype(np.int32).reshape(shape)

    def take(self, rows: Sequence[int] | np.ndarray) -> Images:
        """Some of the images, in the order of `rows`; nothing is copied but their rows of the table."""
        taken = copy.copy(self)
        taken.table = self.table.iloc[rows].reset_index(drop=True)
        taken._label_ends, taken._pixel_ends = self._label_ends[rows], self._pixel_ends[rows]
        return taken


def open_patches(folder: str | Path) -> Patches:
    """Patches of the store in `folder`, memory-mapped read-only."""
    folder = Path(folder)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels", "flows")}
    table = read_table(folder / "patches.csv")
    lengths = {name: len(array) for name, array in arrays.items()} | {"table": len(table)}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{folder}: the parts of this patch store differ in length ({lengths}); cut the patches again")
    return Patches(**arrays, table=table)


def open_images(folder: str | Path) -> Images:
    """Images of the store in `folder`, memory-mapped read-only."""
    folder = Path(folder)
    images = Images(
        read_table(folder / "images.csv"),
        np.load(folder / "pixels.npy", mmap_mode="r"),
        np.load(folder / "labels.npy", mmap_mode="r"),
    )
    expected = (images._pixel_ends.max(initial=0), images._label_ends.max(initial=0))
    if (len(images._pixels), len(images._labels)) != expected:
        raise ValueError(f"{folder}: pixels.npy or labels.npy does not fit images.csv; prepare the dataset again")
    return images


class _Writer:
    """Writes the files of a store under ``.partial`` names.

    Used as a context: leaving it moves them into place, the table last; leaving it by an exception removes what was written.
    """

    def __init__(self, folder: str | Path, arrays: Sequence[str]) -> None:
        self._folder = Path(folder)
        self._files = [self._folder / f"{name}.npy" for name in arrays]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self._files[0]):
                self._close()
                if kind is None:
                    file, table = self._table_of_all()
                    table.to_csv(_partial(file), index=False, float_format="%.4f", lineterminator="\n")
                    for path in (*self._files, file):
                        _partial(path).replace(path)
        finally:
            self._remove()

    def _remove(self) -> None:
        for path in self._files:
            _partial(path).unlink(missing_ok=True)


class ImageWriter(_Writer):
    """Writes an image store, image by image, without knowing beforehand how many there are."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, ["pixels", "labels"])
        self._rows: list[tuple] = []

    def _open(self) -> None:
        pixels, labels = self._files
        self._pixels = _FlatArray(_partial(pixels), np.dtype(np.float16))
        self._labels = _FlatArray(_partial(labels), np.dtype(np.int32))

    def add(self, name: str, pixels: np.ndarray, labels: np.ndarray, official: str | None = None) -> None:
        """Append one image: its unique name, pixels (C, H, W), normalised, integer labels (H, W), its official subsets."""
        with writing(self._files[0]):
            self._pixels.append(to_float16(pixels))
            self._labels.append(labels)
        self._rows.append((name, *pixels.shape, *measure_cells(labels), official))

    def _close(self) -> None:
        self._pixels.close()
        self._labels.close()

    def _table_of_all(self) -> tuple[Path, pd.DataFrame]:
        table = pd.DataFrame(self._rows, columns=[*IMAGE_COLUMNS, "official"])
        return self._folder / "images.csv", table.dropna(axis="columns", how="all")


class PatchWriter(_Writer):
    """Writes a patch store: `table` has the patch, image, y, x of every patch, whose cells and diameter are filled in."""

    def __init__(self, folder: str | Path, table: pd.DataFrame, channels: int, size: int) -> None:
        self._table = table
        self._shapes = {
            "images": ((len(table), channels, size, size), np.float16),
            "labels": ((len(table), size, size), np.uint16),
            "flows": ((len(table), 2, size, size), np.float16),
        }
        super().__init__(folder, list(self._shapes))
        self._cells: list[tuple[int, float]] = []

    def _open(self) -> None:
        self._arrays = {}
        needed = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in self._shapes.values())
        # A memory map that meets a full disk kills its process without a word: the room is taken beforehand.
        with writing(self._files[0], needed=needed):
            for path, (name, (shape, dtype)) in zip(map(_partial, self._files), self._shapes.items(), strict=True):
                self._arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def add(self, images: np.ndarray, labels: np.ndarray, flows: np.ndarray) -> None:
        """Append a batch of patches: images (B, C, H, W), labels (B, H, W) uint16, flows (B, 2, H, W)."""
        batch = slice(len(self._cells), len(self._cells) + len(images))
        self._arrays["images"][batch] = to_float16(images)
        self._arrays["labels"][batch] = labels
        self._arrays["flows"][batch] = flows
        self._cells.extend(measure_cells(label) for label in labels)

    def _close(self) -> None:
        for array in self._arrays.values():
            array.flush()
        self._arrays.clear()

    def _table_of_all(self) -> tuple[Path, pd.DataFrame]:
        cells, diameters = zip(*self._cells, strict=True) if self._cells else ((), ())
        table = self._table.assign(cells=cells, diameter=diameters)
        return self._folder / "patches.csv", table[[*PATCH_COLUMNS, *table.columns.intersection(["official"])]]


def read_table(path: str | Path) -> pd.DataFrame:
    """A table of images, of patches or of their scores; names stay text that look like numbers ("007") or like none ("NA")."""
    numbers = [column for column in pd.read_csv(path, nrows=0).columns if column not in _TEXT]
    absent = {column: ["", "nan", "NaN"] for column in numbers}
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=absent)


def measure_cells(labels: np.ndarray) -> tuple[int, float]:
    """Number of cells of a label image (H, W) and the mean of their ``2 sqrt(area / pi)`` in pixels, 0 if there is none."""
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    if len(areas) == 0:
        return 0, 0.0
    return len(areas), float(np.mean(2 * np.sqrt(areas / np.pi)))


def to_float16(pixels: np.ndarray) -> np.ndarray:
    """Pixels as float16; a hot pixel beyond its range (65504) becomes the largest number instead of infinity."""
    return np.clip(pixels, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)


class _FlatArray:
    """A one-dimensional .npy file that grows; numpy leaves room in the header for the final length."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._length = 0
        self._file: BinaryIO = path.open("wb")
        self._write_header()
        self._start = self._file.tell()

    def append(self, array: np.ndarray) -> None:
        self._file.write(np.ascontiguousarray(array, dtype=self._dtype).tobytes())
        self._length += array.size

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:
            raise RuntimeError("the .npy header grew beyond the room numpy leaves for it")
        self._file.close()

    def _write_header(self) -> None:
        description = np.lib.format.dtype_to_descr(self._dtype)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": description, "fortran_order": False, "shape": (self._length,)}
        )


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
