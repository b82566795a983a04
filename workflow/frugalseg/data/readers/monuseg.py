"""Reader of MoNuSeg: TIFF images and outlines of nuclei as Aperio XML, in one folder or in subfolders of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.decode import read_image
from frugalseg.data.readers import Case, Sample
from frugalseg.data.regions import Painter, outline_pixels


def find(root: Path, options: Mapping[str, str]) -> list[Case]:
    """Cases of one split: the TIFF and XML files anywhere under ``root / options["folder"]`` that share a name."""
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
    """Pixels of one image and a label image of its outlines, painted in the order of the file.

    `Sample.notes` are those of the `Painter`; an outline of fewer than three vertices has no pixels.
    """
    pixels = read_image(case.image)
    painter = Painter(*pixels.shape[1:])
    for vertices in _outlines(case.label):
        if len(vertices) < 3:
            painter.notes["without_pixels"] += 1
        else:
            painter.add(outline_pixels([vertices], *painter.labels.shape, painter.notes))
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
