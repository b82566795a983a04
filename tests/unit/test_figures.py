"""Figures: what is drawn where, and that files are the same bytes every time."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from frugalseg.answers.experiment import COLUMNS
from frugalseg.answers.experiment_figure import draw
from frugalseg.answers.looks.colours import to_rgb
from frugalseg.answers.looks.features import _subsample, draw_features, project
from frugalseg.answers.looks.patches import draw_patches
from frugalseg.answers.looks.segmentations import draw_segmentations, outlines
from frugalseg.reporting import style
from frugalseg.reporting.layout import ALL_SEEDS

RATES = (0, 1, 10, 100)

curve, bars = (partial(draw, kind=kind) for kind in ("curve", "bars"))


def make_table(runs=2, tests=("cyto", "histo"), metrics=("dice", "pq"), published=True):
    """A table whose mean tells rate, selector, test and metric apart."""
    rows = []
    for rate in RATES:
        for selector in ("dq", "random"):
            for test in tests:
                for metric in metrics:
                    known = {"experiment": "e", "recipe": "small", "chain": f"cyto@{selector}{rate}"}
                    known |= {"test": test, "metric": metric, "rate": rate, "selector": selector}
                    mean = (
                        0.5 + rate / 1000 + 0.1 * (selector == "dq") + 0.05 * (metric == "pq") + 0.2 * (test == "cyto")
                    )
                    means = [mean + 0.01 * seed for seed in range(runs)]
                    rows += [
                        known | {"seed": str(seed), "mean": value, "std": 0.3, "n": 9}
                        for seed, value in enumerate(means)
                    ]
                    std = np.std(means, ddof=1) if runs > 1 else np.nan
                    rows.append(
                        known
                        | {"seed": ALL_SEEDS, "mean": np.mean(means), "std": std, "n": runs}
                        | {"published_mean": 0.7 if published and metric == "dice" else np.nan}
                    )
    return pd.DataFrame(rows).reindex(columns=[*COLUMNS, "rate", "selector"])


def our_lines(ax):
    """Lines of our means: neither published (open marks) nor marks of single runs (no line)."""
    lines = [line for line in ax.lines if line.get_linestyle() != "None" and len(line.get_xdata())]
    return [line for line in lines if line.get_markerfacecolor() != "white"]


def published_lines(ax):
    return [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_curve_draws_each_hue_in_a_panel_of_its_test_and_metric():
    figure = curve(make_table(), x="rate", metrics=["pq", "dice"], hue="selector")
    panels = [(ax.get_title("left"), ax.get_ylabel()) for ax in figure.axes]
    assert panels == [
        ("Tested on cyto", "PQ (instance)"),
        ("Tested on cyto", "Dice"),
        ("Tested on histo", "PQ (instance)"),
        ("Tested on histo", "Dice"),
    ]
    dq = our_lines(figure.axes[1])[0]
    np.testing.assert_array_equal(dq.get_xdata(), RATES)
    np.testing.assert_allclose(dq.get_ydata(), [0.805 + rate / 1000 for rate in RATES])
    assert len({line.get_marker() for line in our_lines(figure.axes[0])}) == 2
    assert legend_texts(figure) == ["dq", "random", "published"]


def test_curve_shows_published_values_where_there_are_some():
    figure = curve(make_table(), x="rate", metrics=["pq", "dice"], hue="selector")
    assert [len(published_lines(ax)) for ax in figure.axes] == [0, 2, 0, 2]
    np.testing.assert_array_equal(published_lines(figure.axes[1])[0].get_ydata(), [0.7] * 4)
    figure = curve(make_table(published=False), x="rate", metrics=["dice"], hue="selector")
    assert "published" not in legend_texts(figure)


def test_hue_by_test_and_selector_needs_one_panel_a_metric():
    figure = curve(make_table(published=False), x="rate", metrics=["dice"], hue=["test", "selector"])
    assert len(figure.axes) == 1
    assert legend_texts(figure)[:2] == ["tested on cyto, dq", "tested on cyto, random"]


def test_zero_has_a_place_on_a_logarithmic_axis():
    figure = curve(make_table(), x="rate", metrics=["dice"], hue="selector")
    ax = figure.axes[0]
    assert ax.get_xscale() == "symlog"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "10", "100"]
    figure = curve(make_table().query("rate > 0"), x="rate", metrics=["dice"], hue="selector")
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("runs", "error", "note"),
    [
        (1, 0.3 / 3, "standard error over test images"),
        (2, np.std([0, 0.01], ddof=1), "standard deviation over 2 runs"),
    ],
)
def test_the_spread_is_of_one_kind_and_said(runs, error, note):
    table = make_table(runs=runs, tests=["cyto"])
    band = curve(table, x="rate", metrics=["dice"], hue="selector")
    assert band._supxlabel.get_text() == f"Test images: cyto. Bands: ± {note}."
    points = band.axes[0].collections[0].get_paths()[0].vertices
    at_zero = points[points[:, 0] == 0, 1]
    assert at_zero.max() - at_zero.min() == pytest.approx(2 * error)
    bar = bars(table, x="rate", metrics=["dice"], hue="selector")
    assert bar._supxlabel.get_text() == f"Test images: cyto. Error bars: ± {note}."


def test_one_model_trained_once_keeps_runs_out_of_the_spread():
    table = make_table(tests=["cyto"])
    single = (table["chain"] == "cyto@dq1") & (table["seed"] == ALL_SEEDS)
    table.loc[single, "n"] = 1
    figure = curve(table, x="rate", metrics=["dice"], hue="selector")
    assert "standard error over test images" in figure._supxlabel.get_text()


def test_bars_stand_side_by_side_with_hatches():
    figure = bars(make_table(runs=1), x="metric", metrics=["dice", "pq"], hue=["selector", "rate"])
    assert [ax.get_title("left") for ax in figure.axes] == ["Tested on cyto", "Tested on histo"]
    ax = figure.axes[1]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["Dice", "PQ (instance)"]
    lefts = sorted(bar.get_x() for bar in ax.patches)
    assert len(lefts) == 16
    assert np.diff(lefts).min() == pytest.approx(0.1)
    assert len({bar.get_hatch() for bar in ax.patches}) == 8
    heights = {round(bar.get_height(), 3) for bar in ax.patches}
    assert {0.6, 0.65, 0.5, 0.55} <= heights


def test_entries_that_cannot_be_told_apart_are_refused():
    for drawn in (curve, bars):
        with pytest.raises(ValueError, match="'cyto@random0' falls on the same point"):
            drawn(make_table(), x="rate", metrics=["dice"], hue="test")


def test_bad_fields_and_kinds_say_what_is_wrong():
    with pytest.raises(ValueError, match="'cyto@dq0' has no field 'share'"):
        draw(make_table(), kind="curve", x="share", metrics=["dice"])
    with pytest.raises(ValueError, match="needs numbers to be drawn over, but the field 'selector' has 'dq'"):
        draw(make_table(), kind="curve", x="selector", metrics=["dice"], hue="rate")
    with pytest.raises(ValueError, match="no figure of the kind 'pie'"):
        draw(make_table(), kind="pie", x="rate", metrics=["dice"])


def make_shots(zero_seeds=1, full_seeds=1):
    """A table of few shots: one run without any and with all, three draws between, one draw a row of images."""
    rows = []
    for network, base in (("UCell", 0.3), ("Cellpose", 0.2)):
        for shots, seeds in ((0, zero_seeds), (1, 3), (5, 3), ("all", full_seeds)):
            for metric in ("ap_50", "gap_closed"):
                if metric == "gap_closed" and shots in (0, "all"):
                    continue
                known = {"experiment": "few", "recipe": "small", "chain": f"{network}@few{shots}", "test": "histo"}
                known |= {"metric": metric, "shots": shots, "network": network}
                mean = {0: 0.0, 1: 0.15, 5: 0.25, "all": 0.4}[shots]
                means = [(base if metric == "ap_50" else 0.2) + mean + 0.02 * seed for seed in range(seeds)]
                std = np.std(means, ddof=1) if seeds > 1 else np.nan
                over_images = 0.3 if metric == "ap_50" else np.nan
                rows += [
                    known | {"seed": str(seed), "mean": value, "std": over_images, "n": 9}
                    for seed, value in enumerate(means)
                ]
                rows.append(known | {"seed": ALL_SEEDS, "mean": np.mean(means), "std": std, "n": seeds})
    return pd.DataFrame(rows).reindex(columns=[*COLUMNS, "shots", "network"])


GAP = {"field": "shots", "from": 0, "to": "all", "metric": "ap_50"}
SHOTS = {"x": "shots", "metrics": ["ap_50", "gap_closed"], "hue": "network", "gap": GAP}


def test_words_among_numbers_are_levels():
    figure = curve(make_shots(), **SHOTS)
    scores, closed = figure.axes
    across = [
        line for line in scores.lines if list(line.get_xdata()) == [0, 1] and line.get_ydata()[0] == line.get_ydata()[1]
    ]
    assert [line.get_ydata()[0] for line in across] == pytest.approx([0.7, 0.6])
    assert [line.get_color() for line in across] == list(style.COLOURS[:2])
    curves = [line for line in our_lines(scores) if line not in across]
    np.testing.assert_array_equal(curves[0].get_xdata(), [0, 1, 5])
    np.testing.assert_allclose(curves[0].get_ydata(), [0.3, 0.47, 0.57])
    np.testing.assert_array_equal(our_lines(closed)[0].get_xdata(), [1, 5])
    assert len(our_lines(closed)) == 2
    assert legend_texts(figure) == ["UCell", "Cellpose", "Shots: all"]
    assert [text.get_text() for text in scores.get_xticklabels()] == ["0", "1", "5"]


def test_the_ends_of_a_gap_need_no_runs_of_their_own():
    said = "Test images: histo. Bands: ± standard deviation over 3 runs."
    assert curve(make_shots(), **SHOTS)._supxlabel.get_text() == said
    without = curve(make_shots(), **{**SHOTS, "gap": None})
    assert "standard error over test images" in without._supxlabel.get_text()
    numbers = make_shots()
    numbers["shots"] = numbers["shots"].replace("all", 100).astype(float)
    assert curve(numbers, **{**SHOTS, "gap": {**GAP, "to": 100}})._supxlabel.get_text() == said
    grouped = bars(make_shots(), **SHOTS)
    assert grouped._supxlabel.get_text() == "Test images: histo. Error bars: ± standard deviation over 3 runs."


def test_a_gap_that_is_not_open_does_not_change_the_spread():
    table = make_shots()
    shut = (table["metric"] == "gap_closed") & (table["network"] == "UCell")
    table.loc[shut, ["mean", "std"]] = np.nan
    table.loc[shut & (table["seed"] == ALL_SEEDS), "n"] = 0
    assert "standard deviation over 3 runs" in curve(table, **SHOTS)._supxlabel.get_text()


def test_the_axis_of_what_networks_cost_is_logarithmic_and_labelled_for_people():
    table = make_table(published=False)
    table["parameters"] = table["rate"].map(dict(zip(RATES, [118_000, 1_200_000, 7_180_000, 26_410_000], strict=True)))
    ax = curve(table, x="parameters", metrics=["dice"], hue="selector").axes[0]
    assert ax.get_xscale() == "log"
    assert shown_ticks(ax) == ["100 k", "1 M", "10 M"]
    assert ax.get_xlabel() == "Parameters"
    near = table[table["rate"] >= 10]
    assert shown_ticks(curve(near, x="parameters", metrics=["dice"], hue="selector").axes[0]) == [
        "10 M",
        "20 M",
    ]


def shown_ticks(ax):
    low, high = ax.get_xlim()
    return [ax.xaxis.get_major_formatter()(value, None) for value in ax.get_xticks() if low <= value <= high]


def gradient(*shape):
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def cells():
    labels = np.zeros((40, 30), dtype=np.int32)
    labels[5:15, 5:15] = 1
    labels[20:30, 10:20] = 3
    return labels


def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 8)), np.arange(60) % 3


DRAWN = {
    "curve": lambda: draw(make_table(), kind="curve", x="rate", metrics=["dice"], hue="selector"),
    "shots": lambda: draw(make_shots(), kind="curve", **SHOTS),
    "bars": lambda: draw(make_table(), kind="bars", x="metric", metrics=["dice"], hue=["selector", "rate"]),
    "patches": lambda: draw_patches(gradient(50, 1, 8, 8), {"dq": np.arange(45), "random": np.arange(2)}),
    "features": lambda: draw_features(*features(), {"dq": np.arange(5), "random": np.arange(5, 9)}, seed=0),
    "segmentations": lambda: draw_segmentations({"image": gradient(1, 40, 30)}, [cells()], {"cyto": [cells() * 0]}),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_files_are_the_same_bytes_every_time(tmp_path, kind):
    written = []
    for time in ("first", "second"):
        paths = [tmp_path / f"{time}.png", tmp_path / f"{time}.svg"]
        style.save(DRAWN[kind](), *paths)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert not list(tmp_path.glob("*.partial"))
    with Image.open(tmp_path / "first.png") as image:
        assert image.info["dpi"][0] == pytest.approx(150, abs=0.1)
        assert min(image.size) > 100
    assert b"<svg" in written[0][1]
    assert b"<dc:date>" not in written[0][1]


def test_only_png_and_svg_are_written(tmp_path):
    with pytest.raises(ValueError, match=r"figure\.pdf: figures are written as"):
        style.save(Figure(), tmp_path / "figure.pdf")


def test_patches_are_evenly_spaced_picks_in_reading_order():
    images = np.broadcast_to(np.arange(80, dtype=np.float32)[:, None, None, None] / 80, (80, 1, 4, 4))
    figure = draw_patches(images, {"dq": np.arange(72) + 1, "random": np.array([3, 1])})
    sheet = figure.axes[0].images[0].get_array()
    step = 4 + 4
    assert sheet.shape == (6 * step - 4, 6 * step - 4, 3)
    shown = (sheet[::step, ::step, 0] * 80).round().astype(int).ravel().tolist()
    assert shown == list(range(1, 73, 2))
    assert figure.axes[0].get_title() == "dq (36 of 72 patches)"
    few = figure.axes[1].images[0].get_array()
    assert (few[0, ::step, 0] * 80).round().astype(int).tolist() == [3, 1, 80, 80, 80, 80]
    with pytest.raises(ValueError, match="dq: there is no pick"):
        draw_patches(images, {"dq": np.array([], dtype=int)})


def test_channels_become_colours():
    one = np.array([[[-1.0, 0.5, 2.0]]])
    np.testing.assert_array_equal(to_rgb(one)[0], [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]])
    two = np.array([[[1.0, 0.0]], [[0.0, 0.25]]])
    np.testing.assert_array_equal(to_rgb(two)[0], [[0, 1, 0], [0.25, 0, 0.25]])
    empty_second = np.array([[[0.5]], [[0.0]]])
    np.testing.assert_array_equal(to_rgb(empty_second)[0], [[0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match="not 4"):
        to_rgb(np.zeros((4, 2, 2)))


def test_projection_separates_what_is_apart_and_repeats():
    rng = np.random.default_rng(0)
    far = np.concatenate([rng.normal(0, 1, (30, 5)), rng.normal(50, 1, (30, 5))])
    plane = project(far, seed=0)
    assert plane.shape == (60, 2)
    near, apart = np.linalg.norm(plane[:30] - plane[:30].mean(0), axis=1), plane[:30].mean(0) - plane[30:].mean(0)
    assert near.max() < np.linalg.norm(apart)
    np.testing.assert_array_equal(plane, project(far, seed=0))


def test_subsample_keeps_the_picks_and_the_limit():
    picks = {"dq": np.arange(200), "random": np.array([7, 950])}
    points, shown = _subsample(1000, picks, 100, np.random.default_rng(0))
    assert len(points) == len(set(points)) == 100
    assert len(shown["dq"]) == 25
    assert set(shown["dq"]) <= set(picks["dq"])
    assert set(np.concatenate(list(shown.values()))) <= set(points)
    again, _ = _subsample(1000, picks, 100, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)
    points, shown = _subsample(1000, picks, 1000, np.random.default_rng(0))
    assert len(points) == 1000
    assert shown == picks


def test_features_and_bins_must_fit():
    with pytest.raises(ValueError, match="5 rows of features for 4 patches"):
        draw_features(np.zeros((5, 2)), np.zeros(4, dtype=int), {"dq": np.array([0])}, seed=0)
    with pytest.raises(ValueError, match="four patches or more, not 3"):
        draw_features(np.zeros((3, 2)), np.zeros(3, dtype=int), {"dq": np.array([0])}, seed=0)


def test_outlines_run_around_each_cell():
    lines = outlines(cells())
    assert len(lines) == 2
    for line, (y, x) in zip(lines, [(5, 5), (20, 10)], strict=True):
        np.testing.assert_array_equal(line[0], line[-1])
        np.testing.assert_allclose(line.min(0), [x - 0.5, y - 0.5])
        np.testing.assert_allclose(line.max(0), [x + 9.5, y + 9.5])
    assert outlines(np.zeros((4, 4), dtype=np.int32)) == []


def test_segmentations_say_cells_and_scores():
    missing = np.where(cells() == 1, 1, 0)
    figure = draw_segmentations(
        {"a": gradient(1, 40, 30), "b": gradient(2, 40, 30)}, [cells(), cells()], {"cyto": [cells(), missing]}
    )
    below = [ax.get_xlabel() for ax in figure.axes]
    assert below == ["2 cells", "AP 1.00, Dice 1.00", "2 cells", "AP 0.50, Dice 0.67"]
    assert [ax.get_title() for ax in figure.axes] == ["Truth", "cyto", "", ""]
    assert [len(ax.collections[0].get_paths()) for ax in figure.axes] == [2, 2, 2, 1]


def test_segmentations_that_changed_say_by_how_much():
    missing = np.where(cells() == 1, 1, 0)
    figure = draw_segmentations(
        {"a": gradient(1, 40, 30)},
        [cells()],
        {"cyto": [cells()], "cyto_to_histo": [missing]},
        changed={"from": "cyto", "to": "cyto_to_histo", "metric": "pq"},
    )
    # One of two cells is found, its outline exactly: SQ 1, RQ 2/3.
    below = [ax.get_xlabel() for ax in figure.axes]
    assert below == ["2 cells", "PQ (instance) 1.00", "PQ (instance) 0.67 (\N{MINUS SIGN}0.33)"]


def test_large_images_are_cut_to_their_middle():
    figure = draw_segmentations({"a": gradient(1, 40, 30)}, [cells()], {"cyto": [cells()]}, window=20)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), to_rgb(gradient(1, 40, 30)[:, 10:30, 5:25]))


def test_segmentations_that_do_not_fit_are_refused():
    images = {"a": gradient(1, 40, 30)}
    with pytest.raises(ValueError, match="cyto: there are 2 label images for 1 images"):
        draw_segmentations(images, [cells()], {"cyto": [cells(), cells()]})
    with pytest.raises(ValueError, match=r"cyto: labels of a are \(30, 40\)"):
        draw_segmentations(images, [cells()], {"cyto": [cells().T]})
