"""What a file was made on: versions of packages, revision of the code, device."""

from __future__ import annotations

import hashlib
import importlib.metadata
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
    """What this process runs on, in JSON types: versions, revision of the code, name of the device, threads."""
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


def describe(
    *, chain: str, recipe: str, config: Mapping[str, Any], seed: int, device: str | torch.device, **measured: Any
) -> dict[str, Any]:
    """Provenance of a model, for the JSON file beside it: its name, the config keys used, surroundings, what the run found."""
    return {
        "chain": chain,
        "recipe": recipe,
        "config": dict(config),
        "seed": seed,
        **surroundings(device),
        **measured,
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return finished.stdout.strip()
