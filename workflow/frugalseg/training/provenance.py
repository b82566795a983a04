"""What a model was made of, written beside it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from frugalseg.device import processor_name

PACKAGES = ("frugalseg", "torch", "numpy")


def describe(
    *, chain: str, recipe: str, config: Mapping[str, Any], seed: int, device: str | torch.device, **measured: Any
) -> dict[str, Any]:
    """Provenance of a model, for the JSON file beside it.

    Parameters
    ----------
    chain, recipe : str
        The two halves of the model's name.
    config : mapping
        The config keys that were used.
    seed : int
        Seed of the run.
    device : str or torch.device
        Where it was trained.
    **measured
        What the run found, e.g. ``seconds``, ``steps``, ``counts``; JSON types.

    Returns
    -------
    dict
        JSON types only. ``revision`` is the git commit of the package, with ``+changes`` where files differ from
        it, or None outside a repository.
    """
    device = torch.device(device)
    return {
        "chain": chain,
        "recipe": recipe,
        "config": dict(config),
        "seed": seed,
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in PACKAGES},
        "revision": _revision(Path(__file__).parent),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        **measured,
    }


def write(description: Mapping[str, Any], path: str | Path) -> None:
    """Write a description as JSON, complete or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return processor_name()
    return str(device)


def _revision(folder: Path) -> str | None:
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return finished.stdout.strip()
