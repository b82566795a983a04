"""Trust on first use: the sha256 of a file that was once downloaded, kept in a lock file and compared ever after.

The lock file lies beside config/datasets and is committed with it. Beside the data it would be lost with them, and beside
the results every study would trust anew.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

import yaml

from frugalseg.data.downloads.description import DownloadError

_HEADER = (
    "# The files that were trusted when they were first downloaded, because config/datasets does not know their sha256.\n"
    "# Each is compared ever after. Commit this file, so that all who run the study use the same data.\n"
)


def trusted(lock: Path, key: str) -> str | None:
    """The sha256 under which a file is known to a lock file, or None where it is not.

    Raises
    ------
    DownloadError
        If the lock file cannot be understood.
    """
    if not lock.exists():
        return None
    return _parse(lock, lock.read_text(encoding="utf-8")).get(key, {}).get("sha256")


def remember(lock: Path, key: str, sha256: str, size: int) -> None:
    """Add a file to a lock file, unless it is there; several processes may do so at once.

    Raises
    ------
    DownloadError
        If the lock file has another sha256 for it, since another process has just downloaded another file.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    # One line is appended under the system's lock; a file moved into place would lose what another process has added.
    with lock.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        known = _parse(lock, text).get(key, {}).get("sha256")
        if known is None:
            line = f'"{key}": {{sha256: {sha256}, size: {size}}}\n'
            file.write(line if text else _HEADER + line)
        elif known != sha256:
            raise DownloadError(
                f"{lock}: has the sha256 {known} for {key!r}, and another download {sha256}; fetch again"
            )


def _parse(lock: Path, text: str) -> dict[str, dict[str, str]]:
    try:
        content = yaml.safe_load(text) or {}
        if all(isinstance(entry["sha256"], str) for entry in content.values()):
            return content
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        pass
    raise DownloadError(
        f"{lock}: is no lock file of downloads, which has lines such as '\"dataset/file.zip\": {{sha256: ..., size: ...}}'; "
        "restore it from git"
    )
