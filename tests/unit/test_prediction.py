"""Prediction of whole images and evaluation of a model, with networks small enough to know what they must give."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from frugalseg.data.stores import IMAGE_COLUMNS, Images
from frugalseg.evaluation import evaluate as evaluation
from frugalseg.evaluation import prediction
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.evaluation.metrics import METRICS, per_image
from frugalseg.evaluation.prediction import predict, segment
from frugalseg.kernels.flows import labels_to_flows

ODD_SIZES = [(1, 1), (3, 70), (33, 47), (64, 64), (50, 200), (129, 97), (64, 64)]


def random_images(sizes, channels=2):
    rng = np.random.default_rng(0)
    return [rng.random((channels, *size), dtype=np.float32) for size in sizes]


class Local(nn.Module):
    """Four convolutions that see four pixels in each direction, and zeros beyond what they are given."""

    def __init__(self, in_channels=2):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            widths = (in_channels, 8, 8, 8, 3)
            convolutions = (nn.Conv2d(*pair, 3, padding=1) for pair in itertools.pairwise(widths))
            self.body = nn.Sequential(*(layer for conv in convolutions for layer in (conv, nn.Tanh())))

    def forward(self, images):
        return self.body(images)


class Pooling(nn.Module):
    """Halves and doubles the image twice: takes only multiples of four, and has a grid of its own."""

    def forward(self, images):
        height, width = images.shape[2:]
        assert height % 4 == 0
        assert width % 4 == 0
        pooled = nn.functional.max_pool2d(images, 4)
        return nn.functional.interpolate(pooled, scale_factor=4).mean(1, keepdim=True).expand(-1, 3, -1, -1)


class Copy(nn.Module):
    """Puts out its own input: flow y five times the first channel, flow x the second, the logit their sum."""

    def forward(self, images):
        return torch.stack([5 * images[:, 0], images[:, 1], images[:, 0] + images[:, 1]], 1)


class Nothing(nn.Module):
    """Sees no cell anywhere."""

    def forward(self, images):
        return torch.cat([images[:, :1] * 0, images[:, :1] * 0, images[:, :1] * 0 - 10], 1)


class Shapes(nn.Module):
    """Remembers the shapes of its batches."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        return images.new_zeros(len(images), 3, *images.shape[2:])


def predict_all(model, images, **options):
    return predict(model, images, **{"device": "cpu", "batch_size": 4, "stride": 4} | options)


def assert_same(first, second, tolerance=1e-5):
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def test_outputs_are_in_target_units_and_own_sizes():
    images = random_images(ODD_SIZES)
    for image, (flows, logits) in zip(images, predict_all(Copy(), images), strict=True):
        np.testing.assert_allclose(flows, [image[0], image[1] / 5], rtol=1e-6)
        np.testing.assert_allclose(logits, image.sum(0), rtol=1e-6)
        assert flows.dtype == logits.dtype == np.float32


def test_whole_image_is_what_the_network_makes_of_it():
    image = random_images([(32, 48)])[0]
    model = Local()
    with torch.no_grad():
        expected = model(torch.from_numpy(image)[None])[0].numpy()
    flows, logits = predict_all(model, [image])[0]
    np.testing.assert_allclose(flows, expected[:2] / 5, atol=1e-6)
    np.testing.assert_allclose(logits, expected[2], atol=1e-6)


@pytest.mark.parametrize("model", [Local(), Pooling(), Copy()])
@pytest.mark.parametrize("tile", [128, 192])
def test_tiles_equal_the_whole(model, tile):
    # The outer four pixels of a cut tile differ from the whole; they are thrown away.
    images = random_images([(300, 130), (131, 517), (128, 128), (97, 1000)])
    options = {"stride": 4, "batch_size": 3}
    assert_same(predict_all(model, images, tile=tile, **options), predict_all(model, images, tile=1024, **options))


def test_tiles_are_bounded_and_batched_across_images():
    model = Shapes()
    predict_all(model, random_images([(300, 300), (129, 300)]), tile=128, batch_size=5)
    assert {shape[2:] for shape in model.seen} == {(128, 128)}
    # The first image is cut into 3 x 3 tiles, the second into 2 x 3.
    assert [shape[0] for shape in model.seen] == [5, 5, 5]


def test_large_windows_come_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(prediction, "_PIXELS_PER_WINDOW", 32 * 32)
    model = Shapes()
    predict_all(model, random_images([(64, 64)] * 3 + [(16, 16)] * 4 + [(200, 200)]), batch_size=8)
    assert sorted(model.seen) == [(1, 2, 64, 64), (1, 2, 200, 200), (2, 2, 64, 64), (4, 2, 16, 16)]


@pytest.mark.parametrize("length", range(4, 700, 52))
def test_blending_weights_sum_to_one(length):
    tile, stride = 64, 4
    total = np.zeros(length)
    for start, weights in prediction._split(length, tile, stride):
        assert start % stride == 0
        assert len(weights) <= tile
        assert weights.min() >= 0
        total[start : start + len(weights)] += weights
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batching_does_not_change_results(batch_size):
    images = random_images(ODD_SIZES)
    together = predict_all(Local(), images, tile=64, batch_size=batch_size)
    alone = [predict_all(Local(), [image], tile=64, batch_size=1)[0] for image in images]
    assert_same(together, alone)


def test_batch_norm_uses_running_statistics_and_modes_come_back():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    model.train()
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict_all(model, random_images([(8, 8)]))
    assert [module.training for module in model] == [False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_missing_channels_are_zero():
    grey = random_images([(20, 30)], channels=1)
    with_zeros = [np.concatenate([grey[0], np.zeros_like(grey[0])])]
    assert_same(predict_all(Local(), grey), predict_all(Local(), with_zeros), tolerance=0)
    three = [np.concatenate([grey[0], np.zeros_like(grey[0]), np.zeros_like(grey[0])])]
    assert_same(predict_all(Local(3), grey, in_channels=3), predict_all(Local(3), three, in_channels=3), tolerance=0)


@pytest.mark.parametrize("rescale", [0.5, 2.0, 1.37])
def test_rescaling_is_undone(rescale):
    yy, xx = np.mgrid[:80, :61].astype(np.float32) / 100
    image = np.stack([yy, xx])
    flows, logits = predict_all(Copy(), [image], rescale=rescale)[0]
    inside = (slice(3, -3), slice(3, -3))
    # What is linear survives bilinear resizing, but for the half pixels lost to rounding the size.
    np.testing.assert_allclose(flows[0][inside], yy[inside], atol=0.01)
    np.testing.assert_allclose(flows[1][inside], xx[inside] / 5, atol=0.01)
    np.testing.assert_allclose(logits[inside], (yy + xx)[inside], atol=0.01)


def test_rescaling_changes_what_the_network_sees():
    model = Shapes()
    predict_all(model, random_images([(40, 20), (1, 1)]), rescale=0.4)
    assert sorted(shape[2:] for shape in model.seen) == [(4, 4), (16, 8)]


def test_bfloat16_is_close():
    images = random_images([(32, 32)])
    lower = predict_all(Local(), images, dtype=torch.bfloat16)
    assert_same(lower, predict_all(Local(), images), tolerance=0.05)
    assert not np.array_equal(lower[0][1], predict_all(Local(), images)[0][1])


def test_images_are_padded_to_what_the_network_takes():
    images = random_images([(9, 41)])
    model = Shapes()
    predict(model, images, device="cpu", batch_size=1)
    model.stride = 8
    predict(model, images, device="cpu", batch_size=1)
    predict(model, images, device="cpu", batch_size=1, stride=64)
    assert [shape[2:] for shape in model.seen] == [(32, 64), (16, 48), (64, 64)]


def test_no_images():
    assert predict_all(Copy(), []) == []
    assert segment([], device="cpu", batch_size=4) == []


@pytest.mark.parametrize("shape", [(3, 8, 8), (0, 8, 8), (2, 0, 8), (8, 8)])
def test_bad_images(shape):
    with pytest.raises(ValueError, match="1 to 2 channels"):
        predict_all(Copy(), [np.zeros(shape, np.float32)])


@pytest.mark.parametrize("tile", [4, 30, 0])
def test_bad_tiles(tile):
    with pytest.raises(ValueError, match="must be a multiple of the network's stride"):
        predict_all(Copy(), [], tile=tile)


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


def perfect_predictions():
    return [
        (labels_to_flows(torch.from_numpy(labels)[None])[0].numpy(), np.where(labels > 0, 5, -5).astype(np.float32))
        for labels in LABELS
    ]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_segment_finds_the_cells_of_each_image_in_order(batch_size):
    segmented = segment(perfect_predictions(), device="cpu", batch_size=batch_size)
    for truth, labels in zip(LABELS, segmented, strict=True):
        assert labels.dtype == np.int32
        assert labels.shape == truth.shape
        assert per_image(truth, labels)["ap_90"] == 1


def test_segment_passes_thresholds_on():
    assert not any(labels.any() for labels in segment(perfect_predictions(), device="cpu", batch_size=4, min_size=400))


def store(pixels, labels):
    """An image store in memory."""
    rows = [(f"image{index}", *image.shape, 0, 0.0) for index, image in enumerate(pixels)]
    flat_pixels, flat_labels = (np.concatenate([array.ravel() for array in arrays]) for arrays in (pixels, labels))
    return Images(pd.DataFrame(rows, columns=IMAGE_COLUMNS), flat_pixels.astype(np.float16), flat_labels)


class Flows(nn.Module):
    """Puts out the flows it is shown as an image of two channels; cells are where the image is not zero."""

    def forward(self, images):
        cells = (images != 0).any(1, keepdim=True)
        return torch.cat([5 * images, torch.where(cells, 5.0, -5.0)], 1)


def evaluate_all(model, images, **options):
    return evaluate(model, images, **{"device": "cpu", "batch_size": 4} | options)


@pytest.fixture
def flow_images():
    return store([flows for flows, _ in perfect_predictions()], LABELS)


def test_evaluate_scores_a_perfect_model(flow_images):
    table = evaluate_all(Flows(), flow_images)
    assert table.columns.tolist() == ["image", *METRICS]
    assert table["image"].tolist() == ["image0", "image1", "image2", "image3"]
    # The flow in the middle of a disc is zero, a hole that is filled, so all but a pixel or two is found.
    assert (table["ap_90"] == 1).all()
    assert (table["iou"] > 0.98).all()


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("pixels_per_chunk", [1, 6000, 10**9])
def test_evaluate_depends_neither_on_batches_nor_on_chunks(flow_images, monkeypatch, batch_size, pixels_per_chunk):
    expected = evaluate_all(Flows(), flow_images)
    monkeypatch.setattr(evaluation, "_PIXELS_PER_CHUNK", pixels_per_chunk)
    pd.testing.assert_frame_equal(evaluate_all(Flows(), flow_images, batch_size=batch_size), expected)


def test_chunks_hold_every_image_once_and_are_bounded(flow_images, monkeypatch):
    monkeypatch.setattr(evaluation, "_PIXELS_PER_CHUNK", 60 * 80 + 45 * 33)
    assert list(evaluation._chunks(flow_images)) == [[0, 1], [2], [3]]


def test_evaluate_a_model_that_finds_nothing(flow_images):
    table = evaluate_all(Nothing(), flow_images)
    assert not table.isna().any(axis=None)
    assert table["ap"].tolist() == [0, 0, 1, 0]
    assert table["hd95"].tolist() == [100, np.hypot(45, 33), 0, 100]


def test_evaluate_no_images():
    table = evaluate_all(Nothing(), Images(pd.DataFrame(columns=IMAGE_COLUMNS), np.zeros(0), np.zeros(0)))
    assert table.empty
    assert table.columns.tolist() == ["image", *METRICS]
