"""A file over HTTP: resumed where it was cut, tried again after a while, mirror after mirror.

The bytes go to ``NAME.partial``; beside it, ``NAME.partial.json`` says where they are from and in which version, so that
a later run goes on with them and never joins the halves of two versions.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3
from tqdm import tqdm

from frugalseg.data.downloads.description import DownloadError
from frugalseg.runtime.files import in_units, writing

_CHUNK = 1 << 20
_TIMEOUT = 60.0
# In a row, none of which brought a byte more than there was.
_ATTEMPTS = 6
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 600.0
_PASSING = {408, 425, 429}
# No name, nobody there, or somebody else there: another second changes nothing.
_FINAL = (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
_SECONDS = 10.0

Say = Callable[[str], None]
Verified = TypeVar("Verified")


class WrongContentError(DownloadError):
    """A file that came whole and is not the one that was asked for."""


class _CutError(Exception):
    """A transfer that may go on after a pause: that of the server's Retry-After, if it gave one."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class _RefusedError(Exception):
    """A mirror that will not give the file however often it is asked."""


@dataclass(frozen=True)
class _Goal:
    """What is to come: the file's place, its bytes where they are known, and who is told and asked on the way."""

    target: Path
    size: int | None
    require_room: Callable[[int, int], None]
    say: Say

    @property
    def partial(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def note(self) -> Path:
        return self.target.with_name(f"{self.target.name}.partial.json")

    def bytes_there(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def origin(self) -> dict[str, Any]:
        """Address, version as If-Range takes it and whole size of the bytes that are there; empty if not known."""
        try:
            return dict(json.loads(self.note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def forget(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def transfer(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None,
    verify: Callable[[Path], Verified],
    require_room: Callable[[int, int], None],
    say: Say,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, Verified]:
    """Bring a file of `size` bytes from the first address that has it, and move it into place once it is verified.

    `verify` takes the whole file's path and raises `WrongContentError` if it is another file; `require_room` takes the
    bytes still to come and those of the whole. Returns the address and what `verify` gave; raises `DownloadError` with
    what was wrong with each mirror if none has the file.
    """
    goal = _Goal(target, size, require_room, say)
    failures = []
    for url in urls:
        try:
            _bring(url, goal, sleep)
            verified = verify(goal.partial)
        except (_RefusedError, WrongContentError) as error:
            if isinstance(error, WrongContentError):
                goal.forget()
            failures.append(f"{url}: {error}")
            say(failures[-1])
            continue
        goal.partial.replace(target)
        goal.forget()
        return url, verified
    raise DownloadError(
        f"{target.name}: no address has it:\n"
        + "\n".join(f"  - {failure}" for failure in failures)
        + f"\nTry again later, add a mirror to its urls in config/datasets, or put the file by hand at {target}"
    )


def _bring(url: str, goal: _Goal, sleep: Callable[[float], None]) -> None:
    """Bring the whole file to its partial name, however often the transfer is cut on the way."""
    goal.say(f"fetching {url}")
    failures, most = 0, 0
    while True:
        try:
            return _attempt(url, goal)
        except _CutError as cut:
            failures = 1 if goal.bytes_there() > most else failures + 1
            most = max(most, goal.bytes_there())
            if failures == _ATTEMPTS:
                message = f"given up after {failures} attempts that brought nothing new; the last: {cut}"
                raise _RefusedError(message) from cut
            pause = min(2.0 ** (failures - 1), _LONGEST_PAUSE) if cut.pause is None else cut.pause
            if pause > _LONGEST_RETRY_AFTER:
                raise _RefusedError(f"{cut}, and asks to wait for {in_time(pause)}") from cut
            goal.say(f"{cut}; trying again in {in_time(pause)}")
            sleep(pause)


def _attempt(url: str, goal: _Goal) -> None:
    """One request, and what it brings."""
    origin = goal.origin()
    offset = goal.bytes_there() if origin.get("url") == url and origin.get("version") else 0
    if offset and offset == origin.get("total"):
        return
    with _open(url, {"Range": f"bytes={offset}-", "If-Range": origin["version"]} if offset else {}) as response:
        if response.status_code != 206:
            offset = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            goal.forget()
            raise _CutError(f"the server sent another part than byte {offset} on", pause=0)
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        if None not in (goal.size, total) and total != goal.size:
            raise _RefusedError(f"offers {total} bytes, but the file has {goal.size}")
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and goal.target.suffix != ".html":
            raise _RefusedError("answers with a web page, perhaps one to log in; open it in a browser")
        if whole := total or goal.size:
            goal.require_room(whole - offset, whole)
        if offset:
            goal.say(f"going on after {in_units(offset)}")
        else:
            goal.target.parent.mkdir(parents=True, exist_ok=True)
            goal.partial.write_bytes(b"")
            note = {"url": url, "version": _version(response), "total": total}
            goal.note.write_text(json.dumps(note), encoding="utf-8")
        _receive(response, goal, offset, total)


def _receive(response: requests.Response, goal: _Goal, offset: int, total: int | None) -> None:
    """Append what a response brings."""
    position, name = offset, goal.target.name
    bar = tqdm(total=total or goal.size, initial=offset, desc=name, unit="B", unit_scale=True, mininterval=_SECONDS)
    with writing(goal.target, total and total - offset), goal.partial.open("ab") as file, bar:
        for chunk in _chunks(response):
            file.write(chunk)
            position += len(chunk)
            if goal.size is not None and position > goal.size:
                raise _RefusedError(f"sends more than the {goal.size} bytes of the file")
            bar.update(len(chunk))
    if total is not None and position < total:
        raise _CutError(f"the connection was cut after {in_units(position)} of {in_units(total)}")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        # Not iter_content: it would lose up to a chunk when the connection is cut.
        while chunk := response.raw.read1(_CHUNK):
            yield chunk
    except (OSError, urllib3.exceptions.HTTPError) as error:
        if "IncompleteRead" in str(error):
            return
        raise _CutError(f"the connection was cut ({type(error).__name__}: {error})") from error


@contextmanager
def _open(url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
    """The response to a request, or what its failure means."""
    # A compressed answer would have other bytes than the file.
    headers = {"User-Agent": "frugalseg", "Accept-Encoding": "identity", **headers}
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    except requests.RequestException as error:
        reason: BaseException = error
        while reason.__context__ is not None:
            reason = reason.__context__
        said = f"cannot be reached ({type(reason).__name__}: {reason})"
        raise (_RefusedError if isinstance(reason, _FINAL) else _CutError)(said) from error
    with response:
        if response.status_code >= 400:
            raise _meaning_of_status(response)
        yield response


def _meaning_of_status(response: requests.Response) -> Exception:
    status = response.status_code
    said = f"the server answers {status} {response.reason}"
    if status >= 500 or status in _PASSING:
        try:
            return _CutError(said, urllib3.Retry.parse_retry_after(urllib3.Retry(), response.headers["Retry-After"]))
        except (KeyError, urllib3.exceptions.InvalidHeader):
            return _CutError(said)
    return _RefusedError(said + "; it may want a login, or have closed this address" * (status in (401, 403)))


def _version(response: requests.Response) -> str | None:
    """What If-Range takes: a strong ETag, else the date of the last change (RFC 9110, section 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def in_time(seconds: float) -> str:
    """A number of seconds as people read it: 327 is ``5 min 27 s``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
