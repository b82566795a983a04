"""Training images that are kept aside."""

from __future__ import annotations

import numpy as np
import pytest

from frugalseg.data.aside import training_rows, tuning_rows
from frugalseg.data.stores import ImageWriter, open_images


@pytest.mark.parametrize(("images", "aside"), [(1, 0), (7, 3), (433, 16)])
def test_every_image_is_trained_on_or_kept_aside(images, aside):
    training, tuning = training_rows(images, aside), tuning_rows(images, aside)
    assert len(tuning) == aside
    assert sorted([*training, *tuning]) == list(range(images))
    assert (np.diff(training) > 0).all()


def test_more_are_kept_aside_beside_the_same():
    assert set(tuning_rows(50, 4)) < set(tuning_rows(50, 9))
    assert (tuning_rows(50, 9) == tuning_rows(50, 9)).all()


def test_something_must_be_left_to_train_on():
    with pytest.raises(ValueError, match=r"keeps 3 training images aside .* has 3"):
        training_rows(3, 3)


def test_some_images_of_a_store_are_those_images(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.random((channels, 5, 3 + channels)).astype(np.float16) for channels in (1, 2, 1, 3)]
    labels = [np.full(image.shape[1:], number, np.int32) for number, image in enumerate(images)]
    with ImageWriter(tmp_path) as writer:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            writer.add(f"image{number}", image.astype(np.float32), label)
    store = open_images(tmp_path)
    taken = store.take([3, 1])
    assert taken.names == ["image3", "image1"]
    assert len(taken) == 2
    for index, number in enumerate((3, 1)):
        assert (taken.pixels(index) == images[number].astype(np.float32)).all()
        assert (taken.labels(index) == labels[number]).all()
    assert store.names == [f"image{number}" for number in range(4)]
    assert (taken.take([1]).pixels(0) == images[1].astype(np.float32)).all()
