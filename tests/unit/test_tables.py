"""The long table of an experiment, the join with published values, and the readable tables made from it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers import experiment
from frugalseg.reporting.layout import lay_out
from frugalseg.reporting.tables import to_latex, to_markdown
from frugalseg.study import metrics
from frugalseg.study.kinds.experiment import GAP_CLOSED, Entry

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = REPOSITORY / "config/published/zhao2025.csv"

# Scores of three images: mean 0.6, sample standard deviation 0.2.
SCORES = (0.4, 0.6, 0.8)


@pytest.fixture
def write(tmp_path):
    """A function that writes the metrics of one run and returns (key, path)."""

    def write(entry, seed, test, **columns):
        path = tmp_path / entry.recipe / entry.chain / f"seed{seed}" / f"{test}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = len(next(iter(columns.values())))
        pd.DataFrame({"image": [f"image{i}" for i in range(length)], **columns}).to_csv(path, index=False)
        return (entry, seed, test), path

    return write


def shifted(by):
    return [score + by for score in SCORES]


def row(table, **keys):
    found = table
    for column, value in keys.items():
        found = found[found[column] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_rows_of_runs_and_over_runs(write):
    entry = Entry("cyto@random5", "small", (0, 1), {"rate": 5, "label": "random"})
    files = dict([write(entry, 0, "cyto", dice=SCORES), write(entry, 1, "cyto", dice=shifted(0.1))])

    table = experiment.tabulate("redundancy", files, ["dice"])

    assert list(table.columns) == [*experiment.COLUMNS, "rate", "label"]
    assert table["seed"].tolist() == ["0", "1", "all"]
    assert (table["experiment"] == "redundancy").all()
    np.testing.assert_allclose(table["mean"], [0.6, 0.7, 0.65])
    np.testing.assert_allclose(table["std"], [0.2, 0.2, np.std([0.6, 0.7], ddof=1)])
    assert table["n"].tolist() == [3, 3, 2]
    assert table[["published_mean", "published_std", "published_std_over"]].isna().all(axis=None)


def test_single_run_has_no_spread_over_runs(write):
    entry = Entry("cyto", "small", (0,))
    table = experiment.tabulate("e", dict([write(entry, 0, "cyto", dice=SCORES)]), ["dice"])
    overall = row(table, seed="all")
    assert np.isnan(overall["std"])
    assert overall["n"] == 1


def test_undefined_values_are_left_out_of_the_mean(write):
    entry = Entry("cyto", "small", (0, 1))
    files = dict(
        [write(entry, 0, "cyto", hd95=[2.0, np.nan, 4.0]), write(entry, 1, "cyto", hd95=[np.nan, np.nan, np.nan])]
    )
    table = experiment.tabulate("e", files, ["hd95"])
    assert row(table, seed="0")[["mean", "n"]].tolist() == [3.0, 2]
    assert np.isnan(row(table, seed="1")["mean"])
    assert row(table, seed="all")[["mean", "n"]].tolist() == [3.0, 1]


def test_published_values_stand_in_rows_over_runs_alone(write):
    known, unknown = Entry("cyto@random5", "small", (0,)), Entry("cyto@random7", "small", (0,))
    files = dict(write(entry, 0, "cyto", dice=SCORES, pq=SCORES) for entry in (known, unknown))

    table = experiment.tabulate("e", files, ["dice", "pq"], experiment.read_published(PUBLISHED, "II"))

    overall = row(table, chain="cyto@random5", metric="dice", seed="all")
    assert overall[["published_mean", "published_std", "published_std_over"]].tolist() == [0.820, 0.007, "runs"]
    # The instance metric has no published value: the paper's "panoptic quality" is of pixels.
    assert table["published_mean"].notna().sum() == 1


def test_published_csv_is_complete():
    published = pd.read_csv(PUBLISHED)
    assert list(published.columns) == experiment.PUBLISHED_COLUMNS
    assert len(published) == 462
    assert set(published["metric"]) == {"iou", "dice", "precision", "recall", "accuracy", "pq_pixel"}
    for number in ("I", "II", "III", "IV", "V", "VI", "VII", "VIII"):
        assert not experiment.read_published(PUBLISHED, number).empty


@pytest.mark.parametrize(
    ("columns", "metrics", "message"),
    [
        ({"dice": SCORES}, ["iou"], r"cyto\.csv: has no column iou"),
        ({"dice": []}, ["dice"], r"cyto\.csv: has no row"),
    ],
)
def test_bad_metrics_files_are_named(write, columns, metrics, message):
    files = dict([write(Entry("cyto", "small", (0,)), 0, "cyto", **columns)])
    with pytest.raises(ValueError, match=message):
        experiment.tabulate("e", files, metrics)


def test_bad_requests_say_what_is_wrong(tmp_path, write):
    missing = {(Entry("cyto", "small", (0,)), 0, "cyto"): tmp_path / "nowhere.csv"}
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        experiment.tabulate("e", missing, ["dice"])
    files = dict([write(Entry("cyto", "small", (0,), {"mean": 3}), 0, "cyto", dice=SCORES)])
    with pytest.raises(ValueError, match="cannot be called 'mean'"):
        experiment.tabulate("e", files, ["dice"])
    with pytest.raises(ValueError, match="no table 'IX'; its tables are I, II"):
        experiment.read_published(PUBLISHED, "IX")


def test_a_published_value_given_twice_is_refused(tmp_path):
    line = "I,cyto,cyto,iou,0.5,0.1,images\n"
    (tmp_path / "twice.csv").write_text(",".join(experiment.PUBLISHED_COLUMNS) + "\n" + line + line)
    with pytest.raises(ValueError, match=r"\('cyto', 'cyto', 'iou'\) twice"):
        experiment.read_published(tmp_path / "twice.csv", "I")


def test_every_metric_has_a_name_of_its_own():
    assert set(metrics.METRICS) == {*metrics.OF_IMAGES, GAP_CLOSED}
    assert len({metric.name for metric in metrics.METRICS.values()}) == len(metrics.METRICS)
    with pytest.raises(ValueError, match="no metric 'psnr'"):
        metrics.metric_of("psnr")


@pytest.fixture
def table(write):
    """Two rates by two selectors on one test set; random has two runs."""
    files = {}
    for rate in (1, 10):
        for selector, seeds in (("dq", (0,)), ("random", (0, 1))):
            entry = Entry(f"cyto@{selector}{rate}", "small", seeds, {"rate": rate, "selector": selector})
            for seed in seeds:
                by = 0.01 * rate + 0.1 * seed
                files |= dict(
                    [write(entry, seed, "cyto", dice=shifted(by), pq=shifted(0), iou=shifted(0), hd95=[1.0, 2, 3])]
                )
    return experiment.tabulate(
        "selectors", files, ["iou", "dice", "pq", "hd95"], experiment.read_published(PUBLISHED, "II")
    )


def test_markdown_of_rates_by_metrics_and_selectors(table):
    layout = lay_out(table, ["rate"], ["metric", "selector"], ["dice", "pq"])
    text = re.sub(" +", " ", re.sub("-+", "-", to_markdown(layout.frame, layout.names)))
    assert text.splitlines() == [
        "| Rate (%) | Values | Dice, dq | Dice, random | PQ (instance), dq | PQ (instance), random |",
        "|:-|:-|-:|-:|-:|-:|",
        "| 1 | ours | 0.610 ± 0.200 | 0.660 ± 0.200 (± 0.071) | 0.600 ± 0.200 | 0.600 ± 0.200 (± 0.000) |",
        "| | published | 0.780 ± 0.182 | 0.817 (± 0.017) | – | – |",
        "| 10 | ours | 0.700 ± 0.200 | 0.750 ± 0.200 (± 0.071) | 0.600 ± 0.200 | 0.600 ± 0.200 (± 0.000) |",
        "| | published | 0.823 ± 0.171 | 0.839 (± 0.004) | – | – |",
    ]
    assert " ".join(layout.notes) == (
        "Test images: cyto. Mean ± standard deviation over test images. In brackets: standard deviation of the mean "
        "over 2 runs; the other two are averages over the runs. Published: as printed; ± over test images, (±) over "
        "runs."
    )


def test_metrics_in_rows_keep_the_order_asked_for(table):
    layout = lay_out(table[table["selector"] == "dq"], ["metric"], ["rate"], ["hd95", "pq"])
    assert layout.frame[("Metric",)].tolist() == ["HD95 (px)", "PQ (instance)"]
    assert layout.frame.columns[1:].tolist() == [("1",), ("10",)]
    assert layout.frame.iloc[0, 1:].tolist() == ["2.0 ± 1.0", "2.0 ± 1.0"]


def test_combinations_without_an_entry_are_dashes(table):
    partial = table[~((table["rate"] == 10) & (table["selector"] == "random"))]
    layout = lay_out(partial, ["rate"], ["selector"], ["pq"])
    assert layout.frame.iloc[1, 2] == "–"
    assert "Metric: PQ (instance)." in layout.notes


def test_two_entries_in_one_cell_are_refused(table):
    with pytest.raises(
        ValueError, match=r"'cyto@dq1 small cyto dice' and 'cyto@random1 small cyto dice' fall on one cell"
    ):
        lay_out(table, ["rate"], ["metric"], ["dice"])


def test_a_field_that_an_entry_lacks_is_refused(table):
    with pytest.raises(ValueError, match="the chain 'cyto@dq1' has no field 'share'"):
        lay_out(table, ["share"], ["metric"], ["dice"])


def test_latex_has_a_header_of_two_levels_and_escapes(table):
    layout = lay_out(table, ["rate"], ["metric", "selector"], ["dice", "pq"])
    text = to_latex(layout.frame, "50 % & more", "tab", "5 % ± 1", layout.names)
    lines = text.splitlines()
    assert r"\caption{50 \% \& more}" in lines
    assert r"\begin{tabular}{llrrrr}" in lines
    header = lines.index(r"\toprule") + 1
    assert lines[header : header + 4] == [
        r"\multicolumn{2}{c}{} & \multicolumn{2}{c}{Dice} & \multicolumn{2}{c}{PQ (instance)} \\",
        r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}",
        r"Rate (\%) & Values & dq & random & dq & random \\",
        r"\midrule",
    ]
    assert r" & published & 0.780 $\pm$ 0.182 & 0.817 ($\pm$ 0.017) & -- & -- \\" in lines
    assert r"\par\smallskip{\footnotesize 5 \% $\pm$ 1}" in lines
    assert "±" not in text


def test_latex_of_one_heading_level_has_plain_headings(table):
    layout = lay_out(table, ["rate", "selector"], ["metric"], ["pq"])
    lines = to_latex(layout.frame, "Caption", "tab", "", layout.names).splitlines()
    assert lines[lines.index(r"\toprule") + 1] == r"Rate (\%) & Selector & PQ (instance) \\"
    assert not any("cmidrule" in line for line in lines)
