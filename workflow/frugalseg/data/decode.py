"""Image files decoded: TIFF, PNG, BMP and JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from frugalseg.data.checks import DataError


def read_image(path: Path) -> np.ndarray:
    """Pixels (C, H, W), in the dtype of the file, of a TIFF file or of one that Pillow knows (PNG, BMP, JPEG).

    The file may be grey, RGB, RGBA (alpha is dropped) or multi-channel, channel first or last. Raises a DataError if it
    cannot be decoded, or is not one plane.
    """
    array, channel_axis = _decode_tiff(path) if is_tiff(path) else _decode_with_pillow(path)
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3:
        raise DataError(f"{path}: has the shape {array.shape}, not that of one plane; save each plane as a file")
    if channel_axis is None:
        # Channels are fewer than rows or columns.
        channel_axis = 0 if array.shape[0] < array.shape[2] else 2
    return np.moveaxis(array, channel_axis, 0)


def read_label_image(path: Path) -> np.ndarray:
    """Numbers (H, W) of a label image as they are stored; palette images give their indices.

    Of another shape where the file is no label image; a DataError if it cannot be decoded.
    """
    try:
        if is_tiff(path):
            with tifffile.TiffFile(path) as file:
                return file.series[0].asarray().squeeze()
        with Image.open(path) as image:
            return np.asarray(image)
    except Exception as error:
        raise unreadable(path, error) from error


def is_tiff(path: Path) -> bool:
    """Whether a file is named like a TIFF."""
    return path.suffix.lower() in {".tif", ".tiff"}


def unreadable(path: Path, error: Exception) -> DataError:
    """The fault of a file on which its decoder raised `error`."""
    # Decoders raise whatever they please; whoever gets the message needs the file first.
    return DataError(f"{path}: cannot be read as an image ({type(error).__name__}: {error}); export or copy it again")


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
