"""Reader of MoNuSeg: TIFF images and outlines of nuclei as Aperio XML, in one folder or in subfolders of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from skimage.draw import polygon

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.readers import Case, Painter, Sample, read_image
from frugalseg.data.readers._regions import leaves_image


def find(root: Path, options: Mapping[str, str]) -> list[Case]:
    """Cases of one split: the TIFF and XML files anywhere under ``root / options["folder"]`` that share a name.

    Raises
    ------
    DataError
        If there is no TIFF file or no XML file.
    """
    folder = root / options["folder"]
    images, outlines = _by_name(folder, ".tif"), _by_name(folder, ".xml")
    for suffix, found in ((".tif", images), (".xml", outlines)):
        if not found:
            raise DataError(nothing_found(root, f"{options['folder']}/**/*{suffix}", "folder"))
    return [
        Case(name, image, outline)
        for name in sorted(images.keys() | outlines.keys())
        for image, outline in product(
            images.get(name, [folder / f"{name}.tif"]), outlines.get(name, [folder / f"{name}.xml"])
        )
    ]


def load(case: Case) -> Sample:
    """Pixels of one image and a label image of its outlines, in the order of the file.

    A pixel belongs to a nucleus if its centre lies inside the outline or on it. Outlines are given in coordinates whose
    origin is the corner of the first pixel, so its centre is at (0.5, 0.5). Where outlines overlap the first has the
    pixels. `Sample.notes` counts these, the nuclei without a pixel or with fewer than three vertices, and those that
    leave the image (``crossing_border``, painted as far as they are inside).

    Raises
    ------
    DataError
        If a file cannot be decoded.
    """
    pixels = read_image(case.image)
    height, width = pixels.shape[1:]
    painter = Painter(height, width)
    for vertices in _outlines(case.label):
        if len(vertices) < 3:
            painter.notes["without_pixels"] += 1
            continue
        if leaves_image(vertices, height, width):
            painter.notes["crossing_border"] += 1
        x, y = vertices.T
        painter.add(polygon(y - 0.5, x - 0.5, shape=(height, width)))
    return Sample(case.name, str(case.image), str(case.label), pixels, painter.labels, painter.notes)


def _by_name(folder: Path, suffix: str) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob(f"*{suffix}")):
        if not path.name.startswith("."):
            paths.setdefault(path.stem, []).append(path)
    return paths


def _outlines(path: Path) -> Iterator[np.ndarray]:
    """Vertices (x, y) of every region, (n, 2) float64 in pixels."""
    try:
        for region in ElementTree.parse(path).iter("Region"):
            vertices = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
            yield np.array(vertices).reshape(-1, 2)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: is no Aperio XML file of outlines ({type(error).__name__}: {error}); download it again"
        ) from error
