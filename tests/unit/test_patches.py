"""Patches: the published counts, the border, numbering, and target flows."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from frugalseg.data.normalize import relabel
from frugalseg.data.patches import cut, windows
from frugalseg.data.stores import ImageWriter, open_images, open_patches
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows


def store(folder, sizes, channels=1, seed=0):
    """An image store of random images with square cells."""
    rng = np.random.default_rng(seed)
    with ImageWriter(folder) as writer:
        for number, (height, width) in enumerate(sizes):
            labels = np.zeros((height, width), np.int32)
            for cell, (y, x) in enumerate(zip(range(1, height, 9), range(2, width, 8), strict=False), start=1):
                labels[y : y + 6, x : x + 5] = cell
            writer.add(f"image{number}", rng.integers(0, 64, (channels, height, width)) / 32, labels)
    return open_images(folder)


@pytest.mark.parametrize(("border", "published"), [("pad", 2997), ("drop", 1813)])
def test_monuseg_gives_the_published_number_of_patches(border, published):
    assert 37 * len(windows(1000, 1000, 224, 112, border)) == published


@pytest.mark.parametrize("size", [1, 7, 16])
@pytest.mark.parametrize("stride", [1, 5, 16, 20])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 16), (30, 16), (16, 33)])
def test_windows_are_those_of_the_rule(height, width, size, stride):
    multiples = [(y, x) for y in range(0, 99, stride) for x in range(0, 99, stride)]
    inside = [(y, x) for y, x in multiples if y < height and x < width]
    assert windows(height, width, size, stride, "pad") == inside
    fitting = [(y, x) for y, x in inside if y + size <= height and x + size <= width]
    assert windows(height, width, size, stride, "drop") == fitting


@pytest.mark.parametrize("sizes", [[(40, 50)], [(5, 70), (1, 3), (31, 2)]], ids=["larger", "smaller than a patch"])
def test_patches_are_windows_of_the_padded_image(tmp_path, sizes):
    images = store(tmp_path / "images", sizes, channels=2)
    cut(images, tmp_path / "patches", size=16, stride=12)
    patches = open_patches(tmp_path / "patches")
    assert len(patches) == sum(-(-height // 12) * -(-width // 12) for height, width in sizes)
    for row in patches.table.itertuples():
        index = images.names.index(row.image)
        pixels, labels = images.pixels(index), images.labels(index)
        padded = np.pad(pixels, ((0, 0), (0, 99), (0, 99)), mode="reflect")
        here = np.s_[row.y : row.y + 16, row.x : row.x + 16]
        np.testing.assert_array_equal(patches.images[row.patch], padded[:, *here])
        expected = np.pad(labels, (0, 99), mode="reflect")[here]
        shown = patches.labels[row.patch]
        np.testing.assert_array_equal(shown > 0, expected > 0)
        pairs = set(zip(expected[expected > 0], shown[expected > 0], strict=True))
        # No two cells share a number, and a cell and its mirrored copy do only where they touch.
        assert sorted(number for _, number in pairs) == list(range(1, row.cells + 1))
        assert all(flood(shown == number).max() == 1 for number in range(1, row.cells + 1))


def flood(mask):
    """Numbers of the connected pieces of a mask, diagonal neighbours included."""
    return ndimage.label(mask, np.ones((3, 3)))[0]


def test_all_that_is_seen_of_a_cell_is_labelled_in_a_patch_larger_than_its_image(tmp_path):
    y, x = np.ogrid[:60, :60]
    disc = (np.hypot(y - 30, x - 30) <= 20).astype(np.int32)
    with ImageWriter(tmp_path / "images") as writer:
        writer.add("small", disc[None].astype(float), disc)
    cut(open_images(tmp_path / "images"), tmp_path / "patches", size=224, stride=112)
    patches = open_patches(tmp_path / "patches")
    assert len(patches) == 1
    np.testing.assert_array_equal(patches.labels[0] > 0, patches.images[0, 0] > 0)
    assert patches.table["cells"].tolist() == [16]
    labels, flows = (
        torch.from_numpy(patches.labels[0].astype(np.int32)),
        torch.from_numpy(patches.flows[0].astype(np.float32)),
    )
    found = flows_to_labels(flows[None], torch.where(labels > 0, 9.0, -9.0)[None])[0]
    assert len(found.unique()) == 17


def test_a_cell_that_a_patch_cuts_in_two_is_two_cells_each_with_its_centre(tmp_path):
    labels = np.zeros((32, 64), np.int32)
    labels[4:28, 20:40], labels[10:22, 24:40] = 1, 0
    with ImageWriter(tmp_path / "images") as writer:
        writer.add("horseshoe", labels[None].astype(float), labels)
    cut(open_images(tmp_path / "images"), tmp_path / "patches", size=32, stride=32)
    patches = open_patches(tmp_path / "patches")
    assert patches.table["cells"].tolist() == [1, 2]
    assert (np.abs(patches.flows[1]).max(axis=0) > 0)[:, 1:7][patches.labels[1][:, 1:7] > 0].mean() > 0.9


def test_flows_are_those_of_the_patch(tmp_path):
    cut(store(tmp_path / "images", [(40, 50)]), tmp_path / "patches", size=32, stride=16)
    patches = open_patches(tmp_path / "patches")
    for patch in range(len(patches)):
        labels = torch.from_numpy(patches.labels[patch].astype(np.int32))[None]
        np.testing.assert_array_equal(patches.flows[patch], labels_to_flows(labels)[0].half())


def test_more_patches_than_a_batch_keep_their_order(tmp_path):
    images = store(tmp_path / "images", [(60, 60)] * 3)
    cut(images, tmp_path / "patches", size=12, stride=10, border="drop")
    patches = open_patches(tmp_path / "patches")
    assert len(patches) == 3 * 25
    for row in patches.table.itertuples():
        pixels = images.pixels(images.names.index(row.image))
        np.testing.assert_array_equal(patches.images[row.patch], pixels[:, row.y : row.y + 12, row.x : row.x + 12])


def test_images_smaller_than_a_patch_are_named_when_nothing_may_hang_over(tmp_path):
    images = store(tmp_path / "images", [(40, 40), (15, 40), (40, 9)])
    with pytest.raises(ValueError, match=r"16x16 pixels: image1 \(15x40\), image2 \(40x9\); .*`border: pad`"):
        cut(images, tmp_path / "patches", size=16, stride=8, border="drop")
    assert not (tmp_path / "patches").exists()


def test_a_limited_number_of_patches_is_spread_over_all(tmp_path):
    images = store(tmp_path / "images", [(40, 40)] * 5)
    cut(images, tmp_path / "some", size=20, stride=20, most=10)
    some = open_patches(tmp_path / "some").table
    assert len(some) == 10
    assert set(some["image"]) == set(images.names)
    assert some["patch"].tolist() == list(range(10))
    cut(images, tmp_path / "all", size=20, stride=20, most=1000)
    assert len(open_patches(tmp_path / "all")) == 20


def test_same_images_give_the_same_bytes(tmp_path):
    images = store(tmp_path / "images", [(40, 50)])
    for folder in ("first", "second"):
        cut(images, tmp_path / folder, size=16, stride=12)
    for name in ("images.npy", "labels.npy", "flows.npy", "patches.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_more_cells_than_a_label_can_number_are_refused(tmp_path):
    size = 257
    with ImageWriter(tmp_path / "images") as writer:
        writer.add("dense", np.zeros((1, size, size)), 1 + np.arange(size * size).reshape(size, size))
    with pytest.raises(ValueError, match="holds 66049 cells and a patch store at most 65535; cut smaller patches"):
        cut(open_images(tmp_path / "images"), tmp_path / "patches", size=size, stride=size)


def test_relabelling_keeps_the_partition():
    labels = np.array([[0, 5, 5], [2**31 + 7, 0, 9]], np.uint32)
    assert relabel(labels).tolist() == [[0, 1, 1], [3, 0, 2]]
    assert relabel(np.array([[4, 4], [8, 4]])).tolist() == [[1, 1], [2, 1]]
    assert relabel(np.array([[False, True]])).tolist() == [[0, 1]]
