"""The fingerprint follows the code, not the comments."""

import sys

import pytest

from frugalseg.runtime import fingerprint as module
from frugalseg.runtime.fingerprint import fingerprint

SOURCE = '''
"""A module."""


def double(x):
    """Twice x."""
    return 2 * x  # a comment
'''


@pytest.fixture
def fingerprint_of(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "somepackage"
    folder.mkdir()
    (folder / "__init__.py").touch()

    def of(text):
        (folder / "somemodule.py").write_text(text)
        fingerprint.cache_clear()
        module._normal_form.cache_clear()
        return fingerprint("somepackage.somemodule")

    yield of
    fingerprint.cache_clear()
    module._normal_form.cache_clear()


def test_nothing_is_imported(fingerprint_of):
    fingerprint_of("raise RuntimeError")
    assert "somepackage.somemodule" not in sys.modules


def test_comments_and_docstrings_do_not_count(fingerprint_of):
    reworded = (
        SOURCE.replace("Twice x.", "Two times x.").replace("# a comment", "# another").replace("A module", "Text")
    )
    assert fingerprint_of(SOURCE) == fingerprint_of(reworded)


def test_code_counts(fingerprint_of):
    assert fingerprint_of(SOURCE) != fingerprint_of(SOURCE.replace("2 * x", "3 * x"))


def test_a_package_stands_for_all_its_modules():
    assert fingerprint("frugalseg.kernels") != fingerprint("frugalseg.kernels.overlap")


def test_an_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"no module named 'frugalseg\.nothing'"):
        fingerprint("frugalseg.nothing")


def test_private_modules_of_a_module_count(tmp_path, fingerprint_of):
    before = fingerprint_of(SOURCE)
    (tmp_path / "somepackage/_somemodule_cpu.py").write_text("x = 1")
    assert fingerprint_of(SOURCE) != before
