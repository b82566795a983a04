"""Unpacking zip and tar archives that are not trusted: nothing leaves the folder, and nothing is there half unpacked."""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from frugalseg.data.downloads.description import DownloadError
from frugalseg.runtime.files import in_units, writing

_CHUNK = 1 << 20
# What macOS adds to its archives.
_LITTER = {"__MACOSX", ".DS_Store"}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)


class _Member(NamedTuple):
    """A regular file of an archive: its path, its bytes as the archive declares them, and how to open it."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive or a tar archive, compressed or not."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path, *, free: int, declared: int | None = None) -> None:
    """Unpack an archive to a folder, which is there as a whole or not at all.

    A single folder that holds everything else is left away, whatever its name: ``train.zip`` with ``train/1.png`` and
    one with ``1.png`` both give ``folder/1.png``. Every member is looked at before the first is written. `free` bytes
    are on the disk, `declared` is the most that the archive may hold. Raises `DownloadError`, which names the member.
    """
    try:
        with _members(archive) as listed:
            members = _worth_unpacking(archive, listed, free, declared)
            first = {member.path.parts[0] for member in members}
            nested = len(first) == 1 and all(len(member.path.parts) > 1 for member in members)
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for member in members:
                _write(archive, member, partial.joinpath(*member.path.parts[nested:]))
    except _DAMAGED as error:
        raise DownloadError(
            f"{archive}: is damaged or no zip or tar archive ({error}); delete it and fetch it again"
        ) from error
    partial.replace(folder)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """The files of an archive, checked one by one; the archive is open as long as the context."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_members(archive, opened)
    else:
        with tarfile.open(archive) as opened:
            yield _tar_members(archive, opened)


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        path = _inside(archive, _decoded(info))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(
                archive, info.filename, f"is {'a link' if kind == stat.S_IFLNK else 'neither file nor folder'}"
            )
        if info.flag_bits & 0x1:
            raise DownloadError(
                f"{archive}: its member {info.filename!r} is protected by a password; unpack it by hand with the password "
                "that its publishers gave you"
            )
        if not info.is_dir():
            yield _Member(path, info.file_size, lambda info=info: opened.open(info))


def _decoded(info: zipfile.ZipInfo) -> str:
    """The name of a member: some tools write UTF-8 without saying so."""
    try:
        return info.filename if info.flag_bits & 0x800 else info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _tar_members(archive: Path, opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened:
        path = _inside(archive, info.name)
        if info.issym() or info.islnk():
            raise _refused(archive, info.name, f"is a link to {info.linkname!r}")
        if not (info.isreg() or info.isdir()):
            raise _refused(archive, info.name, "is neither file nor folder")
        if info.isreg():
            yield _Member(path, info.size, lambda info=info: opened.extractfile(info))
    # A compressed stream has its checksum at its end, behind the last member.
    while opened.fileobj.read(_CHUNK):
        pass


def _inside(archive: Path, name: str) -> PurePosixPath:
    """The path of a member, if it stays in the folder."""
    # Archives made on Windows may have its separators.
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or re.match("[A-Za-z]:", name):
        raise _refused(archive, name, "has an absolute path")
    if ".." in path.parts:
        raise _refused(archive, name, "leaves the folder")
    return path


def _refused(archive: Path, member: str, why: str) -> DownloadError:
    return DownloadError(
        f"{archive}: its member {member!r} {why}, so nothing is unpacked; ask its publishers, or look at it and unpack by "
        "hand what you trust"
    )


def _worth_unpacking(archive: Path, members: Iterator[_Member], free: int, declared: int | None) -> list[_Member]:
    """The members but for litter, if they are together no larger than allowed; stops counting where they are."""
    kept, total = [], 0
    for member in members:
        if _LITTER.intersection(member.path.parts):
            continue
        if not member.path.parts:
            raise _refused(archive, str(member.path), "has no name")
        total += member.size
        if declared is not None and total > declared:
            raise DownloadError(
                f"{archive}: unpacks to more than the {declared} bytes of its unpacked_size; correct unpacked_size in "
                "config/datasets if the archive is sound, else delete it"
            )
        if total > free:
            raise DownloadError(
                f"{archive}: unpacks to more than {in_units(total)}, but only {in_units(free)} are free; free some space"
            )
        kept.append(member)
    if not kept:
        raise DownloadError(f"{archive}: holds no file; delete it and fetch it again")
    return kept


def _write(archive: Path, member: _Member, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": a second member of the same name would change what was written.
        with writing(target, member.size), member.open() as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
    except (FileExistsError, NotADirectoryError) as error:
        raise _refused(archive, str(member.path), "is there twice, or as a file and as a folder") from error
    except (*_DAMAGED, NotImplementedError) as error:
        raise DownloadError(
            f"{archive}: its member {str(member.path)!r} cannot be unpacked ({error}); delete the archive and fetch it again"
        ) from error
