"""Reader of pairs: an image file and a label image file that share a name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from pathlib import Path

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.decode import read_image, read_label_image
from frugalseg.data.readers import Case, Sample


def find(root: Path, options: Mapping[str, str]) -> list[Case]:
    """Cases of one split from two patterns.

    ``options["image"]`` and ``options["label"]`` are paths in which ``{name}`` stands for the name both share and ``*``
    for anything, e.g. ``train/{name}_IM.tif``. Neither crosses a folder. A file that fits both patterns belongs to the
    one with more fixed characters. A file without a partner makes a case whose other path does not exist.
    """
    images, labels = _match(root, options["image"]), _match(root, options["label"])
    for path in images.keys() & labels.keys():
        del (labels if _fixed(options["image"]) > _fixed(options["label"]) else images)[path]
    for kind, found in (("image", images), ("label", labels)):
        if not found:
            raise DataError(nothing_found(root, options[kind], kind))
    image_paths, label_paths = _by_name(images), _by_name(labels)
    return [
        Case(name, image, label)
        for name in sorted(image_paths.keys() | label_paths.keys())
        for image, label in product(
            image_paths.get(name, [root / options["image"].replace("{name}", name)]),
            label_paths.get(name, [root / options["label"].replace("{name}", name)]),
        )
    ]


def load(case: Case) -> Sample:
    """Pixels and label image of one pair."""
    return Sample(case.name, str(case.image), str(case.label), read_image(case.image), read_label_image(case.label))


def _match(root: Path, pattern: str) -> dict[Path, str]:
    """Files that fit a pattern, each with the name it gives."""
    literal = {"[": "[[]", "?": "[?]"}
    glob = "".join(literal.get(character, character) for character in pattern.replace("{name}", "*"))
    parts = re.split(r"(\{name\}|\*)", pattern)
    expression = "".join({"{name}": "(?P<name>[^/]+)", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)
    matches = {
        path: re.fullmatch(expression, path.relative_to(root).as_posix())
        for path in root.glob(glob)
        if path.is_file() and not path.name.startswith(".")
    }
    return {path: match["name"] for path, match in matches.items() if match}


def _fixed(pattern: str) -> int:
    return len(pattern.replace("{name}", "").replace("*", ""))


def _by_name(names: Mapping[Path, str]) -> dict[str, list[Path]]:
    paths = defaultdict(list)
    for path in sorted(names):
        paths[names[path]].append(path)
    return paths
