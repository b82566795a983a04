"""What can be wrong with the images and labels of a dataset, found before anything is trained on them.

Every file is looked at before anything is raised: `Problems` collects, and raises one error that lists them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

_SHOWN = 5


class DataError(ValueError):
    """Images or labels that cannot be used; the message names the file, what is wrong and what to do."""


class Problems:
    """A list of faults, raised together."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Note a fault: the file, what is wrong, what to do."""
        self._lines.append(line)

    def __len__(self) -> int:
        return len(self._lines)

    def raise_any(self, name: str) -> None:
        """Raise every fault noted so far for the dataset `name`, if there is any."""
        if self._lines:
            count = "1 problem" if len(self._lines) == 1 else f"{len(self._lines)} problems"
            raise DataError(f"the dataset {name} has {count}:\n" + "\n".join(f"  - {line}" for line in self._lines))


class Register:
    """Names and contents of the images of all splits: finds names used twice and identical images."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, str]] = {}
        self._contents: dict[str, tuple[str, str]] = {}

    def of_other_split(self, split: str, name: str, pixels: np.ndarray) -> bool:
        """Whether an image of another split has this name, or these pixels."""
        seen = (self._names.get(_key(split, name)), self._contents.get(_digest(pixels)))
        return any(first is not None and first[0] != split for first in seen)

    def add_name(self, split: str, name: str, file: str) -> Iterator[str]:
        """Note the name of an image, and yield a fault if another image of any split has it.

        A bare number may be in both splits: publishers count each from 000, which says nothing of the images.
        """
        first_split, first_file = self._names.setdefault(_key(split, name), (split, file))
        if first_file != file:
            where = f"of both {first_split} and {split}" if first_split != split else f"twice in {split}"
            yield (
                f"{file}: the name {name!r} is that of an image {where} (the other is {first_file}); "
                "rename one, take one out if they are the same image, or say `in_both_splits: leave_out` in the dataset file to train on "
                "neither"
            )

    def add_content(self, split: str, pixels: np.ndarray, file: str) -> tuple[str | None, str | None]:
        """Note the pixels of an image; returns a fault and a twin, or None for each.

        The fault: the identical image is in another split, so the test would be on an image trained on. The twin: the
        file of the identical image in the same split, which is only worth a note.
        """
        first_split, first_file = self._contents.setdefault(_digest(pixels), (split, file))
        if first_file == file:
            return None, None
        if first_split == split:
            return None, first_file
        return (
            f"{file}: the image of {split} is identical to {first_file} of {first_split}, so the test would be on an "
            "image trained on; take one of them out, or say `in_both_splits: leave_out` in the dataset file"
        ), None


def _key(split: str, name: str) -> str:
    return f"{split}/{name}" if name.isdecimal() else name


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def partner_fault(image: Path, label: Path) -> str | None:
    """The fault of a case of which the image or the label is missing."""
    if not label.exists():
        return f"{image}: has no label; expected {label}. Add the label, or take the image out"
    if not image.exists():
        return f"{label}: has no image; expected {image}. Add the image, or take the label out"
    return None


def image_faults(pixels: np.ndarray, has_cells: bool, file: str) -> Iterator[str]:
    """Faults of the selected channels of an image, (C, H, W); one without cells may be blank."""
    if not np.isfinite(pixels).all():
        count = int((~np.isfinite(pixels)).sum())
        yield f"{file}: {count} pixels are NaN or infinite; replace them, or take the image out"
    elif has_cells and (pixels == pixels[:, :1, :1]).all():
        yield f"{file}: the image is constant (every pixel is {pixels[0, 0, 0]:g}); export it again, or take it out"


def examples(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def nothing_found(root: Path, pattern: str, key: str) -> str:
    """The fault of a `pattern` below `root` that no file fits, with what lies there; `key` is the option that holds it."""
    fixed = []
    for part in Path(pattern).parent.parts:
        if "*" in part or "{" in part:
            break
        fixed.append(part)
    folder = root.joinpath(*fixed)
    existing = next(path for path in (folder, *folder.parents, Path()) if path.is_dir())
    entries = sorted(f"{path.name}/" if path.is_dir() else path.name for path in existing.iterdir())
    content = f"{existing} holds {examples(entries)}" if entries else f"{existing} is empty"
    missing = "which does not exist; " if existing != folder else ""
    return f"{folder}: no file fits {pattern!r} here, {missing}{content}. Correct `{key}` or `root` of the dataset"
