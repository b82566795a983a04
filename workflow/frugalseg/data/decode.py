"""Image files decoded: TIFF, PNG, BMP, JPEG and NumPy, with every field that changes what pixels mean.

What the file settles is done here: an image that lies on its side is turned, 0 that means white is inverted, colours of
a palette are looked up, alpha is dropped. A file that holds several images, slices or times is refused.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from frugalseg.data.checks import DataError

# Large images are no attack here; `_plausible` looks at what a file claims to hold.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 274
_LOSSY = {"JPEG", "MPO", "JPEG2000", "WEBP"}
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_COLOURS = tifffile.PHOTOMETRIC
_READ = (_COLOURS.MINISWHITE, _COLOURS.MINISBLACK, _COLOURS.RGB, _COLOURS.PALETTE, _COLOURS.YCBCR)
# No compression in use makes an image smaller than this, of which all pixels are the same.
_MOST_COMPRESSION, _LARGE = 40_000, 1 << 28


class _Raster(NamedTuple):
    """What a file stores, and how it is to be understood."""

    array: np.ndarray
    axes: str
    """A letter for each axis: Y, X, and S (samples of a pixel), C (channels) or Q (not known), or those of a stack."""
    orientation: int = 1
    """How it lies, as EXIF and TIFF count it."""
    alpha: int = 0
    """How many of the last samples are transparency."""
    white_is_zero: int = 0
    """Bits of a number if 0 means white, else 0."""
    palette: np.ndarray | None = None
    """Colours (n, 3) of which the pixels are the numbers."""
    lossy: bool = False
    """Whether it was compressed with loss."""


def read_image(path: Path, *, notes: Counter[str] | None = None, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Pixels (C, H, W), in the dtype of the file; `notes` counts what had to be resolved.

    `shape` is that of its labels: where only the image as it is stored has it, it was annotated so and is not turned.
    """
    notes = Counter() if notes is None else notes
    stored = _raster(path)
    array, axes = stored.array, stored.axes
    if stored.palette is not None:
        array, axes = stored.palette[array], f"{axes}S"
    channel_axis = next((axes.index(letter) for letter in "SCQ" if letter in axes), None)
    if "".join(sorted(axes)) not in ("XY", "CXY", "SXY", "QXY"):
        raise DataError(
            f"{path}: has the shape {array.shape} (axes {axes}), not that of one plane; save each plane as a file"
        )
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {array.dtype} numbers, which are no brightness; save real numbers")
    if channel_axis is None:
        array = array[None]
    elif axes[channel_axis] != "S":
        notes["planes_without_a_meaning"] = array.shape[channel_axis]
    array = np.moveaxis(array, channel_axis or 0, 0)
    if stored.alpha:
        array = array[: -stored.alpha]
    if stored.white_is_zero:
        notes["inverted_images"] += 1
        top = float(array.max()) if array.dtype.kind == "f" else (1 << stored.white_is_zero) - 1
        array = ~array if array.dtype.kind == "b" else (top - array).astype(array.dtype)
    if stored.orientation > 1:
        as_annotated = stored.orientation > 4 and shape == array.shape[1:] != array.shape[:0:-1]
        if not as_annotated:
            notes["turned_images"] += 1
            array = _upright(array, stored.orientation)
    return array


def read_label_image(path: Path, notes: Counter[str] | None = None) -> np.ndarray:
    """Numbers (H, W) of a label image as they are stored; of a palette, its indices. `notes` counts lossy compression.

    Of another shape where the file is no label image, such as (H, W, 3) for colours.
    """
    stored = _raster(path)
    array = stored.array
    if notes is not None and stored.lossy:
        notes["lossy_label_images"] += 1
    if stored.white_is_zero and array.dtype.kind == "b":
        array = ~array
    if stored.orientation > 1 and stored.axes[:2] == "YX":
        array = np.moveaxis(_upright(np.moveaxis(array, (0, 1), (-2, -1)), stored.orientation), (-2, -1), (0, 1))
    return array


def is_tiff(path: Path) -> bool:
    """Whether a file is named like a TIFF."""
    return path.suffix.lower() in {".tif", ".tiff", ".svs", ".lsm"}


def unreadable(path: Path, error: Exception) -> DataError:
    """The fault of a file on which its decoder raised `error`."""
    # Decoders raise whatever they please; whoever gets the message needs the file first.
    return DataError(f"{path}: cannot be read as an image ({type(error).__name__}: {error}); export or copy it again")


def _raster(path: Path) -> _Raster:
    try:
        with path.open("rb") as file:
            head = file.read(26)
        # By what it holds: people rename files.
        decode = next((decode for start, decode in _STARTS.items() if head.startswith(start)), _picture)
        stored = decode(path, head)
    except DataError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    if not stored.array.size:
        raise DataError(f"{path}: holds no pixel; export or copy it again")
    return stored


def _tiff(path: Path, head: bytes) -> _Raster:
    with tifffile.TiffFile(path) as file:
        series, pages = _own_series(path, file)
        page = pages[0]
        _plausible(path, series.size if len(pages) == len(series.pages) else page.size * len(pages), page.dtype)
        if page.photometric not in _READ:
            raise DataError(f"{path}: has colours of the kind {page.photometric.name}; save it as grey or RGB")
        if len(pages) == len(series.pages):
            array, axes = series.asarray(), series.axes
        else:
            array, axes = np.stack([own.asarray() for own in pages]), f"C{page.axes}"
        kept = [axis for axis, length in enumerate(array.shape) if length > 1 or axes[axis] in "YX"]
        array, axes = array.reshape([array.shape[axis] for axis in kept]), "".join(axes[axis] for axis in kept)
        axes = axes.replace("I", "Q")
        if len(axes) == 3 and axes[0] == "Q" and array.shape[0] >= array.shape[2]:
            axes = f"{axes[1:]}Q"
        extra = [sample in _ALPHA for sample in page.extrasamples]
        unnamed_alpha = page.photometric == _COLOURS.RGB and page.samplesperpixel == 4 and not extra
        is_palette = page.photometric == _COLOURS.PALETTE and not file.is_imagej and page.colormap is not None
        tag = page.tags.get(_ORIENTATION)
        return _Raster(
            array,
            axes,
            orientation=int(tag.value) if tag and isinstance(tag.value, int) and 1 < tag.value <= 8 else 1,
            alpha=sum(extra) + unnamed_alpha if "S" in axes else 0,
            white_is_zero=page.bitspersample if page.photometric == _COLOURS.MINISWHITE else 0,
            palette=page.colormap.T if is_palette else None,
            lossy=page.compression in (6, 7),  # JPEG, old and new
        )


def _own_series(path: Path, file: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, list]:
    """The one image of a file, and its pages that lie in this file: OME-TIFF spreads images over several files."""
    pages = {id(s): [page for page in s.pages if page is not None and page.parent is file] for s in file.series}
    images = [s for s in file.series if pages[id(s)]]
    largest = max(images, key=lambda series: series.size)
    full = [s for s in images if 2 * s.size > largest.size and not (s.keyframe.is_reduced or s.keyframe.is_mask)]
    if len(full) > 1:
        shapes = " and ".join(str(series.shape) for series in full[:3])
        raise DataError(f"{path}: holds {len(full)} images, of the shapes {shapes}; save each as a file")
    return largest, pages[id(largest)]


def _numpy(path: Path, head: bytes) -> _Raster:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    array = np.array(array.reshape([length for length in array.shape if length > 1] or [1, 1]))
    if array.ndim != 3:
        return _Raster(array, "YX" if array.ndim == 2 else "Q" * array.ndim)
    first = array.shape[0] < array.shape[2]
    return _Raster(array, "QYX" if first else "YXS" if array.shape[2] == 3 else "YXQ")


def _picture(path: Path, head: bytes) -> _Raster:
    """A file that Pillow knows."""
    with Image.open(path) as image:
        _plausible(path, image.width * image.height * len(image.getbands()), np.dtype(np.uint8))
        # A camera's second picture is a preview.
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise DataError(f"{path}: holds {image.n_frames} images; save each as a file")
        orientation = _exif_orientation(image)
        # A PNG of 16 bits a channel and of more than one channel, which Pillow cuts to 8 bits: after the signature come
        # the header's length and name, width, height, bit depth and kind of colour.
        if head.startswith(b"\x89PNG") and head[24] == 16 and head[25] != 0:
            from imagecodecs import png_decode

            array = png_decode(path.read_bytes())
            return _Raster(array, "YXS", orientation, alpha=array.shape[2] in (2, 4))
        palette, kind = None, image.format
        if image.mode == "P":
            palette = np.zeros((256, 3), np.uint8)
            colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
            palette[: len(colours)] = colours
        elif image.mode not in {"1", "L", "LA", "I", "F", "RGB", "RGBA"} and not image.mode.startswith("I;16"):
            image = image.convert("RGB")
        array = np.asarray(image)
        alpha = image.mode in {"LA", "RGBA"}
        return _Raster(array, "YXS"[: array.ndim], orientation, alpha=alpha, palette=palette, lossy=kind in _LOSSY)


# The first bytes of a file.
_STARTS = dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff) | {b"\x93NUMPY": _numpy}


def _exif_orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF that is damaged says nothing; the pixels may be sound
        return 1
    return orientation if orientation in range(1, 9) else 1


def _plausible(path: Path, count: int, dtype: np.dtype) -> None:
    """Refuse to make room for what a damaged file claims to hold."""
    size, stored = count * dtype.itemsize, path.stat().st_size
    if size > _LARGE and size > _MOST_COMPRESSION * stored:
        raise DataError(
            f"{path}: says that it holds {size} bytes of pixels, but has {stored}; it is damaged: export or copy it again"
        )


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """An array (..., H, W) as the tag says that it is looked at."""
    if orientation > 4:
        array = array.swapaxes(-1, -2)
    left_right, up_down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return array[..., :: -1 if up_down else 1, :: -1 if left_right else 1]
