"""Transfer matrices, from files whose scores are known to sentences, tables and figures."""

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers.answer import Asked
from frugalseg.answers.transfer import answer, draw_transfer, follow, followed, sentences, to_markdown, to_table
from frugalseg.chains import parse
from frugalseg.reporting import style
from frugalseg.statistics.intervals import crossed_mean, crossed_mean_of_sets
from frugalseg.statistics.transfer import ChainScores, compare_ends, transfer
from frugalseg.study.kinds.transfer import transfer_requests, transfer_rows, transfer_tests

RECIPES = {"small": {}, "tuned": {"parent": "small", "parent_seed": 0}}
IMAGES = {"cyto": 20, "histo": 12, "multi": 16}
#: Chain -> mean score on cyto, histo and multi; "" is the untrained network.
MEANS = {
    "": (0.02, 0.04, 0.01),
    "cyto": (0.70, 0.10, 0.20),
    "cyto_to_histo": (0.30, 0.60, 0.25),
    "cyto_to_histo_to_multi": (0.20, 0.50, 0.40),
    "multi": (0.15, 0.05, 0.50),
    "multi_to_histo": (0.20, 0.65, 0.30),
    "multi_to_histo_to_cyto": (0.75, 0.45, 0.30),
}


def block(**changes):
    return {
        "title": "What is forgotten",
        "caption": "A caption.",
        "chains": ["cyto_to_histo_to_multi", "multi_to_histo_to_cyto"],
        "recipe": "small",
        "seeds": [0, 1, 2],
        "metric": "pq",
        "reference": "untrained",
    } | changes


@pytest.fixture
def write(tmp_path):
    """A function that writes the metrics of all models of a block and returns them by model and dataset."""

    def write(block):
        source = np.random.default_rng(0)
        difficulty = {test: source.uniform(-0.1, 0.1, count) for test, count in IMAGES.items()}
        difficulty = {test: values - values.mean() for test, values in difficulty.items()}
        files = {}
        for (recipe, chain, seed), test in transfer_requests(block, RECIPES):
            mean = MEANS["" if recipe.endswith("-untrained") else chain][list(IMAGES).index(test)]
            # Seeds add nothing on average.
            scores = mean + difficulty[test] + 0.01 * (seed - 1)
            table = pd.DataFrame({"image": [f"{test}{number}" for number in range(len(scores))], "pq": scores})
            path = files[(recipe, chain, seed), test] = tmp_path / f"{recipe}-{chain}-{seed}-{test}.csv"
            # Files may list the images in any order.
            table.sample(frac=1, random_state=seed).to_csv(path, index=False)
        return files

    return write


def measured(write, **changes):
    made = block(**changes)
    return made, follow(made, transfer_rows(made, RECIPES), write(made))


def test_the_three_sums_are_those_of_the_definition(write):
    _, paths = measured(write)
    first, second = (path.found for path in paths)
    assert first.average.value == pytest.approx((0.20 + 0.50 + 0.40) / 3)
    assert first.backward.value == pytest.approx(((0.20 - 0.70) + (0.50 - 0.60)) / 2)
    assert first.forward.value == pytest.approx(((0.10 - 0.04) + (0.25 - 0.01)) / 2)
    assert second.backward.value == pytest.approx(((0.30 - 0.50) + (0.45 - 0.65)) / 2)
    assert second.forward.value == pytest.approx(((0.05 - 0.04) + (0.20 - 0.02)) / 2)
    assert [round(cell.value, 6) for cell in first.matrix["histo"]] == [0.04, 0.10, 0.60, 0.50]


def test_the_sums_of_a_random_matrix_agree_with_loops():
    source = np.random.default_rng(3)
    names = ["a", "b", "c", "d"]
    scores = {name: source.random((5, 2, 6 + number)) for number, name in enumerate(names)}
    found = transfer(ChainScores({name: number for number, name in enumerate(names, 1)}, scores))
    mean = {(row, name): scores[name][row].mean() for row in range(5) for name in names}
    backward = [mean[4, name] - mean[number, name] for number, name in enumerate(names, 1) if number < 4]
    forward = [mean[number - 1, name] - mean[0, name] for number, name in enumerate(names, 1) if number > 1]
    assert found.backward.value == pytest.approx(sum(backward) / 3)
    assert found.forward.value == pytest.approx(sum(forward) / 3)
    assert found.average.value == pytest.approx(sum(mean[4, name] for name in names) / 4)


def test_after_pre_training_the_first_stage_is_the_reference_and_not_counted(write):
    made, [path] = measured(write, chains=["cyto_to_histo_to_multi"], reference="start")
    found = path.found
    assert list(found.matrix) == ["histo", "multi"]
    assert found.backward.value == pytest.approx(0.50 - 0.60)
    assert found.forward.value == pytest.approx(0.25 - 0.20)
    assert path.name == "from cyto: histo → multi"
    assert not any(recipe.endswith("untrained") for (recipe, _, _), _ in transfer_requests(made, RECIPES))


def test_a_dataset_is_learned_where_it_comes_first_and_joined_ones_at_once():
    assert parse("cyto_to_histo+cyto@dq5_to_multi").learned_at() == {"cyto": 1, "histo": 2, "multi": 3}
    assert transfer_tests(block(), "cyto+multi_to_histo") == {"cyto": 1, "multi": 1, "histo": 2}
    source = np.random.default_rng(0)
    scores = {test: source.random((3, 2, 5)) for test in ("cyto", "multi", "histo")}
    found = transfer(ChainScores({"cyto": 1, "multi": 1, "histo": 2}, scores))
    lost = [scores[test][2].mean() - scores[test][1].mean() for test in ("cyto", "multi")]
    assert found.backward.value == pytest.approx(np.mean(lost))
    assert found.forward.value == pytest.approx(scores["histo"][1].mean() - scores["histo"][0].mean())
    with pytest.raises(ValueError, match="learns all of its datasets in one stage"):
        transfer(ChainScores({"cyto": 1, "multi": 1}, scores))


def test_rows_follow_the_parents_of_a_recipe():
    rows = transfer_rows(block(recipe="tuned", chains=["cyto_to_histo"], seeds=[4]), RECIPES)
    assert rows == {
        "cyto_to_histo": [[("small-untrained", "cyto", 0), ("small", "cyto", 0), ("tuned", "cyto_to_histo", 4)]]
    }


def test_intervals_over_sets_are_those_over_one_set_where_there_is_one():
    values = np.random.default_rng(1).random((3, 15))
    assert crossed_mean_of_sets([values]) == crossed_mean(values)
    with pytest.raises(ValueError, match=r"have \[3, 2\] seeds"):
        crossed_mean_of_sets([values, values[:2]])
    with pytest.raises(ValueError, match="a single image"):
        crossed_mean_of_sets([values, values[:, :1]])


@pytest.mark.parametrize(("seeds", "images"), [(3, (20, 14)), (5, (30, 20, 10))])
def test_intervals_over_sets_cover(seeds, images):
    source, draws, covered = np.random.default_rng(0), 1000, 0
    for _ in range(draws):
        seed = source.normal(0, 0.04, (seeds, 1))
        sets = [
            seed
            + source.normal(0, 0.02, (seeds, 1))
            + 0.5 * (source.beta(2, 5, (1, count)) - 2 / 7)
            + source.normal(0, 0.08, (seeds, count))
            for count in images
        ]
        interval = crossed_mean_of_sets(sets)
        covered += interval.low <= 0 <= interval.high
    assert 0.92 <= covered / draws <= 0.98


def test_the_table_has_every_cell_and_sum(write):
    _, paths = measured(write)
    table = to_table(paths)
    assert len(table) == 2 * (4 * 3 + 3)
    cells = table[(table["kind"] == "score") & (table["chain"] == "cyto_to_histo_to_multi")]
    assert cells["after"].unique().tolist() == ["untrained", "cyto", "histo", "multi"]
    cell = cells[(cells["after"] == "multi") & (cells["test"] == "cyto")].iloc[0]
    assert (cell["mean"], cell["std_runs"]) == (pytest.approx(0.20), pytest.approx(0.01))
    assert cell["learned"]
    assert not cells[(cells["after"] == "cyto") & (cells["test"] == "multi")]["learned"].item()
    backward = table[(table["kind"] == "backward")].set_index("chain")
    assert backward.loc["cyto_to_histo_to_multi", "mean"] == pytest.approx(-0.30)


def test_the_answer_says_what_is_forgotten_and_which_order_ends_best(write):
    made, paths = measured(write)
    said = sentences(made, paths)
    assert said[0].startswith(
        "On average, PQ (instance) on the datasets learned before the last stage has fallen by 0.300 (0.300 to 0.300) at the "
        "end of cyto → histo → multi and has fallen by 0.200"
    )
    assert any("multi → histo → cyto ends with the best mean PQ (instance); it leads" in sentence for sentence in said)
    text = to_markdown(made, paths)
    assert "| untrained | 0.020 (" in text
    assert "| `multi` | **0.200** (" in text
    assert "the same network at its random start" in text
    assert "20 of cyto, 12 of histo and 16 of multi" in text
    assert "joins several new datasets" not in text
    assert "(pre-training, which stands for chance here" in to_markdown(block(reference="start"), paths)


def test_one_seed_is_said_and_an_unclear_change_is_not_called_one():
    # After the second stage half of the images are better by as much as the others are worse.
    moved = np.stack([np.zeros((1, 8)), np.zeros((1, 8)), np.resize([0.1, -0.1], (1, 8))])
    scores = ChainScores({"cyto": 1, "histo": 2}, {test: 0.5 + moved for test in ("cyto", "histo")})
    made = block(chains=["cyto_to_histo"], seeds=[0])
    said = sentences(made, [followed(made, "cyto_to_histo", scores)])
    assert said[0].startswith("Going by one seed alone: on average, PQ (instance) on the datasets learned before")
    assert "is not shown to have changed at the end of cyto → histo (change 0.000, " in said[0]
    assert said[-1].startswith("There is one seed")


def test_where_nothing_was_learned_nothing_is_said_of_forgetting():
    made, scores = block(seeds=[0]), {test: np.zeros((3, 1, 8)) for test in ("cyto", "histo")}
    [said] = sentences(made, [followed(made, "cyto_to_histo", ChainScores({"cyto": 1, "histo": 2}, scores))])
    assert said.startswith("What is forgotten cannot be said. All models score 0")


def test_ends_are_compared_in_pairs_with_wider_intervals_for_more_of_them():
    source = np.random.default_rng(0)
    scores = [{"a": source.random((3, 2, 9)), "b": source.random((3, 2, 7))} for _ in range(3)]
    paths = [ChainScores({"a": 1, "b": 2}, each) for each in scores]
    two, three = compare_ends(paths[:2]), compare_ends(paths)
    assert len(three) == 3
    [pair] = two
    assert three[pair].value == two[pair].value >= 0
    assert three[pair].high - three[pair].low > two[pair].high - two[pair].low


def test_models_scored_on_other_images_are_refused(write):
    made = block()
    files = write(made)
    wrong = files[("small", "cyto_to_histo", 1), "cyto"]
    pd.read_csv(wrong).iloc[1:].to_csv(wrong, index=False)
    with pytest.raises(ValueError, match="has other images than"):
        follow(made, transfer_rows(made, RECIPES), files)


def test_the_answer_has_the_table_the_words_and_the_figure(write):
    made = block()
    found = answer(Asked("orders", made, write(made), settings={"recipes": RECIPES}))
    _, paths = measured(write)
    assert (found.question, found.sentences) == (made["title"], sentences(made, paths))
    assert found.text == to_markdown(made, paths)
    pd.testing.assert_frame_equal(found.table, to_table(paths))
    assert len(found.figure.axes) == 3


def test_the_figure_shows_every_number_and_frames_what_is_learned(write, tmp_path):
    made, paths = measured(write, chains=["cyto_to_histo_to_multi"])
    pairs = [[tmp_path / f"{number}.{kind}" for kind in ("png", "svg")] for number in (0, 1)]
    for pair in pairs:
        style.save(draw_transfer(made, paths, "A sentence."), *pair)
    assert [file.read_bytes() for file in pairs[0]] == [file.read_bytes() for file in pairs[1]]
    axes = draw_transfer(made, paths, "A sentence.").axes[0]
    assert [text.get_text() for text in axes.texts][:6] == ["0.02", "0.04", "0.01", "0.70", "0.10", "0.20"]
    assert [patch.get_height() for patch in axes.patches] == [3, 2, 1]
