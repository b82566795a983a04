"""What modules say of themselves, read without importing them."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from frugalseg.runtime.literals import literals, members


def test_selectors_and_networks_are_the_modules_with_words():
    assert members("selection").keys() == {
        "dq",
        "few",
        "herding",
        "kcenter",
        "official",
        "random",
        "typicality",
        "uncertainty",
    }
    assert members("models").keys() == {"cmunext", "cpnet", "cpsam", "tinyunet", "ucell", "unet", "unext"}


def test_what_is_read_is_what_the_module_has():
    for room in ("selection", "models"):
        for name, found in members(room).items():
            module = import_module(f"frugalseg.{room}.{name}")
            assert found == {key: getattr(module, key) for key in found}


def test_the_options_of_a_way_of_keeping_are_what_it_looks_at():
    options = {name: set(found.get("OPTIONS", {})) for name, found in members("training.keeping").items()}
    assert options == {"l2sp": {"strength"}, "ewc": {"strength", "patches"}, "lwf": {"strength"}, "frozen": set()}


@pytest.mark.parametrize(("room", "function"), [("selection", "{}"), ("models", "build")])
def test_options_are_those_of_the_function(room, function):
    of_the_rule = {"bins", "patch_size", "generator", "tasks", "cap"}
    for name, found in members(room).items():
        options = found.get("OPTIONS", {})
        parameters = inspect.signature(
            getattr(import_module(f"frugalseg.{room}.{name}"), function.format(name))
        ).parameters
        taken = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY and key not in of_the_rule}
        # Whose order is that of a model asks for one in the config and not in the function.
        if found.get("NEEDS") != "model":
            assert taken.keys() == options.keys()
        for key, default in taken.items():
            assert options[key].get("default") == (list(default) if isinstance(default, tuple) else default)


def test_a_network_is_imported_when_it_is_built_and_no_other():
    program = (
        "import sys; from frugalseg import models, selection; models.build('unext', 1, 2); "
        "print(*sorted(name for name in sys.modules if name.startswith(('frugalseg.models.', 'frugalseg.selection.'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "frugalseg.models._initial",
        "frugalseg.models._lightweight",
        "frugalseg.models.unext",
    ]


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"there is no module frugalseg\.selection\.moderate"):
        literals("selection.moderate")
