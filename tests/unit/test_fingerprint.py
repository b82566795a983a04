"""The fingerprint follows the code that a script reaches, and nothing else."""

import os
import re
import subprocess
import sys

import pytest

from frugalseg.runtime import fingerprint as module
from frugalseg.runtime.fingerprint import HARMLESS, fingerprint, reach

SCRIPT = """
from frugalseg.a import double
"""
MODULE = '''
"""A module."""


def double(x):
    """Twice x."""
    return 2 * x  # a comment
'''
# They say what a machine is and how fast; data that lie in place do not change with the code that fetched them.
WITHOUT_CODE = {"describe_versions.py", "measure_throughput.py", "fetch.py"}


def forget():
    for cached in (module.fingerprint, module._file, module._read):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package called frugalseg and a script that imports one of its modules."""
    folder = tmp_path / "frugalseg"
    (folder / "runtime").mkdir(parents=True)
    for path, text in {"__init__.py": "", "runtime/__init__.py": "", "runtime/logs.py": "", "a.py": MODULE}.items():
        (folder / path).write_text(text)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(module, "PACKAGE", folder)
    forget()
    yield folder
    forget()


def of(package):
    forget()
    return fingerprint(package.parent / "script.py")


def test_nothing_is_imported(package):
    (package / "a.py").write_text("raise RuntimeError")
    assert of(package)


def test_comments_and_docstrings_do_not_count(package):
    before = of(package)
    text = MODULE.replace("Twice x.", "Two times x.").replace("# a comment", "# another").replace("A module", "Text")
    (package / "a.py").write_text(text)
    assert of(package) == before


def test_code_counts(package):
    before = of(package)
    (package / "a.py").write_text(MODULE.replace("2 * x", "3 * x"))
    assert of(package) != before


def test_what_a_module_imports_in_a_function_counts(package):
    (package / "b.py").write_text("x = 1")
    (package / "a.py").write_text("def double(x):\n    from frugalseg import b\n    return b.x")
    before = of(package)
    (package / "b.py").write_text("x = 2")
    assert of(package) != before


def test_where_a_job_runs_does_not_count(package):
    (package / "a.py").write_text("from frugalseg.runtime.logs import record")
    before = of(package)
    (package / "runtime/logs.py").write_text("record = 1")
    assert of(package) == before


def test_templates_count_where_prose_is_reached(package):
    (package / "reporting/templates").mkdir(parents=True)
    (package / "reporting/__init__.py").write_text("")
    (package / "reporting/prose.py").write_text("")
    template = package / "reporting/templates/a.jinja"
    template.write_text("It rains.")
    before = of(package)
    template.write_text("It snows.")
    assert of(package) == before
    (package / "a.py").write_text("from frugalseg.reporting import prose")
    before = of(package)
    template.write_text("It thaws.")
    assert of(package) != before


def test_what_a_module_says_of_itself_counts_where_prose_is_reached(package):
    (package / "reporting").mkdir()
    (package / "reporting/__init__.py").write_text("")
    (package / "reporting/prose.py").write_text("")
    (package / "a.py").write_text('METHODS = "was drawn by lot"\nCITES = {}\nx = 1')
    before = of(package)
    (package / "a.py").write_text('METHODS = "was drawn at random"\nCITES = {}\nx = 1')
    assert of(package) == before
    (package / "a.py").write_text('METHODS = "was drawn at random"\nCITES = {}\nx = 2')
    assert of(package) != before
    (package / "a.py").write_text('from frugalseg.reporting import prose\nMETHODS = "was drawn"')
    before = of(package)
    (package / "a.py").write_text('from frugalseg.reporting import prose\nMETHODS = "was taken"')
    assert of(package) != before


def test_a_package_that_is_named_stands_for_all_its_modules():
    assert reach("frugalseg.kernels") >= {"frugalseg.kernels.overlap", "frugalseg.kernels.flows"}


def test_an_unknown_module_is_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"no module named 'frugalseg\.nothing'"):
        fingerprint("frugalseg.nothing")


def scripts_of_rules(root):
    """Every script that a rule runs -> the script whose code the rule names."""
    found = {}
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        for rule in re.split(r"(?m)^(?=(?:use )?rule )", path.read_text()):
            script, code = re.search(r'scripts/(\w+\.py)"', rule), re.search(r'code=code_of\(\s*"(\w+\.py)"', rule)
            if script:
                found[script[1]] = code[1] if code else None
    return found


def test_every_rule_names_the_code_of_its_own_script(root):
    found = scripts_of_rules(root)
    assert len(found) > 10
    assert {script: code for script, code in found.items() if script not in WITHOUT_CODE} == {
        script: script for script in found if script not in WITHOUT_CODE
    }


def test_a_change_of_a_module_reruns_the_rules_that_reach_it_and_only_those(root, monkeypatch):
    scripts = [root / "scripts" / script for script in scripts_of_rules(root) if script not in WITHOUT_CODE]
    modules = sorted(reach("frugalseg"))
    reached = {script: reach(script) for script in scripts}
    before = {script: fingerprint(script) for script in scripts}
    read = module._read
    for changed in modules:
        path, text = module._file(changed), module._file(changed).read_text()
        # The copy in which this module is changed: the others need not be written, or parsed, again.
        altered = module._code(f"{text}\n_changed = 1\n")
        monkeypatch.setattr(module, "_read", lambda file, path=path, new=altered: new if file == path else read(file))
        module.fingerprint.cache_clear()
        reruns = {script for script in scripts if fingerprint(script) != before[script]}
        assert reruns == {script for script in scripts if changed in reached[script]}, changed
    module.fingerprint.cache_clear()


IMPORTS = """
import ast, os, sys
from pathlib import Path
import matplotlib.figure, numba, numpy, pandas, scipy.stats, skimage.measure, torch, yaml
for script in map(Path, sys.argv[1:]):
    sys.stdout.flush()
    if os.fork() == 0:
        tree = ast.parse(script.read_text())
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(tree, str(script), "exec"), {})
        print(script.name, *sorted(name for name in sys.modules if name.split(".")[0] == "frugalseg"))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
"""


def test_what_python_imports_for_a_script_is_reached(root):
    scripts = sorted((root / "scripts").glob("*.py"))
    environment = {**os.environ, "PYTHONPATH": str(module.PACKAGE.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", IMPORTS, *map(str, scripts)]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(scripts)
    for line in lines:
        script, *imported = line.split()
        counted = {name for name in imported if not name.startswith(HARMLESS)}
        assert counted <= reach(root / "scripts" / script), script


def test_a_coreset_and_a_target_of_a_network_are_reached(root):
    # What no list by hand knew of: how many patches a rate is, and what a network's output means.
    assert "frugalseg.selection.coresets" in reach(root / "scripts/train.py")
    assert "frugalseg.models.targets" in reach(root / "scripts/evaluate.py")
