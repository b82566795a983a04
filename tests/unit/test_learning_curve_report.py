"""How many more, from files to sentences, tables and figures, on made-up metrics whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers.answer import Asked
from frugalseg.answers.learning_curve import (
    answer,
    decide,
    draw_learning_curve,
    image_shares,
    read_curve,
    sentences,
    stop_rule,
    to_markdown,
    to_table,
)
from frugalseg.reporting import style
from frugalseg.selection import select
from frugalseg.selection.coresets import save
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.learning_curve import Doubling, Forecast
from frugalseg.study.kinds.learning_curve import curve_chains, curve_models

CELLS = [10 * (number + 1) for number in range(32)]
#: Patches of each image: two of some, three of the others.
PATCHES = [f"i{number}" for number in range(32) for _ in range(2 + number % 2)]


def block(**changes):
    return {
        "title": "How many more?",
        "caption": "A caption.",
        "dataset": "fluo",
        "selector": "few",
        "numbers": [4, 1, 2, 16, 8],
        "test": "fluo",
        "recipe": "small",
        "seeds": [0, 1, 2],
        "metric": "ap",
        "margin": 0.02,
        "draws": 400,
    } | changes


@pytest.fixture
def files(tmp_path):
    """Files of a curve that rises by halves and stops at 8 images."""
    patches = pd.DataFrame({"image": PATCHES})
    patches.to_csv(tmp_path / "patches.csv", index=False)
    pd.DataFrame({"image": [f"i{number}" for number in range(32)], "cells": CELLS}).to_csv(
        tmp_path / "images.csv", index=False
    )
    source, means = np.random.default_rng(0), {"1": 0.3, "2": 0.45, "4": 0.55, "8": 0.6, "16": 0.602, "fluo": 0.603}
    difficulty = source.uniform(-0.2, 0.2, 20)
    metrics = {}
    for model in curve_models(block()):
        _, chain, seed = model
        mean = means[chain.removeprefix("fluo@few")]
        scores = pd.DataFrame(
            {"image": [f"t{number}" for number in range(20)], "ap": mean + difficulty + source.normal(0, 0.01, 20)}
        )
        metrics[model] = tmp_path / f"{chain}-{seed}.csv"
        # Files may list the images in any order.
        scores.sample(frac=1, random_state=seed).to_csv(metrics[model], index=False)
    orders = [tmp_path / f"few{seed}.npz" for seed in (0, 1, 2)]
    for seed, path in enumerate(orders):
        save(path, select("few", None, seed, patches=patches))
    return metrics, orders, tmp_path / "patches.csv", tmp_path / "images.csv"


@pytest.fixture
def found(files):
    return decide(read_curve(block(), *files, bins=10), block(), np.random.default_rng(0))


def test_chains_grow_and_end_with_all():
    assert curve_chains(block()) == ["fluo@few1", "fluo@few2", "fluo@few4", "fluo@few8", "fluo@few16", "fluo"]
    assert curve_chains(block(selector="dq", numbers=[30, 0.5])) == ["fluo@dq0.5", "fluo@dq30", "fluo"]
    assert curve_models(block())[2:4] == [("small", "fluo@few1", 2), ("small", "fluo@few2", 0)]


def test_a_part_of_an_image_counts_as_that_part():
    shares = image_shares(pd.Series(["a", "b", "a", "a", "b"]))
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 3, 1 / 3, 1 / 2])
    assert shares.sum() == pytest.approx(2)


def test_amounts_are_those_of_the_images_that_were_drawn(files):
    measured = read_curve(block(), *files, bins=10)
    assert measured.amounts["images"].tolist() == pytest.approx([1, 2, 4, 8, 16, 32])
    assert measured.amounts["instances"].iloc[-1] == sum(CELLS)
    assert measured.amounts["patches"].iloc[-1] == len(PATCHES)
    assert measured.scores.shape == (6, 3, 20)
    # A random half of the patches is half of the images, though it touches most of them.
    patches = pd.read_csv(files[2])
    order = files[1][0].with_name("random.npz")
    save(order, select("random", None, 0, patches=patches))
    chosen = block(selector="random", numbers=[50], seeds=[0])
    metrics = dict(zip(curve_models(chosen), files[0].values(), strict=False))
    amounts = read_curve(chosen, metrics, [order], *files[2:], bins=10).amounts
    assert amounts["images"].iloc[0] == pytest.approx(16, abs=1.5)


def test_scores_are_matched_by_image_and_refused_where_images_differ(files):
    metrics = files[0]
    first, second = (read_curve(block(), *files, bins=10).scores for _ in range(2))
    np.testing.assert_array_equal(first, second)
    table = pd.read_csv(metrics["small", "fluo", 1]).set_index("image")["ap"]
    assert first[-1, 1].tolist() == [table[name] for name in sorted(table.index)]
    table.iloc[:-1].reset_index().to_csv(metrics["small", "fluo", 1], index=False)
    with pytest.raises(ValueError, match=r"fluo-1\.csv: has other images than"):
        read_curve(block(), *files, bins=10)


def test_a_number_that_brings_no_more_is_refused(files):
    pd.DataFrame({"image": [f"i{number}" for number in range(32)], "cells": 0}).to_csv(files[3], index=False)
    with pytest.raises(ValueError, match="fluo@few2 learns from no more instances"):
        read_curve(block(), *files, bins=10)


def test_the_answer_of_a_curve_that_stops(found):
    first, shown, reached, *warnings = sentences(found, block())
    assert first.startswith("Beyond about ")
    assert first.endswith(" the gain of the next doubling is under 0.02 AP.")
    assert 4 <= found.forecasts["images"].enough.value <= 10
    assert shown.startswith("The score is saturated at 8 images: from there on it is within 0.02 AP of that of all 32")
    assert "is reached with about 5." in reached or "is reached with about 6." in reached
    assert warnings == []


def test_the_table_has_both_spreads_and_what_is_foreseen(found):
    table = to_table(found)
    assert table["kind"].tolist() == ["measured"] * 6 + ["foreseen"]
    assert table["images"].tolist() == pytest.approx([1, 2, 4, 8, 16, 32, 64])
    scores = found.measured.scores[1]
    assert table["std_images"][1] == pytest.approx(np.mean([run.std(ddof=1) for run in scores]))
    assert table["std_runs"][1] == pytest.approx(scores.mean(axis=1).std(ddof=1))
    assert table["equal"].tolist()[:5] == [False, False, False, True, True]
    assert (table["mean_low"] < table["mean"]).all()
    assert table["difference"][0] == pytest.approx(-0.303, abs=0.01)


def test_the_page_and_the_figure(found, tmp_path):
    page = to_markdown(found, block())
    assert page.count("| `fluo@few") == 5
    assert "| images | 32 | 64 |" in page
    assert "Three seeds, 20 test images." in page
    paths = [tmp_path / f"{name}.{kind}" for name in ("first", "second") for kind in ("png", "svg")]
    for pair in (paths[:2], paths[2:]):
        style.save(draw_learning_curve(found, block(), "A sentence."), *pair)
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes() == paths[3].read_bytes()
    figure = draw_learning_curve(found, block(), "A sentence.")
    left, right = figure.axes
    (legend,) = figure.legends
    assert (left.get_xlabel(), right.get_xlabel()) == ("Annotated images", "Annotated cells")
    assert {text.get_text() for text in legend.get_texts()} >= {
        "next doubling",
        "one seed",
        "enough from here",
    }


def test_the_answer_has_the_table_the_words_and_the_figure(files, found):
    metrics = {(model, "fluo"): path for model, path in files[0].items()}
    others = {"coresets": files[1], "patches": [files[2]], "images": [files[3]]}
    said = answer(Asked("more", block(), metrics, files=others, settings={"bins": 10}))
    assert said.sentences == sentences(found, block())
    assert said.text == to_markdown(found, block())
    pd.testing.assert_frame_equal(said.table, to_table(found))
    assert len(said.figure.axes) == 2


def foreseen(outlook, gain, enough):
    doubling = Doubling(128.0, Estimate(0.7, 0.6, 0.8), Estimate(*gain))
    grid = np.geomspace(4, 256, 5)
    return Forecast(doubling, Estimate(*enough), 1024.0, outlook, {"flat": 1.0}, grid, grid, grid, grid, ())


def test_stop_rules_in_words():
    def said(*arguments):
        return stop_rule(foreseen(*arguments), "images", "0.01 AP")

    assert said("enough", (0.001, 0, 0.004), (60, 40, 110)) == (
        "Beyond about 60 images (40 to 110) the gain of the next doubling is under 0.01 AP."
    )
    assert said("enough", (0, 0, 0.001), (5, 5, 58)) == (
        "Somewhere between 5 and 58 images the gain of the next doubling falls under 0.01 AP."
    )
    assert said("enough", (0, 0, 0.001), (4, 4, 4)) == (
        "From 4 images on, the fewest tried, a doubling gains less than 0.01 AP."
    )
    assert said("rising", (0.03, 0.02, 0.04), (np.inf, 300, np.inf)) == (
        "At 128 images the curve still rises: twice as many are expected to gain 0.030 (0.020 to 0.040), no less than "
        "0.01 AP; where that ends is beyond what these data show."
    )
    assert said("undecided", (0.01, -0.001, 0.04), (200, 50, np.inf)).startswith(
        "Whether twice the 128 images would gain 0.01 AP cannot be said yet: 0.010 (\N{MINUS SIGN}0.001 to 0.040) is expected."
    )


def test_one_seed_and_few_amounts_stand_in_the_answer_itself(files):
    chosen = block(numbers=[2, 8], seeds=[0])
    metrics = {model: files[0][model] for model in curve_models(chosen)}
    measured = read_curve(chosen, metrics, files[1][:1], *files[2:], bins=10)
    said = sentences(decide(measured, chosen, np.random.default_rng(0)), chosen)
    assert said[0].startswith("Going by three numbers of images and one seed alone: ")
    assert any(sentence.startswith("There is one seed") for sentence in said[1:])


def test_models_that_find_nothing_have_an_answer_too(files):
    for path in files[0].values():
        pd.read_csv(path).assign(ap=0.0).to_csv(path, index=False)
    found = decide(read_curve(block(), *files, bins=10), block(), np.random.default_rng(0))
    assert found.forecasts["images"].doubling.gain == Estimate(0.0, 0.0, 0.0)
    assert "not rising" in found.forecasts["images"].warnings
    assert sentences(found, block()) == [
        "How many more are worth it cannot be said. All models score 0 on all test images, whatever they learnt from: train "
        "them longer first."
    ]
    assert "| images | 32 |" in to_markdown(found, block())
