"""The pins of pip and of conda are one and the same."""

import re
import tomllib

import yaml


def pins(text):
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", text, flags=re.MULTILINE))


def test_the_conda_environment_has_the_pins_of_the_lock_file(root):
    environment = yaml.safe_load((root / "envs/environment.yaml").read_text())
    conda = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pins("\n".join(conda)) == pins((root / "requirements.lock").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert f"python{project['requires-python']}" in environment["dependencies"]


def test_everything_is_pinned_exactly_and_once(root):
    locked = (root / "requirements.lock").read_text() + (root / "requirements-dev.lock").read_text()
    lines = [line for line in locked.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^\s;]+", line) for line in lines)
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert len(names) == len(set(names))
    assert pins(locked)["torch"] == "2.13.0"
