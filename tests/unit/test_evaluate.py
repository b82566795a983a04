"""Evaluation of a model on an image store, with networks that know or miss every cell."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from frugalseg.data.stores import IMAGE_COLUMNS, Images
from frugalseg.evaluation import prediction
from frugalseg.evaluation.evaluate import evaluate, segmenter
from frugalseg.evaluation.metrics import per_image
from frugalseg.kernels.flows import labels_to_flows
from frugalseg.study.metrics import OF_IMAGES


def discs(size, centres, radius=8):
    yy, xx = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, np.int32)
    for label, (y, x) in enumerate(centres, start=1):
        labels[(yy - y) ** 2 + (xx - x) ** 2 < radius**2] = label
    return labels


LABELS = [
    discs((60, 80), [(15, 15), (15, 40), (40, 60)]),
    discs((45, 33), [(20, 16)]),
    discs((60, 80), []),
    discs((60, 80), [(30, 20), (30, 36)]),
]


class Flows(nn.Module):
    """Puts out the flows it is shown as an image of two channels; cells are where the image is not zero."""

    def forward(self, images):
        cells = (images != 0).any(1, keepdim=True)
        return torch.cat([5 * images, torch.where(cells, 5.0, -5.0)], 1)


class Nothing(nn.Module):
    """Sees no cell anywhere."""

    def forward(self, images):
        return torch.cat([images[:, :1] * 0, images[:, :1] * 0, images[:, :1] * 0 - 10], 1)


def store(pixels, labels):
    """An image store in memory."""
    rows = [(f"image{index}", *image.shape, 0, 0.0) for index, image in enumerate(pixels)]
    flat_pixels, flat_labels = (np.concatenate([array.ravel() for array in arrays]) for arrays in (pixels, labels))
    return Images(pd.DataFrame(rows, columns=IMAGE_COLUMNS), flat_pixels.astype(np.float16), flat_labels)


def evaluate_all(model, images, **options):
    return evaluate(model, images, **{"device": "cpu", "batch_size": 4} | options)


@pytest.fixture
def flow_images():
    return store([labels_to_flows(torch.from_numpy(labels)[None])[0].numpy() for labels in LABELS], LABELS)


def test_evaluate_scores_a_perfect_model(flow_images):
    table = evaluate_all(Flows(), flow_images)
    assert table.columns.tolist() == ["image", *OF_IMAGES]
    assert table["image"].tolist() == ["image0", "image1", "image2", "image3"]
    # The flow in the middle of a disc is zero, a hole that is filled, so all but a pixel or two is found.
    assert (table["ap_90"] == 1).all()
    assert (table["iou"] > 0.98).all()


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("pixels_per_chunk", [1, 6000, 10**9])
def test_evaluate_depends_neither_on_batches_nor_on_chunks(flow_images, monkeypatch, batch_size, pixels_per_chunk):
    expected = evaluate_all(Flows(), flow_images)
    monkeypatch.setattr(prediction, "_PIXELS_PER_CHUNK", pixels_per_chunk)
    pd.testing.assert_frame_equal(evaluate_all(Flows(), flow_images, batch_size=batch_size), expected)


def test_evaluate_scores_each_image_by_its_own_truth(flow_images):
    table = evaluate_all(Nothing(), flow_images)
    assert not table.isna().any(axis=None)
    assert table["ap"].tolist() == [0, 0, 1, 0]
    assert table["hd95"].tolist() == [100, np.hypot(45, 33), 0, 100]
    for row, labels in zip(table[list(OF_IMAGES)].to_dict("records"), LABELS, strict=True):
        assert row == per_image(labels, np.zeros_like(labels))


def test_evaluate_no_images():
    table = evaluate_all(Nothing(), Images(pd.DataFrame(columns=IMAGE_COLUMNS), np.zeros(0), np.zeros(0)))
    assert table.empty
    assert table.columns.tolist() == ["image"]


def test_errors_in_scoring_reach_the_caller(flow_images):
    flow_images.labels = lambda index: np.zeros((3, 3), np.int32)
    with pytest.raises(ValueError, match="shape"):
        evaluate_all(Flows(), flow_images)


def rod(length=700):
    """Flows and logits of a cell longer than 200 steps can walk from its ends to its middle."""
    labels = np.zeros((24, length + 20), np.int32)
    labels[8:16, 10:-10] = 1
    flows = labels_to_flows(torch.from_numpy(labels)[None])[0].numpy()
    return labels, (flows, np.where(labels, 5, -5).astype(np.float32))


def test_a_cell_longer_than_the_steps_is_whole_where_steps_may_grow():
    labels, predicted = rod()
    short = segmenter("flows", {"flow_threshold": None})(predicted)
    assert short.max() != 1 or (short > 0).sum() < 0.9 * (labels > 0).sum()
    grown = segmenter("flows", {"flow_threshold": None, "steps": "auto"})(predicted)
    assert ((grown == 1) == (labels == 1)).all()
    assert prediction.longest_piece(labels > 0) == 700
    assert prediction.longest_piece(labels > 1) == 0


def test_settings_of_masks_are_those_of_the_kernel_and_change_nothing_where_not_given(flow_images):
    before, same = (evaluate_all(Flows(), flow_images, masks=masks) for masks in (None, {}))
    pd.testing.assert_frame_equal(before, same)
    pd.testing.assert_frame_equal(before, evaluate_all(Flows(), flow_images, masks={"steps": 200, "min_size": 15}))
    nothing = evaluate_all(Flows(), flow_images, masks={"min_size": 400})
    assert nothing["ap_50"].tolist() == [0, 0, 1, 0]


def test_foreground_takes_the_threshold_of_the_logit_alone():
    logits = np.array([[1.0, -1, 3]], np.float32)
    found = segmenter("foreground", {"logit_threshold": 2.0, "steps": 10})((np.zeros((2, 1, 3)), logits))
    assert found.tolist() == [[0, 0, 1]]
    assert segmenter("unit_flows").keywords == {"steps": 500}
    assert segmenter("unit_flows", {"steps": 50}).keywords == {"steps": 50}
