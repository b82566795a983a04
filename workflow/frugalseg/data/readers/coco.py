"""Reader of COCO's layout, which LIVECell shares: a folder of images and a JSON file of objects.

An object is one or several polygons, or run lengths, compressed or not; its class does not matter. Regions of many
objects that were not told apart (``iscrowd``) are no instances: they are counted and stay background. But some tools mark
every object that was painted so: where more than a few are, ``crowds`` of the dataset has to say which it is.

Where objects overlap the smallest has the pixels. So an object is only lost if smaller ones cover all of it, whereas
by the order of the file a person could hide the tie he wears; and what is lost is lost to the object that has the most
pixels to spare.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from frugalseg.data.checks import DataError, examples, nothing_found
from frugalseg.data.decode import read_image
from frugalseg.data.readers import Case, Cases, Sample, files_below, text_of
from frugalseg.data.regions import Painter, Pixels, decompress_run_lengths, outline_pixels, run_length_pixels

OPTIONS = {
    "annotations": {"type": "string", "pattern": ".", "description": "The JSON file, below the root folder."},
    "images": {
        "type": "string",
        "pattern": ".",
        "description": "Folder of the images, below the root folder; they may lie in subfolders, beside those of other splits.",
    },
}

# COCO itself marks one in a hundred.
_FEW_CROWDS = 0.1


class Annotation(NamedTuple):
    """An object of an image, as small as it can be kept: a file may hold a million."""

    id: Any
    image_id: Any
    crowd: bool
    """Whether it is a region of many objects that were not told apart."""
    segmentation: Any
    """Polygons, each x, y, x, y, ... as float64; or run lengths, with ``size`` (height, width) and ``counts``. What is
    neither is left as it is in the file, to be reported."""


@dataclass(frozen=True)
class CocoCase(Case):
    """An image with its size and its objects, as the file of annotations has them."""

    file_name: str
    size: tuple[int | None, int | None]
    """Height and width, where they are given."""
    annotations: tuple[Annotation, ...]
    crowds_are_objects: bool


def files(root: Path, options: Mapping[str, str]) -> Iterator[Path]:
    """The file of annotations and every image in the folder of a split, which may hold those of other splits too.

    Which of them belong to the split only the annotations tell, and to parse a gigabyte takes half a minute.
    """
    annotations = root / options["annotations"]
    yield from [annotations] if annotations.is_file() else []
    yield from files_below(root / options["images"])


def find(root: Path, options: Mapping[str, str]) -> Cases:
    """Cases of one split, one for each image that its file of annotations names; others are not looked at.

    ``options["annotations"]`` is the JSON file, ``options["images"]`` the folder of the images or of subfolders of them.
    ``crowds``: "background" or "objects", what ``iscrowd`` means. ``missing_images``: "leave_out" those that are not there.
    Of an image that is named twice, under two ids, the entry with more objects is taken.
    """
    path, folder = root / options["annotations"], root / options["images"]
    if not path.is_file():
        raise DataError(nothing_found(root, options["annotations"], "annotations"))
    by_name: dict[str, list[Path]] = defaultdict(list)
    for image in files_below(folder):
        by_name[text_of(image.name)].append(image)
    if not by_name:
        raise DataError(nothing_found(root, f"{options['images']}/**/*", "images"))
    content = _read(path)
    annotations = defaultdict(list)
    for annotation in _annotations(content):
        annotations[str(annotation.image_id)].append(annotation)
    crowds = _crowds(path, _annotations(content), options)
    entries: dict[str, dict[str, Any]] = {}
    for image in content["images"]:
        known = entries.get(name := _plain(image["file_name"]))
        if known is None or len(annotations[str(image["id"])]) > len(annotations[str(known["id"])]):
            entries[name] = image
    notes = {"images_named_twice": len(content["images"]) - len(entries)}
    found = {name: _ending_in(name, folder, by_name[PurePosixPath(name).name]) for name in entries}
    if missing := [name for name, paths in found.items() if not paths]:
        if options.get("missing_images") != "leave_out":
            raise DataError(
                f"{path}: the images {examples(missing)} are not in {folder}; unpack them there, or say "
                "`missing_images: leave_out` in the dataset file"
            )
        notes["missing_images"] = len(missing)
    if unclear := [", ".join(map(str, paths)) for paths in found.values() if len(paths) > 1]:
        raise DataError(
            f"{path}: the same image could be each of {examples(unclear)}; take all but one out of {folder}"
        )
    cases = (
        CocoCase(
            name=name_of(name),
            image=found[name][0],
            label=path,
            file_name=image["file_name"],
            size=(image.get("height"), image.get("width")),
            annotations=tuple(annotations[str(image["id"])]),
            crowds_are_objects=crowds == "objects",
        )
        for name, image in entries.items()
        if found[name]
    )
    return Cases(sorted(cases, key=lambda case: case.name), {key: count for key, count in notes.items() if count})


def load(case: CocoCase) -> Sample:
    """Pixels of one image and a label image of its objects, from the smallest to the largest.

    `Sample.notes` are those of the `Painter`, ``crowd_regions`` and ``lines`` (parts of outlines of fewer than three points).
    """
    notes: Counter[str] = Counter()
    annotated = case.size if all(case.size) else None
    pixels = read_image(case.image, notes=notes, shape=annotated)
    height, width = pixels.shape[1:]
    if annotated not in (None, (height, width)):
        raise DataError(
            f"{case.image}: is {height}x{width} pixels, but {annotated[0]}x{annotated[1]} in {case.label}; "
            "take the image that was annotated, neither cropped, scaled nor turned"
        )
    painter = Painter(height, width)
    regions = []
    for annotation in case.annotations:
        try:
            region = _region(annotation.segmentation, height, width, painter.notes)
        except ValueError as error:
            raise DataError(
                f"{case.label}: annotation {annotation.id} of the image {case.file_name}: {error}; "
                "correct it, or take it out"
            ) from error
        if annotation.crowd and not case.crowds_are_objects:
            painter.notes["crowd_regions"] += 1
        else:
            regions.append(region)
    for region in sorted(regions, key=lambda region: len(region[0])):
        painter.add(region)
    label = f"{case.label} ({case.file_name})"
    notes += painter.notes
    return Sample(case.name, str(case.image), label, pixels, painter.labels, notes, instances="labels")


def name_of(file_name: str) -> str:
    """The name of an image from its file name in an annotation file."""
    return PurePosixPath(_plain(file_name)).stem


def _plain(name: str) -> str:
    """A file name of an annotation file as it is on disk: separators of Windows and escapes of the web undone."""
    return text_of(unquote(name).replace("\\", "/"))


def _ending_in(name: str, folder: Path, paths: list[Path]) -> list[Path]:
    """Of the files that share the last part of a name, that at the name itself, or else all that share most of its end."""
    if (exact := folder / name) in paths:
        return [exact]
    parts = PurePosixPath(name).parts
    shared = [
        next((n for n, (a, b) in enumerate(zip(path.parts[::-1], parts[::-1], strict=False)) if a != b), len(parts))
        for path in paths
    ]
    return [path for path, count in zip(paths, shared, strict=True) if count == max(shared)]


def _crowds(path: Path, annotations: list[Annotation], options: Mapping[str, str]) -> str:
    """What ``iscrowd`` means in a file of annotations."""
    count = sum(annotation.crowd for annotation in annotations)
    if "crowds" not in options and count > _FEW_CROWDS * len(annotations):
        raise DataError(
            f"{path}: {count} of {len(annotations)} annotations have iscrowd, which means a region of many objects, but is "
            "what some tools write for every object that was painted; say `crowds: objects` or `crowds: background` in the "
            "dataset file"
        )
    return options.get("crowds", "background")


def _region(segmentation: Any, height: int, width: int, notes: Counter[str]) -> Pixels:
    """Pixels of one object; a ValueError says what is wrong with it."""
    if isinstance(segmentation, dict):
        return run_length_pixels(_run_lengths(segmentation, height, width), height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("its segmentation is neither polygons nor run lengths")
    if all(isinstance(number, np.ndarray) and number.ndim == 0 for number in segmentation):
        segmentation = [np.array(segmentation)]
    outlines = [_vertices(polygon, number) for number, polygon in enumerate(segmentation, start=1)]
    areas = [outline for outline in outlines if len(outline) > 2]
    notes["lines"] += len(outlines) - len(areas)
    return outline_pixels(areas or [np.zeros((3, 2))], height, width, notes)


def _vertices(polygon: Any, number: int) -> np.ndarray:
    """Vertices (n, 2) of a polygon, checked."""
    if isinstance(polygon, np.ndarray) and polygon.shape[1:] == (2,):
        polygon = polygon.ravel()
    if not isinstance(polygon, np.ndarray) or polygon.ndim != 1 or not np.isfinite(polygon).all():
        raise ValueError(f"polygon {number} is not a list of finite numbers")
    if len(polygon) % 2:
        raise ValueError(f"polygon {number} has {len(polygon)} numbers, which are no pairs of x and y")
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


def _read(path: Path) -> dict[str, Any]:
    """A file of annotations, checked, with every annotation as an `Annotation`.

    The annotations may be a list, as COCO's are, or a mapping from id to annotation, as some of LIVECell's are. They
    are packed into arrays while the file is parsed, so that what is held at the worst is about three times the file.
    """
    try:
        content = json.loads(path.read_bytes(), object_hook=_packed)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); download it again"
        ) from error
    if fault := next(_faults(content), None):
        raise DataError(f"{path}: {fault}")
    return content


def _packed(block: dict[str, Any]) -> dict[str, Any] | Annotation:
    """An annotation in its small form; every other block of the file as it is."""
    if not {"segmentation", "image_id"} <= block.keys():
        return block
    segmentation = block["segmentation"]
    if isinstance(segmentation, list):
        try:
            segmentation = [np.array(polygon, np.float64) for polygon in segmentation]
        except (TypeError, ValueError):
            segmentation = block["segmentation"]
    return Annotation(block.get("id"), block["image_id"], bool(block.get("iscrowd")), segmentation)


def _annotations(content: Mapping[str, Any]) -> list[Annotation]:
    stored = content["annotations"]
    return list(stored.values()) if isinstance(stored, dict) else stored


def _faults(content: Any) -> Iterator[str]:
    """What is wrong with the file as a whole; one kind after another, since each rests on those before."""
    take = "take the file of instance annotations in COCO's format"
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        yield f"has no `images` and `annotations`; {take}"
        return
    images = content["images"]
    if not isinstance(images, list) or not images:
        yield f"`images` is not a list of images; {take}"
        return
    if wrong := [str(place) for place, image in enumerate(images) if not _is_image(image)]:
        yield (
            f"the images at {examples(wrong)} of `images` (counted from 0) lack an id or a file_name, or have a height "
            "or a width that is no number of pixels; correct them"
        )
        return
    names = defaultdict(set)
    for image in images:
        names[str(image["id"])].add(_plain(image["file_name"]))
    if twice := [number for number, named in names.items() if len(named) > 1]:
        yield f"{examples(twice)} is the id of more than one image; give each its own, or take the others out"
    if not isinstance(content["annotations"], list | dict):
        yield f"`annotations` is neither a list nor a mapping; {take}"
        return
    if wrong := [str(place) for place, found in enumerate(_annotations(content)) if not isinstance(found, Annotation)]:
        yield f"the annotations at {examples(wrong)} of `annotations` lack a segmentation or an image_id; correct them"
        return
    strays = [
        found for found in _annotations(content) if not _is_id(found.image_id) or str(found.image_id) not in names
    ]
    if strays:
        pairs = [f"{found.id} (image {found.image_id})" for found in strays]
        yield f"the annotations {examples(pairs)} are of images that `images` does not name; add the images, or take them out"


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and _is_id(image.get("id"))
        and isinstance(image.get("file_name"), str)
        and all(isinstance(image.get(key) or 0, int) and (image.get(key) or 0) >= 0 for key in ("height", "width"))
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)
