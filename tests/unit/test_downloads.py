"""Downloads against a local server: what comes is the file that was asked for, or an error that says what to do."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import threading
import time
import zipfile
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import yaml

from frugalseg.data.downloads import fetch as fetching
from frugalseg.data.downloads.description import Download, DownloadError, revision
from frugalseg.data.downloads.fetch import remember, trusted
from frugalseg.data.downloads.transfer import in_time
from frugalseg.runtime.files import in_units
from frugalseg.study.dataset import needed

CONTENT = bytes(range(256)) * 400
PLENTY = 10**12


@dataclass
class Page:
    """What the site has at one path, and how it misbehaves."""

    content: bytes = CONTENT
    # Headers that tell which version of the content this is; If-Range has to repeat the value of one of them.
    version: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    content_type: str = "application/octet-stream"
    # Answers before the content is sent: status and headers, one a request.
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    # Bytes after which the connection is cut, one a request.
    cuts: list[int] = field(default_factory=list)
    # Called with the page when a request has been answered.
    afterwards: list = field(default_factory=list)


class Site:
    """A web site with pages; notes what was asked for and how much was sent."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[SimpleNamespace] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = SimpleNamespace(path=handler.path.strip("/"), headers=handler.headers, sent=0)
        self.requests.append(request)
        page = self.pages.get(request.path)
        if page is None:
            handler.send_error(404)
            return
        if page.refusals:
            status, headers = page.refusals.pop(0)
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        offset = self._offset(page, handler.headers)
        body = page.content[offset:]
        handler.send_response(206 if offset else 200)
        handler.send_header("Content-Type", page.content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in page.version.items():
            handler.send_header(name, value)
        if offset:
            handler.send_header("Content-Range", f"bytes {offset}-{len(page.content) - 1}/{len(page.content)}")
        handler.end_headers()
        body = body[: page.cuts.pop(0)] if page.cuts else body
        request.sent = len(body)
        if page.afterwards:
            page.afterwards.pop(0)(page)
        handler.wfile.write(body)

    @staticmethod
    def _offset(page: Page, headers) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        fresh = headers.get("If-Range") in (None, *page.version.values())
        return int(wanted[1]) if wanted and page.ranges and fresh else 0


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def run(tmp_path):
    """Fetch a download with a lock file, without waiting, on a large disk; has ``pauses`` and ``lines``."""

    def run(download, free=PLENTY):
        run.pauses.clear()
        run.lines.clear()
        return fetching.fetch(
            download, run.lock, say=run.lines.append, sleep=run.pauses.append, free=lambda folder: free
        )

    run.pauses, run.lines, run.lock = [], [], tmp_path / "datasets.lock.yaml"
    return run


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def table(tmp_path, *urls, **keys) -> Download:
    """A file that is used as it is."""
    return Download("cells/table.csv", tmp_path / "data/table.csv", urls=urls, **keys)


def images(tmp_path, *urls, **keys) -> Download:
    """An archive that is unpacked."""
    return Download("cells/train.zip", tmp_path / "data/train.zip", tmp_path / "data/train", urls=urls, **keys)


def left_behind(tmp_path):
    return sorted(path.name for path in (tmp_path / "data").rglob("*") if re.search("partial|lock", path.name))


def test_a_good_file_is_put_in_place(site, run, tmp_path):
    site.pages["table.csv"] = Page()
    download = table(tmp_path, site.url("table.csv"), size=len(CONTENT), sha256=sha256(CONTENT))
    receipt = run(download)
    assert download.path.read_bytes() == CONTENT
    assert receipt == {
        "file": "cells/table.csv",
        "place": str(download.path),
        "sha256": sha256(CONTENT),
        "size": len(CONTENT),
        "url": site.url("table.csv"),
    }
    assert left_behind(tmp_path) == []
    assert not run.lock.exists()


WEAK = {"ETag": 'W/"one"', "Last-Modified": "Sun, 09 Sep 2001 01:46:40 GMT"}


@pytest.mark.parametrize(("version", "named"), [({"ETag": '"one"'}, '"one"'), (WEAK, WEAK["Last-Modified"])])
def test_a_cut_connection_is_resumed_where_it_was_cut(site, run, tmp_path, version, named):
    site.pages["table.csv"] = Page(version=version, cuts=[40_000, 20_000])
    run(table(tmp_path, site.url("table.csv"), sha256=sha256(CONTENT)))
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT
    assert [request.headers["Range"] for request in site.requests] == [None, "bytes=40000-", "bytes=60000-"]
    assert [request.headers["If-Range"] for request in site.requests] == [None, named, named]
    assert sum(request.sent for request in site.requests) == len(CONTENT)
    # Each attempt brought something, so the pauses do not grow.
    assert run.pauses == [1.0, 1.0]
    assert left_behind(tmp_path) == []


def test_without_a_version_the_halves_are_not_joined(site, run, tmp_path):
    site.pages["table.csv"] = Page(version={}, cuts=[40_000])
    run(table(tmp_path, site.url("table.csv")))
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT
    assert [request.headers["Range"] for request in site.requests] == [None, None]


def test_a_later_run_goes_on_where_a_killed_one_was(site, run, tmp_path, monkeypatch):
    site.pages["table.csv"] = Page(cuts=[40_000])
    download = table(tmp_path, site.url("table.csv"))
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(download, run.lock, say=run.lines.append, sleep=_kill, free=lambda folder: PLENTY)
    assert not download.path.exists()
    run(download)
    assert download.path.read_bytes() == CONTENT
    assert site.requests[-1].headers["Range"] == "bytes=40000-"
    assert "going on after 40.0 kB" in run.lines


def _kill(seconds):
    raise KeyboardInterrupt


def test_a_run_killed_before_the_move_does_not_ask_again(site, run, tmp_path):
    site.pages["table.csv"] = Page()
    download = table(tmp_path, site.url("table.csv"))
    # The file is whole under its partial name, but it cannot be remembered and is not moved.
    run.lock.write_text("no lock file")
    with pytest.raises(DownloadError, match="is no lock file"):
        run(download)
    run.lock.unlink()
    run(download)
    assert len(site.requests) == 1
    assert download.path.read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(site, run, tmp_path):
    site.pages["table.csv"] = Page(ranges=False, cuts=[40_000, 30_000])
    run(table(tmp_path, site.url("table.csv")))
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT
    assert [request.sent for request in site.requests] == [40_000, 30_000, len(CONTENT)]
    # The second attempt brought less than the first, which counts as nothing.
    assert run.pauses == [1.0, 2.0]


def test_a_file_changed_on_the_server_starts_over(site, run, tmp_path):
    page = site.pages["table.csv"] = Page(cuts=[40_000])
    other = CONTENT[::-1]
    page.afterwards.append(lambda page: page.__dict__.update(content=other, version={"ETag": '"two"'}))
    run(table(tmp_path, site.url("table.csv"), sha256=sha256(other)))
    assert (tmp_path / "data/table.csv").read_bytes() == other
    assert site.requests[1].headers["If-Range"] == '"one"'
    assert site.requests[1].sent == len(other)


def test_a_server_that_always_cuts_is_given_up(site, run, tmp_path):
    site.pages["table.csv"] = Page(ranges=False, cuts=[40_000] * 20)
    with pytest.raises(DownloadError, match=r"given up after 6 attempts .* cut after 40.0 kB of 102.4 kB"):
        run(table(tmp_path, site.url("table.csv")))
    # The first brought something; five more did not.
    assert len(site.requests) == 6
    assert run.pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_wrong_sha256_is_told_and_nothing_is_left(site, run, tmp_path):
    site.pages["table.csv"] = Page()
    download = table(tmp_path, site.url("table.csv"), sha256=sha256(b"another"))
    with pytest.raises(
        DownloadError, match=f"{sha256(CONTENT)}, but that of the file is {sha256(b'another')}"
    ) as error:
        run(download)
    assert site.url("table.csv") in str(error.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_wrong_size_is_told_before_a_byte_is_kept(site, run, tmp_path):
    site.pages["table.csv"] = Page()
    with pytest.raises(DownloadError, match="offers 102400 bytes, but the file has 102401"):
        run(table(tmp_path, site.url("table.csv"), size=len(CONTENT) + 1))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_missing_page_then_a_closed_port_then_other_content_then_the_mirror(site, run, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    site.pages["other.csv"] = Page(content=CONTENT[::-1])
    site.pages["table.csv"] = Page()
    urls = [
        site.url("gone.csv"),
        f"http://127.0.0.1:{port}/table.csv",
        site.url("other.csv"),
        site.url("table.csv"),
    ]
    receipt = run(table(tmp_path, *urls, sha256=sha256(CONTENT)))
    assert receipt["url"] == urls[-1]
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT
    # None of the others is asked twice, and nothing of the wrong file is left to go on with.
    assert [request.path for request in site.requests] == ["gone.csv", "other.csv", "table.csv"]
    assert site.requests[-1].headers["Range"] is None
    assert run.pauses == []
    assert any("404" in line for line in run.lines)
    assert any("ConnectionRefusedError" in line for line in run.lines)


def test_the_rest_is_not_fetched_from_another_mirror(site, run, tmp_path):
    # Two mirrors may have two versions.
    site.pages["first"] = Page(cuts=[40_000] + [0] * 6)
    site.pages["second"] = Page(content=CONTENT[::-1])
    run(table(tmp_path, site.url("first"), site.url("second")))
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT[::-1]


def test_no_mirror_has_it(site, run, tmp_path):
    download = table(tmp_path, site.url("a"), site.url("b"))
    with pytest.raises(DownloadError) as error:
        run(download)
    for part in (site.url("a"), site.url("b"), "404 Not Found", "put the file by hand", str(download.path)):
        assert part in str(error.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_growing_pauses(site, run, tmp_path, status):
    site.pages["table.csv"] = Page(refusals=[(status, {})] * 3)
    run(table(tmp_path, site.url("table.csv")))
    assert run.pauses == [1.0, 2.0, 4.0]
    assert (tmp_path / "data/table.csv").read_bytes() == CONTENT


def test_retry_after_is_honoured(site, run, tmp_path):
    date = formatdate(time.time() + 100, usegmt=True)
    site.pages["table.csv"] = Page(refusals=[(503, {"Retry-After": "7"}), (503, {"Retry-After": date})])
    run(table(tmp_path, site.url("table.csv")))
    assert run.pauses[0] == 7.0
    assert 90 < run.pauses[1] <= 100


def test_a_server_that_asks_for_an_hour_is_left_for_the_mirror(site, run, tmp_path):
    site.pages["busy"] = Page(refusals=[(503, {"Retry-After": "3600"})])
    site.pages["idle"] = Page()
    assert run(table(tmp_path, site.url("busy"), site.url("idle")))["url"] == site.url("idle")
    assert run.pauses == []
    assert any("asks to wait for 1 h 0 min" in line for line in run.lines)


def test_a_web_page_instead_of_the_file_is_not_trusted(site, run, tmp_path):
    site.pages["table.csv"] = Page(content=b"<html>Please log in</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(DownloadError, match="answers with a web page"):
        run(table(tmp_path, site.url("table.csv")))
    assert not run.lock.exists()


def test_what_is_no_archive_is_not_trusted(site, run, tmp_path):
    site.pages["train.zip"] = Page(content=b"Sorry, too many downloads today")
    with pytest.raises(DownloadError, match="is no zip or tar archive"):
        run(images(tmp_path, site.url("train.zip")))
    assert not run.lock.exists()


def test_a_disk_too_small_is_told_before_a_byte_is_kept(site, run, tmp_path):
    site.pages["table.csv"] = Page()
    download = table(tmp_path, site.url("table.csv"))
    with pytest.raises(DownloadError, match=r"102.4 kB are to come, but only 100.0 kB are free") as error:
        run(download, free=100_000)
    assert str(download.path) in str(error.value)
    assert [path for path in (tmp_path / "data").iterdir() if path.stat().st_size] == []


def test_room_for_the_unpacked_files_is_asked_for_too(site, run, tmp_path):
    content = zipped(**{"1.png": CONTENT})
    site.pages["train.zip"] = Page(content=content)
    with pytest.raises(
        DownloadError, match=r"102.5 kB are to come and 200.0 kB to unpack it, but only 300.0 kB are free"
    ):
        run(images(tmp_path, site.url("train.zip"), unpacked_size=200_000), free=300_000)
    # An archive whose unpacked size is not known is taken to hold at least as much as it has bytes.
    with pytest.raises(DownloadError, match=r"102.5 kB to unpack it"):
        run(images(tmp_path, site.url("train.zip")), free=200_000)
    run(images(tmp_path, site.url("train.zip")), free=300_000)


def test_only_what_is_still_to_come_needs_room(site, run, tmp_path):
    site.pages["table.csv"] = Page(cuts=[90_000])
    download = table(tmp_path, site.url("table.csv"))
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(download, run.lock, say=run.lines.append, sleep=_kill, free=lambda folder: PLENTY)
    run(download, free=20_000)
    assert download.path.read_bytes() == CONTENT


def test_an_archive_is_unpacked_and_kept(site, run, tmp_path):
    site.pages["train.zip"] = Page(content=zipped(**{"train/1.png": b"one", "train/2.png": b"two"}))
    download = images(tmp_path, site.url("train.zip"))
    run(download)
    assert {path.name: path.read_bytes() for path in download.folder.iterdir()} == {"1.png": b"one", "2.png": b"two"}
    assert download.path.exists()
    assert left_behind(tmp_path) == []
    # The archive may be deleted: the folder is what is asked for.
    download.path.unlink()
    assert run(download)["sha256"] is None
    assert len(site.requests) == 1


@pytest.fixture
def offline(monkeypatch):
    """No socket can be made."""

    def forbidden(*arguments, **keys):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


@pytest.mark.usefixtures("offline")
def test_the_network_is_not_touched_for_what_is_in_place(run, tmp_path):
    folder = tmp_path / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "train/1.png").write_bytes(b"one")
    (folder / "table.csv").write_bytes(CONTENT)
    (folder / "test.zip").write_bytes(zipped(**{"2.png": b"two"}))
    run(images(tmp_path, "http://example.org/train.zip"))
    run(table(tmp_path, "http://example.org/table.csv", size=len(CONTENT), sha256=sha256(CONTENT)))
    run(Download("cells/test.zip", folder / "test.zip", folder / "test", urls=("http://example.org/test.zip",)))
    assert (folder / "test/2.png").read_bytes() == b"two"
    with pytest.raises(AssertionError, match="network"):
        run(Download("cells/more.csv", folder / "more.csv", urls=("http://example.org/more.csv",)))


@pytest.mark.parametrize("keys", [{"sha256": sha256(b"another")}, {"size": 3}])
def test_another_file_in_its_place_is_told_and_left_alone(run, tmp_path, keys):
    download = table(tmp_path, "http://example.org/table.csv", **keys)
    download.path.parent.mkdir()
    download.path.write_bytes(CONTENT)
    with pytest.raises(DownloadError, match=r"Take it away and get it anew from http://example\.org/table\.csv"):
        run(download)
    assert download.path.read_bytes() == CONTENT


def test_trust_on_first_use_and_never_for_another_file(site, run, tmp_path):
    page = site.pages["table.csv"] = Page()
    download = table(tmp_path, site.url("table.csv"))
    run(download)
    assert trusted(run.lock, "cells/table.csv") == sha256(CONTENT)
    assert "Commit this file" in run.lock.read_text()
    before = run.lock.read_text()
    # The same file again is fine, in place or anew.
    run(download)
    download.path.unlink()
    run(download)
    download.path.unlink()
    page.content, page.version = CONTENT[::-1], {"ETag": '"two"'}
    with pytest.raises(DownloadError) as error:
        run(download)
    for part in (str(run.lock), sha256(CONTENT), sha256(CONTENT[::-1]), "'cells/table.csv'", "delete that line"):
        assert part in str(error.value)
    assert not download.path.exists()
    assert run.lock.read_text() == before


def test_lock_file_takes_entries_of_several_processes(tmp_path):
    lock = tmp_path / "config/datasets.lock.yaml"
    keys = [f"cells/MoNuSeg 2018 part {number}.zip" for number in range(8)]
    threads = [threading.Thread(target=remember, args=(lock, key, sha256(key.encode()), 1)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: entry["sha256"] for key, entry in yaml.safe_load(lock.read_text()).items()} == {
        key: sha256(key.encode()) for key in keys
    }
    remember(lock, keys[0], sha256(keys[0].encode()), 1)
    with pytest.raises(DownloadError, match="has the sha256"):
        remember(lock, keys[0], sha256(b"another"), 1)


def test_a_damaged_lock_file_is_told(tmp_path):
    lock = tmp_path / "datasets.lock.yaml"
    lock.write_text('"cells/table.csv": {sha2')
    with pytest.raises(DownloadError, match="is no lock file of downloads"):
        trusted(lock, "cells/table.csv")


def test_a_file_to_fetch_by_hand_is_asked_for_and_then_used(run, tmp_path):
    download = images(tmp_path, page="https://cells.org/form", steps="Fill in the form.")
    with pytest.raises(DownloadError) as error:
        run(download)
    folder = (tmp_path / "data").resolve()
    steps = ("Fill in the form.", f"Put the file train.zip into {folder}", "again")
    for part in ("has to be fetched by hand", "https://cells.org/form", *steps):
        assert part in str(error.value)
    # The folder is there already, so that the file can be put into it.
    (folder / "train.zip").write_bytes(zipped(**{"1.png": b"one"}))
    assert run(download)["url"] is None
    assert (folder / "train/1.png").read_bytes() == b"one"
    assert trusted(run.lock, "cells/train.zip") == sha256((folder / "train.zip").read_bytes())


def test_two_at_once_fetch_a_file_once(site, run, tmp_path):
    gate = threading.Event()
    site.pages["table.csv"] = Page(afterwards=[lambda page: gate.wait(10)])
    download = table(tmp_path, site.url("table.csv"))
    first, second = (threading.Thread(target=run, args=(download,)) for _ in range(2))
    first.start()
    while not site.requests:
        time.sleep(0.01)
    second.start()
    while not any("waiting" in line for line in run.lines):
        time.sleep(0.01)
    gate.set()
    first.join()
    second.join()
    assert len(site.requests) == 1
    assert download.path.read_bytes() == CONTENT
    assert left_behind(tmp_path) == []


def test_revision_grows_when_the_data_are_gone_and_not_before(tmp_path):
    download, receipt = table(tmp_path), tmp_path / "receipt.json"
    assert revision(download, receipt) == 0
    download.path.parent.mkdir()
    download.path.write_bytes(CONTENT)
    receipt.write_text('{"revision": 0}')
    assert revision(download, receipt) == 0
    download.path.unlink()
    assert revision(download, receipt) == 1
    # Fetched anew, with the revision of that run in its receipt.
    receipt.write_text('{"revision": 1}')
    download.path.write_bytes(CONTENT)
    assert revision(download, receipt) == 1


def test_a_download_is_where_its_description_says(tmp_path):
    block = {"urls": ["http://example.org/a.zip"], "unpack": "images", "size": 3, "unpacked_size": 9}
    download = Download.of("cells", "a.zip", block, tmp_path)
    assert (download.key, download.path, download.folder) == ("cells/a.zip", tmp_path / "a.zip", tmp_path / "images")
    assert (download.size, download.sha256, download.unpacked_size) == (3, None, 9)
    (tmp_path / "images").mkdir()
    assert not download.in_place()
    (tmp_path / "images/1.png").touch()
    assert download.in_place()
    form = {"by_hand": {"page": "https://cells.org", "steps": "Ask."}, "folder": "annotations"}
    download = Download.of("cells", "a.json", form, tmp_path)
    assert (download.place, download.page, download.urls) == (tmp_path / "annotations/a.json", "https://cells.org", ())


def test_a_study_needs_the_downloads_of_its_datasets_and_weights_only():
    files = {"a.zip": {"urls": ["http://example.org/a.zip"]}}
    datasets = {"cyto": {"root": "{data_root}/cells", "downloads": files}, "mine": {"root": "mine"}}
    config = {"data_root": "/data", "datasets": {"cyto": "cellpose", "mine": "mine"}}
    weights = {"mae": {"root": "{data_root}/mae", "downloads": files}}
    assert needed(config, datasets, weights) == {
        "cellpose": {"root": "/data/cells", "datasets": ["cyto"], "files": files},
        "mae": {"root": "/data/mae", "datasets": [], "files": files},
    }
    # Where the files come from is no part of the dataset.
    assert datasets["cyto"] == {"root": "{data_root}/cells"}


def test_progress_is_shown_with_the_name_of_the_file(site, run, tmp_path, capsys):
    site.pages["table.csv"] = Page(cuts=[40_000])
    run(table(tmp_path, site.url("table.csv")))
    assert "table.csv:  39%" in capsys.readouterr().err


def test_units_and_times():
    assert [in_units(count) for count in (0, 999, 82_945, 19_336_861_798, 2e12)] == [
        "0 bytes",
        "999 bytes",
        "82.9 kB",
        "19.3 GB",
        "2.0 TB",
    ]
    assert [in_time(seconds) for seconds in (0.4, 59, 327, 7325)] == ["0 s", "59 s", "5 min 27 s", "2 h 2 min"]
