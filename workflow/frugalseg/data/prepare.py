"""From the files of a dataset to checked, normalised images: everything is looked at, then all or nothing is written."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from frugalseg.data.checks import DataError, Problems, Register, image_faults
from frugalseg.data.labels import cells_of, looks_partly_annotated
from frugalseg.data.normalize import normalize, relabel, select_channels
from frugalseg.data.readers import Sample
from frugalseg.data.readers.coco import name_of
from frugalseg.data.sources import options_of, root_of, samples
from frugalseg.data.stores import ImageWriter, open_images

# Size and stride of the patches that Zhao & Chen 2025 count, whatever those of the study at hand are.
_PUBLISHED_GRID = (224, 112)


def prepare(
    dataset: Mapping[str, Any],
    name: str,
    data_root: str | Path,
    folder_train: str | Path,
    folder_test: str | Path,
) -> dict[str, Any]:
    """Read, check and normalise both splits of a dataset, and write an image store for each.

    `dataset` is as its file in config/datasets describes it, with defaults filled in. One image is held at a time; at the
    worst it takes some 50 bytes a pixel, so one of 10,000 x 10,000 takes 5 GB. Returns a report that can be written as
    JSON. Where the number of training patches is published it has that number beside the one that these images give, and
    a difference is said on standard error too, since other images than the published ones may be meant. A DataError lists
    every problem of every file of both splits; nothing is written then.
    """
    problems, register = Problems(), Register()
    # Where images of both splits are left out of training, those of the test have to be known first.
    order = ("test", "train") if dataset.get("in_both_splits") == "leave_out" else ("train", "test")
    with ImageWriter(folder_train) as train, ImageWriter(folder_test) as test:
        writers, notes = {"train": train, "test": test}, {}
        for split in order:
            resolved: Counter[str] = Counter()
            loaded = samples(dataset, split, data_root, problems, resolved)
            notes[split] = _write_split(split, loaded, dataset, writers[split], problems, register, resolved, data_root)
        problems.raise_any(name)
    folders = {"train": folder_train, "test": folder_test}
    report = {
        "dataset": name,
        "title": dataset["title"],
        "splits": {split: _describe(folder) | notes[split] for split, folder in folders.items()},
    }
    # Imports torch.
    from frugalseg.data.ceiling import ceiling_of

    report["splits"]["test"]["ceiling"] = ceiling_of(open_images(folder_test))
    if "patches" in dataset:
        report["published_patches"] = _published_patches(folder_train, name, dataset["patches"])
    return report


def _write_split(
    split: str,
    loaded: Iterable[Sample],
    dataset: Mapping[str, Any],
    writer: ImageWriter,
    problems: Problems,
    register: Register,
    resolved: Counter[str],
    data_root: str | Path,
) -> dict[str, Any]:
    """Write the sound images of one split; note the faults of the others, and add to what was `resolved`."""
    identical: list[list[str]] = []
    partly: list[str] = []
    listed = _listed(dataset, data_root, problems) if split == "train" else {}
    images = cells = 0
    for sample in tqdm(loaded, desc=f"{split} images", unit="image", mininterval=1):
        resolved.update(sample.notes)
        images += 1
        if sample.left_out:
            continue
        try:
            known = "planes_without_a_meaning" not in sample.notes
            pixels = select_channels(sample.pixels, dataset["channels"], sample.image, known=known)
        except DataError as error:
            problems.add(str(error))
            continue
        if dataset.get("in_both_splits") == "leave_out" and register.of_other_split(split, sample.name, pixels):
            resolved["in_both_splits"] += 1
            continue
        labels, notes, faults = _labels_of(sample, pixels, dataset, split)
        blank = not labels.any() and bool((pixels == pixels[:, :1, :1]).all())
        # Blank images are all alike.
        fault, twin = (None, None) if blank else register.add_content(split, pixels, sample.image)
        faults = [*register.add_name(split, sample.name, sample.image), *([fault] if fault else []), *faults]
        for line in faults:
            problems.add(line)
        if faults:
            continue
        resolved.update(notes)
        if not labels.any() and dataset.get("without_cells") == "leave_out":
            continue
        cells += bool(labels.any())
        if twin:
            identical.append([twin, sample.image])
        if looks_partly_annotated(pixels, labels):
            partly.append(sample.label)
        official = " ".join(percent for percent, names in listed.items() if sample.name in names) if listed else None
        writer.add(sample.name, normalize(pixels), relabel(labels), official)
    if not cells and not problems:
        problems.add(f"{split}: all {images} images are without cells or do not count; take other images for {split}")
    return {"resolved": dict(sorted((+resolved).items())), "identical": identical, "perhaps_partly_annotated": partly}


def _listed(dataset: Mapping[str, Any], data_root: str | Path, problems: Problems) -> dict[str, set[str]]:
    """Names of the images of each subset that the publishers list, by its percent."""
    listed = {}
    for percent, file in (dataset.get("subsets") or {}).items():
        path = root_of(dataset, data_root) / file
        if not path.exists():  # told by the selector that asks for it
            continue
        try:
            listed[str(percent)] = {name_of(image["file_name"]) for image in json.loads(path.read_bytes())["images"]}
        except (OSError, ValueError, LookupError, TypeError) as error:
            problems.add(f"{path}: is no list of images in COCO's format ({error}); correct `subsets` of the dataset")
    return listed


def _labels_of(
    sample: Sample, pixels: np.ndarray, dataset: Mapping[str, Any], split: str
) -> tuple[np.ndarray, Counter[str], list[str]]:
    """Cells (H, W) of a sample, what was resolved to have them, and the faults of image and labels."""
    try:
        labels, notes = cells_of(sample, pixels.shape[1:], options_of(dataset, split))
        faults = []
    except DataError as error:
        # Any: what can be wrong with an image of cells is told too.
        labels, notes, faults = np.ones(pixels.shape[1:], np.int64), Counter(), [str(error)]
    if not labels.any() and dataset.get("without_cells") == "refuse":
        faults.append(
            f"{sample.label}: the label image is empty (no cell at all); annotate the image, take it out of the dataset, or "
            "say `without_cells: keep` or `leave_out` in the dataset file"
        )
    return labels, notes, [*faults, *image_faults(pixels, bool(labels.any()), sample.image)]


def _published_patches(folder: str | Path, name: str, published: int) -> dict[str, int]:
    """The published number of training patches and that of these images, cut as in the publication."""
    # Imports torch, which most datasets do not need here.
    from frugalseg.data.patches import windows

    table = open_images(folder).table
    here = sum(
        len(windows(height, width, *_PUBLISHED_GRID))
        for height, width in zip(table["height"], table["width"], strict=True)
    )
    if here != published:
        size, stride = _PUBLISHED_GRID
        print(
            f"note: the training images of {name} give {here} patches of {size} pixels every {stride}, not the published "
            f"{published}; they may be others than those of the publication",
            file=sys.stderr,
        )
    return {"published": published, "here": here}


def _describe(folder: str | Path) -> dict[str, Any]:
    """Numbers of images and cells, mean cell diameter and sizes of an image store."""
    table = open_images(folder).table
    cells = int(table["cells"].sum())
    sizes = Counter(f"{height}x{width}" for height, width in zip(table["height"], table["width"], strict=True))
    return {
        "images": len(table),
        "channels": int(table["channels"].iloc[0]),
        "cells": cells,
        "diameter": round(float((table["diameter"] * table["cells"]).sum() / max(cells, 1)), 2),
        "sizes": dict(sorted(sizes.items())),
    }
