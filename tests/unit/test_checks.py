"""Checks and preparation: every kind of bad input has its message, all of them come at once, good input goes through."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import yaml

from frugalseg.data.checks import DataError
from frugalseg.data.patches import cut
from frugalseg.data.prepare import prepare
from frugalseg.data.stores import open_images, open_patches

PAIRS = {
    "title": "Two pairs",
    "source": "path",
    "reader": "pairs",
    "root": "{data_root}/mine",
    "channels": "grey",
    "splits": {
        split: {"image": f"{split}/{{name}}_IM.tif", "label": f"{split}/{{name}}_GT.tif"} for split in ("train", "test")
    },
}


def image_of(seed, shape=(30, 40)):
    return np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)


def label_of(shape=(30, 40)):
    labels = np.zeros(shape, np.uint16)
    labels[3:9, 3:9], labels[12:20, 10:30] = 4, 9
    return labels


def write(root, split, name, image=None, label=None):
    folder = root / "mine" / split
    folder.mkdir(parents=True, exist_ok=True)
    if image is not None:
        tifffile.imwrite(folder / f"{name}_IM.tif", image)
    if label is not None:
        tifffile.imwrite(folder / f"{name}_GT.tif", label)


@pytest.fixture
def root(tmp_path):
    """A sound dataset of two training images and one test image."""
    for seed, (split, name) in enumerate([("train", "a"), ("train", "b"), ("test", "c")]):
        write(tmp_path, split, name, image_of(seed), label_of())
    return tmp_path


def run(root, dataset=PAIRS):
    return prepare(dataset, "mine", root, root / "out/train", root / "out/test")


def problems(root, dataset=PAIRS):
    """Lines of the error that preparing raises; nothing may have been written."""
    with pytest.raises(DataError) as caught:
        run(root, dataset)
    assert not [path for path in (root / "out").rglob("*") if path.is_file()]
    head, *lines = str(caught.value).splitlines()
    assert head == f"the dataset mine has {len(lines)} problem{'s' if len(lines) > 1 else ''}:"
    return [line.removeprefix("  - ") for line in lines]


def flawed(value, at=(0, 0), dtype=np.float32):
    image = image_of(7).astype(dtype)
    image[at] = value
    return image


# What is written as train/bad, and what must be said about it; {image} and {label} stand for its paths.
BAD = {
    "sizes differ": (
        image_of(7),
        label_of((30, 39)),
        "{label}: the label image is 30x39 pixels, its image {image} 30x40; take the label image that belongs",
    ),
    "picture as label": (
        image_of(7),
        np.stack([image_of(seed) for seed in (7, 8, 9)], axis=2),
        "{label}: the label image has the shape (30, 40, 3) and the colours of a picture; save one integer per pixel",
    ),
    "stack as label": (
        image_of(7),
        np.stack([label_of()] * 6),
        "{label}: the label image has the shape (6, 30, 40), that of a stack; save one integer per pixel of one plane",
    ),
    "label with fractions": (
        image_of(7),
        label_of() / np.float32(8),
        "{label}: the label image holds float32 numbers, some of them fractions or NaN; save the labels as integers",
    ),
    "negative label": (
        image_of(7),
        -label_of().astype(np.int16),
        "{label}: the label image holds negative numbers (down to -9); use 0 for background",
    ),
    "constant image": (
        np.full((30, 40), 17, np.uint8),
        label_of(),
        "{image}: the image is constant (every pixel is 17); export it again, or take it out",
    ),
    "NaN": (flawed(np.nan), label_of(), "{image}: 1 pixels are NaN or infinite; replace them"),
    "infinite": (flawed(-np.inf, at=np.s_[2, :3]), label_of(), "{image}: 3 pixels are NaN or infinite"),
    "image without label": (image_of(7), None, "{image}: has no label; expected {label}. Add the label"),
    "label without image": (None, label_of(), "{label}: has no image; expected {image}. Add the image"),
    "too many channels": (
        np.stack([image_of(seed) for seed in range(5)]),
        label_of(),
        "{image}: has 5 channels, which are neither grey nor colour; name two of them in `channels`",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_each_bad_input_is_told_with_its_file_and_a_remedy(root, fault):
    image, label, message = BAD[fault]
    write(root, "train", "bad", image, label)
    paths = {kind: root / f"mine/train/bad_{suffix}.tif" for kind, suffix in (("image", "IM"), ("label", "GT"))}
    (line,) = problems(root)
    assert line.startswith(message.format(**paths))


@pytest.mark.parametrize("suffix", ["IM", "GT"])
@pytest.mark.parametrize("content", [b"not a TIFF", b"", b"II*\x00\x08\x00\x00\x00"], ids=["text", "nothing", "cut"])
def test_an_unreadable_file_is_told(root, suffix, content):
    path = root / f"mine/train/b_{suffix}.tif"
    path.write_bytes(content)
    (line,) = problems(root)
    assert line.startswith(f"{path}: cannot be read as an image (")
    assert line.endswith("; export or copy it again")


def test_one_name_in_train_and_test_is_told(root):
    write(root, "test", "a", image_of(7), label_of())
    (line,) = problems(root)
    assert line.startswith(f"{root}/mine/test/a_IM.tif: the name 'a' is that of an image of both train and test")
    assert f"(the other is {root}/mine/train/a_IM.tif); rename one" in line


def test_one_number_in_train_and_test_is_no_fault_but_twice_in_a_split_is(root):
    for seed, split in enumerate(("train", "test")):
        write(root, split, "000", image_of(7 + seed), label_of())
    report = run(root)
    assert [split["images"] for split in report["splits"].values()] == [3, 2]
    dataset = {
        **PAIRS,
        "splits": {**PAIRS["splits"], "train": {"image": "train/{name}_IM.*", "label": "train/{name}_GT.tif"}},
    }
    tifffile.imwrite(root / "mine/train/000_IM.tiff", image_of(9))
    with pytest.raises(DataError, match=r"000_IM.tiff: the name '000' is that of an image twice in train"):
        run(root, dataset)


def test_one_name_twice_in_a_split_is_told(root):
    dataset = {
        **PAIRS,
        "splits": {**PAIRS["splits"], "train": {"image": "train/{name}_IM.*", "label": "train/{name}_GT.tif"}},
    }
    tifffile.imwrite(root / "mine/train/a_IM.tiff", image_of(7))
    (line,) = problems(root, dataset)
    assert line.startswith(f"{root}/mine/train/a_IM.tiff: the name 'a' is that of an image twice in train")


@pytest.mark.parametrize("colour", [False, True])
def test_an_image_of_train_in_test_is_told(root, colour):
    image = image_of(1)
    write(root, "test", "other", np.stack([image] * 3, axis=2) if colour else image, label_of())
    (line,) = problems(root)
    train, test = f"{root}/mine/train/b_IM.tif", f"{root}/mine/test/other_IM.tif"
    assert line == (
        f"{test}: the image of test is identical to {train} of train, so the test would be on an image trained on; "
        "take one of them out, or say `in_both_splits: leave_out` in the dataset file"
    )


def test_identical_images_of_one_split_are_only_reported(root):
    write(root, "train", "twin", image_of(0), label_of())
    report = run(root)
    paths = [[f"{root}/mine/train/{name}_IM.tif" for name in ("a", "twin")]]
    assert report["splits"]["train"]["identical"] == paths
    assert report["splits"]["test"]["identical"] == []
    assert report["splits"]["train"]["images"] == 3


def test_a_pattern_that_fits_nothing_is_told_with_what_is_there(root):
    dataset = {
        **PAIRS,
        "splits": {**PAIRS["splits"], "train": {"image": "train/{name}.png", "label": "train/{name}_GT.tif"}},
    }
    (line,) = problems(root, dataset)
    assert line == (
        f"train: {root}/mine/train: no file fits 'train/{{name}}.png' here, {root}/mine/train holds a_GT.tif, a_IM.tif, "
        "b_GT.tif, b_IM.tif. Correct `image` or `root` of the dataset"
    )


def test_long_folders_are_shortened(root):
    for number in range(20):
        write(root, "train", f"z{number}", image_of(number + 9))
    dataset = {
        **PAIRS,
        "splits": {**PAIRS["splits"], "train": {"image": "train/{name}.png", "label": "train/{name}_GT.tif"}},
    }
    assert "b_IM.tif, z0_IM.tif and 19 more." in problems(root, dataset)[0]


@pytest.mark.parametrize(
    ("reader", "pattern"),
    [("bbbc038", "{}/*/images/*.png"), ("monuseg", "{}/**/*.tif"), ("pairs", "{}/{{name}}_IM.tif")],
)
def test_a_missing_folder_is_told_with_what_is_beside_it(root, reader, pattern):
    options = (
        {"image": "tain/{name}_IM.tif", "label": "tain/{name}_GT.tif"} if reader == "pairs" else {"folder": "tain"}
    )
    lines = problems(root, {**PAIRS, "reader": reader, "splits": {"train": options, "test": options}})
    assert len(lines) == 2
    assert f"{root}/mine/tain: no file fits {pattern.format('tain')!r} here, which does not exist; " in lines[0]
    assert f"{root}/mine holds test/, train/." in lines[0]


def test_a_missing_root_is_told(tmp_path):
    lines = problems(tmp_path)
    assert all("which does not exist" in line and "`root`" in line for line in lines)


def test_every_problem_of_every_file_comes_at_once(root):
    for number, (image, label, _) in enumerate(BAD.values()):
        write(root, "train", f"bad{number:02d}", image if image is None else np.roll(image, number), label)
        write(root, "test", f"worse{number:02d}", image if image is None else np.roll(image, number + 50), label)
    lines = problems(root)
    told = {line.split(": ")[0] for line in lines}
    for number in range(len(BAD)):
        assert any(f"train/bad{number:02d}_" in file for file in told), number
        assert any(f"test/worse{number:02d}_" in file for file in told), number
    assert not any("/a_" in file or "/b_" in file or "/c_" in file for file in told)


def test_one_file_may_have_several_problems(root):
    write(root, "train", "bad", np.full((30, 40), 3, np.uint8), label_of((9, 40)))
    assert len(problems(root)) == 2


def test_a_failed_preparation_keeps_what_was_prepared_before(root):
    run(root)
    write(root, "train", "bad", image_of(7))
    with pytest.raises(DataError):
        run(root)
    assert open_images(root / "out/train").names == ["a", "b"]


def test_the_report_counts_and_is_the_same_twice(root):
    report = run(root)
    assert report == json.loads(json.dumps(report))
    diameter = round(np.mean([2 * (36 / np.pi) ** 0.5, 2 * (160 / np.pi) ** 0.5]), 2)
    ceiling = report["splits"]["test"].pop("ceiling")
    assert ceiling == {"settings": {}, "ap": 1.0, "pq": 1.0, "cells_lost": 0, "images_under_95": {}}
    assert report == {
        "dataset": "mine",
        "title": "Two pairs",
        "splits": {
            split: {
                "images": images,
                "channels": 1,
                "cells": 2 * images,
                "diameter": diameter,
                "sizes": {"30x40": images},
                "resolved": {},
                "identical": [],
                "perhaps_partly_annotated": [],
            }
            for split, images in (("train", 2), ("test", 1))
        },
    }
    first = {path.name: path.read_bytes() for path in (root / "out/train").iterdir()}
    shutil.rmtree(root / "out")
    run(root)
    assert first == {path.name: path.read_bytes() for path in (root / "out/train").iterdir()}


def test_a_new_dataset_is_one_new_file(tmp_path):
    """Two-channel images with the channels last, in a layout of their own, without a change of code."""
    for seed, (split, name) in enumerate([("training", "x1"), ("training", "x2"), ("held_out", "x3")]):
        folder = tmp_path / "elsewhere" / split
        (folder / "annotations").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 4000, (3, 50, 70), dtype=np.uint16)
        tifffile.imwrite(folder / f"{name}.ome.tif", pixels, metadata={"axes": "CYX"})
        tifffile.imwrite(folder / f"annotations/cells_{name}.tiff", label_of((50, 70)).astype(np.int32))
    dataset = yaml.safe_load(
        f"""
        title: Brand new
        source: path
        reader: pairs
        root: {tmp_path}/elsewhere
        channels: [2, 0]
        splits:
          train: {{image: "training/{{name}}.ome.tif", label: "training/annotations/cells_{{name}}.tiff"}}
          test: {{image: "held_out/{{name}}.ome.tif", label: "held_out/annotations/cells_{{name}}.tiff"}}
        """
    )
    report = prepare(dataset, "new", "unused", tmp_path / "train", tmp_path / "test")
    assert {split: values["images"] for split, values in report["splits"].items()} == {"train": 2, "test": 1}
    images = open_images(tmp_path / "train")
    source = tifffile.imread(tmp_path / "elsewhere/training/x2.ome.tif").astype(float)
    for channel, picked in enumerate((2, 0)):
        low, high = np.percentile(source[picked], [1, 99])
        np.testing.assert_allclose(images.pixels(1)[channel], (source[picked] - low) / (high - low), atol=1e-3)
    cut(images, tmp_path / "patches", size=32, stride=32)
    patches = open_patches(tmp_path / "patches")
    assert len(patches) == 2 * 2 * 3
    assert patches.images.shape == (12, 2, 32, 32)
    assert patches.table["cells"].max() == 2


def test_a_synthetic_dataset_goes_the_same_way(tmp_path):
    dataset = {"title": "Drawn", "source": "synthetic", "channels": "grey", "domain": "histo"}
    dataset |= {"size": 64, "train": 3, "test": 2, "seed": 0}
    report = run(tmp_path, dataset)
    assert {split: values["images"] for split, values in report["splits"].items()} == {"train": 3, "test": 2}
    assert open_images(tmp_path / "out/test").pixels(0).shape == (1, 64, 64)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "images", "cells"),
    [("fluo", (433, 108), (17983, 5063)), ("histo", (154, 47), (11601, 4067)), ("multi", (85, 20), (1642, 411))],
)
def test_the_real_datasets_pass(tmp_path, real_data, request, name, images, cells):
    path = request.config.rootpath / f"config/datasets/{name}.yaml"
    report = prepare(yaml.safe_load(path.read_text()), name, real_data, tmp_path / "train", tmp_path / "test")
    assert tuple(split["images"] for split in report["splits"].values()) == images
    assert tuple(split["cells"] for split in report["splits"].values()) == cells
