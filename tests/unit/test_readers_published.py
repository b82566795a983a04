"""Datasets in the very layout in which their publishers' archives unpack, read by their files in config/datasets."""

import json

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from frugalseg.data.checks import DataError
from frugalseg.data.prepare import prepare
from frugalseg.data.readers import bbbc038, pairs
from frugalseg.data.sources import listing
from frugalseg.data.stores import open_images

HEIGHT, WIDTH = 36, 48


def image_of(seed, shape=(HEIGHT, WIDTH, 3), largest=255, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, largest, shape).astype(dtype)


def cells_of(numbers, dtype=np.uint16):
    """A label image of six squares with these numbers."""
    labels = np.zeros((HEIGHT, WIDTH), dtype)
    for place, number in enumerate(numbers):
        y, x = divmod(place, 3)
        labels[2 + 16 * y : 12 + 16 * y, 3 + 15 * x : 13 + 15 * x] = number
    return labels


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array) if path.suffix in {".tif", ".tiff"} else Image.fromarray(array).save(path)


def run(tmp_path, root, name):
    """The report of preparing the dataset from its file in config/datasets."""
    dataset = {"channels": "grey"} | yaml.safe_load((root / f"config/datasets/{name}.yaml").read_text())
    return prepare(dataset, name, tmp_path, tmp_path / "out/train", tmp_path / "out/test")


def test_cellpose(tmp_path, root, capsys):
    """Both splits count from 000, images are colour and the grey ones all green, label images have 16 bits."""
    numbers = [1, 2, 255, 256, 300, 65535]
    for split, count in (("train", 3), ("test", 2)):
        for number in range(count):
            image = image_of(number + 10 * len(split))
            if number == 1:
                image[..., [0, 2]] = 0
            save(tmp_path / f"cellpose/{split}/{number:03d}_img.png", image)
            save(tmp_path / f"cellpose/{split}/{number:03d}_masks.png", cells_of(numbers))
    report = run(tmp_path, root, "cellpose_cyto")
    assert {split: (found["images"], found["cells"]) for split, found in report["splits"].items()} == {
        "train": (3, 18),
        "test": (2, 12),
    }
    store = open_images(tmp_path / "out/train")
    np.testing.assert_array_equal(np.unique(store.labels(0)), range(7))
    green = tmp_path / "cellpose/train/001_img.png"
    expected = np.asarray(Image.open(green))[..., 1].astype(float)
    low, high = np.percentile(expected, [1, 99])
    np.testing.assert_allclose(store.pixels(1)[0], (expected - low) / (high - low), atol=2e-3)
    assert report["published_patches"] == {"published": 10063, "here": 3}
    assert "the training images of cellpose_cyto give 3 patches of 224 pixels every 112" in capsys.readouterr().err


def test_neurips_2022(tmp_path, root):
    """Images of every kind, each with a label image of another suffix; label images of 8, 16 and 32 bits."""
    grey, here = (HEIGHT, WIDTH), tmp_path / "neurips2022"
    images = {
        "cell_00001.bmp": image_of(1),
        "cell_00002.png": image_of(2),
        "cell_00003.png": image_of(3, grey, 4095, np.uint16),
        "cell_00004.tif": image_of(4, grey, 4095, np.uint16),
        "cell_00005.tiff": image_of(5, (HEIGHT, WIDTH, 3), 60000, np.uint16),
        "cell_00006.bmp": image_of(6, grey),
        "cell_00007.jpg": image_of(7),
        "cell_00008.tif": image_of(8, grey).astype(np.float32),
    }
    for number, (name, image) in enumerate(images.items()):
        dtype = (np.uint8, np.uint16, np.int32)[number % 3]
        save(here / "Training-labeled/images" / name, image)
        save(here / f"Training-labeled/labels/cell_{number + 1:05d}_label.tiff", cells_of([1, 2, 3], dtype))
    save(here / "Testing/Public/images/OpenTest_001.tif", image_of(20, grey))
    save(here / "Testing/Public/labels/OpenTest_001_label.tiff", cells_of([4, 9]))
    save(here / "Testing/Public/WSI/OpenTest_051.tif", image_of(21, grey))
    save(here / "Testing/Hidden/images/TestHidden_001.tif", image_of(22, grey))
    report = run(tmp_path, root, "neurips2022")
    assert {split: (found["images"], found["cells"]) for split, found in report["splits"].items()} == {
        "train": (8, 24),
        "test": (1, 2),
    }
    assert open_images(tmp_path / "out/train").names == [f"cell_{number:05d}" for number in range(1, 9)]


def test_two_images_that_share_a_name_are_told(tmp_path, root):
    here = tmp_path / "neurips2022"
    for folder in ("Training-labeled", "Testing/Public"):
        save(here / f"{folder}/images/{folder[:4]}.png", image_of(len(folder)))
        save(here / f"{folder}/labels/{folder[:4]}_label.tiff", cells_of([1]))
    save(here / "Training-labeled/images/Trai.bmp", image_of(99))
    with pytest.raises(
        DataError, match=r"Trai.png: the name 'Trai' is that of an image twice in train \(the other is .*Trai.bmp"
    ):
        run(tmp_path, root, "neurips2022")


def encoded(mask):
    """Run lengths of BBBC038: start and length of each run, read column by column from 1."""
    column_wise = mask.T.ravel().tolist()
    runs, start = [], None
    for place, inside in enumerate([*column_wise, False], start=1):
        if inside and start is None:
            start = place
        elif not inside and start is not None:
            runs += [start, place - start]
            start = None
    return " ".join(map(str, runs))


def solution(here, rows, name="stage1_solution.csv"):
    here.mkdir(parents=True, exist_ok=True)
    lines = ["ImageId,EncodedPixels,Height,Width,Usage", *(",".join(map(str, row)) for row in rows)]
    (here / name).write_text("\n".join(lines) + "\n")


def test_bbbc038_with_its_table_of_run_lengths(tmp_path, root):
    here = tmp_path / "bbbc038"
    masks = {number: cells_of([1, 2, 3, 4, 5, 6]) == number for number in range(1, 7)}
    save(here / "stage1_train/t/images/t.png", image_of(1))
    save(here / "stage1_train/t/masks/m.png", masks[1].astype(np.uint8) * 255)
    for name in ("x", "y"):
        save(here / f"stage1_test/{name}/images/{name}.png", image_of(ord(name)))
    ring = masks[4].copy()
    ring[20:26, 5:11] = False
    rows = [("y", encoded(masks[6]), HEIGHT, WIDTH, "Private"), ("y", encoded(ring), HEIGHT, WIDTH, "Private")]
    both = masks[1] | masks[2]
    rows += [("x", encoded(masks[2]), HEIGHT, WIDTH, "Public"), ("x", encoded(both), HEIGHT, WIDTH, "Public")]
    rows += [("x", "", HEIGHT, WIDTH, "Public")]
    solution(here, rows)
    before = listing(yaml.safe_load((root / "config/datasets/bbbc038.yaml").read_text()), tmp_path)
    report = run(tmp_path, root, "bbbc038")
    assert before.startswith("5 files")
    assert report["splits"]["test"]["cells"] == 4
    assert report["splits"]["test"]["resolved"] == {"overlapping": 1, "overlapping_pixels": 100, "without_pixels": 1}
    store = open_images(tmp_path / "out/test")
    np.testing.assert_array_equal(store.labels(0), masks[2] * 1 + masks[1] * 2)
    np.testing.assert_array_equal(store.labels(1), masks[6] * 1 + ring * 2)


def test_images_of_bbbc038_that_do_not_count_are_left_out(tmp_path):
    save(tmp_path / "stage2/x/images/x.png", image_of(1))
    solution(tmp_path, [("x", "1 1", 1, 1, "Ignored")])
    (case,) = bbbc038.find(tmp_path, {"folder": "stage2", "solution": "stage1_solution.csv"})
    sample = bbbc038.load(case)
    assert sample.left_out
    assert sample.notes == {"images_ignored": 1}


BAD_ROWS = {
    "another size": (("x", "1 5", WIDTH, HEIGHT, "Public"), "is of a mask of 48x36 pixels, but the image has 36x48"),
    "odd": (("x", "1 5 9", HEIGHT, WIDTH, "Public"), "the run lengths are not pairs of a start and a length"),
    "words": (("x", "1 five", HEIGHT, WIDTH, "Public"), "the run lengths are not pairs of a start and a length"),
    "overlap": (("x", "1 5 3 5", HEIGHT, WIDTH, "Public"), "the runs overlap or leave the image"),
    "zero": (("x", "0 5", HEIGHT, WIDTH, "Public"), "the runs overlap or leave the image"),
    "too far": (("x", f"{HEIGHT * WIDTH} 2", HEIGHT, WIDTH, "Public"), "the runs overlap or leave the image"),
}


@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_wrong_row_of_bbbc038_is_told_with_its_line(tmp_path, fault):
    row, message = BAD_ROWS[fault]
    save(tmp_path / "stage/x/images/x.png", image_of(1))
    solution(tmp_path, [("x", "1 5", HEIGHT, WIDTH, "Public"), row])
    (case,) = bbbc038.find(tmp_path, {"folder": "stage", "solution": "stage1_solution.csv"})
    with pytest.raises(DataError, match=rf"solution.csv: line 3, a nucleus of .*x.png: {message}; download"):
        bbbc038.load(case)


def test_a_table_of_bbbc038_that_does_not_fit_the_images_is_told(tmp_path):
    options = {"folder": "stage", "solution": "stage1_solution.csv"}
    save(tmp_path / "stage/x/images/x.png", image_of(1))
    with pytest.raises(DataError, match=r"no file fits 'stage1_solution.csv'.*Correct `solution`"):
        bbbc038.find(tmp_path, options)
    (tmp_path / "stage1_solution.csv").write_text("ImageId,EncodedPixels\nx,1 5\n")
    with pytest.raises(DataError, match=r"solution.csv: lacks the columns Height, Width, Usage; take the table"):
        bbbc038.find(tmp_path, options)
    solution(tmp_path, [("z", "1 5", HEIGHT, WIDTH, "Public")])
    without_row, without_image = bbbc038.find(tmp_path, options)
    assert without_image.image == tmp_path / "stage/z/images/z.png"
    with pytest.raises(DataError, match=r"solution.csv: has no row of the image .*x.png"):
        bbbc038.load(without_row)


def test_the_published_number_of_patches_is_compared(tmp_path, capsys):
    """The 37 training images of MoNuSeg, 1000 x 1000 each, give the published 2,997."""
    for number in range(37):
        save(tmp_path / f"train/{number}_IM.tif", image_of(number, (1000, 1000)))
        save(tmp_path / f"train/{number}_GT.tif", np.ones((1000, 1000), np.uint8))
    save(tmp_path / "test/x_IM.tif", image_of(99))
    save(tmp_path / "test/x_GT.tif", cells_of([1]))
    split = {"image": "{name}_IM.tif", "label": "{name}_GT.tif"}
    splits = {part: {key: f"{part}/{value}" for key, value in split.items()} for part in ("train", "test")}
    dataset = {"title": "As large", "source": "path", "reader": "pairs", "root": str(tmp_path), "channels": "grey"}
    dataset |= {"splits": splits, "patches": 2997}
    report = prepare(dataset, "large", "", tmp_path / "out/train", tmp_path / "out/test")
    assert report["published_patches"] == {"published": 2997, "here": 2997}
    assert report == json.loads(json.dumps(report))
    assert "note: " not in capsys.readouterr().err


def test_names_of_pairs_may_hold_dots(tmp_path):
    save(tmp_path / "images/cell.v2.png", image_of(1))
    save(tmp_path / "labels/cell.v2_label.tiff", cells_of([1]))
    (case,) = pairs.find(tmp_path, {"image": "images/{name}.*", "label": "labels/{name}_label.tiff"})
    assert case.name == "cell.v2"
