"""Archives that are not trusted: what they must not do is refused by name, and nothing is left of the attempt."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from frugalseg.data.downloads.archives import is_archive, unpack
from frugalseg.data.downloads.description import DownloadError

PLENTY = 10**12


def make_zip(path, members):
    """A zip archive of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make_tar(path, members, mode="w:gz"):
    """A tar archive of (name, content) or TarInfo."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_special(name, kind):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o644) << 16
    return info


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MEMBERS = [("train/images/1.tif", b"one"), ("train/labels/1.tif", b"label"), ("train/readme.txt", b"")]
UNPACKED = {"images/1.tif": b"one", "labels/1.tif": b"label", "readme.txt": b""}


@pytest.mark.parametrize("mode", ["zip", "w:", "w:gz", "w:xz"])
def test_an_archive_is_unpacked_without_the_folder_around_it(tmp_path, mode):
    path = tmp_path / "archive"
    make_zip(path, MEMBERS) if mode == "zip" else make_tar(path, MEMBERS, mode)
    assert is_archive(path)
    unpack(path, tmp_path / "out", free=PLENTY)
    assert contents(tmp_path / "out") == UNPACKED
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["archive", "out"]


def test_several_folders_are_kept_and_litter_is_not(tmp_path):
    members = [*MEMBERS, ("test/1.tif", b"two"), ("__MACOSX/train/._1.tif", b"x"), ("test/.DS_Store", b"x")]
    unpack(make_zip(tmp_path / "a.zip", members), tmp_path / "out", free=PLENTY)
    assert contents(tmp_path / "out") == {f"train/{name}": content for name, content in UNPACKED.items()} | {
        "test/1.tif": b"two"
    }


def test_tar_members_that_start_with_a_point_and_names_of_windows(tmp_path):
    unpack(
        make_tar(tmp_path / "a.tar.gz", [tar_special("./", tarfile.DIRTYPE), ("./x/1", b"1")]),
        tmp_path / "a",
        free=PLENTY,
    )
    assert contents(tmp_path / "a") == {"1": b"1"}
    unpack(make_zip(tmp_path / "b.zip", [("x\\y\\1", b"1"), ("z", b"2")]), tmp_path / "b", free=PLENTY)
    assert contents(tmp_path / "b") == {"x/y/1": b"1", "z": b"2"}


def test_names_that_are_utf_8_without_saying_so(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("Zelle_\u00fc.tif", b"1"), ("b", b"2")])
    content = bytearray(path.read_bytes())
    for start, flag in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        content[content.index(start) + flag] &= ~0x08
    path.write_bytes(content)
    unpack(path, tmp_path / "out", free=PLENTY)
    assert contents(tmp_path / "out") == {"Zelle_\u00fc.tif": b"1", "b": b"2"}


def test_what_a_killed_run_left_is_taken_away(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial/half").write_bytes(b"x")
    (tmp_path / "out").mkdir()
    unpack(make_zip(tmp_path / "a.zip", MEMBERS), tmp_path / "out", free=PLENTY)
    assert contents(tmp_path / "out") == UNPACKED
    assert not (tmp_path / "out.partial").exists()


EVIL_ZIPS = {
    "parent": (("../evil", b"x"), "'../evil' leaves the folder"),
    "parent in the middle": (("train/../../evil", b"x"), "leaves the folder"),
    "parent on Windows": (("..\\evil", b"x"), "leaves the folder"),
    "absolute": (("/tmp/evil", b"x"), "has an absolute path"),
    "absolute on Windows": (("C:\\evil", b"x"), "has an absolute path"),
    "symbolic link": ((zip_special("link", stat.S_IFLNK), b"/etc/passwd"), "'link' is a link"),
    "device": ((zip_special("device", stat.S_IFCHR), b""), "'device' is neither file nor folder"),
    "twice": (("train/readme.txt", b"other"), "'train/readme.txt' is there twice"),
    "file as folder": (("train/readme.txt/x", b"other"), "is there twice, or as a file and as a folder"),
}
EVIL_TARS = {
    "parent": (("../evil", b"x"), "'../evil' leaves the folder"),
    "absolute": (("/tmp/evil", b"x"), "has an absolute path"),
    "symbolic link out": (tar_special("link", tarfile.SYMTYPE, "../../etc/passwd"), "'link' is a link to"),
    "symbolic link inside": (tar_special("link", tarfile.SYMTYPE, "train/readme.txt"), "is a link to"),
    "hard link out": (tar_special("link", tarfile.LNKTYPE, "/etc/passwd"), "'link' is a link to '/etc/passwd'"),
    "device": (tar_special("device", tarfile.CHRTYPE), "is neither file nor folder"),
    "pipe": (tar_special("pipe", tarfile.FIFOTYPE), "is neither file nor folder"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", EVIL_ZIPS)
def test_evil_members_of_a_zip_archive_are_refused(tmp_path, case):
    member, message = EVIL_ZIPS[case]
    path = make_zip(tmp_path / "data.zip", [*MEMBERS, member])
    refused(path, tmp_path, message, written=case in ("twice", "file as folder"))


@pytest.mark.parametrize("case", EVIL_TARS)
def test_evil_members_of_a_tar_archive_are_refused(tmp_path, case):
    member, message = EVIL_TARS[case]
    refused(make_tar(tmp_path / "data.tar.gz", [*MEMBERS, member]), tmp_path, message)


def refused(path, tmp_path, message, written=False):
    """Unpacking names the archive, and leaves nothing in place; nothing is written at all unless ``written``."""
    folder = tmp_path / "below/out"
    with pytest.raises(DownloadError) as error:
        unpack(path, folder, free=PLENTY)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert not folder.exists()
    assert (tmp_path / "below").exists() == written
    assert not list(tmp_path.rglob("evil"))


def test_a_password_is_asked_of_a_person(tmp_path):
    path = make_zip(tmp_path / "data.zip", [("1.tif", b"one")])
    # The flag stands in the member's own header and in the directory at the end.
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(
        DownloadError, match=r"data.zip: its member '1.tif' is protected by a password; unpack it by hand"
    ):
        unpack(path, tmp_path / "out", free=PLENTY)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_bomb_is_not_unpacked(tmp_path, make):
    path = make(tmp_path / "bomb", [(f"{number}", bytes(1_000_000)) for number in range(3)])
    assert path.stat().st_size < 20_000
    with pytest.raises(DownloadError, match=r"unpacks to more than the 2999999 bytes of its unpacked_size"):
        unpack(path, tmp_path / "out", free=PLENTY, declared=2_999_999)
    with pytest.raises(DownloadError, match=r"but only 2.0 MB are free"):
        unpack(path, tmp_path / "out", free=2_000_000)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bomb"]
    unpack(path, tmp_path / "out", free=3_000_000, declared=3_000_000)
    assert len(contents(tmp_path / "out")) == 3


def test_a_zip_member_longer_than_it_says_is_refused(tmp_path):
    path = make_zip(tmp_path / "bomb.zip", [("1.tif", bytes(1_000_000))])
    content = path.read_bytes()
    # The uncompressed size in the directory, as the archive declares it.
    directory = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:directory] + (10).to_bytes(4, "little") + content[directory + 4 :])
    with pytest.raises(DownloadError, match=r"'1.tif' cannot be unpacked"):
        unpack(path, tmp_path / "out", free=1000)
    assert not (tmp_path / "out").exists()
    assert sum(file.stat().st_size for file in (tmp_path / "out.partial").iterdir()) <= 10


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_damaged_archive_is_told(tmp_path, make):
    noise = bytes((number * number) % 251 for number in range(50_000))
    path = make(tmp_path / "data", [("1.tif", noise)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DownloadError, match=f"{path}: .*fetch it again"):
        unpack(path, tmp_path / "out", free=PLENTY)
    assert not (tmp_path / "out").exists()


def test_half_an_archive_and_an_empty_one_are_told(tmp_path):
    path = make_zip(tmp_path / "half.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DownloadError, match=r"half.zip: is damaged or no zip or tar archive"):
        unpack(path, tmp_path / "out", free=PLENTY)
    with pytest.raises(DownloadError, match=r"empty.zip: holds no file"):
        unpack(make_zip(tmp_path / "empty.zip", []), tmp_path / "out", free=PLENTY)
