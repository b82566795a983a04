"""What selections cost, in the table of what they gain; and that chance runs beside them."""

import json

import numpy as np
import pandas as pd
import pytest
from studies import demo

from frugalseg.answers.experiment import tabulate
from frugalseg.reporting.layout import COSTS, add_selection_costs, lay_out, with_selection_costs
from frugalseg.reporting.tables import to_latex, to_markdown
from frugalseg.runtime.benchmarks import read_benchmark
from frugalseg.study.kinds.experiment import requests, selection_jobs
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError
from frugalseg.study.selection_jobs import jobs_of_chain

CONFIG = {
    "selectors": {
        "dq": {"method": "dq"},
        "random": {"method": "random"},
        "few": {"method": "few"},
        "uncertain": {"method": "uncertainty", "recipe": "small", "chain": "cyto_to_multi", "seed": 3},
    },
    "recipes": {"small": {}},
    "features": {},
}
EXPERIMENT = {
    "kind": "experiment",
    "chains": [
        {"chain": "cyto@dq{rate}", "fields": {"selector": "DQ"}},
        {"chain": "cyto@random{rate}", "fields": {"selector": "random"}},
        {"chain": "cyto", "fields": {"rate": 100, "selector": "DQ"}},
        {"chain": "cyto", "fields": {"rate": 100, "selector": "random"}, "label": "all"},
    ],
    "lists": {"rate": [1, 10]},
    "tests": ["cyto"],
    "recipe": "small",
    "seeds": [0, 1],
    "metrics": ["iou", "pq"],
    "pivot": {"rows": ["rate"], "columns": ["metric", "selector"]},
}
TOOK = {
    "pretrain_autoencoder/cyto": (20, 700),
    "embed/cyto": (6, 500),
    "select/cyto-dq": (2.5, 400),
    "shuffle/cyto-random-seed0": (1, 200),
    "shuffle/cyto-random-seed1": (2, 300),
}


@pytest.fixture
def benchmarks(tmp_path):
    folder = tmp_path / "benchmarks"
    for name, (seconds, memory) in TOOK.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"s": seconds, "max_rss": memory, "h:m:s": "0:00:02"}) + "\n")
    return folder


@pytest.fixture
def table(tmp_path):
    source, files = np.random.default_rng(0), {}
    for entry, seed, test in requests(EXPERIMENT):
        path = files[entry, seed, test] = tmp_path / f"{entry.chain}-{entry.fields['selector']}-{seed}.csv"
        pd.DataFrame({"image": ["a", "b"], "iou": source.random(2), "pq": source.random(2)}).to_csv(path, index=False)
    return tabulate("selectors", files, ["iou", "pq"])


def lines_of(layout):
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in to_markdown(layout.frame, layout.names).splitlines()
        if "|" in line
    ]


def test_costs_are_those_of_the_jobs_that_made_the_order_and_of_what_it_rests_on(table, benchmarks):
    costed = add_selection_costs(table, selection_jobs(EXPERIMENT, CONFIG), benchmarks)
    by_chain = costed.groupby("chain")[list(COSTS)].agg(["min", "max"])
    for chain, expected in {
        "cyto@dq1": (2.5, 400, 26, 700),
        "cyto@dq10": (2.5, 400, 26, 700),
        # Each seed draws its own: their means.
        "cyto@random1": (1.5, 250, 0, 0),
    }.items():
        assert by_chain.loc[chain].to_numpy().reshape(-1, 2).tolist() == [[value, value] for value in expected]
    assert costed.loc[costed["chain"] == "cyto", list(COSTS)].isna().all(axis=None)


def test_costs_stand_below_the_gains_once_for_all_metrics(table, benchmarks):
    layout = {**EXPERIMENT["pivot"], "metrics": EXPERIMENT["metrics"]}
    costed = add_selection_costs(table, selection_jobs(EXPERIMENT, CONFIG), benchmarks)
    whole = with_selection_costs(lay_out(table, **layout), costed, **layout)
    lines = lines_of(whole)
    assert lines[0] == ["Rate (%)", "IoU, DQ", "IoU, random", "PQ (instance), DQ", "PQ (instance), random"]
    assert lines[5:] == [
        ["Selection (s)", "2.5", "1.5", "", ""],
        ["Selection, memory (MiB)", "400", "250", "", ""],
        ["Features or model asked (s)", "26.0", "0.0", "", ""],
        ["Features or model asked, memory (MiB)", "700", "0", "", ""],
    ]
    assert "Selection (s) & 2.5 & 1.5" in to_latex(whole.frame, "caption", "tab:a", "", whole.names)


def test_costs_stand_beside_the_gains_where_selectors_make_rows(table, benchmarks):
    layout = {"rows": ["selector", "rate"], "columns": ["metric"], "metrics": ["pq"]}
    costed = add_selection_costs(table, selection_jobs(EXPERIMENT, CONFIG), benchmarks)
    lines = lines_of(with_selection_costs(lay_out(table, **layout), costed, **layout))
    assert lines[0][3:] == [heading for heading, _ in COSTS.values()]
    assert [line[3:] for line in lines[2:5]] == [["2.5", "400", "26.0", "700"]] * 2 + [["–"] * 4]
    assert lines[5][3:] == ["1.5", "250", "0.0", "0"]


def test_a_job_that_left_no_record_is_not_guessed(table, benchmarks):
    (benchmarks / "select/cyto-dq.jsonl").unlink()
    # A job that ended before Snakemake looked has no memory.
    (benchmarks / "embed/cyto.jsonl").write_text('{"s": 0.2, "max_rss": null}\n')
    layout = {**EXPERIMENT["pivot"], "metrics": EXPERIMENT["metrics"]}
    costed = add_selection_costs(table, selection_jobs(EXPERIMENT, CONFIG), benchmarks)
    lines = lines_of(with_selection_costs(lay_out(table, **layout), costed, **layout))
    assert [line[1] for line in lines[5:]] == ["–", "–", "20.2", "–"]
    assert read_benchmark(benchmarks / "select/cyto-dq.jsonl") is None


def test_all_stages_count_and_a_model_that_is_asked_with_its_parents():
    jobs = jobs_of_chain("cyto@dq5_to_histo@uncertain10+cyto@few3x50", 7, CONFIG)
    assert jobs.orders == ["select/cyto-dq", "rank_by_uncertainty/histo-uncertain", "shuffle/cyto-few-seed7"]
    models = ["train/small/cyto/seed3", "train/small/cyto_to_multi/seed3"]
    assert jobs.bases == ["pretrain_autoencoder/cyto", "embed/cyto", *models]
    elsewhere = CONFIG | {"features": {"checkpoint": "folder"}}
    assert jobs_of_chain("cyto@dq5", 0, elsewhere).bases == ["embed/cyto"]
    assert jobs_of_chain("cyto", 0, CONFIG) == ([], [])


def test_other_experiments_have_no_such_costs():
    assert selection_jobs(EXPERIMENT | {"pivot": {"rows": ["rate"], "columns": ["metric"]}}, CONFIG) == {}


def completed(root, chains, **changes):
    default = demo(root)
    default["questions"] = {
        "selectors": EXPERIMENT
        | {"title": "Selectors", "chains": chains, "pivot": {"rows": ["label"], "columns": ["metric"]}}
    }
    return complete(default | changes, root)


def chain(name, **others):
    return {"chain": name, "fields": {"selector": name.partition("@")[2]}, **others}


def test_chance_has_to_run_beside_a_selector_at_its_rate_and_recipe(root):
    completed(root, [chain("cyto@dq{rate}"), chain("cyto@random{rate}")])
    completed(root, [chain("cyto@few3"), chain("cyto")])
    # Without the field there is nothing to compare.
    completed(root, ["cyto@dq{rate}"])
    message = "questions.selectors compares selectors, but the study has no random choice beside "
    for chains, lacking in [
        (
            [chain("cyto@dq{rate}"), chain("cyto@random1")],
            "'cyto@dq10'; add the chain 'cyto@random10' with the recipe 'small'",
        ),
        (
            [chain("cyto_to_histo+cyto@kcenter5x25")],
            "'cyto_to_histo+cyto@kcenter5x25'; add the chain 'cyto_to_histo+cyto@random5x25'",
        ),
        (
            [chain("cyto@dq10"), chain("cyto@random10", recipe="equal-cpnet")],
            "'cyto@dq10'; add the chain 'cyto@random10'",
        ),
    ]:
        with pytest.raises(ConfigError) as caught:
            completed(root, chains)
        assert message + lacking in str(caught.value)


def test_chance_may_run_in_another_experiment(root):
    default = demo(root)
    other = EXPERIMENT | {
        "title": "Other",
        "chains": ["cyto@random10"],
        "pivot": {"rows": ["chain"], "columns": ["metric"]},
    }
    default["questions"]["other"] = other
    default["questions"]["selectors_cyto"]["chains"] = [chain("cyto@dq10")]
    complete(default, root)
