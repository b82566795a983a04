"""Prediction of whole images and their label images, with networks small enough to know what they must give."""

import itertools
import threading

import numpy as np
import pytest
import torch
from torch import nn

from frugalseg.evaluation import prediction
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.prediction import follow, predict, segment, segment_images
from frugalseg.evaluation.windows import split
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


class Shapes(nn.Module):
    """Remembers the shapes of its batches."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape))
        return images.new_zeros(len(images), 3, *images.shape[2:])


def predict_all(model, images, **options):
    predictions = dict(predict(model, images, **{"device": "cpu", "batch_size": 4, "stride": 4} | options))
    assert sorted(predictions) == list(range(len(images)))
    return [predictions[index] for index in range(len(images))]


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


def test_whole_image_is_what_the_network_makes_of_it_among_zeros():
    image = random_images([(32, 46)])[0]
    model = Local()
    # Sides of 32 + 16 and of 46 + 18, multiples of four.
    padded = np.pad(image, ((0, 0), (8, 8), (9, 9)))
    with torch.no_grad():
        expected = model(torch.from_numpy(padded)[None])[0].numpy()[:, 8:-8, 9:-9]
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
    predict_all(model, random_images([(300, 300), (300, 290), (129, 300)]), tile=128, batch_size=5)
    # The first two images are cut into 3 x 3 tiles, the last into 2 x 3.
    assert model.seen == [(5, 2, 116, 116)] * 3 + [(3, 2, 116, 116), (5, 2, 84, 116), (1, 2, 84, 116)]


@pytest.mark.parametrize("stride", [8, 16, 32, 64])
def test_images_of_1024_pixels_are_not_cut(stride):
    model = Shapes()
    list(predict(model, random_images([(1024, 40)]), device="cpu", batch_size=1, stride=stride))
    assert len(model.seen) == 1


def test_large_windows_come_in_smaller_batches(monkeypatch):
    monkeypatch.setattr(prediction, "_PIXELS_PER_PASS", 8 * 40 * 40)
    model = Shapes()
    predict_all(model, random_images([(64, 64)] * 3 + [(24, 24)] * 4 + [(200, 200)]), batch_size=8)
    assert sorted(model.seen) == [(1, 2, 80, 80), (1, 2, 216, 216), (2, 2, 80, 80), (4, 2, 40, 40)]


@pytest.mark.parametrize("length", range(4, 700, 52))
def test_blending_weights_sum_to_one(length):
    tile, stride = 64, 4
    total = np.zeros(length)
    for span in split(length, tile, stride):
        assert span.start % stride == 0
        assert len(span.weights) <= tile
        assert span.weights.min() >= 0
        total[span.pixels] += span.weights
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_windows_are_no_longer_than_it_takes():
    assert [len(span.weights) for span in split(224, 224, 8)] == [224]
    assert [len(span.weights) for span in split(232, 224, 8)] == [136, 136]
    for length in range(232, 2000, 8):
        lengths = [len(span.weights) for span in split(length, 224, 8)]
        assert len(set(lengths)) == 1
        # An eighth of a tile is 28 pixels, 32 in steps of the stride.
        assert 0 <= sum(lengths) - length - 32 * (len(lengths) - 1) < 8 * len(lengths)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("pixels_per_chunk", [1, 10_000, 10**9])
def test_neither_batches_nor_neighbours_change_results(batch_size, pixels_per_chunk, monkeypatch):
    monkeypatch.setattr(prediction, "_PIXELS_PER_CHUNK", pixels_per_chunk)
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
    assert sorted(shape[2:] for shape in model.seen) == [(20, 20), (32, 24)]


def test_bfloat16_is_close():
    images = random_images([(32, 32)])
    lower = predict_all(Local(), images, dtype=torch.bfloat16)
    assert_same(lower, predict_all(Local(), images), tolerance=0.05)
    assert not np.array_equal(lower[0][1], predict_all(Local(), images)[0][1])


def test_images_are_padded_to_what_the_network_takes():
    images = random_images([(9, 41)])
    model = Shapes()
    list(predict(model, images, device="cpu", batch_size=1))
    model.stride = 8
    list(predict(model, images, device="cpu", batch_size=1))
    list(predict(model, images, device="cpu", batch_size=1, stride=64))
    assert [shape[2:] for shape in model.seen] == [(32, 64), (32, 64), (64, 64)]


class Square(Copy):
    """A network that takes squares of 64 pixels and nothing else."""

    window = 64

    def forward(self, images):
        assert images.shape[-2:] == (64, 64)
        return super().forward(images)


@pytest.mark.parametrize("size", [(64, 64), (40, 64), (9, 200), (65, 130), (256, 256)])
def test_networks_of_one_size_are_shown_squares_of_it(size):
    images = random_images([size])
    (flows, logits), *_ = predict_all(Square(), images, batch_size=3)
    assert flows.shape[1:] == logits.shape == size
    assert_same([(flows, logits)], predict_all(Copy(), images, batch_size=3))


def test_an_image_of_that_size_is_one_window():
    seen = []
    model = Square()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    predict_all(model, random_images([(64, 64)]), batch_size=3)
    assert seen == [(1, 2, 64, 64)]


def test_no_images():
    assert predict_all(Copy(), []) == []
    assert list(segment_images(Copy(), [], device="cpu", batch_size=4)) == []


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


def test_segment_finds_the_cells():
    for truth, prediction_ in zip(LABELS, perfect_predictions(), strict=True):
        labels = segment(prediction_)
        assert labels.dtype == np.int32
        assert labels.shape == truth.shape
        assert per_image(truth, labels)["ap_90"] == 1


def test_segment_passes_thresholds_on():
    assert not any(segment(prediction_, min_size=400).any() for prediction_ in perfect_predictions())


class Flows(nn.Module):
    """Puts out the flows it is shown as an image of two channels; cells are where the image is not zero."""

    def forward(self, images):
        cells = (images != 0).any(1, keepdim=True)
        return torch.cat([5 * images, torch.where(cells, 5.0, -5.0)], 1)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("pixels_per_chunk", [1, 6000, 10**9])
def test_streaming_equals_one_after_the_other(batch_size, pixels_per_chunk, monkeypatch):
    monkeypatch.setattr(prediction, "_PIXELS_PER_CHUNK", pixels_per_chunk)
    images = [flows for flows, _ in perfect_predictions()] + random_images(ODD_SIZES)
    streamed = segment_images(Flows(), iter(images), device="cpu", batch_size=batch_size)
    expected = [segment(predicted) for predicted in predict_all(Flows(), images, stride=None, batch_size=batch_size)]
    assert any(labels.any() for labels in expected)
    for labels, wanted in zip(streamed, expected, strict=True):
        np.testing.assert_array_equal(labels, wanted)


def test_images_are_taken_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(prediction, "_PIXELS_PER_CHUNK", 2 * 48 * 48)
    taken = []
    images = (taken.append(index) or image for index, image in enumerate(random_images([(32, 32)] * 20)))
    predictions = predict(Copy(), images, device="cpu", batch_size=4)
    assert next(predictions)[0] == 0
    assert len(taken) <= 3


def test_images_complete_first_come_first():
    images = random_images([(32, 32), (64, 64), (32, 32)])
    assert [index for index, _ in predict(Copy(), images, device="cpu", batch_size=4)] == [0, 2, 1]


def test_follow_gives_results_in_order():
    assert list(follow(lambda index, letter: f"{index}{letter}", iter([(2, "c"), (0, "a"), (1, "b")]))) == [
        "0a",
        "1b",
        "2c",
    ]


def test_follow_works_beside_the_predictions():
    # The second prediction is only made once work on the first has begun: one after the other would wait for ever.
    begun = threading.Event()

    def predictions():
        yield 0, None
        assert begun.wait(60)
        yield 1, None

    assert list(follow(lambda index, _: begun.set() or index, predictions())) == [0, 1]


def test_predictions_do_not_run_far_ahead(monkeypatch):
    monkeypatch.setattr(prediction, "_MOST_WAITING", 3)
    finished, ahead = [], []

    def predictions():
        for index in range(30):
            ahead.append(index - len(finished))
            yield index, None

    results = follow(lambda index, _: finished.append(index) or index, predictions())
    assert list(results) == finished == list(range(30))
    assert max(ahead) <= 4


def test_errors_of_the_work_reach_the_caller_and_end_it():
    made = []

    def predictions():
        for index in range(1000):
            made.append(index)
            yield index, None

    def work(index, _):
        if index == 2:
            raise ValueError("image 2 is wrong")
        return index

    results = follow(work, predictions())
    with pytest.raises(ValueError, match="image 2 is wrong"):
        list(results)
    assert len(made) < 1000
    assert not any(thread.name.startswith("follow") for thread in threading.enumerate())


def test_errors_of_the_network_reach_the_caller():
    images = [*random_images([(20, 20)]), np.zeros((3, 8, 8), np.float32)]
    model = Copy().train()
    with pytest.raises(ValueError, match="1 to 2 channels"):
        list(segment_images(model, images, device="cpu", batch_size=1))
    assert model.training
