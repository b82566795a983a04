"""What a file was made on: versions of packages, revision of the code, device."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from frugalseg.runtime.device import processor_name

#: What decides the numbers of a study.
PACKAGES = (
    "frugalseg",
    "snakemake",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "scikit-image",
    "scikit-learn",
    "transformers",
)
_CHANGED = "+changes"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers of a study."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def surroundings(device: str | torch.device) -> dict[str, Any]:
    """What this process runs on.

    Parameters
    ----------
    device : str or torch.device
        Where it computes.

    Returns
    -------
    dict
        JSON types: ``versions``, ``revision`` (see `revision`), ``device`` (its name) and ``threads``.
    """
    return {
        "versions": package_versions(),
        "revision": revision(Path(__file__).parent),
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    """Name of a GPU or of this machine's processor, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return processor_name()
    return str(device)


def revision(folder: Path) -> str | None:
    """Git commit of a folder, with ``+changes`` where files differ from it; None outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + (_CHANGED if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write JSON, complete or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return finished.stdout.strip()
