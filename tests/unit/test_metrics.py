"""Every metric against its definition, written out in loops over pixels, labels and pairs."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from frugalseg.evaluation.metrics import per_image
from frugalseg.study.metrics import OF_IMAGES


def pixels_of(labels):
    """The set of (y, x) of every label, background left out."""
    cells = {}
    for (y, x), label in np.ndenumerate(labels):
        if label:
            cells.setdefault(int(label), set()).add((y, x))
    return cells


def reference(truth, prediction):
    """All metrics but those of the boundary, each as its paper states it; for images that both hold cells."""
    truths, predictions = pixels_of(truth), pixels_of(prediction)
    true_pixels, predicted_pixels = set().union(*truths.values()), set().union(*predictions.values())
    tp, fp, fn = (
        len(true_pixels & predicted_pixels),
        len(predicted_pixels - true_pixels),
        len(true_pixels - predicted_pixels),
    )
    iou, dice = tp / (tp + fp + fn), 2 * tp / (2 * tp + fp + fn)
    precisions = [reference_matches(truths, predictions, k / 20) for k in range(10, 20)]
    n_cells = len(truths) + len(predictions)
    matches_50 = precisions[0]
    precisions = [matches / (n_cells - matches) for matches in precisions]
    pq, sq, rq = reference_panoptic(truths, predictions)
    return {
        "iou": iou,
        "dice": dice,
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "accuracy": (truth.size - fp - fn) / truth.size,
        "pq_pixel": iou * dice,
        "pq": pq,
        "sq": sq,
        "rq": rq,
        "ap_50": precisions[0],
        "ap_75": precisions[5],
        "ap_90": precisions[8],
        "ap": sum(precisions) / 10,
        "f1_50": 2 * matches_50 / n_cells,
        "aji": reference_aji(truths, predictions),
    }


def iou_of(a, b):
    return len(a & b) / len(a | b)


def reference_matches(truths, predictions, threshold):
    """Size of the largest one-to-one matching of pairs with IoU >= threshold, by optimal assignment."""
    hits = np.array([[iou_of(t, p) >= threshold for p in predictions.values()] for t in truths.values()])
    rows, columns = linear_sum_assignment(hits, maximize=True)
    return int(hits[rows, columns].sum())


def reference_panoptic(truths, predictions):
    """Kirillov et al. 2019, equation 1."""
    ious = [iou_of(t, p) for t in truths.values() for p in predictions.values() if iou_of(t, p) > 0.5]
    tp, fp, fn = len(ious), len(predictions) - len(ious), len(truths) - len(ious)
    rq = tp / (tp + fp / 2 + fn / 2)
    sq = sum(ious) / tp if tp else 0.0
    return sum(ious) / (tp + fp / 2 + fn / 2), sq, rq


def reference_aji(truths, predictions):
    """Kumar et al. 2017, algorithm 1."""
    correct, union, used = 0, 0, set()
    for cell in truths.values():
        best = max(sorted(predictions), key=lambda label: iou_of(cell, predictions[label]))
        if not cell & predictions[best]:
            union += len(cell)
            continue
        correct += len(cell & predictions[best])
        union += len(cell | predictions[best])
        used.add(best)
    union += sum(len(pixels) for label, pixels in predictions.items() if label not in used)
    return correct / union


def reference_boundary(labels):
    height, width = labels.shape

    def background(y, x):
        return not (0 <= y < height and 0 <= x < width) or labels[y, x] == 0

    return [
        (y, x)
        for (y, x), label in np.ndenumerate(labels)
        if label and any(background(*neighbour) for neighbour in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)))
    ]


def reference_hd95(truth, prediction):
    """All distances between two boundaries, and the 95th percentile each way."""

    def directed(source, target):
        return np.percentile([min(math.dist(p, q) for q in target) for p in source], 95)

    a, b = reference_boundary(truth), reference_boundary(prediction)
    return max(directed(a, b), directed(b, a))


@st.composite
def image_pairs(draw):
    """A label image and a disturbed copy of it, so that overlaps of all degrees occur; labels with gaps."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    blocks = rng.integers(0, draw(st.integers(2, 7)), (height, (width + 1) // 2)).repeat(2, axis=1)[:, :width]
    noise = rng.integers(0, 7, (height, width))
    disturbed = np.where(rng.random((height, width)) < draw(st.sampled_from([0.1, 0.3, 1.0])), noise, blocks)
    numbers = rng.permutation([3, 4, 9, 11, 40, 41])
    return blocks.astype(np.int32), np.concatenate([[0], numbers])[disturbed].astype(np.uint16)


# A cell cut into two halves, and two cells joined: IoU is 0.5 exactly, and only one of the two pairs is a match.
HALVES = (np.array([[1, 1, 2, 3]]), np.array([[1, 2, 3, 3]]))


@given(image_pairs())
@example(HALVES)
@settings(max_examples=300, deadline=None)
def test_all_metrics_equal_their_references(pair):
    truth, prediction = pair
    if not truth.any() or not prediction.any():
        return
    metrics = per_image(truth, prediction)
    assert metrics["hd95"] == pytest.approx(reference_hd95(truth, prediction), abs=1e-12)
    for name, value in reference(truth, prediction).items():
        assert metrics[name] == pytest.approx(value, abs=1e-12), name


def test_halves_are_matched_once():
    metrics = per_image(*HALVES)
    assert metrics["f1_50"] == 2 * 2 / 6
    assert metrics["rq"] == 0


def test_keys_are_in_order_and_floats():
    metrics = per_image(*HALVES)
    assert tuple(metrics) == OF_IMAGES
    assert all(type(value) is float for value in metrics.values())


def test_perfect_prediction_with_other_numbers():
    truth = np.kron(np.arange(9).reshape(3, 3), np.ones((4, 4), int))
    metrics = per_image(truth, (truth * 1000).astype(np.uint16))
    assert metrics == dict.fromkeys(OF_IMAGES, 1.0) | {"hd95": 0.0}


EMPTY = np.zeros((6, 8), np.int32)
CELLS = EMPTY.copy()
CELLS[1:3, 1:4] = 5
CELLS[4, 4:6] = 2


def test_both_empty_is_perfect():
    assert per_image(EMPTY, EMPTY) == dict.fromkeys(OF_IMAGES, 1.0) | {"hd95": 0.0}


@pytest.mark.parametrize(("truth", "prediction"), [(CELLS, EMPTY), (EMPTY, CELLS)])
def test_one_empty_scores_nothing(truth, prediction):
    assert per_image(truth, prediction) == dict.fromkeys(OF_IMAGES, 0.0) | {"accuracy": 40 / 48, "hd95": 10.0}


def test_no_overlap_at_all():
    metrics = per_image(CELLS, CELLS[::-1, ::-1] * (CELLS == 0))
    scores = {name: value for name, value in metrics.items() if name not in ("accuracy", "hd95")}
    assert set(scores.values()) == {0.0}


def test_aji_lets_one_prediction_serve_two_cells():
    truth, joined = np.array([[1, 1, 1, 2, 2, 2]]), np.array([[1, 1, 1, 1, 1, 1]])
    assert per_image(truth, joined)["aji"] == 6 / 12


def test_aji_takes_the_smaller_of_two_equal_predictions():
    # Predictions 4 and 7 share two of six pixels each with the cell: 4 is taken, 7 is unused.
    truth, prediction = np.array([[0, 0, 1, 1, 1, 1, 0, 0]]), np.array([[7, 7, 7, 7, 4, 4, 4, 4]])
    assert per_image(truth, prediction)["aji"] == 2 / (6 + 4)


def test_foreground_that_fills_the_image_has_the_frame_as_boundary():
    full, dot = np.ones((5, 5), int), np.zeros((5, 5), int)
    dot[0, 0] = 1
    assert per_image(full, dot)["hd95"] == pytest.approx(reference_hd95(full, dot))


@pytest.mark.parametrize("seed", range(4))
def test_boundaries_far_apart_have_the_distance_of_all_pairs(seed):
    # Cells in opposite corners, and columns that hold no boundary at all.
    rng = np.random.default_rng(seed)
    truth, prediction = np.zeros((2, 60, 83), int)
    truth[rng.integers(0, 20, 30), rng.integers(0, 15, 30)] = 1
    prediction[rng.integers(30, 60, 30), rng.integers(40, 83, 30)] = 1
    assert per_image(truth, prediction)["hd95"] == pytest.approx(reference_hd95(truth, prediction), abs=1e-12)
    assert per_image(prediction, truth)["hd95"] == pytest.approx(reference_hd95(truth, prediction), abs=1e-12)


def test_tensors_and_arrays_agree():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 5, (2, 20, 30))
    expected = per_image(truth, prediction)
    assert per_image(torch.from_numpy(truth), torch.from_numpy(prediction)) == expected
    assert per_image(truth[::-1], prediction[::-1]) == pytest.approx(expected)


@pytest.mark.parametrize("size", [(3, 4), (4, 3, 1)])
def test_shapes_must_agree(size):
    with pytest.raises(ValueError, match="one shape"):
        per_image(np.zeros((4, 3), int), np.zeros(size, int))


def draw_discs(centres, radii, size):
    """Label image of discs, later ones over earlier ones."""
    yy, xx = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for label, ((y, x), radius) in enumerate(zip(centres, radii, strict=True), start=1):
        labels[(yy - y) ** 2 + (xx - x) ** 2 < radius**2] = label
    return labels


@pytest.mark.peer
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_equals_cellpose(seed):
    peer = pytest.importorskip("cellpose.metrics")
    rng = np.random.default_rng(seed)
    centres, radii = rng.uniform(5, 123, (40, 2)), rng.uniform(5, 9, 40)
    truth = draw_discs(centres, radii, 128)
    prediction = draw_discs(centres + rng.normal(0, 0.7, (40, 2)), radii * rng.uniform(0.9, 1.1, 40), 128)
    # Cellpose counts the largest label, not the labels that occur, so gaps have to go first.
    truth, prediction = (np.unique(labels, return_inverse=True)[1].reshape(128, 128) for labels in (truth, prediction))
    precisions = peer.average_precision(truth, prediction, np.arange(10, 20) / 20)[0]
    metrics = per_image(truth, prediction)
    assert metrics["ap"] == pytest.approx(precisions.mean(), abs=1e-6)
    for name, index in (("ap_50", 0), ("ap_75", 5), ("ap_90", 8)):
        assert metrics[name] == pytest.approx(precisions[index], abs=1e-6)
    assert 0 < metrics["ap_90"] < metrics["ap_75"] < metrics["ap_50"]


@pytest.mark.peer
def test_average_precision_equals_cellpose_on_every_tiny_image():
    peer = pytest.importorskip("cellpose.metrics")
    rows = [np.array([row]) for row in itertools.product(range(3), repeat=4) if {1, 2} <= set(row)]
    for truth, prediction in itertools.product(rows, rows):
        expected = peer.average_precision(truth, prediction, 0.5)[0][0]
        assert per_image(truth, prediction)["ap_50"] == pytest.approx(expected, abs=1e-6)
