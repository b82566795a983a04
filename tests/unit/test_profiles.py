"""Profiles: what each rule asks a machine for."""

import re

import pytest
import yaml


@pytest.mark.parametrize("profile", ["local", "slurm", "kubernetes"])
def test_every_rule_that_claims_a_device_asks_for_a_gpu(root, profile):
    text = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    claiming = {path.name for path in (root / "scripts").glob("*.py") if "claim_device" in path.read_text()}
    bodies = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    rules = {rule for rule, body in bodies if any(f"scripts/{script}" in body for script in claiming)}
    wanted = yaml.safe_load((root / "workflow/profiles" / profile / "config.yaml").read_text())["set-resources"]
    assert {"train", "rank_by_uncertainty"} < rules
    assert {rule for rule in rules if not wanted.get(rule, {}).get("gpu")} == set()
