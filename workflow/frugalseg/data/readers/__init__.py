"""Readers: one module per layout in which publishers lay out images and labels on disk.

Each reader has two functions. ``find(root, options)`` lists the cases of one split without opening an image; ``load(case)``
opens one. Where even that takes long, ``files(root, options)`` lists the files for those who only ask whether they
changed. This module holds what readers share: the case, what is loaded from it, the decoding of image files, and the
painting of a label image cell by cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from frugalseg.data.checks import DataError


@dataclass(frozen=True)
class Case:
    """An image and its labels on disk; one of the two paths may not exist, which is a fault to be reported.

    Attributes
    ----------
    name : str
        Name of the image, unique in its dataset.
    image, label : Path
        The image file; the label image, the file of outlines, or the folder of masks.
    """

    name: str
    image: Path
    label: Path

    def files(self) -> Iterator[Path]:
        """The files there are that the sample is made of."""
        yield from (path for path in (self.image, self.label) if path.is_file())
        if self.label.is_dir():
            yield from self.label.iterdir()


@dataclass(frozen=True)
class Sample:
    """A loaded image with its labels, as they are in the files.

    Attributes
    ----------
    name : str
        Name of the image.
    image, label : str
        Where the pixels and the labels come from, for messages.
    pixels : np.ndarray
        (C, H, W), any real dtype.
    labels : np.ndarray
        The label image as stored, which may have a wrong shape or dtype still.
    notes : Counter
        What the reader had to resolve, as numbers of cells; see `Painter`.
    left_out : bool
        Whether the publishers say that this image has no cells or does not count; only its notes are used then.
    """

    name: str
    image: str
    label: str
    pixels: np.ndarray
    labels: np.ndarray
    notes: Counter[str] = field(default_factory=Counter)
    left_out: bool = False


class Painter:
    """Makes a label image from cells given one by one; where they overlap, the first has the pixels.

    Attributes
    ----------
    labels : np.ndarray
        (H, W) int32, numbered 1..n in the order of the cells that got a pixel.
    notes : Counter
        Numbers of cells: ``overlapping`` an earlier one, of those ``covered`` (no pixel left, dropped), and
        ``without_pixels`` (nothing to paint, dropped). ``overlapping_pixels``: pixels that later cells had to leave to
        earlier ones.
    """

    def __init__(self, height: int, width: int) -> None:
        self.labels = np.zeros((height, width), np.int32)
        self.notes: Counter[str] = Counter()
        self._cells = 0

    def add(self, pixels: np.ndarray | tuple[np.ndarray, np.ndarray]) -> None:
        """Paint one cell, given as a boolean mask (H, W) or as the rows and columns of its pixels."""
        before = self.labels[pixels]
        free = before == 0
        if len(before) == 0:
            self.notes["without_pixels"] += 1
            return
        if not free.all():
            self.notes["overlapping"] += 1
            self.notes["overlapping_pixels"] += int((~free).sum())
        if not free.any():
            self.notes["covered"] += 1
            return
        self._cells += 1
        self.labels[pixels] = np.where(free, self._cells, before)


def read_image(path: Path) -> np.ndarray:
    """Pixels of a TIFF file or of one that Pillow knows (PNG, BMP, JPEG), channel first; an alpha channel is dropped.

    Parameters
    ----------
    path : Path
        Grey, RGB, RGBA or multi-channel (channel first or last) image of 8 or 16 bit integers or floats.

    Returns
    -------
    np.ndarray
        (C, H, W) in the dtype of the file.

    Raises
    ------
    DataError
        If the file cannot be decoded, or is not one plane.
    """
    array, channel_axis = _decode_tiff(path) if _is_tiff(path) else _decode_with_pillow(path)
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise DataError(f"{path}: has the shape {array.shape}, not that of one plane; save each plane as a file")
    if channel_axis is None:
        # Channels are fewer than rows or columns.
        channel_axis = 0 if array.shape[0] < array.shape[2] else 2
    return np.moveaxis(array, channel_axis, 0)


def read_label_image(path: Path) -> np.ndarray:
    """Numbers of a label image as they are stored; palette images give their indices.

    Returns
    -------
    np.ndarray
        (H, W) in the dtype of the file, or another shape where the file is no label image.

    Raises
    ------
    DataError
        If the file cannot be decoded.
    """
    try:
        if _is_tiff(path):
            with tifffile.TiffFile(path) as file:
                return file.series[0].asarray().squeeze()
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:
        raise unreadable(path, error) from error


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in {".tif", ".tiff"}


def _decode_tiff(path: Path) -> tuple[np.ndarray, int | None]:
    """Pixels and the axis of the channels, where the file says which it is."""
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            array, axes, page = series.asarray(), series.axes, series.keyframe
    except Exception as error:
        raise unreadable(path, error) from error
    kept = [axis for axis, length in enumerate(array.shape) if length > 1 or axes[axis] in "YX"]
    array, axes = array.reshape([array.shape[axis] for axis in kept]), "".join(axes[axis] for axis in kept)
    channel_axis = next((axes.index(letter) for letter in "SC" if letter in axes), None)
    if page.photometric == tifffile.PHOTOMETRIC.RGB and channel_axis is not None and array.shape[channel_axis] == 4:
        array = array.take(range(3), axis=channel_axis)
    return array, channel_axis


def _decode_with_pillow(path: Path) -> tuple[np.ndarray, int]:
    try:
        if _is_deep_colour_png(path):
            return _decode_deep_png(path), 2
        with Image.open(path) as image:
            if image.mode in {"P", "PA", "CMYK", "YCbCr"}:
                image = image.convert("RGB")
            array, mode = np.asarray(image), image.mode
    except Exception as error:
        raise unreadable(path, error) from error
    return (array[..., :-1] if mode in {"LA", "RGBA"} else array), 2


def _is_deep_colour_png(path: Path) -> bool:
    """Whether a file is a PNG of 16 bits a channel and of more than one channel, which Pillow cuts to 8 bits."""
    with path.open("rb") as file:
        header = file.read(26)
    # The signature, then the header's length and name, width, height, bit depth and kind of colour.
    return header.startswith(b"\x89PNG") and header[24:25] == b"\x10" and header[25] != 0


def _decode_deep_png(path: Path) -> np.ndarray:
    """Colour or grey, (H, W, 3) or (H, W, 1) uint16, of a PNG of 16 bits a channel; without its alpha channel."""
    # Every start of Snakemake imports this module.
    from imagecodecs import png_decode

    array = png_decode(path.read_bytes())
    return array[..., : 3 if array.shape[-1] > 2 else 1]


def unreadable(path: Path, error: Exception) -> DataError:
    """The fault of a file on which its decoder raised `error`."""
    # Decoders raise whatever they please; whoever gets the message needs the file first.
    return DataError(f"{path}: cannot be read as an image ({type(error).__name__}: {error}); export or copy it again")
