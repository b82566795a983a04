"""The report of a width scan, on made-up scores and metrics whose answers are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from frugalseg.answers.answer import Asked
from frugalseg.answers.widths import analyse, answer, read_published, sentences, to_page, to_tex
from frugalseg.answers.widths_figure import draw_widths

ROOT = Path(__file__).resolve().parents[2]
CAPS = [64, 32, 16, 8, 4, 2, 1]
#: A plateau down to 8, then a collapse. Scaled to 0..1 the differences are 0.01, 0.01, 0.01, 0.49, 0.32, 0.16, so the
#: published rule scores 0.187, 0.235 and 0.193 for 32, 16 and 8: the difference at 8 counts on both sides.
SENSITIVITY = dict(zip(CAPS, [1.0, 0.99, 0.98, 0.97, 0.5, 0.2, 0.05], strict=True))
DICE = dict(zip(CAPS, [0.90, 0.90, 0.90, 0.895, 0.80, 0.60, 0.30], strict=True))
BLOCK = {
    "title": "A scan",
    "caption": "",
    "dataset": "cyto",
    "crop": 64,
    "caps": CAPS,
    "draws": 200,
    "training": {"recipe": "foreground", "peers": ["tinyunet"], "seeds": [0, 1], "margin": 0.02},
}


@pytest.fixture
def scores():
    random = np.random.default_rng(0)
    rows = [
        {"score": "sensitivity", "cap": cap, "seed": seed, "image": image, "value": value * random.uniform(0.99, 1.01)}
        for cap, value in SENSITIVITY.items()
        for seed in range(5)
        for image in range(4)
    ]
    rows += [
        {"score": "parameter_count", "cap": cap, "seed": seed, "image": -1, "value": 9.0 * cap**2}
        for cap in CAPS
        for seed in range(5)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def networks():
    rows = [{"network": f"cap{cap}", "cap": cap, "parameters": 9 * cap**2, "flops": 1e6 * cap**2} for cap in CAPS]
    return pd.DataFrame([*rows, {"network": "tinyunet", "cap": np.nan, "parameters": 480_000, "flops": 1e9}])


@pytest.fixture
def metrics(tmp_path):
    random = np.random.default_rng(1)
    difficulty = random.uniform(-0.05, 0.05, 12)
    dice_of = {f"cap{cap}": dice for cap, dice in DICE.items()} | {"tinyunet": 0.7}
    files = {}
    for network, dice in dice_of.items():
        for seed in (0, 1):
            path = tmp_path / f"{network}-{seed}.csv"
            values = dice + difficulty + random.normal(0, 0.002, 12)
            pd.DataFrame({"image": range(12), "dice": values, "hd95": 10 * (1 - values)}).to_csv(path, index=False)
            files[f"foreground-{network}", "cyto", seed] = path
    return files


def test_choice_edge_and_distance_are_those_built_in(scores, networks, metrics):
    found = analyse(scores, networks, BLOCK, metrics)
    free, published = (
        found.choices[found.choices["rule"] == rule].set_index("score") for rule in ("free", "published")
    )
    assert published.loc["sensitivity", "choice"] == 16
    assert published.loc["sensitivity", "octaves_off"] == 1
    assert published.loc["sensitivity", "seeds"] == "16: 5"
    assert free.loc["sensitivity", "choice"] == 8
    assert free.loc["sensitivity", "octaves_off"] == 0
    assert np.isnan(published.loc["parameter_count", "share_of_draws"])
    assert any("edge of the plateau at the cap 8" in sentence for sentence in sentences(found))


def test_a_score_that_is_not_finite_or_constant_is_left_out_and_sizes_are_compared_by_their_logarithm(
    scores, networks, metrics
):
    broken = scores[scores["score"] == "sensitivity"].assign(score="naswot")
    broken.loc[broken["cap"] == 1, "value"] = -np.inf
    saturated = scores[scores["score"] == "sensitivity"].assign(score="swap", value=65_536.0)
    found = analyse(pd.concat([scores, broken, saturated]), networks, BLOCK, metrics).choices
    assert set(found["score"]) == {"sensitivity", "parameter_count"}
    row = found[found["score"] == "parameter_count"].iloc[0]
    dice = [
        np.mean([pd.read_csv(metrics[f"foreground-cap{cap}", "cyto", seed])["dice"] for seed in (0, 1)]) for cap in CAPS
    ]
    assert row["pearson"] == pytest.approx(np.corrcoef(np.log(CAPS), dice)[0, 1])


def test_the_networks_have_their_scores_and_the_largest_has_no_test(scores, networks, metrics):
    table = analyse(scores, networks, BLOCK, metrics).networks.set_index("network")
    assert table.loc["cap64", "dice"] == pytest.approx(0.9, abs=0.02)
    assert table.loc[["cap64", "tinyunet"], "p"].isna().all()
    assert table.loc["cap8", "not_worse"]
    assert not table.loc["cap4", "not_worse"]
    assert table.loc["cap4", "loss"] == pytest.approx(0.1, abs=0.005)
    files = [pd.read_csv(path) for (recipe, _, _), path in metrics.items() if recipe == "foreground-cap2"]
    over_images = pd.concat(files).groupby("image")["dice"].mean().std(ddof=1)
    assert table.loc["cap2", "dice_std_images"] == pytest.approx(over_images)


def test_a_scan_without_training_says_what_it_can(scores, networks):
    block = {key: value for key, value in BLOCK.items() if key != "training"}
    found = analyse(scores, networks, block, {})
    assert found.accuracy.empty
    text = to_page(block, found)
    assert "The published rule chooses the cap 16" in text
    assert "Dice" not in text
    figure = draw_widths(scores, networks, found.choices, found.accuracy)
    assert len(figure.axes) == 2


def test_pure_noise_cannot_be_told_from_the_null(networks):
    random = np.random.default_rng(3)
    rows = [
        {"score": "sensitivity", "cap": cap, "seed": seed, "image": 0, "value": np.exp(random.normal())}
        for cap in CAPS
        for seed in range(5)
    ]
    block = {key: value for key, value in BLOCK.items() if key != "training"}
    found = analyse(pd.DataFrame(rows), networks, block, {})
    assert (found.choices["null_p"] > 0.05).all()
    assert any("cannot be told" in sentence for sentence in sentences(found))


@pytest.fixture
def published(tmp_path):
    table = tmp_path / "published.csv"
    table.write_text(
        "dataset,model,chosen_cap,params_k,dice,dice_std,hd95,hd95_std\nX,XTinyU-Net,8,20.39,90.6,7.6,14.7,\n"
    )
    return table


def test_latex_table_shows_who_chose_a_width_and_published_values_in_our_units(scores, networks, metrics, published):
    found = analyse(scores, networks, BLOCK, metrics)
    text = to_tex(BLOCK, found, read_published(published, "X"), "tab:width")
    lines = text.splitlines()
    chosen = next(line for line in lines if line.startswith("cap16 &"))
    assert "sensitivity" in chosen.split(" & ")[1]
    theirs = next(line for line in lines if line.startswith("XTinyU-Net (cap 8)"))
    assert theirs.split(" & ")[2:6] == ["20,390", "--", r"0.906 $\pm$ 0.076", r"14.7 $\pm$ --"]
    columns = {line.count(" & ") for line in lines if line.endswith(r"\\") and "multicolumn" not in line}
    assert columns == {7}
    untrained = analyse(scores, networks, BLOCK, {})
    lines = to_tex(BLOCK, untrained, read_published(published, "X")).splitlines()
    assert {line.count(" & ") for line in lines if line.endswith(r"\\") and "multicolumn" not in line} == {3}


def test_published_widths_can_be_read_for_every_dataset_that_a_study_names():
    study = yaml.safe_load((ROOT / "config/studies/kimbowa2026.yaml").read_text(encoding="utf-8"))
    named = [block["published"] for block in study["questions"].values()]
    tables = [read_published(ROOT / block["file"], block["dataset"]) for block in named]
    assert [set(table["model"]) for table in tables] == [
        {"XTinyU-Net", "nnU-Net", "UNeXt", "CMUNeXt-S", "TinyUNet"}
    ] * 3


def test_page_and_figure_show_the_trained_networks(scores, networks, metrics, published):
    found = analyse(scores, networks, BLOCK, metrics)
    text = to_page(BLOCK, found, read_published(published, "X"))
    for part in ("| cap8 |", "| tinyunet | | 480,000 |", "XTinyU-Net (cap 8)", "| sensitivity | published | 16 |"):
        assert part in text
    with pytest.raises(ValueError, match="no dataset 'Y'; it has X"):
        read_published(published, "Y")
    figure = draw_widths(scores, networks, found.choices, found.accuracy, 8)
    assert [len(axes.lines) > 0 for axes in figure.axes] == [True] * 4


def test_the_answer_is_made_of_files(scores, networks, metrics, published, tmp_path):
    scores.to_csv(tmp_path / "scores.csv", index=False)
    networks.to_csv(tmp_path / "networks.csv", index=False)
    files = {"scores": [tmp_path / "scores.csv"], "networks": [tmp_path / "networks.csv"], "published": [published]}
    block = {**BLOCK, "published": {"file": "published.csv", "dataset": "X"}}
    found = answer(Asked("scan", block, {(model, "cyto"): path for model, path in metrics.items()}, files=files))
    assert found.table["network"].tolist() == [f"cap{cap}" for cap in CAPS] + ["tinyunet"]
    assert list(found.tables) == ["choices", "accuracy"]
    assert "## Published values" in found.text
    assert r"\label{tab:scan}" in found.tex
    assert len(found.figure.axes) == 4
