"""Reader of MoNuSeg: images (TIFF, SVS, PNG) and outlines of nuclei as Aperio XML, in one folder or in subfolders of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.decode import read_image
from frugalseg.data.readers import Case, Cases, Sample, files_below, paired, text_of
from frugalseg.data.regions import Painter, Pixels, outline_pixels

_IMAGES = (".tif", ".tiff", ".svs", ".png")
# Kinds of regions in Aperio's files: drawn by hand, a rectangle by its corners, an ellipse by two corners of its box.
_POLYGONS, _ELLIPSE = ("0", "1"), "2"
_CORNERS_OF_ELLIPSE = 180

OPTIONS = {"folder": {"type": "string", "pattern": ".", "description": "Folder of the split, below the root folder."}}


def find(root: Path, options: Mapping[str, Any]) -> Cases:
    """Cases of one split: the images and XML files anywhere under ``root / options["folder"]`` that share a name."""
    folder = root / options["folder"]
    images, outlines = defaultdict(list), defaultdict(list)
    for path in sorted(files_below(folder)):
        if path.suffix.lower() in (*_IMAGES, ".xml"):
            (outlines if path.suffix.lower() == ".xml" else images)[text_of(path.stem)].append(path)
    for suffix, found in ((".tif", images), (".xml", outlines)):
        if not found:
            raise DataError(nothing_found(root, f"{options['folder']}/**/*{suffix}", "folder"))
    return paired(images, outlines, [folder / "{name}.tif", folder / "{name}.xml"])


def load(case: Case) -> Sample:
    """Pixels of one image and a label image of its outlines, painted in the order of the file.

    A region that is marked as negative is a hole in the larger ones it lies in. `Sample.notes` are those of the `Painter`,
    ``holes`` and ``marks_left_out``, which are arrows, rulers and other regions without an area.
    """
    notes: Counter[str] = Counter()
    pixels = read_image(case.image, notes=notes)
    painter = Painter(*pixels.shape[1:])
    regions, holes = [], []
    for negative, pixels_of in _regions(case.label, painter):
        (holes if negative else regions).append(pixels_of)
    width = pixels.shape[2]
    for rows, columns in regions:
        places = rows * width + columns
        for hole in holes:
            if len(hole[0]) < len(places):
                places = np.setdiff1d(places, hole[0] * width + hole[1])
        painter.add(np.divmod(places, width))
    notes.update(painter.notes + Counter(holes=len(holes)))
    return Sample(case.name, str(case.image), str(case.label), pixels, painter.labels, notes, instances="labels")


def _regions(path: Path, painter: Painter) -> list[tuple[bool, Pixels]]:
    """Whether it is negative, and its pixels, of every region that has an area."""
    regions = []
    try:
        for region in ElementTree.parse(path).iter("Region"):
            vertices = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
            outline, kind = np.array(vertices, float).reshape(-1, 2), region.get("Type", "0")
            if not np.isfinite(outline).all():
                raise ValueError("a vertex is not a finite number")
            if kind == _ELLIPSE and len(outline) >= 2:
                outline = _ellipse(outline)
            elif kind not in _POLYGONS:
                painter.notes["marks_left_out"] += 1
                continue
            elif kind == "1" and len(outline) == 2:
                (x0, y0), (x1, y1) = outline
                outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            if len(outline) < 3:
                painter.notes["without_pixels"] += 1
                continue
            negative = region.get("NegativeROA", "0") == "1"
            regions.append((negative, outline_pixels([outline], *painter.labels.shape, painter.notes)))
    except (ElementTree.ParseError, KeyError, ValueError, LookupError) as error:
        raise DataError(
            f"{path}: is no Aperio XML file of outlines ({type(error).__name__}: {error}); download it again"
        ) from error
    return regions


def _ellipse(corners: np.ndarray) -> np.ndarray:
    """The outline (n, 2) of the ellipse in the box of some corners."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    angle = np.linspace(0, 2 * np.pi, _CORNERS_OF_ELLIPSE, endpoint=False)
    return (low + high) / 2 + (high - low) / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
