"""What modules say of themselves, read without importing them."""

import sys

import pytest

from frugalseg.runtime.literals import literals, members
from frugalseg.selection import SELECTORS


def test_every_selector_and_every_network_has_words():
    assert members("selection").keys() == SELECTORS.keys()
    assert members("models").keys() == {"cpnet", "unet", "ucell", "tinyunet", "unext", "cmunext"}


def test_what_is_read_is_what_the_module_has():
    for room in ("selection", "models"):
        for name, found in members(room).items():
            module = sys.modules[f"frugalseg.{room}.{name}"]
            assert found == {key: getattr(module, key) for key in found}


def test_options_are_those_of_the_function():
    for name, found in members("selection").items():
        defaults = SELECTORS[name].__kwdefaults__ or {}
        told = {key: option["default"] for key, option in found.get("OPTIONS", {}).items() if "default" in option}
        assert {key: value for key, value in defaults.items() if key != "bins"}.items() <= told.items()


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"there is no module frugalseg\.selection\.moderate"):
        literals("selection.moderate")
