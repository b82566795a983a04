"""Verdicts on phenomena: the arithmetic, the bounds, and what is said when something is missing."""

import numpy as np
import pandas as pd
import pytest

from frugalseg.reporting import phenomena
from frugalseg.reporting.phenomena import judge


@pytest.fixture
def files(tmp_path):
    """A function that writes Dice scores with given means, chain -> mean of each seed, and returns the files."""

    def files(**means):
        paths = {}
        for chain, values in means.items():
            for seed, mean in enumerate(values):
                path = tmp_path / f"{chain}-{seed}.csv"
                pd.DataFrame({"image": ["a", "b"], "dice": [mean - 0.25, mean + 0.25]}).to_csv(path, index=False)
                paths["small", chain, seed, "cyto"] = path
        return paths

    return files


def block(kind, chains, seeds=(0, 1), **bound):
    common = {"statement": "It | is so.", "metric": "dice", "test": "cyto", "recipe": "small", "seeds": list(seeds)}
    return {"p": {**common, "kind": kind, "chains": chains, **bound}}


def test_gain(files):
    verdicts = judge(
        block("gain", {"from": "part", "to": "all"}, at_least=0.125),
        files(part=[0.5, 0.5], all=[0.5625, 0.75]),
    )
    assert list(verdicts.columns) == phenomena.COLUMNS
    assert verdicts["seed"].tolist() == ["0", "1", "all"]
    assert verdicts["value"].tolist() == [0.0625, 0.25, 0.15625]
    assert verdicts["verdict"].tolist() == ["does not hold", "holds", "holds"]
    assert verdicts.loc[2, ["min", "max", "at_least"]].tolist() == [0.0625, 0.25, 0.125]
    assert np.isnan(verdicts.loc[2, "at_most"])


def test_a_bound_is_within_reach_of_itself(files):
    chains = {"from": "part", "to": "all"}
    for bound in ({"at_least": 0.25}, {"at_most": 0.25}):
        verdicts = judge(block("gain", chains, [0], **bound), files(part=[0.5], all=[0.75]))
        assert set(verdicts["verdict"]) == {"holds"}
    verdicts = judge(block("gain", chains, [0], at_most=0.2), files(part=[0.5], all=[0.75]))
    assert set(verdicts["verdict"]) == {"does not hold"}


def test_loss_is_a_fraction_of_what_was_there(files):
    verdicts = judge(block("loss", {"before": "b", "after": "a"}, at_least=0.5), files(b=[0.8, 0.5], a=[0.2, 0.25]))
    np.testing.assert_allclose(verdicts["value"], [0.75, 0.5, 0.625])


def test_recovery_is_a_fraction_of_the_loss(files):
    chains = {"before": "b", "after": "a", "restored": "r"}
    verdicts = judge(block("recovery", chains, at_least=0.8), files(b=[0.8, 0.75], a=[0.3, 0.25], r=[0.7, 0.75]))
    np.testing.assert_allclose(verdicts["value"], [0.8, 1.0, 0.9])
    assert verdicts["verdict"].iloc[-1] == "holds"


def test_recovery_without_a_loss_is_undefined(files):
    chains = {"before": "b", "after": "a", "restored": "r"}
    verdicts = judge(block("recovery", chains, at_least=0.8), files(b=[0.5, 0.75], a=[0.5, 0.25], r=[0.5, 0.75]))
    assert verdicts["verdict"].tolist() == ["undefined", "holds", "holds"]
    assert np.isnan(verdicts["value"].iloc[0])
    assert verdicts["value"].tolist()[1:] == [1.0, 1.0]

    nowhere = judge(block("recovery", chains, [0], at_least=0.8), files(b=[0.5], a=[0.5], r=[0.75]))
    assert set(nowhere["verdict"]) == {"undefined"}
    assert "undefined | ≥ 80.0 % | undefined |" in phenomena.to_markdown(nowhere)


def test_loss_of_nothing_is_undefined(files):
    verdicts = judge(block("loss", {"before": "b", "after": "a"}, [0], at_least=0.5), files(b=[0.0], a=[0.0]))
    assert set(verdicts["verdict"]) == {"undefined"}


def test_missing_seeds_are_all_named(files):
    paths = files(part=[0.5, 0.5], all=[0.75])
    paths["small", "part", 1, "cyto"].unlink()
    message = r"part \(recipe small\) on cyto: seed 1, 2; all \(recipe small\) on cyto: seed 1, 2"
    with pytest.raises(ValueError, match=message):
        judge(block("gain", {"from": "part", "to": "all"}, [0, 1, 2], at_least=0), paths)


@pytest.mark.parametrize(
    ("kind", "chains", "bound", "message"),
    [
        ("growth", {"from": "b", "to": "b"}, {"at_least": 0}, "'p': there is no kind 'growth'"),
        ("loss", {"from": "b", "to": "b"}, {"at_least": 0}, "'p': a loss needs the chains before, after"),
        ("gain", {"from": "b", "to": "b"}, {}, "'p': has no bound"),
    ],
)
def test_bad_blocks_say_what_is_wrong(files, kind, chains, bound, message):
    with pytest.raises(ValueError, match=message):
        judge(block(kind, chains, [0], **bound), files(b=[0.5]))


def test_requests_name_each_run_once():
    blocks = block("loss", {"before": "b", "after": "a"}, at_least=0)
    blocks["q"] = {**blocks["p"], "chains": {"before": "b", "after": "c"}, "seeds": [1]}
    assert phenomena.requests(blocks) == [
        ("small", "b", 0, "cyto"),
        ("small", "b", 1, "cyto"),
        ("small", "a", 0, "cyto"),
        ("small", "a", 1, "cyto"),
        ("small", "c", 1, "cyto"),
    ]


def test_markdown(files):
    verdicts = judge(
        block("gain", {"from": "part", "to": "all"}, at_least=0.125), files(part=[0.5, 0.5], all=[0.5625, 0.75])
    )
    assert phenomena.to_markdown(verdicts).splitlines()[2] == (
        r"| p | It \| is so. | gain of Dice on cyto: 0.156 (0.062 to 0.250) | ≥ 0.125 | holds (1 of 2 seeds) |"
    )
