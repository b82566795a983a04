"""The plan of a study: each model once, and its steps."""

import pytest
import yaml

from frugalseg.configuration import complete
from frugalseg.plan import layer, main, steps_of, summary, with_parents


@pytest.fixture(scope="module")
def published(root):
    default = yaml.safe_load((root / "config/config.yaml").read_text())
    study = yaml.safe_load((root / "config/studies/published.yaml").read_text())
    return complete(layer(default, study), root)


def test_layering_merges_mappings_and_replaces_the_rest():
    assert layer({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "d": {"e": 2}}) == {
        "a": {"b": 1, "c": [3]},
        "d": {"e": 2},
    }


def test_parents_come_first_and_each_model_once(published):
    models = with_parents(
        [("cellpose", "cyto_to_histo_to_multi", 0), ("cellpose", "cyto_to_histo", 0), ("cellpose", "cyto", 1)],
        published,
    )
    assert [(chain, seed) for _, chain, seed in models] == [
        ("cyto", 0),
        ("cyto_to_histo", 0),
        ("cyto_to_histo_to_multi", 0),
        ("cyto", 1),
    ]


@pytest.mark.parametrize(
    ("chain", "steps"),
    [
        ("cyto", 500 * 10_063 / 8),
        ("histo_to_cyto@dq10", 500 * 1_000 / 8),  # bins of 1007 and 1006: 100 patches of each
        ("cyto_to_histo+cyto@dq5", 500 * (2_997 + 500) / 8),
        ("cyto_to_histo+cyto@dq5x25", 500 * 2_997 / 6),  # replay has a quarter of the batch to itself
    ],
)
def test_steps_follow_from_the_published_numbers_of_patches(published, chain, steps):
    counts = {"cyto": 10_063, "histo": 2_997}
    assert steps_of(("cellpose", chain, 0), published, counts) == pytest.approx(steps, abs=1)


def test_what_cannot_be_known_yet_is_said(published):
    assert steps_of(("cellpose", "cyto@few3", 0), published, {"cyto": 10_063}) is None
    assert steps_of(("cellpose", "multi", 0), published, {"cyto": 10_063}) is None


def test_the_summary_counts_each_model_once(published):
    lines = summary(published).splitlines()
    total = int(lines[-1].split()[3])
    assert total == sum(int(line.split()[2]) for line in lines[1:-1])


def test_a_wrong_config_is_told(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    study = tmp_path / "study.yaml"
    study.write_text("{patches: {strid: 3}}")
    assert main(str(study)) == 1
    assert "unknown key 'strid'" in capsys.readouterr().err
