"""What a study knows of its seeds: from the files of its models to a table, to a prior, to the answers that use it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from frugalseg.answers.answer import Asked
from frugalseg.answers.claim import answer, sentences
from frugalseg.answers.claim import judge_claims as judge
from frugalseg.answers.seeds import COLUMNS, Seeds, read_seeds, summarise_seeds
from frugalseg.statistics.seed_variance import fit_prior

IMAGES = 20


def write(path, values):
    names = [f"image{number}" for number in range(len(values))]
    pd.DataFrame({"image": names, "dice": values, "pq": values / 2}).to_csv(path, index=False)
    return path


@pytest.fixture
def study(tmp_path):
    """CSV files by chain, one a seed, of twelve models whose seeds vary, and their scores."""
    source = np.random.default_rng(0)
    hard = source.normal(0, 0.05, IMAGES)
    scores = {
        f"model{number}": 0.6 + hard + 0.03 * source.normal(size=(2, 1)) + 0.01 * source.normal(size=(2, IMAGES))
        for number in range(12)
    }
    files = {
        ("small", chain): [write(tmp_path / f"{chain}-{seed}.csv", row) for seed, row in enumerate(values)]
        for chain, values in scores.items()
    }
    return files, scores


def test_a_table_has_a_row_for_each_model_and_metric(study):
    files, scores = study
    table = summarise_seeds(files)
    assert tuple(table.columns) == COLUMNS
    assert table.groupby("metric").size().to_dict() == {"dice": 12, "pq": 12}
    row = table.iloc[0]
    assert row["mean"] == pytest.approx(scores["model0"].mean())
    assert row["variance"] == pytest.approx(scores["model0"].mean(axis=1).var(ddof=1))
    assert (row["seeds"], row["images"]) == (2, IMAGES)


def test_the_prior_of_a_table_is_that_of_the_scores(study, tmp_path):
    files, scores = study
    summarise_seeds(files).to_csv(tmp_path / "cyto.csv", index=False)
    found = read_seeds(tmp_path / "cyto.csv", "dice")
    assert found.models == found.prior.models == 12
    expected = fit_prior(list(scores.values()))
    np.testing.assert_allclose(found.prior.level, expected.level, atol=1e-6)
    np.testing.assert_array_equal(found.prior.spread, expected.spread)


@pytest.mark.parametrize(("models", "known"), [(0, 0), (2, 2)])
def test_of_too_few_models_nothing_is_known(study, tmp_path, models, known):
    files = dict(list(study[0].items())[:models])
    summarise_seeds(files).to_csv(tmp_path / "cyto.csv", index=False)
    assert read_seeds(tmp_path / "cyto.csv", "dice") == Seeds(known, None)


def claims(study, seeds, below):
    files, scores = study
    gain = scores["model1"][0].mean() - scores["model0"][0].mean()
    claim = {"text": "More is better.", "effect": "gain", "metric": "dice", "test": "cyto", "recipe": "small"}
    claim |= {"seeds": seeds, "at_least": gain - below, "chains": {"from": "model0", "to": "model1"}}
    metrics = {
        (("small", chain, seed), "cyto"): Path(files["small", chain][seed])
        for chain in ("model0", "model1")
        for seed in seeds
    }
    return {"improves": claim}, metrics


def verdict(study, seeds, folder, models, below=0.2):
    block, metrics = claims(study, seeds, below)
    chosen = dict(list(study[0].items())[:models])
    summarise_seeds(chosen).to_csv(folder / "cyto.csv", index=False)
    asked = Asked("verdicts", block, metrics, files={"seed_variance": [folder / "cyto.csv"]})
    return judge(block, metrics, None, asked.seeds_on)[0], answer(asked)


def test_one_seed_decides_on_images_alone_where_no_other_model_has_more(study, tmp_path):
    judged, _ = verdict(study, [0], tmp_path, 0)
    assert (judged.verdict, judged.alone, judged.said) == ("supported", True, "supported, by one seed alone")


def test_one_seed_decides_nothing_where_others_have_shown_that_seeds_differ(study, tmp_path):
    judged, found = verdict(study, [0], tmp_path, 2)
    assert (judged.verdict, judged.effect.fault) == ("undecided", "one seed")
    assert "too few of them to know how much" in found.sentences[1]


def test_one_seed_knows_of_seeds_by_the_models_of_the_study(study, tmp_path):
    alone, _ = verdict(study, [0], tmp_path, 0)
    judged, found = verdict(study, [0], tmp_path, 12)
    assert judged.replicated == 12
    wide, narrow = (item.effect.estimate.high - item.effect.estimate.low for item in (judged, alone))
    # Two models of one seed differ by chance by the square root of two times 0.03.
    assert wide > 1.9 * 2 * 2**0.5 * 0.03 > 2 * narrow
    assert "each model borrows from twelve models of the study with several seeds" in found.text
    assert "one seed alone" not in found.text


def test_an_undecided_claim_says_what_would_decide_it(study, tmp_path):
    judged, found = verdict(study, [0], tmp_path, 12, below=0.06)
    assert judged.verdict == "undecided"
    assert judged.needed.seeds >= 1
    assert "more seed" in sentences([judged])[1]
    assert "would decide it, if their means stayed as they are." in sentences([judged])[1]
    row = found.table.iloc[0]
    assert (row["replicated"], row["more_seeds"]) == (12, judged.needed.seeds)
