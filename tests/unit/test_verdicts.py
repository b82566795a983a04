"""Verdicts on claims, from files to words, table and figure, on made-up metrics whose answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from frugalseg.answers.answer import Asked
from frugalseg.answers.claim import answer, draw_verdicts, judge_claims, sentences, to_markdown, to_table
from frugalseg.reporting import style
from frugalseg.study.kinds import models_of, scores_of
from frugalseg.study.kinds.claim import Printed, printed_means, together

PUBLISHED = Path(__file__).resolve().parents[2] / "config/published/zhao2025.csv"
IMAGES = {"cyto": 30, "histo": 20}


def claim(kind, chains, seeds=(0, 1, 2), **keys):
    common = {"text": f"It is a {kind}.", "metric": "iou", "test": "cyto", "recipe": "small"}
    return {**common, "kind": "claim", "effect": kind, "seeds": list(seeds), "chains": chains, **keys}


CLAIMS = {
    "forgets": claim(
        "loss",
        {"before": "cyto", "after": "cyto_to_histo"},
        at_least=0.5,
        published={"tables": ["V"], "says": "it | is"},
    ),
    "restores": claim(
        "recovery",
        {"before": "cyto", "after": "cyto_to_histo", "restored": "cyto_to_histo+cyto@dq5"},
        seeds=[0],
        at_least=0.8,
    ),
    "saturates": claim("equal", {"from": "cyto@dq10", "to": "cyto"}, margin=0.04),
    "matters": claim("different", {"from": "cyto@dq10", "to": "cyto"}, margin=0.1),
    "asymmetric": claim(
        "asymmetry",
        {"before": "cyto", "after": "cyto_to_histo", "other_before": "histo", "other_after": "histo_to_cyto"},
        other_test="histo",
        at_least=0,
    ),
    "gains": claim("gain", {"from": "cyto@dq10", "to": "cyto"}, at_least=0.03),
    "wins_nothing_back": claim(
        "recovery", {"before": "none", "after": "none_to_cyto", "restored": "cyto"}, at_least=0.8
    ),
}
MEANS = {
    "cyto": 0.7,
    "cyto_to_histo": 0.1,
    "cyto_to_histo+cyto@dq5": 0.3,
    "cyto@dq10": 0.67,
    "histo": 0.6,
    "histo_to_cyto": 0.5,
    "none": 0.0,
    "none_to_cyto": 0.0,
}


@pytest.fixture
def files(tmp_path):
    source = np.random.default_rng(0)
    hard = {test: source.uniform(-0.08, 0.08, count) for test, count in IMAGES.items()}
    files = {}
    for number, measured in enumerate(scores_of(together(CLAIMS), {})):
        (_, chain, _), test = measured
        images = [f"{test}{image}" for image in range(IMAGES[test])]
        chance = hard[test] + source.normal(0, 0.005, IMAGES[test])
        iou = MEANS[chain] + (chance if MEANS[chain] else 0)
        files[measured] = tmp_path / f"{number}.csv"
        # Files may list the images in any order.
        pd.DataFrame({"image": images, "iou": iou}).sample(frac=1, random_state=number).to_csv(
            files[measured], index=False
        )
    return files


@pytest.fixture
def judged(files):
    return judge_claims(CLAIMS, files, PUBLISHED)


def test_every_verdict_is_reached(judged):
    assert {item.name: item.verdict for item in judged} == {
        "forgets": "supported",
        "restores": "refuted",
        "saturates": "supported",
        "matters": "refuted",
        "asymmetric": "supported",
        "gains": "undecided",
        "wins_nothing_back": "undecided",
    }
    effects = {item.name: item.effect.estimate.value for item in judged}
    expected = {"forgets": 6 / 7, "restores": 1 / 3, "saturates": 0.03, "asymmetric": 6 / 7 - 1 / 6}
    assert {name: effects[name] for name in expected} == pytest.approx(expected, abs=0.03)
    assert judged[4].images == (30, 20)


def test_requests_name_each_model_on_each_test_set_once():
    requests = scores_of(together(CLAIMS), {})
    assert len(requests) == len(set(requests))
    assert requests[:4] == [(("small", "cyto", seed), "cyto") for seed in range(3)] + [
        (("small", "cyto_to_histo", 0), "cyto")
    ]
    assert (("small", "histo_to_cyto", 2), "histo") in requests
    assert (("small", "histo_to_cyto", 2), "cyto") not in requests
    assert models_of(together({"restores": CLAIMS["restores"]}), {}) == [
        ("small", "cyto", 0),
        ("small", "cyto_to_histo", 0),
        ("small", "cyto_to_histo+cyto@dq5", 0),
    ]


def test_the_answer_counts_and_hedges(judged):
    first, *others = sentences(judged)
    assert first == (
        "Of seven claims three are supported, two are refuted, and two cannot be decided on these data; one of those decided "
        "rests on one seed alone."
    )
    assert others[0].startswith("Supported: It is a loss. Measured: 85.")
    assert others[0].endswith("share of IoU on cyto that is lost; needed: at least 50.0 %; published: 93.9 %.")
    assert others[1].startswith("Refuted, by one seed alone: It is a recovery.")
    assert "needed: within ± 0.040." in others[2]
    assert "; needed: at least 0." in others[4]
    assert others[5].startswith("Cannot be decided: It is a gain. Measured: +0.0")
    assert others[6] == "Cannot be decided: It is a recovery. Nothing was lost, so nothing can be won back."


def test_verdicts_are_also_judged_together(judged, files):
    by_name = {item.name: item for item in judged}
    # The test behind an interval of 95 % decides at 5 %.
    assert all((item.p <= 0.05) == (item.verdict != "undecided") for item in judged)
    assert by_name["wins_nothing_back"].p == 1
    assert all(item.q >= item.p for item in judged)
    assert sentences(judged)[-1] == (
        "Seven claims are judged here. Taken together, with at most 5 % of the verdicts false, every one that was decided stands."
    )
    # Among many that cannot be decided one that just is does not stand.
    barely = [replace(item, q=0.2) if item.name == "restores" else item for item in judged]
    assert sentences(barely)[-1].endswith("all that were decided stand but those on restores.")
    table = to_table(judged).set_index("claim")
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))
    alone = judge_claims({"forgets": CLAIMS["forgets"]}, files, PUBLISHED)
    assert alone[0].q == alone[0].p
    assert not any("Taken together" in sentence for sentence in sentences(alone))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["forgets"], "The one claim is supported on these data."),
        (["restores"], "The one claim is refuted on these data, by one seed alone."),
        (["gains"], "The one claim cannot be decided on these data."),
        (
            ["gains", "forgets"],
            "Of two claims one is supported, none is refuted, and one cannot be decided on these data.",
        ),
        (
            ["gains", "restores"],
            "Of two claims none is supported, one is refuted, and one cannot be decided on these data; the only one decided "
            "rests on one seed alone.",
        ),
    ],
)
def test_few_claims_are_counted_in_good_english(judged, names, expected):
    assert sentences([item for item in judged if item.name in names])[0] == expected


def test_the_page_tells_one_seed_and_what_was_published(judged):
    page = to_markdown(judged)
    row = next(line for line in page.splitlines() if line.startswith("| restores "))
    assert row.split(" | ")[1] == "refuted, by one seed alone"
    assert "With one seed an interval is for other test images only" in page
    assert "| 93.9 % (IoU on cyto; Table V) |" in page
    assert "- forgets: it | is; before 0.771, after 0.047" in page
    alone = to_markdown(judged[2:3])
    assert "With one seed" not in alone
    assert "As published" not in alone


def test_the_table_has_a_row_a_claim(judged, tmp_path):
    to_table(judged).to_csv(tmp_path / "verdicts.csv", index=False)
    table = pd.read_csv(tmp_path / "verdicts.csv").set_index("claim")
    assert table.index.tolist() == list(CLAIMS)
    forgets = table.loc["forgets"]
    assert forgets["low"] < forgets["effect"] < forgets["high"]
    assert forgets["published"] == pytest.approx((0.771 - 0.047) / 0.771)
    assert (forgets["at_least"], forgets["seeds"], forgets["published_tables"]) == (0.5, 3, "V")
    assert table.loc["wins_nothing_back", ["verdict", "fault"]].tolist() == ["undecided", "nothing lost"]
    assert math.isnan(table.loc["wins_nothing_back", "effect"])
    assert table.loc["asymmetric", "images"] == "30 20"


def test_the_answer_has_the_table_and_the_words(files, judged):
    found = answer(Asked("verdicts", CLAIMS, files, files={"published": [PUBLISHED]}))
    assert found.sentences == sentences(judged)
    assert found.text == to_markdown(judged)
    pd.testing.assert_frame_equal(found.table, to_table(judged))


def test_effects_of_different_kinds_share_no_axis(judged, tmp_path):
    figure = draw_verdicts(judged)
    labels = {axes.get_xlabel(): [label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes}
    assert labels == {
        "Difference of the score": ["It is a equal.", "It is a different.", "It is a gain."],
        "Share of the score that is lost": ["It is a loss."],
        "Share of the loss that is won back": ["It is a recovery.", "It is a recovery."],
        "Share lost in one direction less that in the other, percentage points": ["It is a asymmetry."],
    }
    words = [text.get_text().replace("\n", " ") for axes in figure.axes for text in axes.texts]
    assert words.count("cannot be decided") == 2
    assert "refuted, by one seed alone" in words
    assert "nothing lost" in words
    paths = [tmp_path / name for name in ("a.png", "a.svg", "b.png", "b.svg")]
    style.save(figure, *paths[:2])
    style.save(draw_verdicts(judged), *paths[2:])
    assert [path.read_bytes() for path in paths[:2]] == [path.read_bytes() for path in paths[2:]]


def test_an_axis_shows_every_bound_and_effect(judged):
    for axes in draw_verdicts(judged).axes:
        low, high = axes.get_xlim()
        drawn = [x for line in axes.lines for x in np.atleast_1d(line.get_xdata())]
        assert low <= min(drawn) <= max(drawn) <= high


def test_missing_metrics_are_named_with_their_claim(files):
    path = files[("small", "cyto", 1), "cyto"]
    path.unlink()
    with pytest.raises(ValueError, match=rf"claim 'forgets': {path}: no such file; evaluate this model first"):
        judge_claims(CLAIMS, files, PUBLISHED)


def test_models_of_a_claim_were_scored_on_the_same_images(files):
    path = files[("small", "cyto_to_histo", 1), "cyto"]
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(ValueError, match=rf"claim 'forgets': {path}: has other images than"):
        judge_claims(CLAIMS, files, PUBLISHED)


def test_printed_means_are_looked_up_under_other_names():
    block = claim(
        "recovery",
        {"before": "fluo", "after": "fluo_to_tissue", "restored": "fluo_to_tissue+fluo@dq5"},
        test="fluo",
        metric="pq",
        published={"tables": ["V", "VIII"], "datasets": {"fluo": "cyto", "tissue": "histo"}, "metric": "dice"},
    )
    assert printed_means(block, PUBLISHED) == Printed(
        {"before": 0.855, "after": 0.08, "restored": 0.813}, "dice", ("cyto",), ("V", "VIII")
    )
    block["published"]["tables"] = ["V"]
    message = "no table of V has dice of 'cyto_to_histo\\+cyto@dq5' on cyto, the part 'restored'"
    with pytest.raises(ValueError, match=message):
        printed_means(block, PUBLISHED)
    with pytest.raises(ValueError, match=r"none\.csv: no such file"):
        printed_means(block, "none.csv")
