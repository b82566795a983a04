"""How to keep the old, from files to sentences, tables and the figure, on made-up metrics whose answer is known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import read_answer, write
from frugalseg.answers.keeping import Scores, answer, cost, decide, read_ways, sentences, to_markdown, to_table
from frugalseg.answers.keeping_figure import draw_trade_off
from frugalseg.reporting import style
from frugalseg.statistics.intervals import crossed_mean
from frugalseg.study.kinds.keeping import START, Candidate, candidates_of, keeping_requests

CHAIN, REPLAY = "fluo_to_histo", "fluo_to_histo+fluo@dq5x25"
#: Recipe and chain -> score on fluo and on histo. The slow recipe is better on tuning images, see TUNING.
TEST = {
    ("small", "fluo"): (0.8, 0.2),
    ("small", CHAIN): (0.1, 0.7),
    ("slow", CHAIN): (0.3, 0.6),
    ("small", REPLAY): (0.7, 0.65),
    ("slow", REPLAY): (0.76, 0.5),
    ("half", CHAIN): (0.5, 0.4),
    ("most", CHAIN): (0.2, 0.55),
}
#: On tuning images replay by the small recipe is a little worse than by the slow one, unlike on test images.
TUNING = TEST | {("small", REPLAY): (0.66, 0.6), ("slow", REPLAY): (0.78, 0.54)}
RECIPES = {
    "small": {"steps": 600, "batch": 8},
    "slow": {"steps": 600, "batch": 8},
    "half": {"interpolate": {"recipe": "small"}},
    "most": {"interpolate": {"recipe": "small"}},
}
IMAGES = {"test": {"fluo": 12, "histo": 9}, "tuning": {"fluo": 6, "histo": 5}}


def block(**changes):
    return {
        "title": "Learn histo, keep fluo",
        "caption": "A caption.",
        "start": "fluo",
        "source": "fluo",
        "target": "histo",
        "recipe": "small",
        "seeds": [0, 1, 2],
        "metric": "pq",
        "source_weight": 0.5,
        "arms": {
            "naive": [{"chain": CHAIN, "label": "fast"}, {"chain": CHAIN, "recipe": "slow", "label": "slow"}],
            "replay": [{"chain": REPLAY, "label": "fast"}, {"chain": REPLAY, "recipe": "slow", "label": "slow"}],
            "in between": [{"chain": CHAIN, "recipe": "half"}, {"chain": CHAIN, "recipe": "most"}],
        },
    } | changes


class Study:
    """Files of metrics of all models, on tuning and on test images, around known means."""

    def __init__(self, folder, test=TEST, tuning=TUNING, asked=None):
        self.asked = asked or block()
        self.means = {"test": dict(test), "tuning": dict(tuning)}
        self.folder = folder

    def path(self, kind, model, dataset):
        recipe, chain, seed = model
        return self.folder / f"{kind}-{recipe}-{chain}-{seed}-{dataset}.csv"

    def write(self, kind, seed=0):
        source = np.random.default_rng(seed)
        difficulty = {dataset: source.uniform(-0.1, 0.1, count) for dataset, count in IMAGES[kind].items()}
        for model, dataset in keeping_requests(self.asked):
            mean = self.means[kind][model[:2]][dataset == "histo"]
            noise = source.normal(0, 0.01, len(difficulty[dataset]))
            # Noise and difficulty leave the mean over images where it is.
            scores = mean + difficulty[dataset] - difficulty[dataset].mean() + noise - noise.mean()
            table = pd.DataFrame({"image": [f"i{k}" for k in range(len(scores))], "pq": scores * (mean > 0)})
            # Files may list the images in any order.
            table.sample(frac=1, random_state=model[2]).to_csv(self.path(kind, model, dataset), index=False)

    def files(self, chosen):
        return [
            {(model, dataset): self.path(kind, model, dataset) for model, dataset in keeping_requests(chosen)}
            for kind in ("test", "tuning")
        ]

    def read(self, **changes):
        chosen = block(**changes)
        return read_ways(chosen, *self.files(chosen))

    def answer(self, **changes):
        return decide(self.read(**changes), block(**changes), RECIPES)


@pytest.fixture
def study(tmp_path):
    made = Study(tmp_path)
    made.write("test")
    made.write("tuning", seed=1)
    return made


def changed(folder, test=None, tuning=None):
    made = Study(folder, TEST | (test or {}), TUNING | (tuning or {}))
    made.write("test")
    made.write("tuning", seed=1)
    return made


def choices(found):
    taken = [(arm.chosen.candidate, arm.take.candidate) for arm in found.arms]
    return taken, found.recommended.candidate


def test_scores_are_matched_by_image_model_and_dataset(study):
    start, *ways = study.read()
    assert start.test.source.shape == (3, 12)
    assert start.tuning.target.shape == (3, 5)
    for way in (start, *ways):
        key = (way.candidate.recipe, way.candidate.chain)
        np.testing.assert_allclose(way.test.source.mean(axis=1), TEST[key][0])
        np.testing.assert_allclose(way.tuning.target.mean(axis=1), TUNING[key][1])
    table = pd.read_csv(study.path("test", ("slow", REPLAY, 2), "histo")).set_index("image")["pq"]
    slow = next(way for way in ways if way.candidate.title == "replay (slow)")
    assert slow.test.target[2].tolist() == [table[name] for name in sorted(table.index)]


def test_other_images_are_refused(study):
    path = study.path("tuning", ("slow", REPLAY, 2), "histo")
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"tuning-slow-.*-2-histo\.csv: has other images than"):
        study.answer()


def test_each_arm_takes_the_candidate_that_is_best_on_tuning_images(study):
    found = study.answer()
    assert [arm.chosen.candidate.title for arm in found.arms] == [
        "naive (slow)",
        "replay (slow)",
        "in between (fluo_to_histo, half)",
    ]
    # The start has a mean of 0.5 on tuning images, and only replay is better.
    assert [arm.take.candidate.arm for arm in found.arms] == [START, "replay", START]
    assert found.recommended.candidate.title == "replay (slow)"
    assert found.recommended.tuned.mean == pytest.approx((0.78 + 0.54) / 2)


def test_test_images_choose_nothing(study):
    before = choices(study.answer())
    scrambled = Study(study.folder)
    source = np.random.default_rng(7)
    scrambled.means["test"] = {model: tuple(source.uniform(0.2, 0.8, 2)) for model in TEST}
    scrambled.write("test", seed=7)
    found = scrambled.answer()
    assert choices(found) == before
    assert found.start.source.value == pytest.approx(scrambled.means["test"]["small", "fluo"][0])
    # Tuning images do.
    scrambled.means["tuning"] = scrambled.means["test"]
    scrambled.write("tuning")
    assert choices(scrambled.answer()) != before


@pytest.mark.parametrize(("weight", "title"), [(1.0, START), (0.0, "naive (fast)"), (0.6, "replay (slow)")])
def test_the_weight_of_the_source_is_that_of_the_config(study, weight, title):
    assert study.answer(source_weight=weight).recommended.candidate.title == title


def test_of_equal_ways_the_start_and_then_the_first_are_taken(tmp_path):
    same = dict.fromkeys(TEST, (0.5, 0.5))
    found = changed(tmp_path, tuning=same).answer()
    # Noise around equal means leaves rounding errors; without it they are equal.
    for way in (found.start, *found.ways):
        assert way.tuned.mean == pytest.approx(0.5)
    for model, dataset in keeping_requests(block()):
        path = tmp_path / f"tuning-{model[0]}-{model[1]}-{model[2]}-{dataset}.csv"
        pd.read_csv(path).assign(pq=0.5).to_csv(path, index=False)
    found = Study(tmp_path).answer()
    assert found.recommended is found.start
    assert [arm.chosen.candidate for arm in found.arms] == [candidates_of(block())[k] for k in (0, 2, 4)]
    assert all(arm.take is found.start for arm in found.arms)


def test_differences_are_paired_by_seed_and_image(study):
    found, measured = study.answer(), study.read()
    replay = found.arms[1].chosen
    by_title = {way.candidate.title: way.test for way in measured}
    start, slow, naive = by_title[START], by_title["replay (slow)"], by_title["naive (slow)"]
    assert replay.kept.value == pytest.approx(0.76 - 0.8)
    assert replay.gained.value == pytest.approx(0.5 - 0.2)
    assert replay.to_reference.value == pytest.approx(0.5 - 0.6)
    assert replay.source == crossed_mean(slow.source)
    assert replay.kept == crossed_mean(slow.source - start.source)
    assert replay.to_reference == crossed_mean(slow.target - naive.target)
    # The difficulty of images and seeds cancels out.
    assert replay.kept.high - replay.kept.low < (replay.source.high - replay.source.low) / 3
    reference = found.arms[0].chosen
    assert (reference.to_reference.low, reference.to_reference.high) == (0, 0)


def test_the_front_is_of_the_start_and_the_chosen_by_test_images(study):
    found = study.answer()
    assert [way.candidate.title for way in found.front] == ["naive (slow)", "replay (slow)", START]
    table = to_table(found).set_index(["arm", "label"])
    assert table["front"].isna().sum() == 3
    assert not table.loc[("in between", "fluo_to_histo, half"), "front"]
    # Two of the very same scores are both on it.
    same = {("half", CHAIN): (0.3, 0.6), ("slow", CHAIN): (0.3, 0.6)}
    found = changed(study.folder, test=same).answer()
    assert {way.candidate.arm for way in found.front} >= {"replay", START}


def test_the_table_has_all_candidates_with_their_tuning_scores_and_the_budget(study):
    table = to_table(study.answer())
    assert table["arm"].tolist() == [START, "naive", "naive", "replay", "replay", "in between", "in between"]
    assert table["candidates"].tolist()[1:] == [2] * 6
    assert pd.isna(table["candidates"][0])
    assert table["trainings"].tolist()[1:] == [2, 2, 2, 2, 0, 0]
    assert table["trained"].tolist() == [True] * 5 + [False] * 2
    assert table["chosen"].tolist()[1:] == [False, True, False, True, True, False]
    assert table["beats_start"].tolist() == [False, False, False, True, True, False, False]
    assert table["recommended"].tolist() == [False] * 4 + [True] + [False] * 2
    means = [sum(TUNING[key]) / 2 for key in zip(table["recipe"], table["chain"], strict=True)]
    np.testing.assert_allclose(table["tuning"], means)
    np.testing.assert_allclose(
        table["tuning_source"], [TUNING["small", "fluo"][0], *(w[0] for w in list(TUNING.values())[1:])]
    )
    assert (table["source_low"] < table["source"]).all()
    assert (table["target_high"] > table["target"]).all()
    np.testing.assert_allclose(table["target_difference"], table["target"] - 0.2, atol=1e-12)


def test_the_answer_in_words(study):
    first, reference, front, second, better_not, tested = sentences(study.answer(), block())
    assert first.startswith(
        "Of six ways to learn histo, replay (slow) is the one to take: its PQ (instance) is 0.76 (0.7"
    )
    assert ") on fluo, where the start has 0.80, and 0.50 (0.4" in first
    assert " on histo, where naive has 0.60 (0.5" in first
    assert reference.startswith(
        "Against the start, naive loses 0.50 (0.49 to 0.50) on fluo and gains 0.40 (0.40 to 0.42) on histo."
    )
    assert front == (
        "The Pareto front on the test images is naive, replay and the start, from the least fluo kept to the most. One of them "
        "beats the other one, by the means: where intervals overlap, the order is not certain."
    )
    assert second == "On the tuning images the start comes next, 0.160 behind."
    assert better_not == "On the tuning images the best of naive and in between is no better than the start itself."
    assert tested == (
        "On the test images, which chose nothing, replay (fast) is 0.045 better by the same mean: the choice on the tuning "
        "images may be off by that much."
    )


def test_the_start_is_the_one_to_take_where_all_arms_are_worse(tmp_path):
    worse = {model: (0.2, 0.5) for model in TEST if model != ("small", "fluo")}
    found = changed(tmp_path, test=worse, tuning=worse).answer()
    assert found.recommended is found.start
    first, *others = sentences(found, block())
    assert first.startswith(
        "Of six ways to learn histo, none is to be taken: keep the start. Its PQ (instance) is 0.80 (0."
    )
    assert "where naive has 0.20 (" in first
    assert not any("no better than the start" in sentence for sentence in others)
    assert others[-1].startswith("The test images, which chose nothing, agree")
    # In the column of what to take, once an arm.
    assert to_markdown(found, block()).count("| the start |\n") == 3
    assert "**the start**" in to_markdown(found, block())


def test_the_first_arm_may_be_the_one_to_take(tmp_path):
    best = {("small", CHAIN): (0.9, 0.9)}
    first = sentences(changed(tmp_path, test=best, tuning=best).answer(), block())[0]
    assert "naive (fast) is the one to take" in first
    assert "on histo, where the start has 0.20 (" in first


RANDOM, CENTRES, JOINT = "fluo_to_histo+fluo@random5x25", "fluo_to_histo+fluo@kcenter5x25", "fluo+histo"


@pytest.fixture
def close(tmp_path):
    """Ways that tuning images tell from naive fine-tuning, and hardly from each other: joint training is best by a hair."""
    arms = {"naive": CHAIN, "random replay": RANDOM, "k-center replay": CENTRES, "joint training": JOINT}
    asked = block(arms={arm: [{"chain": chain}] for arm, chain in arms.items()})
    means = {CHAIN: (0.1, 0.7), RANDOM: (0.7, 0.599), CENTRES: (0.7, 0.6), JOINT: (0.7, 0.601)}
    means = {("small", chain): both for chain, both in means.items()} | {("small", "fluo"): (0.8, 0.2)}
    made = Study(tmp_path, means, means, asked)
    made.write("test")
    made.write("tuning", seed=1)
    return decide(read_ways(asked, *made.files(asked)), asked, RECIPES), asked


def test_where_several_are_as_good_as_the_best_the_cheapest_is_to_be_taken(close):
    found, asked = close
    assert found.best.candidate.arm == "joint training"
    assert {way.candidate.arm for way in found.group} == {"joint training", "random replay", "k-center replay"}
    # All train for as long; replay needs 5 % of the old patches, of which k-center's are a hair better.
    assert found.recommended.candidate.arm == "k-center replay"
    said = sentences(found, asked)
    assert said[0].startswith(
        "Of four ways to learn histo, k-center replay is the one to take, the cheapest of three that the tuning images do not tell "
        "apart: its PQ (instance) is 0.70 ("
    )
    assert said[3] == (
        "K-center replay and random replay are within one standard error of the best on the tuning images, joint training. All "
        "of them go on training on fluo. Which selector chooses the patches of fluo makes no difference that shows: kcenter and "
        "random are among them."
    )
    table = to_table(found).set_index("arm")
    assert table["near"].sum() == 3
    assert table.loc["joint training", ["behind", "behind_low", "behind_high"]].tolist() == [0, 0, 0]
    assert table.loc["naive", "behind_low"] > 0
    axes = draw_trade_off(found, asked, said[0]).axes[0]
    rings = next(line for line in axes.lines if line.get_markersize() == 14)
    np.testing.assert_allclose(sorted(rings.get_ydata()), [0.599, 0.6, 0.601])


def test_the_start_is_cheapest_where_no_way_is_shown_to_be_better(tmp_path):
    near = {model: (0.5, 0.501) for model in TEST} | {("small", "fluo"): (0.5, 0.5)}
    found = changed(tmp_path, tuning=near).answer()
    assert found.best is not found.start
    assert found.recommended is found.start
    assert "none is to be taken: keep the start, the cheapest of" in sentences(found, block())[0]


def test_one_tuning_image_shows_no_spread_and_the_best_is_taken(study):
    measured = study.read()
    one = [replace(way, tuning=Scores(way.tuning.source[:, :1], way.tuning.target[:, :1])) for way in measured]
    found = decide(one, block(), RECIPES)
    assert found.group == (found.best,)
    assert found.recommended is found.best
    assert " (– to –) |" in to_markdown(found, block())


def test_fewer_steps_are_cheaper_than_fewer_old_patches():
    recipes = {"long": {"steps": 1200, "batch": 8}, "short": {"steps": 600, "batch": 8}}
    naive, replay = (Candidate("a", "", recipe, chain) for recipe, chain in (("long", CHAIN), ("short", REPLAY)))
    assert cost(replay, block(), recipes) < cost(naive, block(), recipes)
    assert cost(naive, block(), recipes).old == 0
    assert cost(replay, block(), recipes).old == 5
    assert cost(Candidate("a", "", "small", JOINT), block(), RECIPES).old == 100


def test_a_difference_that_may_be_none_is_not_called_one(tmp_path):
    same = {("small", "fluo"): (0.3, 0.2)}
    reference = sentences(changed(tmp_path, test=same).answer(), block())[1]
    assert reference.startswith("Against the start, naive is not shown to change anything (0.00, 0.00 to 0.01) on fluo")


def test_one_seed_stands_in_the_answer_itself(study):
    said = sentences(study.answer(seeds=[1]), block(seeds=[1]))
    assert said[0].startswith("Going by one seed alone: of six ways to learn histo, ")
    assert said[-1].startswith("There is one seed, so how much a training varies by chance is not known")


def test_models_that_find_nothing_have_an_answer_too(tmp_path):
    nothing = dict.fromkeys(TEST, (0.0, 0.0))
    found = changed(tmp_path, test=nothing, tuning=nothing).answer()
    assert sentences(found, block()) == [
        "Which way to take cannot be said. All models score 0 on all tuning images: train them longer first."
    ]
    page = to_markdown(found, block())
    assert "| 0.000 (0.000 to 0.000) |" in page
    assert page.count("| 0.000 → 0.000 | – |") == 3
    assert not to_table(found)["recommended"].any()
    (axes,) = draw_trade_off(found, block(), "A sentence.").axes
    assert {text.get_text() for text in axes.texts} == {START, "naive", "replay", "in between"}


def test_the_page(study):
    found = study.answer()
    page = to_markdown(found, block())
    head = next(line for line in page.splitlines() if line.startswith("| Arm | Chosen |"))
    assert head == (
        "| Arm | Chosen | Candidates | Trainings | Tuning | Behind the best | fluo | To the start | histo | To naive | Pareto front |"
    )
    assert "## PQ (instance) on the test images, twelve of fluo and nine of histo" in page
    assert "| the start | `fluo` | – | – | 0.500 | 0.160 (" in page
    assert "| **replay** | slow | 2 | 2 | 0.660 | – | 0.760 (" in page
    assert "| in between | fluo_to_histo, half | 2 | 0 | 0.450 | 0.210 (" in page
    assert "| naive | 0.800 → 0.300 | 0.200 → 0.600 | 0.400 (" in page
    assert "| 0.500 → 0.450 | the start |" in page
    assert "| 0.500 → 0.660 | slow |" in page
    assert "fluo counting 0.5: six of fluo and five of histo" in page
    assert "Every arm had two candidates, each with three seeds" in page


def test_an_answer_is_written_to_all_of_its_files(study, tmp_path):
    names = {"csv": "csv", "markdown": "md", "page": "html", "answer": "json", "png": "png", "svg": "svg"}
    output = SimpleNamespace(**{key: tmp_path / f"out.{ending}" for key, ending in names.items()})
    write(
        answer(Asked("keep_fluo", block(), *study.files(block()), settings={"recipes": RECIPES})), "keep_fluo", output
    )
    assert all(path.stat().st_size for path in vars(output).values())
    assert json.loads(output.answer.read_text())["name"] == "keep_fluo"
    assert read_answer(output.answer)["sentences"] == sentences(study.answer(), block())
    assert output.markdown.read_text() == to_markdown(study.answer(), block())
    pd.testing.assert_frame_equal(
        pd.read_csv(output.csv)[["arm", "trained"]], to_table(study.answer())[["arm", "trained"]]
    )


def test_the_figure_names_every_arm_and_is_the_same_every_time(study, tmp_path):
    found = study.answer()
    paths = [tmp_path / f"{name}.{kind}" for name in ("first", "second") for kind in ("png", "svg")]
    for pair in (paths[:2], paths[2:]):
        style.save(draw_trade_off(found, block(), "A sentence."), *pair)
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes() == paths[3].read_bytes()
    (axes,) = draw_trade_off(found, block(), "A sentence.").axes
    texts = {text.get_text(): text for text in axes.texts}
    assert set(texts) == {START, "naive", "replay: take this", "in between"}
    assert texts["replay: take this"].get_weight() == "bold"
    assert texts["naive"].get_weight() == "normal"
    assert axes.get_xlabel() == "PQ (instance) on fluo: what is kept"
    front = next(line for line in axes.lines if line.get_drawstyle() == "steps-pre")
    np.testing.assert_allclose(front.get_xydata()[1:-1], [(0.3, 0.6), (0.76, 0.5), (0.8, 0.2)])
