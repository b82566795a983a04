"""Figures inside a page: small, sharp where they are lines, and known in size before they are drawn."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from frugalseg.reporting.style import STYLE

# An SVG up to this size is inlined as it is: it stays sharp on any screen and on paper.
_LARGEST_SVG = 100_000
# Beyond this, pixels are pictures of cells and not lines: they get the losses of a photograph.
_LARGEST_LOSSLESS = 200_000
_QUALITY = 85
_PIXELS_PER_INCH = 96


@dataclass(frozen=True)
class Inlined:
    """A figure as the attribute ``src`` of an image, and its size in CSS pixels, 96 of which are an inch."""

    source: str
    width: int
    height: int


def inline(png: str | Path, svg: str | Path) -> Inlined:
    """The same figure from whichever of its two files suits a page: the SVG where it is small, else the pixels as WebP."""
    with Image.open(png) as image:
        width, height = (round(side * _PIXELS_PER_INCH / STYLE["savefig.dpi"]) for side in image.size)
        lines = Path(svg).read_bytes()
        if len(lines) <= _LARGEST_SVG:
            return Inlined(_data("svg+xml", lines), width, height)
        return Inlined(_data("webp", _webp(image.convert("RGB"))), width, height)


def _webp(image: Image.Image) -> bytes:
    lossless = _encoded(image, lossless=True)
    return lossless if len(lossless) <= _LARGEST_LOSSLESS else _encoded(image, quality=_QUALITY)


def _encoded(image: Image.Image, **options: bool | int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode('ascii')}"
