"""A JSON file of instance annotations in COCO's format, read and checked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frugalseg.data.checks import DataError, examples


class Annotation(NamedTuple):
    """An object of an image.

    Attributes
    ----------
    id, image_id : int
        Its number and that of its image.
    crowd : bool
        Whether it is a region of many objects that were not told apart.
    segmentation : list of np.ndarray, or dict
        Polygons, each x, y, x, y, ... as float64; or run lengths, with ``size`` (height, width) and ``counts``. What
        is neither is left as it is in the file, to be reported.
    """

    id: Any
    image_id: Any
    crowd: bool
    segmentation: Any


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that the file names.

    Attributes
    ----------
    file_name : str
        As in the file; folders are separated by slashes.
    height, width : int
        Size in pixels.
    annotations : tuple of Annotation
        Its objects, in the order of the file.
    """

    file_name: str
    height: int
    width: int
    annotations: tuple[Annotation, ...]


def read(path: Path) -> list[AnnotatedImage]:
    """Images of a file of annotations, in its order.

    The annotations may be a list, as COCO's are, or a mapping from id to annotation, as some of LIVECell's are. They
    are packed into arrays while the file is parsed, so that what is held at the worst is about three times the file.

    Raises
    ------
    DataError
        If the file is no JSON, lacks images or annotations, has an id or a file name of an image twice, or annotates
        an image that it does not name.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=_packed)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); download it again"
        ) from error
    if fault := next(_faults(content), None):
        raise DataError(f"{path}: {fault}")
    annotations = defaultdict(list)
    for annotation in _annotations(content):
        annotations[annotation.image_id].append(annotation)
    return [
        AnnotatedImage(image["file_name"], image["height"], image["width"], tuple(annotations[image["id"]]))
        for image in content["images"]
    ]


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
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        yield "has no `images` and `annotations`; take the file of instance annotations in COCO's format"
        return
    images = content["images"]
    if not isinstance(images, list) or not images:
        yield "`images` is not a list of images; take the file of instance annotations in COCO's format"
        return
    if wrong := [str(place) for place, image in enumerate(images) if not _is_image(image)]:
        yield (
            f"the images at {examples(wrong)} of `images` (counted from 0) lack an id, a file_name, or a height and "
            "a width in whole pixels; correct them"
        )
        return
    for key in ("id", "file_name"):
        seen: set[Any] = set()
        if twice := [str(image[key]) for image in images if image[key] in seen or seen.add(image[key])]:
            yield f"{examples(twice)} is the {key} of more than one image; give each its own, or take the others out"
    yield from _annotation_faults(content)


def _annotation_faults(content: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the list of annotations, the images being right."""
    if not isinstance(content["annotations"], list | dict):
        yield "`annotations` is neither a list nor a mapping; take the file of instance annotations in COCO's format"
        return
    if wrong := [str(place) for place, found in enumerate(_annotations(content)) if not isinstance(found, Annotation)]:
        yield f"the annotations at {examples(wrong)} of `annotations` lack a segmentation or an image_id; correct them"
        return
    known = {image["id"] for image in content["images"]}
    if strays := [found for found in _annotations(content) if not _is_among(found.image_id, known)]:
        pairs = [f"{found.id} (image {found.image_id})" for found in strays]
        yield f"the annotations {examples(pairs)} are of images that `images` does not name; add the images, or take them out"


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("id"), int | str)
        and isinstance(image.get("file_name"), str)
        and all(isinstance(image.get(key), int) and image[key] > 0 for key in ("height", "width"))
    )


def _is_among(image_id: Any, known: set[Any]) -> bool:
    return isinstance(image_id, int | str) and image_id in known
