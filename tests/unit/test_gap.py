"""What few shots close of the gap between none and all: the groups, the rows of the table, and what is said below it."""

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers.answer import Asked
from frugalseg.answers.experiment import COLUMNS, add_gap_closed, answer, gap_notes, tabulate
from frugalseg.reporting.layout import lay_out
from frugalseg.study.kinds.experiment import expand, gaps, requests
from frugalseg.study.metrics import OF_IMAGES

EXPERIMENT = {
    "title": "Few shots",
    "chains": [
        {"chain": "fluo", "fields": {"shots": 0}, "seeds": [0]},
        {"chain": "fluo_to_histo@few{shots}", "lists": {"shots": [1, 5]}, "label": "{shots} shots"},
        {"chain": "histo", "fields": {"shots": "all"}},
    ],
    "tests": ["histo", "fluo"],
    "recipe": "small",
    "seeds": [0, 1],
    "metrics": ["ap_50", "gap_closed"],
    "pivot": {"rows": ["shots"], "columns": ["test", "metric"]},
    "gap": {"field": "shots", "from": 0, "to": "all", "metric": "ap_50"},
}
BY_RECIPE = {
    **EXPERIMENT,
    "chains": [
        {**item, "recipe": recipe, "fields": {**item.get("fields", {}), "network": recipe}}
        for recipe in ("small", "large")
        for item in EXPERIMENT["chains"]
    ],
    "pivot": {"rows": ["network", "shots"], "columns": ["test", "metric"]},
}
# Of every chain on histo; on fluo the other way round, so that there is no gap to close.
MEANS = {"fluo": 0.2, "fluo_to_histo@few1": 0.35, "fluo_to_histo@few5": 0.5, "histo": 0.7}


def score(entry, seed, test):
    mean = MEANS[entry.chain] + 0.02 * seed + 0.1 * (entry.recipe == "large") * (entry.chain == "histo")
    return mean if test == "histo" else 1 - mean


def files_of(experiment, folder):
    files = {}
    for entry, seed, test in requests(experiment):
        path = folder / entry.recipe / entry.chain / f"seed{seed}" / f"{test}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        images = score(entry, seed, test) + np.array([-0.1, 0.0, 0.1])
        pd.DataFrame({"image": list("abc"), "ap_50": images, "dice": 0.5}).to_csv(path, index=False)
        files[entry, seed, test] = path
    return files


def table_of(experiment, folder):
    table = tabulate("few", files_of(experiment, folder), ["ap_50", "dice"])
    return add_gap_closed(table, gaps("few", experiment), "ap_50")


def test_every_run_closes_what_its_score_says(tmp_path):
    table = table_of(BY_RECIPE, tmp_path)
    closed = table[(table["metric"] == "gap_closed") & (table["test"] == "histo")]
    runs = closed[closed["seed"] != "all"]
    assert len(runs) == 2 * 2 * 2
    entries = {(entry.recipe, entry.chain): entry for entry in expand(BY_RECIPE)}
    for row in runs.itertuples():
        start = score(entries[row.recipe, "fluo"], 0, "histo")
        end = np.mean([score(entries[row.recipe, "histo"], seed, "histo") for seed in (0, 1)])
        mine = score(entries[row.recipe, row.chain], int(row.seed), "histo")
        assert row.mean == pytest.approx((mine - start) / (end - start))
        assert np.isnan(row.std)
        assert row.n == 3
    for row in closed[closed["seed"] == "all"].itertuples():
        means = runs[(runs["recipe"] == row.recipe) & (runs["chain"] == row.chain)]["mean"]
        assert (row.mean, row.std, row.n) == pytest.approx((means.mean(), np.std(means, ddof=1), 2))
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS


def test_the_ends_close_nothing_themselves_and_scores_stay(tmp_path):
    table = table_of(EXPERIMENT, tmp_path)
    assert set(table.loc[table["metric"] == "gap_closed", "shots"]) == {1, 5}
    before = tabulate("few", files_of(EXPERIMENT, tmp_path), ["ap_50", "dice"])
    pd.testing.assert_frame_equal(table.iloc[: len(before)], before, check_dtype=False)


def test_a_gap_that_is_not_open_is_told(tmp_path):
    table, groups = table_of(BY_RECIPE, tmp_path), gaps("few", BY_RECIPE)
    shut = table[(table["metric"] == "gap_closed") & (table["test"] == "fluo")]
    assert len(shut) == 2 * 2 * 3
    assert shut["mean"].isna().all()
    assert gap_notes(table, groups, BY_RECIPE["gap"]) == [
        "Gap closed: share of the way from shots 0 (0) to shots all (1) in AP at IoU 0.5, both ends averaged over their runs.",
        "There is no gap to close on fluo and with network small: 0.800 with shots 0, 0.290 with shots all.",
        "There is no gap to close on fluo and with network large: 0.800 with shots 0, 0.190 with shots all.",
    ]


def test_the_readable_table_shows_it(tmp_path):
    table = table_of(EXPERIMENT, tmp_path)
    readable = lay_out(table, ["shots"], ["test", "metric"], ["ap_50", "gap_closed"], notes=["A note."])
    assert readable.frame[("", "Shots")].tolist() == ["0", "1", "5", "all"]
    assert readable.frame.columns[2] == ("histo", "Gap closed")
    start, end = 0.2, 0.71
    one = [(value - start) / (end - start) for value in (0.35, 0.37)]
    assert readable.frame.iloc[:2, 2].tolist() == ["–", f"{np.mean(one):.3f} (± {np.std(one, ddof=1):.3f})"]
    assert readable.frame.iloc[:, 4].tolist() == ["–"] * 4
    assert readable.notes[-1] == "A note."


def test_a_group_without_an_end_is_told_with_what_to_add():
    chains = [item for item in BY_RECIPE["chains"] if (item["recipe"], item["chain"]) != ("large", "histo")]
    with pytest.raises(
        ValueError, match=r"questions\.few\.gap: of the chains with network large none has shots all; .*"
    ):
        gaps("few", {**BY_RECIPE, "chains": chains})
    with pytest.raises(ValueError, match=r"with 'fields: \{shots: 0, network: small\}'"):
        gaps("few", {**BY_RECIPE, "chains": BY_RECIPE["chains"][1:]})
    with pytest.raises(ValueError, match="of the chains none has shots 0"):
        gaps("few", {**EXPERIMENT, "chains": EXPERIMENT["chains"][1:]})
    with pytest.raises(ValueError, match="'shots', which the chain 'multi' does not have"):
        gaps("few", {**EXPERIMENT, "chains": [*EXPERIMENT["chains"], "multi"]})


def test_an_experiment_without_a_gap_has_none():
    assert gaps("few", {key: value for key, value in EXPERIMENT.items() if key != "gap"}) == []


def test_the_answer_has_the_table_the_page_the_figure_and_latex(tmp_path):
    block = {**EXPERIMENT, "caption": "Of cells.", "figure": {"kind": "curve", "x": "shots", "metrics": ["ap_50"]}}
    files = files_of(EXPERIMENT, tmp_path)
    metrics = {((entry.recipe, entry.chain, seed), test): path for (entry, seed, test), path in files.items()}
    for path in files.values():
        pd.read_csv(path).reindex(columns=["image", *OF_IMAGES]).to_csv(path, index=False)
    found = answer(Asked("few", block, metrics))
    assert set(found.table["metric"]) == {*OF_IMAGES, "gap_closed"}
    lines = found.text.splitlines()
    assert lines[:3] == ["# Few shots", "", "Of cells."]
    assert lines[-1].endswith("There is no gap to close on fluo: 0.800 with shots 0, 0.290 with shots all.")
    assert r"\caption{Few shots. Of cells.}" in found.tex
    assert r"\label{tab:few}" in found.tex
    assert [ax.get_title("left") for ax in found.figure.axes] == ["Tested on histo", "Tested on fluo"]
