"""Fixtures that every test can use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# A busy machine is no failure, and CI should see tomorrow what it saw today.
settings.register_profile("frugalseg", deadline=None, derandomize=True)
settings.load_profile("frugalseg")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Small tensors gain nothing from threads, and bits are compared.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images: FRUGALSEG_REAL_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("FRUGALSEG_REAL_DATA", ROOT.parent / "shared/data"))
    if not (folder / "fluo").is_dir():
        pytest.skip(f"no real images in {folder}; set FRUGALSEG_REAL_DATA")
    return folder
