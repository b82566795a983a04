"""Stores of images and patches: what goes in comes out, and nothing half-written stays."""

import errno

import numpy as np
import pandas as pd
import pytest

from frugalseg.data.stores import ImageWriter, PatchWriter, measure_cells, open_images, open_patches, to_float16
from frugalseg.runtime import files

RNG = np.random.default_rng(0)


def ragged(count, channels=2):
    """Images of different sizes with values that float16 holds exactly, and label images of a few cells."""
    for number in range(count):
        height, width = 5 + number, 40 - number
        pixels = RNG.integers(-100, 100, (channels, height, width)) / 64
        yield f"{number:03d}", pixels.astype(np.float32), RNG.integers(0, 4, (height, width)).astype(np.int32)


def test_images_come_out_as_they_went_in(tmp_path):
    images = list(ragged(12))
    with ImageWriter(tmp_path) as writer:
        for image in images:
            writer.add(*image)
    store = open_images(tmp_path)
    assert len(store) == 12
    assert store.names == [name for name, _, _ in images]
    for index in (11, 0, 5):
        assert store.pixels(index).dtype == np.float32
        assert store.labels(index).dtype == np.int32
        np.testing.assert_array_equal(store.pixels(index), images[index][1])
        np.testing.assert_array_equal(store.labels(index), images[index][2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.csv", "labels.npy", "pixels.npy"]


def test_names_like_numbers_and_missing_values_stay_names(tmp_path):
    with ImageWriter(tmp_path) as writer:
        for name in ("007", "NA", "1e5", "a,b"):
            writer.add(name, np.zeros((1, 2, 2)), np.zeros((2, 2), int))
    assert open_images(tmp_path).names == ["007", "NA", "1e5", "a,b"]


def test_a_failed_writing_leaves_the_old_store(tmp_path):
    with ImageWriter(tmp_path) as writer:
        writer.add("old", np.ones((1, 2, 2)), np.ones((2, 2), int))
    writer = ImageWriter(tmp_path)
    with pytest.raises(TypeError), writer:
        writer.add("new", np.ones((1, 3, 3)), None)
    assert open_images(tmp_path).names == ["old"]
    assert not list(tmp_path.glob("*.partial"))


def test_a_store_that_does_not_fit_its_table_is_refused(tmp_path):
    with ImageWriter(tmp_path) as writer:
        writer.add("a", np.ones((1, 2, 2)), np.ones((2, 2), int))
    np.save(tmp_path / "labels.npy", np.zeros(3, np.int32))
    with pytest.raises(ValueError, match=r"does not fit images.csv; prepare the dataset again"):
        open_images(tmp_path)


def write_patches(folder, count=5):
    images = RNG.integers(-100, 100, (count, 2, 8, 8)) / 64
    labels = RNG.integers(0, 4, (count, 8, 8))
    flows = RNG.integers(-64, 65, (count, 2, 8, 8)) / 64
    table = pd.DataFrame({"patch": range(count), "image": ["01"] * count, "y": 0, "x": np.arange(count) * 4})
    with PatchWriter(folder, table, channels=2, size=8) as writer:
        writer.add(images[:3], labels[:3], flows[:3])
        writer.add(images[3:], labels[3:], flows[3:])
    return images, labels, flows


def test_patches_come_out_as_they_went_in(tmp_path):
    images, labels, flows = write_patches(tmp_path)
    patches = open_patches(tmp_path)
    assert len(patches) == 5
    assert (patches.images.dtype, patches.labels.dtype, patches.flows.dtype) == (np.float16, np.uint16, np.float16)
    np.testing.assert_array_equal(patches.images, images)
    np.testing.assert_array_equal(patches.labels, labels)
    np.testing.assert_array_equal(patches.flows, flows)
    assert list(patches.table) == ["patch", "image", "y", "x", "cells", "diameter"]
    assert patches.table["image"].tolist() == ["01"] * 5
    assert patches.table["cells"].tolist() == [len(np.unique(label[label > 0])) for label in labels]
    assert not list(tmp_path.glob("*.partial"))


def test_patches_of_unequal_parts_are_refused(tmp_path):
    write_patches(tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros((4, 8, 8), np.uint16))
    with pytest.raises(ValueError, match=r"'labels': 4.*cut the patches again"):
        open_patches(tmp_path)


def test_cells_are_measured_one_by_one():
    labels = np.zeros((20, 20), np.int32)
    labels[:4, :4], labels[10:12, 10:15], labels[19, 19] = 7, 3, 9
    areas = [(labels == number).sum() for number in (3, 7, 9)]
    cells, diameter = measure_cells(labels)
    assert cells == 3
    assert diameter == pytest.approx(sum(2 * (area / np.pi) ** 0.5 for area in areas) / 3)
    assert measure_cells(np.zeros((3, 3), int)) == (0, 0.0)


def test_a_hot_pixel_stays_finite():
    assert to_float16(np.array([1e6, -1e6, 0.5])).tolist() == [65504, -65504, 0.5]


def test_a_full_disk_is_told_with_what_is_needed_and_nothing_is_lost(tmp_path, monkeypatch):
    table = pd.DataFrame({"patch": range(9), "image": "a", "y": 0, "x": range(9)})
    monkeypatch.setattr(files, "free_space", lambda folder: 100_000)
    with (
        pytest.raises(
            files.FullDiskError, match=r"images.npy: the disk is full; the file needs 663.6 kB, and 100.0 kB are free"
        ),
        PatchWriter(tmp_path, table, 1, 96),
    ):
        pass
    monkeypatch.undo()
    with ImageWriter(tmp_path) as writer:
        writer.add("old", np.zeros((1, 8, 8), np.float32), np.ones((8, 8), np.int32))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = ImageWriter(tmp_path)
    writer.__enter__()
    monkeypatch.setattr(writer._labels, "append", full)
    with pytest.raises(
        files.FullDiskError, match=r"pixels.npy: the disk is full; .* the same command goes on"
    ) as caught:
        writer.add("new", np.zeros((1, 8, 8), np.float32), np.ones((8, 8), np.int32))
    writer.__exit__(caught.type, caught.value, None)
    assert open_images(tmp_path).names == ["old"]
    assert not list(tmp_path.glob("*.partial"))


def test_a_result_that_meets_a_full_disk_leaves_the_one_before(tmp_path):
    files.write_text("before", tmp_path / "a.csv")

    def full(partial):
        partial.write_bytes(bytes(2500))
        raise OSError(errno.ENOSPC, "No space left on device")

    told = pytest.raises(files.FullDiskError, match=r"a.csv: the disk is full; the file needs 2.5 kB or more")
    with told, files.replacing(tmp_path / "a.csv") as partial:
        full(partial)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
