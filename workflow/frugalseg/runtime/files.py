"""Files that are complete or not there at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NOTHING_LEFT = 1 << 16


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to: once the context ends, its bytes are on the disk and it takes the name of `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with writing(path):
            yield partial
            # Not even a power cut leaves half a file under the name.
            with partial.open("rb") as file:
                os.fsync(file.fileno())
    except FullDiskError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)


class FullDiskError(OSError):
    """No room for a file: the message names it and says how much is needed."""


@contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Say of a full disk which file it stopped, and how much is `needed`, or else was written of it before or so far."""
    if needed is not None and free_space(path.parent) < needed:
        raise _full(path, f"needs {in_units(needed)}")
    try:
        yield
    except Exception as error:
        # PyTorch says of a write only that it failed.
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or free_space(path.parent) < _NOTHING_LEFT:
            sizes = [file.stat().st_size for file in (path, path.with_name(path.name + ".partial")) if file.is_file()]
            need = f"needs {in_units(needed)}" if needed is not None else f"needs {in_units(max([0, *sizes]))} or more"
            raise _full(path, need) from error
        raise


def _full(path: Path, need: str) -> FullDiskError:
    return FullDiskError(
        f"{path}: the disk is full; the file {need}, and {in_units(free_space(path.parent))} are free. Free some space; what is "
        "done is kept, and the same command goes on"
    )


def free_space(folder: Path) -> int:
    """Bytes that are free for the files of a folder, which need not be there yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def in_units(count: float) -> str:
    """A number of bytes as people read it: 82945 is ``82.9 kB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def write_text(text: str, path: str | Path) -> None:
    """Write a text file, complete or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write JSON, complete or not at all."""
    write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", path)
