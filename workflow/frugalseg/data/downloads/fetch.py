"""One file of a dataset from nothing to in place: fetched or asked for, verified, unpacked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frugalseg.data.downloads import archives, trust
from frugalseg.data.downloads.description import Download, DownloadError
from frugalseg.data.downloads.progress import in_units
from frugalseg.data.downloads.transfer import Say, WrongContentError, transfer


def free_space(folder: Path) -> int:
    """Bytes that are free for the files of a folder, which need not be there yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


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
    is. A downloaded archive is kept beside its folder and may be deleted.

    Parameters
    ----------
    download : Download
        What and where.
    lock : Path
        Lock file of the files that were trusted on first use.
    say : callable
        Takes a line on how it goes.
    sleep : callable
        Waits for a number of seconds.
    free : callable
        Gives the bytes that are free in a folder.

    Returns
    -------
    dict
        What can be said of the file afterwards: ``file``, ``place``, ``sha256`` and ``size`` (null where an unpacked
        folder was found in place), ``url`` (null unless it was downloaded just now).

    Raises
    ------
    DownloadError
        If it cannot be had, is another file than it should be, has to be fetched by hand, does not fit the disk or
        cannot be unpacked safely.
    """
    url, known = None, None
    if not download.in_place():
        with _alone(download.path, say):
            # Another run may have fetched it while this one was waiting.
            if not download.in_place():
                url, known = _obtain(download, lock, say, sleep, free)
    if known is None and download.folder is None:
        known = _accept(download, lock)
    size, sha256 = known or (None, None)
    say(f"{download.place}: in place")
    return {"file": download.key, "place": str(download.place), "sha256": sha256, "size": size, "url": url}


def _obtain(
    download: Download, lock: Path, say: Say, sleep: Callable[[float], None], free: Callable[[Path], int]
) -> tuple[str | None, tuple[int, str]]:
    """Fetch the file unless it is there, and unpack it; its address if it was fetched, its size and sha256."""
    url = None
    if download.path.is_file():
        known = _accept(download, lock)
    elif download.urls:
        url, known = transfer(
            download.urls,
            download.path,
            size=download.size,
            verify=lambda path: _verify(download, path, lock),
            require_room=lambda coming, whole: _require_room(download, coming, whole, free),
            say=say,
            sleep=sleep,
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
        say(f"unpacking {download.path} to {download.folder}")
        archives.unpack(download.path, download.folder, free=free(download.folder), declared=download.unpacked_size)
    return url, known


def _accept(download: Download, lock: Path) -> tuple[int, str]:
    """Size and sha256 of a file that somebody has put where it belongs, if it is the right one."""
    try:
        return _verify(download, download.path, lock)
    except WrongContentError as error:
        where = ", ".join(download.urls) or download.page
        raise DownloadError(f"{download.path}: {error}. Take it away and get it anew from {where}") from error


def _verify(download: Download, path: Path, lock: Path) -> tuple[int, str]:
    """Size and sha256 of the file that lies at `path`; trusted and remembered where it is seen for the first time."""
    size = path.stat().st_size
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
    expected = trust.trusted(lock, download.key)
    if expected is None:
        trust.remember(lock, download.key, sha256, size)
    elif sha256 != expected:
        raise WrongContentError(
            f"its sha256 is {sha256}, but {lock} has {expected} for {download.key!r} since it was first downloaded. If its "
            "publishers say why they changed it, delete that line of the lock file and fetch again; all that was trained "
            "on it has other data then"
        )
    return size, sha256


def _require_room(download: Download, coming: int, whole: int, free: Callable[[Path], int]) -> None:
    # Images are compressed already: an archive of them unpacks to about its own size, where no other is known.
    unpacked = (download.unpacked_size or whole) if download.folder is not None else 0
    available = free(download.path.parent)
    if coming + unpacked > available:
        then = f" and {in_units(unpacked)} to unpack it" if unpacked else ""
        raise DownloadError(
            f"{download.path}: {in_units(coming)} are to come{then}, but only {in_units(available)} are free; free some "
            "space, or give data_root in the study's config as a folder on another disk"
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
