"""What one download is: its addresses, how it is verified, and where it and what it holds belong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class DownloadError(ValueError):
    """A file that cannot be had or used; the message names it, what is wrong and what to do."""


@dataclass(frozen=True)
class Download:
    """One file of a dataset, as its file in config/datasets describes it; None or empty is what is not known."""

    key: str
    """What the lock file calls it: ``bbbc038/stage1_train.zip``."""
    path: Path
    """Where the file itself belongs."""
    folder: Path | None = None
    """Where an archive is unpacked to; None for a file that is used as it is."""
    urls: tuple[str, ...] = ()
    """Addresses of the same file, tried in order; empty where it has to be fetched by hand, from ``page`` by ``steps``."""
    page: str = ""
    steps: str = ""
    size: int | None = None
    sha256: str | None = None
    unpacked_size: int | None = None
    """The most bytes that the archive may hold."""

    @classmethod
    def of(cls, description: str, name: str, block: Mapping[str, Any], root: Path) -> Download:
        """The download `name` of the file `description` of config/datasets, whose files lie below `root`."""
        by_hand = block.get("by_hand", {})
        return cls(
            key=f"{description}/{name}",
            path=root / block.get("folder", "") / name,
            folder=root / block["unpack"] if "unpack" in block else None,
            urls=tuple(block.get("urls", ())),
            page=by_hand.get("page", ""),
            steps=by_hand.get("steps", ""),
            size=block.get("size"),
            sha256=block.get("sha256"),
            unpacked_size=block.get("unpacked_size"),
        )

    @property
    def place(self) -> Path:
        """What has to be there before the dataset can be read: the unpacked folder, or the file itself."""
        return self.folder or self.path

    def in_place(self) -> bool:
        """Whether `place` is there and not empty, whoever put it there."""
        if self.folder is None:
            return self.path.is_file()
        return self.folder.is_dir() and any(self.folder.iterdir())


def revision(download: Download, receipt: Path) -> int:
    """How often a file had to be fetched anew because it was gone although its receipt was there.

    A parameter of the rule: it stays as it is while the data are where the receipt says, and grows by one, so that the
    rule runs again, when somebody has taken them away.
    """
    if not receipt.exists():
        return 0
    return json.loads(receipt.read_text(encoding="utf-8"))["revision"] + (not download.in_place())
