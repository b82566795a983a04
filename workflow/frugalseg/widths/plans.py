"""A chosen width as a configuration of nnU-Net: its plans file, copied with ``2d_xtiny{cap}`` beside ``2d``.

The copy goes where nnU-Net keeps the plans of the dataset, ``nnUNet_preprocessed/DatasetXXX_Name/``. Then
``nnUNetv2_train XXX 2d_xtiny8 FOLD`` trains the U-Net capped at 8 channels, on the data preprocessed for ``2d``; a copy
under another file name is found with ``-p NAME``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugalseg.runtime.files import write_text

_BASE = "2d"


def write_plans(source: str | Path, destination: str | Path, cap: int) -> str:
    """Copy a plans file of nnU-Net 2 and add the configuration ``2d_xtiny{cap}`` to the copy.

    The new configuration inherits all of ``2d`` but the widths: each of its stages has min(cap, w) channels, where w is
    what the plan gives that stage (Kimbowa et al. 2026). Everything else is kept as it is, the order of keys too.

    Parameters
    ----------
    source : str or Path
        ``nnUNetPlans.json`` as ``nnUNetv2_plan_experiment`` writes it: with the widths as
        ``architecture.arch_kwargs.features_per_stage``, or, in older versions, as ``UNet_base_num_features`` and
        ``unet_max_num_features``.
    destination : str or Path
        The copy, replaced if it is there; may be `source` itself.
    cap : int
        Most channels a stage may have, at least 1.

    Returns
    -------
    str
        Name of the configuration.

    Raises
    ------
    ValueError
        If `cap` is no positive integer; if `source` cannot be read, is no plans file of nnU-Net 2, has no
        configuration ``2d``, or has a configuration of the new name with other content.
    """
    if isinstance(cap, bool) or not isinstance(cap, int) or cap < 1:
        raise ValueError(f"cap: {cap!r} is no number of channels; give a whole number of 1 or more")
    source, destination = Path(source), Path(destination)
    plans = _read(source)
    name, configuration = f"{_BASE}_xtiny{cap}", _capped(plans["configurations"], cap, source)
    if plans["configurations"].setdefault(name, configuration) != configuration:
        raise ValueError(
            f"{source}: has a configuration {name!r} with other content already; take it out, or rename it, if it is "
            "no longer needed"
        )
    # Indented as nnU-Net does, so that the two files differ in the new configuration only.
    write_text(json.dumps(plans, indent=4), destination)
    return name


def _read(path: Path) -> dict[str, Any]:
    try:
        plans = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: cannot be read as JSON ({type(error).__name__}: {error}); give the plans file that "
            "nnUNetv2_plan_experiment wrote"
        ) from error
    configurations = plans.get("configurations") if isinstance(plans, dict) else None
    if not isinstance(configurations, dict) or not all(isinstance(value, dict) for value in configurations.values()):
        raise ValueError(
            f"{path}: has no block `configurations`, so it is no plans file of nnU-Net 2; make one with "
            "nnUNetv2_plan_experiment"
        )
    return plans


def _capped(configurations: Mapping[str, Mapping[str, Any]], cap: int, file: Path) -> dict[str, Any]:
    """What the new configuration says beside its parent, in the format that the parent has."""
    base = _inherited(configurations, _BASE, file)
    match base:
        # nnU-Net replaces top-level keys of the parent as a whole: the block has to be complete.
        case {"architecture": {"arch_kwargs": {"features_per_stage": [*widths]}}} if widths and all(
            map(_is_width, widths)
        ):
            architecture = copy.deepcopy(base["architecture"])
            architecture["arch_kwargs"]["features_per_stage"] = [min(cap, width) for width in widths]
            return {"inherits_from": _BASE, "architecture": architecture}
        # A stage has min(base x 2^stage, maximum) channels there, so the maximum is all there is to cap.
        case {"UNet_base_num_features": first, "unet_max_num_features": maximum} if _is_width(first) and _is_width(
            maximum
        ):
            return {"inherits_from": _BASE, "unet_max_num_features": min(cap, maximum)}
    raise ValueError(
        f"{file}: the configuration {_BASE!r} gives the widths of its stages neither in "
        "architecture.arch_kwargs.features_per_stage nor in UNet_base_num_features and unet_max_num_features; plan the "
        "dataset again with nnUNetv2_plan_experiment"
    )


def _inherited(configurations: Mapping[str, Mapping[str, Any]], name: str, file: Path) -> dict[str, Any]:
    """A configuration completed with what it inherits, top-level key by top-level key."""
    chain: list[str] = []
    parent: str | None = name
    while parent is not None:
        if parent not in configurations:
            raise ValueError(
                f"{file}: has no configuration {parent!r} but {', '.join(configurations) or 'none'}; plan the dataset "
                "again with nnUNetv2_plan_experiment"
            )
        if parent in chain:
            raise ValueError(f"{file}: the configuration {parent!r} inherits from itself; correct `inherits_from`")
        chain.append(parent)
        parent = configurations[parent].get("inherits_from")
    return {key: value for parent in reversed(chain) for key, value in configurations[parent].items()}


def _is_width(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
