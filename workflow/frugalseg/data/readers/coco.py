"""Reader of COCO's layout, which LIVECell shares: a folder of images and a JSON file of objects.

An object is one or several polygons, or run lengths, compressed or not; its class does not matter. Regions of many
objects that were not told apart (``iscrowd``) are no instances: they are counted and stay background. An image without
an object is left out and counted, since it has nothing to train on or to score.

Where objects overlap the smallest has the pixels. So an object is only lost if smaller ones cover all of it, whereas
by the order of the file a person could hide the tie he wears; and what is lost is lost to the object that has the most
pixels to spare.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from frugalseg.data.checks import DataError, examples, nothing_found
from frugalseg.data.readers import Case, Painter, Sample, read_image
from frugalseg.data.readers._coco_annotations import AnnotatedImage, Annotation, read
from frugalseg.data.readers._regions import (
    Pixels,
    decompress_run_lengths,
    leaves_image,
    polygon_pixels,
    run_length_pixels,
    union,
)


@dataclass(frozen=True)
class CocoCase(Case):
    """An image with its objects.

    Attributes
    ----------
    name, image, label
        See `Case`; the label is the file of annotations.
    annotated : AnnotatedImage
        What that file says of the image.
    """

    annotated: AnnotatedImage


def files(root: Path, options: Mapping[str, str]) -> Iterator[Path]:
    """The file of annotations and every image in the folder of a split, which may hold those of other splits too.

    Which of them belong to the split only the annotations tell, and to parse a gigabyte takes half a minute.
    """
    annotations = root / options["annotations"]
    yield from [annotations] if annotations.is_file() else []
    yield from _images(root / options["images"])


def find(root: Path, options: Mapping[str, str]) -> list[CocoCase]:
    """Cases of one split, one for each image that its file of annotations names.

    Parameters
    ----------
    root : Path
        Folder that the paths start from.
    options : mapping
        ``annotations``: the JSON file. ``images``: the folder of the images, which may lie in subfolders of it.

    Returns
    -------
    list of CocoCase
        In the order of the names. Images that the file does not name are not looked at.

    Raises
    ------
    DataError
        If the file or the folder is missing, the file is wrong (see `_coco_annotations.read`), an image is not there,
        or more than one file could be it.
    """
    path, folder = root / options["annotations"], root / options["images"]
    if not path.is_file():
        raise DataError(nothing_found(root, options["annotations"], "annotations"))
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in _images(folder):
        by_name[image.name].append(image)
    if not by_name:
        raise DataError(nothing_found(root, f"{options['images']}/**/*", "images"))
    annotated = {image.file_name: image for image in read(path)}
    found = {name: _ending_in(name, folder, by_name[PurePosixPath(name).name]) for name in annotated}
    if missing := [name for name, paths in found.items() if not paths]:
        raise DataError(f"{path}: the images {examples(missing)} are not in {folder}; unpack them there")
    if unclear := [", ".join(map(str, paths)) for paths in found.values() if len(paths) > 1]:
        raise DataError(
            f"{path}: the same image could be each of {examples(unclear)}; take all but one out of {folder}"
        )
    cases = [CocoCase(PurePosixPath(name).stem, found[name][0], path, image) for name, image in annotated.items()]
    return sorted(cases, key=lambda case: case.name)


def load(case: CocoCase) -> Sample:
    """Pixels of one image and a label image of its objects, from the smallest to the largest.

    A pixel belongs to a polygon if its centre lies inside; the origin is the corner of the first pixel. `Sample.notes`
    counts overlaps (see `Painter`), ``crowd_regions``, objects that leave the image (``crossing_border``, painted as
    far as they are inside), and ``images_without_objects``.

    Raises
    ------
    DataError
        If the image cannot be decoded or is of another size than the annotations say, or an annotation is wrong.
    """
    pixels, annotated = read_image(case.image), case.annotated
    height, width = pixels.shape[1:]
    if (height, width) != (annotated.height, annotated.width):
        raise DataError(
            f"{case.image}: is {height}x{width} pixels, but {annotated.height}x{annotated.width} in {case.label}; "
            "take the image that was annotated, neither cropped, scaled nor turned"
        )
    painter = Painter(height, width)
    regions = []
    for annotation in annotated.annotations:
        try:
            region = _region(annotation, height, width, painter.notes)
        except ValueError as error:
            raise DataError(
                f"{case.label}: annotation {annotation.id} of the image {annotated.file_name}: {error}; "
                "correct it, or take it out"
            ) from error
        if annotation.crowd:
            painter.notes["crowd_regions"] += 1
        else:
            regions.append(region)
    for region in sorted(regions, key=lambda region: len(region[0])):
        painter.add(region)
    empty = not painter.labels.any()
    notes = painter.notes + Counter(images_without_objects=int(empty))
    label = f"{case.label} ({annotated.file_name})"
    return Sample(case.name, str(case.image), label, pixels, painter.labels, notes, left_out=empty)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.*") if not path.name.startswith(".") and path.is_file())


def _ending_in(name: str, folder: Path, paths: list[Path]) -> list[Path]:
    """Of the files that share the last part of a name, that at the name itself, or else all whose path ends in it."""
    parts = PurePosixPath(name).parts
    return [path for path in paths if path == folder / name] or [
        path for path in paths if path.relative_to(folder).parts[-len(parts) :] == parts
    ]


def _region(annotation: Annotation, height: int, width: int, notes: Counter[str]) -> Pixels:
    """Pixels of one object; a ValueError says what is wrong with it."""
    segmentation = annotation.segmentation
    if isinstance(segmentation, dict):
        return run_length_pixels(_run_lengths(segmentation, height, width), height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("its segmentation is neither polygons nor run lengths")
    polygons = [_vertices(polygon, number) for number, polygon in enumerate(segmentation, start=1)]
    if any(leaves_image(vertices, height, width) for vertices in polygons):
        notes["crossing_border"] += 1
    return union([polygon_pixels(vertices, height, width) for vertices in polygons], width)


def _vertices(polygon: Any, number: int) -> np.ndarray:
    """Vertices (n, 2) of a polygon, checked."""
    if not isinstance(polygon, np.ndarray) or polygon.ndim != 1 or not np.isfinite(polygon).all():
        raise ValueError(f"polygon {number} is not a list of finite numbers")
    if len(polygon) % 2:
        raise ValueError(f"polygon {number} has {len(polygon)} numbers, which are no pairs of x and y")
    if len(polygon) < 6:
        raise ValueError(f"polygon {number} has fewer than three points")
    return polygon.reshape(-1, 2)


def _run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    counts = segmentation.get("counts")
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"its run lengths are those of the size {segmentation.get('size')}, not {[height, width]}")
    if isinstance(counts, str):
        return decompress_run_lengths(counts)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise ValueError("the counts of its run lengths are neither a text nor whole numbers")
    return np.array(counts, np.int64)
