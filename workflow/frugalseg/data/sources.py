"""Where the images of a dataset come from: files in a publisher's layout, or the synthetic microscope."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from frugalseg.data.checks import DataError, Problems, partner_fault
from frugalseg.data.readers import Sample

SPLITS = ("train", "test")


def reader(name: str) -> ModuleType:
    """The reader of a layout: the module of this name in `frugalseg.data.readers`."""
    return import_module(f"frugalseg.data.readers.{name}")


def samples(dataset: Mapping[str, Any], split: str, data_root: str | Path, problems: Problems) -> Iterator[Sample]:
    """Load the images of the split "train" or "test", one after another, in the order of their names.

    `dataset` is as its file in config/datasets describes it, `data_root` is what ``{data_root}`` stands for in its
    ``root``. Files that are missing or cannot be read are noted in `problems`, and left out.
    """
    if dataset["source"] == "synthetic":
        yield from _drawn(dataset, split)
        return
    layout = reader(dataset["reader"])
    try:
        cases = layout.find(root_of(dataset, data_root), dataset["splits"][split])
    except DataError as error:
        problems.add(f"{split}: {error}")
        return
    for case in cases:
        if fault := partner_fault(case.image, case.label):
            problems.add(fault)
            continue
        try:
            sample = layout.load(case)
        except DataError as error:
            problems.add(str(error))
            continue
        yield sample


def listing(dataset: Mapping[str, Any], data_root: str | Path) -> str:
    """A digest of the paths, sizes and times of a dataset's files, which changes when one of them does.

    No image is opened, and none need be there: a study can be planned before its images are.
    """
    if dataset["source"] == "synthetic":
        return "drawn"
    root, layout = root_of(dataset, data_root), reader(dataset["reader"])
    files: set[Path] = set()
    for options in (dataset["splits"][split] for split in SPLITS):
        try:
            if hasattr(layout, "files"):
                files.update(layout.files(root, options))
            else:
                files.update(file for case in layout.find(root, options) for file in case.files())
        except DataError:
            continue
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        digest.update(f"{file.relative_to(root).as_posix()} {status.st_size} {int(status.st_mtime)}\n".encode())
    return f"{len(files)} files, sha256 {digest.hexdigest()}"


def root_of(dataset: Mapping[str, Any], data_root: str | Path) -> Path:
    """Folder of a dataset's files."""
    return Path(dataset["root"].replace("{data_root}", str(data_root)))


def _drawn(dataset: Mapping[str, Any], split: str) -> Iterator[Sample]:
    # Every start of Snakemake imports this module; the microscope's libraries are not worth half a second of each.
    from frugalseg.data.synthetic import draw

    drawings = draw(dataset["domain"], dataset[split], dataset["size"], dataset["seed"], split)
    for name, image, labels in drawings:
        origin = f"{name} (drawn)"
        pixels = np.moveaxis(image, 2, 0) if image.ndim == 3 else image[None]
        yield Sample(name, origin, origin, pixels, labels)
