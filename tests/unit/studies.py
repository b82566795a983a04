"""Studies that tests change and complete."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from frugalseg.study.kinds import KINDS
from frugalseg.study.load import complete
from frugalseg.study.questions import written_out
from frugalseg.study.recipe import with_shared
from frugalseg.study.selector import by_themselves

_KEYS = {kind: [field.alias or name for name, field in of.keys.model_fields.items()] for kind, of in KINDS.items()}


def demo(root: Path, **changes: Any) -> dict[str, Any]:
    """The demo with its questions written out and the recipes that studies share, not yet completed."""
    study = yaml.safe_load((root / "config/config.yaml").read_text())
    study["questions"] = written_out(study["questions"], _KEYS, root)
    study["recipes"] = with_shared(study.get("recipes", {}), yaml.safe_load((root / "config/recipes.yaml").read_text()))
    study["selectors"] = {**by_themselves(), **study.get("selectors", {})}
    return copy.deepcopy(study) | changes


def completed(root: Path, file: str) -> dict[str, Any]:
    """A study that comes with frugalseg."""
    return complete(yaml.safe_load((root / file).read_text()), root, [root / file])
