"""The methods section: from the config, in plain English, with what it cites."""

import re

import pytest
import yaml

from frugalseg.configuration import complete
from frugalseg.plan import layer
from frugalseg.reporting.methods import to_markdown
from frugalseg.reporting.references import PAPERS
from frugalseg.reporting.words import listing, number, plain, plural


def study(root, path=None, **changes):
    config = yaml.safe_load((root / "config/config.yaml").read_text())
    if path:
        config = layer(config, yaml.safe_load((root / path).read_text()))
    return complete(layer(config, changes), root)


STUDIES = [None, "config/studies/published.yaml", "config/studies/real.yaml", "tests/workflow/tiny.yaml"]


@pytest.mark.parametrize("path", STUDIES)
def test_what_is_cited_is_listed_and_the_other_way_round(root, path):
    text, references = to_markdown(study(root, path)).split("## References")
    listed = [line.removeprefix("- ") for line in references.strip().splitlines()]
    assert listed == sorted(set(listed))
    for reference in listed:
        assert re.match(r".*?\b\d{4}\b", reference)[0] in text
    short = {re.match(r".*?\b\d{4}\b", reference)[0] for reference in listed}
    for cited in re.findall(r"[A-Z][^().;*]*?(?:et al\.|& [A-Z]\w+) \d{4}", text):
        assert any(cited.endswith(author) for author in short), cited


@pytest.mark.parametrize("path", STUDIES)
def test_the_text_is_clean(root, path):
    text = to_markdown(study(root, path))
    for slip in ("None", "{", "}", "  ", " .", " ,", "..", "((", "))", "1 patches", "one seeds", "nan"):
        assert slip not in text.split("## References")[0], slip
    for paragraph in text.split("## References")[0].split("\n\n")[1:]:
        assert not paragraph.strip() or paragraph.rstrip().endswith(".")


def test_the_default_study(root):
    text = to_markdown(study(root))
    assert "three datasets: *cyto*, synthetic images of fluorescent cells in many looks (60 for training and 15" in text
    assert "96 × 96 pixels at a stride of 48 pixels" in text
    assert "Patches with fewer than five cells were left out" in text
    assert "masked autoencoder (He et al. 2022), trained on the training patches of all datasets for 300 steps" in text
    assert "8, 16 and 32 channels" in text
    assert "for 600 steps a stage in batches of 8, with a learning rate of 0.1" in text
    assert "Each model was trained with one or two seeds." in text
    assert "(10 % and 50 %)" in text
    assert "replay filled 50 % of every batch" in text
    assert "capped at 64, 16, 4 and 1, beside CMUNeXt (Tang et al. 2024), were trained in two runs each" in text


def test_the_published_study(root):
    text = to_markdown(study(root, "config/studies/published.yaml"))
    assert "MoNuSeg 2018 (stained tissue of many organs; Kumar et al. 2020)" in text
    assert "ViT-MAE (He et al. 2022), which saw the whole patch" in text
    assert "32, 64, 128 and 256 channels" in text
    assert "for 500 epochs a stage in batches of 8" in text
    assert "The selector *dqmean* differs from *dq* in using the mean-distance gain" in text
    assert "weight decay 0.0001" in text
    assert "Where a share is given" not in text
    assert PAPERS["study"] in text


def test_numbers_follow_the_config(root):
    changed = study(root, patches={"size": 128, "stride": 32, "min_cells": 1}, recipes={"small": {"lr": 0.05}}, bins=7)
    text = to_markdown(changed)
    assert "128 × 128 pixels at a stride of 32 pixels" in text
    assert "Patches without a cell were left out of training, after coresets" in text
    assert "a learning rate of 0.05" in text
    assert "divided greedily into 7 bins" in text


def test_what_a_study_does_not_do_is_not_told(root):
    experiments = yaml.safe_load((root / "config/config.yaml").read_text())["experiments"]
    only = {name: None for name in experiments if name != "zero_shot"}
    chains = [{"chain": "cyto", "label": "all"}]
    plain_study = study(
        root, experiments={**only, "zero_shot": {"chains": chains, "seeds": [0]}}, widths={"width_cyto": None}
    )
    text = to_markdown(plain_study)
    for absent in ("**Coresets.**", "**Transfer and replay.**", "**Width.**", "Zhou et al.", "Isensee et al."):
        assert absent not in text
    assert "Each model was trained once." in text
    assert "with fewer than five cells were left out of training." in text


def test_words():
    assert listing(["a"]) == "a"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a", "b"], before_last=" or ") == "a or b"
    assert [number(1), number(12), number(13), number(1000)] == ["one", "twelve", "13", "1,000"]
    assert [plural(1, "run"), plural(2, "run")] == ["one run", "two runs"]
    assert [plain(0.00003), plain(0.1), plain(1.0)] == ["0.00003", "0.1", "1"]
