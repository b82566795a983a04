"""A whole study, small enough for a test."""

import hashlib
import json
import re
import shutil
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import yaml
from test_dry_runs import jobs

from frugalseg.data.stores import open_patches
from frugalseg.data.synthetic import draw
from frugalseg.evaluation.uncertainty import uncertainties
from frugalseg.training.stage import build_network, load_network

pytestmark = pytest.mark.workflow


def test_every_result_is_there(tiny):
    results = tiny.folder / "results/tiny"
    for name in ("redundancy", "replay"):
        assert all((results / f"tables/{name}.{kind}").stat().st_size for kind in ("csv", "md", "tex"))
        assert all((results / f"figures/{name}.{kind}").stat().st_size for kind in ("png", "svg"))
    for figure in ("patches", "features", "segmentations"):
        assert (results / f"figures/{figure}.png").stat().st_size
    assert (results / "figures/width_cyto.png").stat().st_size
    page = (results / "tables/width_cyto.md").read_text()
    assert all(
        part in page for part in ("| sensitivity | published |", "| parameter count |", "| cap4 |", "| cmunext |")
    )
    # So few steps find no cell at any number of images, and the answer says so.
    assert (results / "figures/more_cyto.svg").stat().st_size
    assert "How many more are worth it cannot be said." in (results / "tables/more_cyto.md").read_text()
    assert pd.read_csv(results / "tables/more_cyto.csv")["images"].tolist() == [2, 5, 59, 118]
    assert (results / "figures/keep_little.svg").stat().st_size
    assert "Which way to take cannot be said." in (results / "tables/keep_little.md").read_text()
    kept = pd.read_csv(results / "tables/keep_little.csv")
    assert kept["arm"].tolist() == ["the start", "naive", "EWC", "half way"]
    assert kept["trainings"].tolist()[1:] == [1, 1, 0]
    # Of models that find nothing no claim can be decided.
    assert (results / "figures/verdicts.svg").stat().st_size
    assert pd.read_csv(results / "tables/verdicts.csv")["verdict"].tolist() == ["undecided", "undecided"]
    assert "two cannot be decided" in json.loads((results / "answers/verdicts.json").read_text())["sentences"][0]


def test_the_study_opens_with_its_answers(tiny):
    page = (tiny.folder / "results/tiny/answers.html").read_text()
    first = json.loads((tiny.folder / "results/tiny/answers/more_cyto.json").read_text())
    places = [
        page.index(text)
        for text in (first["question"], first["sentences"][0], "Replay: all of histo", 'id="metric-ap"')
    ]
    assert places == sorted(places)
    # The answers; the images that changed most, and two more; the experiments and the width scan that have a figure.
    assert page.count('<img src="data:image/') == 4 + 3 + 2 + 1
    assert 'src="http' not in page


def test_nothing_is_left_to_do(tiny):
    assert "Nothing to be done" in tiny.run("--dry-run", "--configfile", "tiny.yaml")


def test_the_running_state_is_gone_when_a_model_is_there(tiny):
    states = [path for path in (tiny.folder / "results/tiny/state").rglob("*.pt")]
    assert states == []


def test_a_table_repeats_the_metrics_it_is_made_from(tiny):
    results = tiny.folder / "results/tiny"
    table = pd.read_csv(results / "tables/redundancy.csv", dtype={"seed": str})
    row = table.query("chain == 'cyto@dq5' and seed == '0' and metric == 'accuracy'").iloc[0]
    scores = pd.read_csv(results / "metrics/small/cyto@dq5/seed0/cyto.csv")
    assert row["n"] == len(scores) == 15
    assert row["mean"] == pytest.approx(scores["accuracy"].mean())
    assert row["std"] == pytest.approx(scores["accuracy"].std())


def test_a_model_says_what_it_was_made_of(tiny):
    folder = tiny.folder / "results/tiny/models/small/cyto_to_histo+cyto@few2x50/seed0"
    model = json.loads((folder / "model.json").read_text())
    assert [source["source"] for source in model["sources"]] == ["histo", "cyto@few2x50"]
    patches = pd.read_csv(tiny.folder / "results/tiny/patches/cyto/train/patches.csv")
    per_image = patches.groupby("image").size()
    assert model["sources"][1]["patches"] == 2 * per_image.iloc[0]
    assert all(source["patches"] == source["left_out"] + source["used"] for source in model["sources"])
    assert model["versions"]["torch"].startswith("2.13.0")


def test_draws_share_a_parent_and_adapters_are_kept_alone(tiny):
    models = tiny.folder / "results/tiny/models"
    parent, child = models / "ucell/cyto/seed0", models / "ucell-lora/cyto_to_histo@few1/seed1"
    assert sorted(path.name for path in models.glob("ucell*")) == ["ucell", "ucell-lora"]
    before, after, adapters = (
        torch.load(path, weights_only=True) for path in (parent / "model.pt", child / "model.pt", child / "adapters.pt")
    )
    changed = [name for name, tensor in before.items() if not torch.equal(tensor, after[name]) and "diam" not in name]
    assert sorted({name.rpartition(".")[0] for name in adapters}) == sorted(
        name.removesuffix(".weight") for name in changed
    )
    assert all(".mlp." in name for name in changed)
    used = json.loads((child / "model.json").read_text())["sources"][0]
    patches = pd.read_csv(tiny.folder / "results/tiny/patches/histo/train/patches.csv")
    assert used["patches"] == patches.groupby("image").size().iloc[0]


def test_the_same_weights_predict_in_their_own_way(tiny):
    metrics = tiny.folder / "results/tiny/metrics"
    two, one = (metrics / recipe / "cyto/seed0/histo.csv" for recipe in ("ucell", "ucell-predict1"))
    assert two.exists()
    assert one.exists()
    assert not (metrics / "ucell-predict1/cyto/seed1").exists()


def test_more_seeds_add_the_new_runs_only(tiny):
    study = yaml.safe_load((tiny.folder / "tiny.yaml").read_text())
    study["questions"]["redundancy"]["seeds"] = [0, 1]
    (tiny.folder / "more.yaml").write_text(yaml.safe_dump(study))
    planned = jobs(tiny.run("--dry-run", "--configfile", "more.yaml"))
    assert planned["train"] == planned["evaluate"] == 2
    assert "prepare" not in planned
    assert "select" not in planned


def test_shots_beyond_the_dataset_are_refused_before_anything_is_trained(tiny):
    study = yaml.safe_load((tiny.folder / "tiny.yaml").read_text())
    study["questions"]["few_shot"]["chains"][2]["chain"] = "cyto_to_histo@few999"
    (tiny.folder / "many.yaml").write_text(yaml.safe_dump(study))
    output = tiny.run("results/tiny/coresets/histo/few-seed1.npz", "--configfile", "many.yaml", success=False)
    assert "asks for 999 images of 'histo', whose training split has" in output


def test_the_study_describes_itself(tiny):
    results = tiny.folder / "results/tiny"
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    files = [entity for entity in crate["@graph"] if entity["@type"] == "File" and "sha256" in entity]
    for entity in files:
        path = results / unquote(entity["@id"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entity["sha256"]
    assert "models/small/cyto_to_histo+cyto@few2x50/seed0/model.pt" in {entity["@id"] for entity in files}
    record = json.loads((results / "tables/replay.json").read_text())
    assert [model["chain"] for model in record["models"]][:2] == ["cyto", "cyto_to_histo"]
    assert "**Data.** The study uses two datasets" in (results / "tables/methods.md").read_text()
    costs = pd.read_csv(results / "tables/costs.csv").set_index("part")
    assert (costs["measured_s"] > 0).loc[["redundancy", "replay", "width_cyto", "features"]].all()
    assert costs["complete"].all()


def test_an_interpolated_model_lies_between_parent_and_child(tiny):
    models = tiny.folder / "results/tiny/models"
    names = ("small/cyto@dq5", "small/cyto@dq5_to_histo", "between/cyto@dq5_to_histo")
    parent, child, between = (torch.load(models / name / "seed0/model.pt", weights_only=True) for name in names)
    for name, tensor in between.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * parent[name] + 0.25 * child[name], msg=name)
    assert not (models / "between/cyto@dq5").exists()
    assert json.loads((models / names[2] / "seed0/model.json").read_text())["steps"] == 0


def test_a_model_is_asked_for_the_patches_that_it_is_uncertain_of(tiny):
    results = tiny.folder / "results/tiny"
    recipe = json.loads((results / "models/small/cyto/seed0/model.json").read_text())["config"]["recipe"]
    model = load_network(recipe, results / "models/small/cyto/seed0/model.pt")
    patches = open_patches(results / "patches/histo/train")
    uncertain = uncertainties(model, patches, device="cpu", batch_size=recipe["batch"])
    with np.load(results / "coresets/histo/uncertain.npz") as coreset:
        order = coreset["order"]
    assert sorted(order) == list(range(len(patches)))
    # The job may have computed in bfloat16.
    assert (np.diff(uncertain[order]) < 0.01).all()
    taken = json.loads((results / "models/small/cyto_to_histo@uncertain50/seed0/model.json").read_text())["sources"]
    assert [source["source"] for source in taken] == ["histo@uncertain50"]


def test_what_a_selection_took_stands_in_the_table_of_what_it_gains(tiny):
    table = (tiny.folder / "results/tiny/tables/choices.md").read_text()
    took = re.search(r"\| Selection \(s\) +\| +([\d.]+) ", table)
    assert float(took[1]) > 0


def test_what_stands_for_chance_is_the_network_that_training_starts_from(tiny):
    models = tiny.folder / "results/tiny/models"
    start = torch.load(models / "small-untrained/cyto/seed0/model.pt", weights_only=True)
    trained = torch.load(models / "small/cyto/seed0/model.pt", weights_only=True)
    recipe = json.loads((models / "small/cyto/seed0/model.json").read_text())["config"]["recipe"]
    fresh = build_network(recipe, torch.Generator().manual_seed(0)).state_dict()
    for name, tensor in start.items():
        # The cell diameter of the patches is noted before the first step.
        assert torch.equal(tensor, trained[name] if name.startswith("diam") else fresh[name]), name
    assert json.loads((models / "small-untrained/cyto/seed0/model.json").read_text())["steps"] == 0
    table = pd.read_csv(tiny.folder / "results/tiny/tables/orders.csv")
    assert table["kind"].value_counts().to_dict() == {"score": 3 * 2, "average": 1, "backward": 1, "forward": 1}
    answer = json.loads((tiny.folder / "results/tiny/answers/orders.json").read_text())
    assert "cannot be said" in answer["sentences"][0]


def test_the_first_stage_is_the_parent_of_the_second(tiny):
    models = tiny.folder / "results/tiny/models/small"
    first = torch.load(models / "cyto/seed0/model.pt", weights_only=True)
    second = torch.load(models / "cyto_to_histo/seed0/model.pt", weights_only=True)
    weight = "output.2.weight"
    assert first.keys() == second.keys()
    assert not torch.equal(first[weight], second[weight])
    # Four small steps leave it near where it started; another start would be far away.
    assert (first[weight] - second[weight]).abs().max() < 0.5


def test_the_same_study_gives_the_same_bits(tiny):
    weights = tiny.folder / "results/tiny/models/small/cyto_to_histo/seed0/model.pt"
    before = weights.read_bytes()
    weights.unlink()
    tiny.run("results/tiny/models/small/cyto_to_histo/seed0/model.pt", "--configfile", "tiny.yaml")
    assert weights.read_bytes() == before
    # The metrics are older than the new weights, but what they are made from has not changed.
    tiny.run("--configfile", "tiny.yaml", "--touch")


def test_the_report_holds_the_tables_and_figures(tiny):
    tiny.run("--configfile", "tiny.yaml", "--report", "report.html")
    report = (tiny.folder / "report.html").read_text()
    assert "figures/replay.png" in report
    assert "answers.html" in report
    assert "Replay: all of histo and a part of cyto" in report


def test_a_dataset_is_added_by_one_file(workflow):
    images = workflow.folder / "mine"
    for split, count in (("train", 3), ("test", 2)):
        (images / split).mkdir(parents=True)
        for name, image, labels in draw("multi", count, 96, seed=5, split=split):
            tifffile.imwrite(images / split / f"{name}.tif", image)
            tifffile.imwrite(images / split / f"{name}_cells.tif", labels.astype(np.uint16))
    table = patches_of_new_dataset(workflow, "{name}.tif", "{name}_cells.tif")
    assert len(table) == 3 * 4


@pytest.mark.real
def test_real_images_in_a_new_folder_are_added_by_one_file(workflow, real_data):
    for split, count in (("train", 3), ("test", 2)):
        (workflow.folder / "mine" / split).mkdir(parents=True)
        for image in sorted((real_data / "fluo" / split).glob("*_IM.tif"))[:count]:
            for file in (image, image.with_name(image.name.replace("_IM", "_GT"))):
                shutil.copy(file, workflow.folder / "mine" / split)
    table = patches_of_new_dataset(workflow, "{name}_IM.tif", "{name}_GT.tif")
    assert table["image"].nunique() == 3
    assert table["cells"].sum() > 0


def patches_of_new_dataset(workflow, image, label):
    """Table of the patches of the images in the folder ``mine``, by one new file and a study that names it."""
    splits = {split: {"image": f"{split}/{image}", "label": f"{split}/{label}"} for split in ("train", "test")}
    dataset = {"title": "Mine", "source": "path", "reader": "pairs", "root": "mine", "splits": splits}
    (workflow.folder / "config/datasets/mine.yaml").write_text(yaml.safe_dump(dataset))
    study = {"study": "own", "datasets": {"mine": "mine"}, "patches": {"size": 64, "stride": 64, "border": "pad"}}
    (workflow.folder / "study.yaml").write_text(yaml.safe_dump(study))
    workflow.run("results/own/patches/mine/train/patches.csv", "--configfile", "study.yaml")
    return pd.read_csv(workflow.folder / "results/own/patches/mine/train/patches.csv")


def test_wrong_images_are_told_before_anything_is_trained(workflow):
    folder = workflow.folder / "mine"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.zeros((64, 64), np.uint8))
    tifffile.imwrite(folder / "b.tif", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    tifffile.imwrite(folder / "b_cells.tif", np.ones((32, 64), np.uint16))
    split = {"image": "{name}.tif", "label": "{name}_cells.tif"}
    dataset = {
        "title": "Mine",
        "source": "path",
        "reader": "pairs",
        "root": "mine",
        "splits": {"train": split, "test": split},
    }
    (workflow.folder / "config/datasets/mine.yaml").write_text(yaml.safe_dump(dataset))
    (workflow.folder / "study.yaml").write_text("{study: own, datasets: {mine: mine}}")
    output = workflow.run("results/own/patches/mine/train/patches.csv", "--configfile", "study.yaml", success=False)
    log = (workflow.folder / "results/own/logs/prepare/mine.txt").read_text()
    assert "a.tif" in log
    assert "b.tif" in log
    assert "Error in rule prepare" in output


@pytest.mark.parametrize(
    ("module", "old", "new", "reruns", "spares"),
    [
        ("selection/coresets.py", "max(1, ", "max(2, ", {"train", "select"}, {"prepare", "cut", "scan"}),
        ("models/targets.py", "4.0", "4.5", {"evaluate"}, {"prepare", "cut", "select"}),
        ("models/ucell.py", "self.", "self .", set(), {"train", "evaluate"}),
    ],
)
def test_a_change_of_the_package_reruns_what_it_can_change(tiny, root, tmp_path, module, old, new, reruns, spares):
    shutil.copytree(root / "workflow/frugalseg", tmp_path / "frugalseg")
    path = tmp_path / "frugalseg" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    said = tiny.run("--dry-run", "--configfile", "tiny.yaml", environment={"PYTHONPATH": str(tmp_path)})
    jobs = set(re.findall(r"^(?:local)?rule (\w+):$", said, flags=re.MULTILINE))
    assert reruns <= jobs
    assert not spares & jobs
