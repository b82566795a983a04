"""What a study ran on: versions of the packages, the processor, the device."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pandas as pd
import torch

from frugalseg.reporting.tables import to_markdown as to_table
from frugalseg.runtime.device import processor_name
from frugalseg.runtime.provenance import package_versions, revision


def versions() -> dict[str, str]:
    """Names and versions of what decides the numbers of a study, on this machine."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "processor": f"{processor_name()}, {os.cpu_count()} cores",
        "GPUs": ", ".join(gpus) or "none",
        "system": f"{platform.system()} {platform.machine()}",
        "revision": revision(Path(__file__).parent) or "unknown: not a git repository",
        **package_versions(),
    }


def to_markdown(entries: dict[str, str]) -> str:
    """Names and versions as a page."""
    return f"# Versions\n\n{to_table(pd.DataFrame(entries.items(), columns=['What', 'Version']), names=2)}\n"
