"""Downloads as config/datasets describes them: what its schema refuses, and what a study needs."""

from __future__ import annotations

import copy
import shutil

import pytest
import yaml
from studies import demo

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

DATASET = {
    "title": "Mine",
    "source": "path",
    "reader": "pairs",
    "root": "{data_root}/mine",
    "splits": {split: {"image": "{name}.tif", "label": "{name}_cells.tif"} for split in ("train", "test")},
}
WEIGHTS = {"title": "Encoder", "source": "weights", "root": "{data_root}/encoder"}
FILE = {"urls": ["https://example.org/a.zip"], "unpack": "train", "size": 3, "sha256": "0" * 64}
FORM = {"by_hand": {"page": "https://example.org/form", "steps": "Fill in the form."}}


@pytest.fixture
def study(root, tmp_path):
    """Complete the default study with a dataset ``mine`` of these downloads in the place of cyto."""
    shutil.copytree(root / "config/datasets", tmp_path / "config/datasets")
    config = demo(root)

    def study(downloads, **features):
        description = {**DATASET, "downloads": downloads}
        (tmp_path / "config/datasets/mine.yaml").write_text(yaml.safe_dump(description))
        changed = copy.deepcopy(config)
        changed["datasets"]["cyto"] = "mine"
        changed["features"] |= features
        questions = changed["questions"].items()
        changed["questions"] = {name: block for name, block in questions if block["kind"] != "claim"}
        changed["data_root"] = "/scratch"
        return complete(changed, root=tmp_path)

    study.root = tmp_path
    return study


def test_a_study_knows_what_it_needs_and_its_datasets_do_not(study):
    config = study({"a.zip": FILE, "a b.csv": FORM})
    assert config["downloads"] == {
        "mine": {"root": "/scratch/mine", "datasets": ["cyto"], "files": {"a.zip": FILE, "a b.csv": FORM}}
    }
    assert "downloads" not in config["datasets"]["cyto"]


def test_weights_are_needed_where_the_checkpoint_is_their_root(study):
    weights = {**WEIGHTS, "downloads": {"config.json": {"urls": ["https://example.org/config.json"]}}}
    (study.root / "config/datasets/encoder.yaml").write_text("# A comment\n" + yaml.safe_dump(weights))
    config = study({"a.zip": FILE}, checkpoint="{data_root}/encoder")
    assert config["features"]["checkpoint"] == "/scratch/encoder"
    assert config["downloads"]["encoder"] == {
        "root": "/scratch/encoder",
        "datasets": [],
        "files": weights["downloads"],
    }
    assert list(study({"a.zip": FILE}, checkpoint="elsewhere/encoder")["downloads"]) == ["mine"]
    assert list(study({"a.zip": FILE})["downloads"]) == ["mine"]


def test_weights_with_a_fault_are_told(study):
    (study.root / "config/datasets/encoder.yaml").write_text(yaml.safe_dump({**WEIGHTS, "downlods": {}}))
    with pytest.raises(ConfigError, match=r"encoder\.yaml: unknown key 'downlods' .* did you mean 'downloads'\?"):
        study({"a.zip": FILE}, checkpoint="{data_root}/encoder")


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("a.zip", {"unpack": "train"}, "needs 'urls' or 'by_hand', and only one of them"),
        ("a.zip", FILE | FORM, "needs 'urls' or 'by_hand', and only one of them"),
        ("a.zip", FILE | {"unpack": "../train"}, "a relative path that does not leave the root folder"),
        ("a.zip", FILE | {"folder": "/train"}, "a relative path that does not leave the root folder"),
        ("a.zip", FILE | {"folder": "x/../../train"}, "a relative path that does not leave the root folder"),
        ("a.zip", FILE | {"urls": ["ftp://example.org/a.zip"]}, "ftp://example.org/a.zip"),
        ("a.zip", FILE | {"sha256": "abc"}, "sixty-four lowercase hexadecimal digits"),
        ("a.zip", FILE | {"url": "https://example.org"}, "did you mean 'urls'?"),
        ("../a.zip", FILE, "'../a.zip'"),
    ],
)
def test_a_wrong_download_is_told(study, name, block, message):
    with pytest.raises(ConfigError) as error:
        study({name: block})
    assert "config/datasets/mine.yaml: " in str(error.value)
    assert message in str(error.value)


def test_drawn_images_have_no_downloads(study):
    file = study.root / "config/datasets/synthetic_histo.yaml"
    file.write_text(file.read_text() + "downloads: {a.zip: {urls: ['https://example.org/a.zip']}}\n")
    with pytest.raises(ConfigError, match=r"synthetic_histo\.yaml: downloads means nothing to the source 'synthetic'"):
        study({"a.zip": FILE})


@pytest.mark.parametrize(
    "name", ["bbbc038", "cellpose_cyto", "coco", "livecell", "monuseg", "neurips2022", "vit_mae_base"]
)
def test_what_is_unpacked_is_what_the_splits_read(root, name):
    block = yaml.safe_load((root / f"config/datasets/{name}.yaml").read_text())
    assert {"licence", "homepage", "citation"} <= block.keys()
    made = {file.get("unpack") or f"{file.get('folder', '.')}/{key}" for key, file in block["downloads"].items()}
    made = {place.removeprefix("./") for place in made}
    read = [path for split in block.get("splits", {}).values() for path in split.values()]
    for path in read:
        assert any(path == place or path.startswith(f"{place}/") for place in made), f"{path} is in none of {made}"
