"""The device that a job computes on."""

from __future__ import annotations

import torch


def choose_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
