"""Reader of pairs: an image file and a label image file that share a name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.decode import read_image, read_label_image
from frugalseg.data.readers import Case, Cases, Sample, listed, paired, text_of

OPTIONS = {
    "image": {
        "type": "string",
        "pattern": r"\{name\}",
        "description": "Pattern of the images' paths below the root folder, for example train/{name}_IM.tif. {name} stands for the "
        "name that both share, * for anything; neither crosses a folder.",
    },
    "label": {
        "type": "string",
        "pattern": r"\{name\}",
        "description": "Pattern of the label images' paths, for example train/{name}_GT.tif.",
    },
    "names": {
        "type": "string",
        "pattern": ".",
        "default": None,
        "description": "A text file with the names of this split, one a line, below the root folder; without it, all.",
    },
    "exclude": {
        "type": "strings",
        "default": None,
        "description": "Patterns of files to leave out, of their names or of their paths.",
    },
    "instances": {
        "enum": ["components", "labels"],
        "default": None,
        "description": "As the dataset's instances, of this split alone.",
    },
}


_NO_PICTURES = {
    ".json",
    ".xml",
    ".txt",
    ".csv",
    ".tsv",
    ".md",
    ".yaml",
    ".yml",
    ".zip",
    ".roi",
    ".pdf",
    ".html",
    ".log",
}


def find(root: Path, options: Mapping[str, Any]) -> Cases:
    """Cases of one split from two patterns, in the order of the names.

    ``options["image"]`` and ``options["label"]`` are paths in which ``{name}`` stands for the name both share and ``*``
    for anything, e.g. ``train/{name}_IM.tif``. Neither crosses a folder. A file that fits both patterns belongs to the
    one with more fixed characters. A file without a partner makes a case whose other path does not exist.
    ``exclude``: patterns of files to leave out, of their names or of their paths. ``names``: a file with the names of
    this split, one a line, with or without an ending; without it, all.
    """
    images, labels = _match(root, options["image"]), _match(root, options["label"])
    for path in images.keys() & labels.keys():
        del (labels if _fixed(options["image"]) > _fixed(options["label"]) else images)[path]
    excluded = set()
    for pattern in np.atleast_1d(options.get("exclude", [])).tolist():
        expression = re.compile(_expression(pattern))
        excluded |= {
            path
            for path in images.keys() | labels.keys()
            if expression.fullmatch(path.name) or expression.fullmatch(path.relative_to(root).as_posix())
        }
    for kind, found in (("image", images), ("label", labels)):
        for path in excluded & found.keys():
            del found[path]
        if not found:
            raise DataError(nothing_found(root, options[kind], kind))
    by_name = [_by_name(images), _by_name(labels)]
    if "names" in options:
        by_name = _of_split(root / options["names"], by_name)
    cases = paired(*by_name, [root / options["image"], root / options["label"]])
    cases.notes.update({"excluded": len(excluded)} if excluded else {})
    return cases


def load(case: Case) -> Sample:
    """Pixels and label image of one pair."""
    notes: Counter[str] = Counter()
    labels = read_label_image(case.label, notes)
    pixels = read_image(case.image, notes=notes, shape=labels.shape[:2])
    return Sample(case.name, str(case.image), str(case.label), pixels, labels, notes)


def _match(root: Path, pattern: str) -> dict[Path, str]:
    """Files that fit a pattern, each with the name it gives."""
    expression = re.compile(_expression(pattern))
    matches = {path: expression.fullmatch(text) for path, text in _fitting(root, "", pattern.split("/"))}
    # A pattern that takes any ending means images.
    beside = set() if re.search(r"\.\w+$", pattern) else _NO_PICTURES
    return {
        path: match["name"]
        for path, match in matches.items()
        if match and path.suffix.lower() not in beside and path.is_file()
    }


def _fitting(folder: Path, above: str, parts: list[str]) -> Iterator[tuple[Path, str]]:
    """Paths whose parts fit those of a pattern, with the text of each path."""
    part, *rest = parts
    if rest and not re.search(r"\{name\}|\*", part):
        entries = [(folder / part, part)]
    else:
        expression = re.compile(_expression(part))
        entries = [(entry, text_of(entry.name)) for entry in listed(folder)]
        entries = [(entry, text) for entry, text in entries if expression.fullmatch(text)]
    for entry, text in entries:
        yield from _fitting(entry, f"{above}{text}/", rest) if rest else [(entry, above + text)]


def _expression(pattern: str) -> str:
    """The regular expression of a pattern; the ending, if it has no wildcard, in capitals or not."""
    ending = re.search(r"\.[A-Za-z0-9]+$", pattern)
    fixed = text_of(pattern[: ending.start()] if ending else pattern)
    parts = re.split(r"(\{name\}|\*)", fixed)
    first = parts.index("{name}") if "{name}" in parts else None
    translated = [
        "[^/]*"
        if part == "*"
        else re.escape(part)
        if part != "{name}"
        else "(?P<name>[^/]+)"
        if place == first
        else "(?P=name)"
        for place, part in enumerate(parts)
    ]
    return "".join(translated) + (f"(?i:{re.escape(ending[0])})" if ending else "")


def _fixed(pattern: str) -> int:
    return len(pattern.replace("{name}", "").replace("*", ""))


def _by_name(names: Mapping[Path, str]) -> dict[str, list[Path]]:
    paths = defaultdict(list)
    for path in sorted(names):
        paths[names[path]].append(path)
    return paths


def _of_split(file: Path, found: list[dict[str, list[Path]]]) -> list[dict[str, list[Path]]]:
    """The files of the names that a file lists."""
    try:
        lines = [text_of(line.strip()) for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as a list of names ({error}); correct `names` of the split") from error
    known = found[0].keys() | found[1].keys()
    names = [next((name for name in (line, Path(line).name, Path(line).stem) if name in known), None) for line in lines]
    if None in names:
        missing = [line for line, name in zip(lines, names, strict=True) if name is None]
        raise DataError(
            f"{file}: no file has the name{'s' if len(missing) > 1 else ''} {', '.join(missing[:5])}; correct it"
        )
    return [{name: paths for name, paths in files.items() if name in set(names)} for files in found]
