"""One file of a dataset from nothing to in place: fetched or asked for, verified, unpacked.

A file whose sha256 is not known is trusted on first use: the lock file beside config/datasets keeps its sha256, and it is
compared ever after. Beside the data it would be lost with them, and beside the results every study would trust anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from frugalseg.data.downloads import archives
from frugalseg.data.downloads.description import Download, DownloadError
from frugalseg.data.downloads.transfer import Say, WrongContentError, transfer
from frugalseg.runtime.files import free_space, in_units

_LOCK_HEADER = (
    "# The files that were trusted when they were first downloaded, because config/datasets does not know their sha256.\n"
    "# Each is compared ever after. Commit this file, so that all who run the study use the same data.\n"
)


def say_aloud(line: str) -> None:
    """Write a line to standard error, where the log file of a job is listening."""
    print(line, file=sys.stderr, flush=True)


def fetch(
    download: Download,
    lock: Path,
    *,
    say: Say = say_aloud,
    sleep: Callable[[float], None] = time.sleep,
    free: Callable[[Path], int] = free_space,
) -> dict[str, Any]:
    """Put one file of a dataset in place, or see that it is; the network is touched only if it is not.

    A file or an unpacked folder that somebody has put in place is accepted: a file after it was verified, a folder as it
    is. A downloaded archive is kept beside its folder and may be deleted. Returns ``file``, ``place``, ``sha256`` and
    ``size`` (null where an unpacked folder was found in place) and ``url`` (null unless it was downloaded just now).
    Raises `DownloadError` if the file cannot be had or used.
    """
    job = _Fetch(download, lock, say, sleep, free)
    url, known = None, None
    if not download.in_place():
        with _alone(download.path, say):
            # Another run may have fetched it while this one was waiting.
            if not download.in_place():
                url, known = job.obtain()
    if known is None and download.folder is None:
        known = job.accept()
    size, sha256 = known or (None, None)
    say(f"{download.place}: in place")
    return {"file": download.key, "place": str(download.place), "sha256": sha256, "size": size, "url": url}


@dataclass(frozen=True)
class _Fetch:
    """The arguments of `fetch`."""

    download: Download
    lock: Path
    say: Say
    sleep: Callable[[float], None]
    free: Callable[[Path], int]

    def obtain(self) -> tuple[str | None, tuple[int, str]]:
        """Fetch the file unless it is there, and unpack it; its address if it was fetched, its size and sha256."""
        download, url = self.download, None
        if download.path.is_file():
            known = self.accept()
        elif download.urls:
            url, known = transfer(
                download.urls,
                download.path,
                size=download.size,
                verify=self.verify,
                require_room=self.require_room,
                say=self.say,
                sleep=self.sleep,
            )
        else:
            raise DownloadError(
                f"{download.path}: has to be fetched by hand.\n"
                f"  1. Visit {download.page}\n"
                f"  2. {download.steps}\n"
                f"  3. Put the file {download.path.name} into {download.path.parent.absolute()}\n"
                "Then run the same command again; it goes on from there."
            )
        if download.folder is not None:
            self.say(f"unpacking {download.path} to {download.folder}")
            room = self.free(download.folder)
            archives.unpack(download.path, download.folder, free=room, declared=download.unpacked_size)
        return url, known

    def accept(self) -> tuple[int, str]:
        """Size and sha256 of a file that somebody has put where it belongs, if it is the right one."""
        download = self.download
        try:
            return self.verify(download.path)
        except WrongContentError as error:
            where = ", ".join(download.urls) or download.page
            raise DownloadError(f"{download.path}: {error}. Take it away and get it anew from {where}") from error

    def verify(self, path: Path) -> tuple[int, str]:
        """Size and sha256 of the file that lies at `path`; trusted and remembered where it is seen for the first time."""
        download, size = self.download, path.stat().st_size
        if download.size is not None and size != download.size:
            raise WrongContentError(f"has {size} bytes, but the file has {download.size}")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if download.sha256 is not None:
            if sha256 != download.sha256:
                raise WrongContentError(f"its sha256 is {sha256}, but that of the file is {download.sha256}")
            return size, sha256
        # Nothing but this tells an archive from a page that says sorry; it would be trusted ever after.
        if download.folder is not None and not archives.is_archive(path):
            raise WrongContentError("is no zip or tar archive")
        expected = trusted(self.lock, download.key)
        if expected is None:
            remember(self.lock, download.key, sha256, size)
        elif sha256 != expected:
            raise WrongContentError(
                f"its sha256 is {sha256}, but {self.lock} has {expected} for {download.key!r} since it was first "
                "downloaded. If its publishers say why they changed it, delete that line of the lock file and fetch "
                "again; all that was trained on it has other data then"
            )
        return size, sha256

    def require_room(self, coming: int, whole: int) -> None:
        """Raise unless the disk has room for the bytes still to come and for what an archive of `whole` bytes holds."""
        download = self.download
        # Images are compressed already: an archive of them unpacks to about its own size, where no other is known.
        unpacked = (download.unpacked_size or whole) if download.folder is not None else 0
        available = self.free(download.path.parent)
        if coming + unpacked > available:
            then = f" and {in_units(unpacked)} to unpack it" if unpacked else ""
            raise DownloadError(
                f"{download.path}: {in_units(coming)} are to come{then}, but only {in_units(available)} are free; free "
                "some space, or give data_root in the study's config as a folder on another disk"
            )


@contextmanager
def _alone(path: Path, say: Say) -> Iterator[None]:
    """Keep other processes from fetching the same file as long as the context lasts; they wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{path.name}: another process is fetching it; waiting")
                fcntl.flock(file, fcntl.LOCK_EX)
            # The other one has taken the lock's file away; a third may hold a new one by now.
            if not (lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat())):
                continue
            try:
                yield
            finally:
                lock.unlink()
            return


def trusted(lock: Path, key: str) -> str | None:
    """The sha256 under which a file is known to a lock file, or None where it is not."""
    return _entries(lock, lock.read_text(encoding="utf-8")).get(key) if lock.exists() else None


def remember(lock: Path, key: str, sha256: str, size: int) -> None:
    """Add a file to a lock file, unless it is there; several processes may do so at once."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    # One line is appended under the system's lock; a file moved into place would lose what another process has added.
    with lock.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        known = _entries(lock, text).get(key)
        if known is None:
            line = f'"{key}": {{sha256: {sha256}, size: {size}}}\n'
            file.write(line if text else _LOCK_HEADER + line)
        elif known != sha256:
            raise DownloadError(
                f"{lock}: has the sha256 {known} for {key!r}, and another download {sha256}; fetch again"
            )


def _entries(lock: Path, text: str) -> dict[str, str]:
    """The sha256 of each file that a lock file holds."""
    try:
        entries = {key: entry["sha256"] for key, entry in (yaml.safe_load(text) or {}).items()}
        if all(isinstance(sha256, str) for sha256 in entries.values()):
            return entries
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        pass
    raise DownloadError(
        f"{lock}: is no lock file of downloads, which has lines such as '\"dataset/file.zip\": {{sha256: ..., size: ...}}'; "
        "restore it from git"
    )
