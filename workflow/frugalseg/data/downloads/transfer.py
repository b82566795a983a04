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
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from frugalseg.data.downloads.description import DownloadError
from frugalseg.data.downloads.progress import Progress, in_time, in_units

_CHUNK = 1 << 20
_TIMEOUT = 60.0
# In a row, none of which brought a byte more than there was.
_ATTEMPTS = 6
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 600.0
_PASSING = {408, 425, 429}

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
class _Origin:
    """Where the bytes of a partial file are from: address, version as If-Range takes it, bytes of the whole file."""

    url: str
    version: str | None
    total: int | None


class _Partial:
    """The bytes that are there already, and their origin."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.partial")
        self._note = target.with_name(f"{target.name}.partial.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def origin(self) -> _Origin | None:
        try:
            return _Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            # Without a whole note the bytes cannot be used; the transfer starts over.
            return None

    def start_over(self, origin: _Origin) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")
        self._note.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def move_to(self, target: Path) -> None:
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


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
    """Bring a file from the first of its mirrors that has it, and move it into place once it is verified.

    Parameters
    ----------
    urls : sequence of str
        Addresses of the file, http or https, tried in order.
    target : Path
        Where it goes.
    size : int or None
        Its bytes, where they are known: a server that announces another number is not asked further.
    verify : callable
        Takes the path of the whole file under its partial name, and raises `WrongContentError` if it is another one.
    require_room : callable
        Takes the bytes still to come and those of the whole file, and raises `DownloadError` if the disk has no room.
    say : callable
        Takes a line on how it goes.
    sleep : callable
        Waits for a number of seconds.

    Returns
    -------
    tuple
        The address that it came from, and what `verify` gave.

    Raises
    ------
    DownloadError
        If no mirror has the file, with what was wrong with each.
    """
    partial = _Partial(target)
    failures = []
    for url in urls:
        try:
            _bring(url, partial, size, require_room, say, sleep)
            verified = verify(partial.path)
        except _RefusedError as error:
            failures.append(f"{url}: {error}")
        except WrongContentError as error:
            partial.remove()
            failures.append(f"{url}: {error}")
        else:
            partial.move_to(target)
            return url, verified
        say(failures[-1])
    raise DownloadError(
        f"{target.name}: no address has it:\n"
        + "\n".join(f"  - {failure}" for failure in failures)
        + f"\nTry again later, add a mirror to its urls in config/datasets, or put the file by hand at {target}"
    )


def _bring(
    url: str,
    partial: _Partial,
    size: int | None,
    require_room: Callable[[int, int], None],
    say: Say,
    sleep: Callable[[float], None],
) -> None:
    """Bring the whole file to its partial name, however often the transfer is cut on the way."""
    say(f"fetching {url}")
    failures, most = 0, 0
    while True:
        try:
            _attempt(url, partial, size, require_room, say)
            return
        except _CutError as cut:
            failures = 1 if partial.size > most else failures + 1
            most = max(most, partial.size)
            if failures == _ATTEMPTS:
                raise _RefusedError(
                    f"given up after {failures} attempts that brought nothing new; the last: {cut}"
                ) from cut
            pause = min(2.0 ** (failures - 1), _LONGEST_PAUSE) if cut.pause is None else cut.pause
            if pause > _LONGEST_RETRY_AFTER:
                raise _RefusedError(f"{cut}, and asks to wait for {in_time(pause)}") from cut
            say(f"{cut}; trying again in {in_time(pause)}")
            sleep(pause)


def _attempt(url: str, partial: _Partial, size: int | None, require_room: Callable[[int, int], None], say: Say) -> None:
    """One request, and what it brings."""
    origin = partial.origin()
    offset = partial.size if origin and origin.url == url and origin.version else 0
    if offset and offset == origin.total:
        return
    headers = {"Range": f"bytes={offset}-", "If-Range": origin.version} if offset else {}
    with _open(url, headers) as response:
        if response.status != 206:
            offset = 0
        elif _first_byte(response) != offset:
            partial.remove()
            raise _CutError(f"the server sent another part than byte {offset} on", pause=0)
        total = _total(response, offset)
        if size is not None and total is not None and total != size:
            raise _RefusedError(f"offers {total} bytes, but the file has {size}")
        if response.headers.get_content_type() == "text/html" and not partial.path.name.endswith(".html.partial"):
            raise _RefusedError("answers with a web page, perhaps one to log in; open it in a browser")
        if whole := total or size:
            require_room(whole - offset, whole)
        if not offset:
            partial.start_over(_Origin(url, _version(response), total))
        if offset:
            say(f"going on after {in_units(offset)}")
        _receive(response, partial, offset, total, size, say)


def _receive(
    response: HTTPResponse, partial: _Partial, offset: int, total: int | None, size: int | None, say: Say
) -> None:
    """Append what a response brings."""
    progress = Progress(partial.path.name.removesuffix(".partial"), offset, total or size, say)
    position = offset
    with partial.path.open("ab") as file:
        for chunk in _chunks(response):
            file.write(chunk)
            position += len(chunk)
            if size is not None and position > size:
                raise _RefusedError(f"sends more than the {size} bytes of the file")
            progress.at(position)
    if total is not None and position < total:
        raise _CutError(f"the connection was cut after {in_units(position)} of {in_units(total)}")


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            # Not read(): it would lose up to a chunk when the connection is reset.
            chunk = response.read1(_CHUNK)
        except (OSError, HTTPException) as error:
            raise _CutError(f"the connection was cut ({type(error).__name__}: {error})") from error
        if not chunk:
            return
        yield chunk


def _open(url: str, headers: dict[str, str]) -> HTTPResponse:
    """The response to a request, or what its failure means."""
    # A compressed answer would have other bytes than the file.
    request = Request(url, headers={"User-Agent": "frugalseg", "Accept-Encoding": "identity", **headers})
    try:
        return urlopen(request, timeout=_TIMEOUT)
    except HTTPError as error:
        with error:
            raise _meaning_of_status(error) from error
    except (OSError, HTTPException) as error:
        raise _meaning_of_failure(error.reason if isinstance(error, URLError) else error) from error


def _meaning_of_status(error: HTTPError) -> Exception:
    said = f"the server answers {error.code} {error.reason}"
    if error.code >= 500 or error.code in _PASSING:
        return _CutError(said, pause=_retry_after(error.headers.get("Retry-After")))
    if error.code in (401, 403):
        said += "; it may want a login, or have closed this address"
    return _RefusedError(said)


def _meaning_of_failure(reason: object) -> Exception:
    said = f"cannot be reached ({type(reason).__name__}: {reason})"
    # No name, nobody there, or somebody else there: another second changes nothing.
    final = (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
    return _RefusedError(said) if isinstance(reason, final) else _CutError(said)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which has seconds or a date (RFC 9110, section 10.2.3); None if it has neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _version(response: HTTPResponse) -> str | None:
    """What If-Range takes: a strong ETag, else the date of the last change (RFC 9110, section 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _first_byte(response: HTTPResponse) -> int | None:
    """The offset in ``Content-Range: bytes FIRST-LAST/TOTAL``."""
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _total(response: HTTPResponse, offset: int) -> int | None:
    length = response.headers.get("Content-Length")
    return offset + int(length) if length and length.isdecimal() else None
