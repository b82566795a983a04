"""The device that a job computes on, and its name."""

from __future__ import annotations

import platform

import torch


def choose_device() -> torch.device:
    """A GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def processor_name() -> str:
    """Name of this machine's processor, or of its architecture where the processor does not tell."""
    return torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
