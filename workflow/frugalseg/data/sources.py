"""Where the images of a dataset come from: files in a publisher's layout, or the synthetic microscope."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from frugalseg.data.checks import DataError, Problems, partner_fault
from frugalseg.data.readers import Sample

SPLITS = ("train", "test")
READING = ("background", "crowds", "exclude", "instances", "missing_images")
"""Options of a dataset that say how its files are meant; a split may have its own."""


def reader(name: str) -> ModuleType:
    """The reader of a layout: the module of this name in `frugalseg.data.readers`."""
    return import_module(f"frugalseg.data.readers.{name}")


def samples(
    dataset: Mapping[str, Any],
    split: str,
    data_root: str | Path,
    problems: Problems,
    notes: Counter[str] | None = None,
) -> Iterator[Sample]:
    """Load the images of the split "train" or "test", one after another, in the order of their names.

    `dataset` is as its file in config/datasets describes it, `data_root` is what ``{data_root}`` stands for in its
    ``root``. Files that are missing or cannot be read are noted in `problems`, and left out; `notes` counts what was
    resolved to find the others.
    """
    if dataset["source"] == "synthetic":
        yield from _drawn(dataset, split)
        return
    layout = reader(dataset["reader"])
    try:
        cases = layout.find(root_of(dataset, data_root), options_of(dataset, split))
    except (DataError, OSError) as error:
        problems.add(f"{split}: {_told(error)}")
        return
    if notes is not None:
        notes.update(getattr(cases, "notes", {}))
    for case in cases:
        try:
            if fault := partner_fault(case.image, case.label):
                problems.add(fault)
                continue
            sample = layout.load(case)
        except (DataError, OSError) as error:
            problems.add(_told(error))
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
    for options in (options_of(dataset, split) for split in SPLITS):
        try:
            if hasattr(layout, "files"):
                files.update(layout.files(root, options))
            else:
                files.update(file for case in layout.find(root, options) for file in case.files())
        except (DataError, OSError):
            continue
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.exists()):
        status = file.stat()
        digest.update(f"{file.relative_to(root).as_posix()} {status.st_size} {int(status.st_mtime)}\n".encode())
    return f"{len(files)} files, sha256 {digest.hexdigest()}"


def options_of(dataset: Mapping[str, Any], split: str) -> dict[str, Any]:
    """How the files of a split are read: what the dataset says for both splits, then what the split says."""
    said = {key: dataset.get(key) for key in READING} | dataset.get("splits", {}).get(split, {})
    return {key: value for key, value in said.items() if value is not None}


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: cannot be read ({error.strerror}); see that it is there and that you may read it"
    return str(error)


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
