"""Flows against pixel-by-pixel loops, against what must hold for any cell, and against Cellpose 3."""

import math
import re

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from frugalseg.kernels import _flows_torch
from frugalseg.kernels.flows import flows_to_labels, labels_to_flows


def device_flows(labels):
    """The torch path, which a CPU runs as well."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return _flows_torch.label_flows(labels.to(device)).cpu()


def device_labels(flows, logits, *, steps=200, logit_threshold=0.0, flow_threshold=0.4, min_size=15):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    inside = (logits > logit_threshold).to(device)
    return _flows_torch.flow_labels(flows.to(device), inside, steps, flow_threshold or 0.0, min_size).cpu()


TO_FLOWS = pytest.mark.parametrize("to_flows", [labels_to_flows, device_flows], ids=["compiled", "device"])
TO_LABELS = pytest.mark.parametrize("to_labels", [flows_to_labels, device_labels], ids=["compiled", "device"])


def literal_flows(labels):
    """Heat in a dictionary of pixels, one cell after the other."""
    flows = np.zeros((2, *labels.shape), np.float32)
    for label in set(labels.ravel().tolist()) - {0}:
        pixels = [(int(y), int(x)) for y, x in np.argwhere(labels == label)]
        ys, xs = zip(*pixels, strict=True)
        mean_y, mean_x = sum(ys) / len(ys) - min(ys), sum(xs) / len(xs) - min(xs)
        distances = [(y - min(ys) - mean_y) ** 2 + (x - min(xs) - mean_x) ** 2 for y, x in pixels]
        centre = pixels[distances.index(min(distances))]
        heat = dict.fromkeys(pixels, 0.0)
        for _ in range(2 * (max(ys) - min(ys) + 1 + max(xs) - min(xs) + 1 + 4)):
            heat[centre] += 1
            # fsum rounds once, so that symmetric cells stay symmetric.
            heat = {
                (y, x): math.fsum(heat.get((y + i, x + j), 0.0) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
                for y, x in pixels
            }
        for y, x in pixels:
            down = heat.get((y + 1, x), 0.0) - heat.get((y - 1, x), 0.0)
            right = heat.get((y, x + 1), 0.0) - heat.get((y, x - 1), 0.0)
            if down or right:
                flows[:, y, x] = np.array([down, right]) / math.hypot(down, right)
    return flows


def literal_labels(flows, logits, steps, flow_threshold, min_size):
    """Pixel after pixel, sink after sink, cell after cell."""
    inside = logits > 0
    height, width = inside.shape
    field = np.pad(flows * inside, ((0, 0), (0, 1), (0, 1))).astype(np.float32)
    counts, ends = np.zeros((height, width), int), {}
    one, edge = np.float32(1), np.array([height - 1, width - 1], np.float32)
    for pixel in np.argwhere(inside):
        position = pixel.astype(np.float32)
        for _ in range(steps):
            y, x = position.astype(int)
            v, u = position - np.array([y, x], np.float32)
            upper = field[:, y, x] * ((one - v) * (one - u)) + field[:, y, x + 1] * ((one - v) * u)
            lower = field[:, y + 1, x] * (v * (one - u)) + field[:, y + 1, x + 1] * (v * u)
            position = np.clip(position + (upper + lower), 0, edge)
        ends[tuple(pixel)] = tuple(position.astype(int))
        counts[ends[tuple(pixel)]] += 1
    peaks = [
        (counts[y, x], y, x)
        for y, x in np.argwhere(counts > 10)
        if counts[y, x] == counts[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max()
    ]
    sinks = np.zeros_like(counts)
    for number, (_, y, x) in enumerate(sorted(peaks), 1):
        seed = np.zeros(counts.shape, bool)
        seed[y, x] = True
        sinks[ndimage.binary_dilation(seed, np.ones((3, 3)), iterations=5, mask=counts > 2)] = number
    labels = np.zeros_like(counts)
    for pixel, end in ends.items():
        labels[pixel] = sinks[end]
    cells = [labels == number for number in range(1, len(peaks) + 1)]
    cells = [cell for cell in cells if 0 < cell.sum() <= 0.4 * labels.size]
    if flow_threshold:
        own = [literal_flows(cell.astype(int)) for cell in cells]
        errors = [((flows - o) ** 2).sum(0)[cell].mean() for cell, o in zip(cells, own, strict=True)]
        cells = [cell for cell, error in zip(cells, errors, strict=True) if error <= flow_threshold]
    cells = [cell for cell in cells if cell.sum() >= min_size]
    labels = np.zeros_like(labels)
    in_reading_order = sorted(cells, key=lambda cell: np.argmax(cell))
    for number, cell in enumerate(in_reading_order, 1):
        labels[cell] = number
    for number in range(1, len(cells) + 1):
        labels[ndimage.binary_fill_holes(labels == number)] = number
    kept = [n for n in dict.fromkeys(labels[labels > 0].tolist()) if (labels == n).sum() >= min_size]
    return sum(((labels == number) * new for new, number in enumerate(kept, 1)), np.zeros_like(labels))


def draw_cells(shape, count, radius, seed):
    """Ellipses that touch, later ones behind earlier ones."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for cell in range(1, count + 1):
        centre, axes = generator.uniform(0, shape), radius * generator.uniform(0.7, 1.3, 2)
        turn = generator.uniform(0, np.pi)
        along = (y - centre[0]) * np.cos(turn) + (x - centre[1]) * np.sin(turn)
        across = (x - centre[1]) * np.cos(turn) - (y - centre[0]) * np.sin(turn)
        labels[((along / axes[0]) ** 2 + (across / axes[1]) ** 2 < 1) & (labels == 0)] = cell
    return labels


def disturb(flows, labels, generator, amplitude):
    """What a network might predict for cells: smooth errors in flows, blurred and wrong logits."""

    def smooth_noise():
        noise = ndimage.gaussian_filter(generator.standard_normal(labels.shape), 3)
        return noise / noise.std()

    wrong = flows + amplitude * np.stack([smooth_noise(), smooth_noise()])
    logits = ndimage.gaussian_filter(np.where(labels > 0, 4.0, -4.0), 1) + 5 * amplitude * smooth_noise()
    return wrong.astype(np.float32), logits.astype(np.float32)


def degrees_between(one, other):
    """Angles at the pixels where both fields have a direction."""
    cross, dot = one[0] * other[1] - one[1] * other[0], (one * other).sum(0)
    both = (np.abs(one).sum(0) > 0) & (np.abs(other).sum(0) > 0)
    return np.degrees(np.arctan2(np.abs(cross), dot))[both]


def sure_logits(labels):
    return torch.where(labels > 0, 4.0, -4.0)


@TO_FLOWS
@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 2), *[st.integers(1, 9)] * 2), elements=st.integers(0, 3)))
def test_flows_are_those_of_the_literal_loops(to_flows, labels):
    expected = np.stack([literal_flows(image) for image in labels])
    np.testing.assert_allclose(to_flows(torch.from_numpy(labels)).numpy(), expected, atol=1e-6)


@TO_FLOWS
def test_flows_of_touching_cells_are_those_of_the_literal_loops(to_flows):
    labels = draw_cells((40, 33), 8, 7, seed=1)
    np.testing.assert_allclose(to_flows(torch.from_numpy(labels)[None])[0].numpy(), literal_flows(labels), atol=1e-6)


@TO_FLOWS
def test_a_long_thin_cell_flows_from_end_to_end(to_flows):
    labels = torch.zeros(1, 3, 201, dtype=torch.int32)
    labels[0, 1] = 1
    expected = torch.sign(100 - torch.arange(201.0))
    assert torch.equal(to_flows(labels)[0, 1, 1], expected)


def test_both_paths_give_the_same_bits():
    labels = torch.from_numpy(np.stack([draw_cells((90, 80), 14, 9, seed) for seed in range(3)]))
    assert torch.equal(labels_to_flows(labels), device_flows(labels))


@TO_FLOWS
def test_a_flow_does_not_depend_on_batch_or_numbers_or_dtype(to_flows):
    labels = torch.from_numpy(np.stack([draw_cells((50, 60), 9, 8, seed) for seed in range(3)]))
    expected = to_flows(labels)
    assert torch.equal(torch.cat([to_flows(image[None]) for image in labels]), expected)
    for dtype in (torch.uint8, torch.int16, torch.uint16, torch.int64):
        assert torch.equal(to_flows(labels.to(dtype)), expected)
    assert torch.equal(to_flows(labels * 23), expected)
    assert torch.equal(to_flows(labels.long() * 3_000_000_000), expected)
    shuffled = torch.from_numpy(np.append(0, 1 + np.random.default_rng(0).permutation(9)))[labels.long()]
    assert torch.equal(to_flows(shuffled), expected)


def awkward_labels():
    """Label images that are easily got wrong, by name."""
    shape = (17, 29)
    empty = np.zeros(shape, np.int32)
    pieces = empty.copy()
    pieces[[0, 0, 16, 16, 8], [0, 28, 0, 28, 14]] = 4
    pieces[3:6, 3:9] = 4
    pieces[5:9, 20:24] = 4
    ring = np.ones(shape, np.int32)
    ring[2:-2, 2:-2] = 2
    ring[6:9, 6:9] = 1
    return {
        "empty": empty,
        "filled by one cell": np.ones(shape, np.int32),
        "every pixel a cell": np.arange(1, empty.size + 1, dtype=np.int32).reshape(shape),
        "one pixel": np.ones((1, 1), np.int32),
        "one row": np.array([[1, 1, 1, 1, 2, 2, 0, 1, 3, 3, 3]], np.int32),
        "one column": np.array([[5], [5], [5], [0], [5], [7]], np.int32),
        "disconnected": pieces,
        "ring around a cell": ring,
        "checkerboard of two": 1 + np.indices(shape).sum(0).astype(np.int32) % 2,
        "rows of two in turn": 1 + np.indices(shape)[0].astype(np.int32) % 2,
    }


@TO_FLOWS
@pytest.mark.parametrize("name", awkward_labels())
def test_flows_of_awkward_cells_are_those_of_the_literal_loops(to_flows, name):
    labels = awkward_labels()[name]
    np.testing.assert_allclose(to_flows(torch.from_numpy(labels)[None])[0].numpy(), literal_flows(labels), atol=1e-6)
    assert torch.equal(to_flows(torch.from_numpy(labels)[None]), labels_to_flows(torch.from_numpy(labels)[None]))


@TO_LABELS
@pytest.mark.parametrize("name", awkward_labels())
def test_labels_of_awkward_cells_are_those_of_the_literal_loops(to_labels, name):
    labels = awkward_labels()[name]
    flows, logits = literal_flows(labels), np.where(labels > 0, 1, -1).astype(np.float32)
    expected = literal_labels(flows, logits, 200, 0.4, 3)
    found = to_labels(torch.from_numpy(flows)[None], torch.from_numpy(logits)[None], min_size=3)
    np.testing.assert_array_equal(found[0].numpy(), expected)


@TO_FLOWS
def test_more_labels_than_16_bits_hold(to_flows):
    cells = 258
    labels = np.kron(np.arange(1, cells**2 + 1).reshape(cells, cells), np.ones((2, 2), int))
    assert labels.max() > 2**16
    expected = np.tile(literal_flows(np.ones((2, 2), int)), (1, cells, cells))
    np.testing.assert_allclose(to_flows(torch.from_numpy(labels)[None])[0].numpy(), expected, atol=1e-6)


@TO_FLOWS
@pytest.mark.parametrize("shape", [(0, 5, 7), (2, 0, 7), (2, 5, 0)])
def test_no_pixels_make_no_flows(to_flows, shape):
    assert to_flows(torch.zeros(shape, dtype=torch.int32)).shape == (shape[0], 2, *shape[1:])


@pytest.mark.parametrize("shape", [(0, 5, 7), (2, 0, 7), (2, 5, 0)])
def test_no_pixels_make_no_labels(shape):
    assert flows_to_labels(torch.zeros(shape[0], 2, *shape[1:]), torch.zeros(shape)).shape == shape


@TO_LABELS
def test_an_image_without_cells_leaves_the_others_alone(to_labels):
    labels = torch.from_numpy(np.stack([draw_cells((50, 71), 9, 8, seed) for seed in range(3)]))
    labels[1] = 0
    flows, logits = labels_to_flows(labels), sure_logits(labels)
    found = to_labels(flows, logits)
    assert not found[1].any()
    for i in (0, 2):
        assert torch.equal(found[i], to_labels(flows[i : i + 1], logits[i : i + 1])[0])
        assert found[i].max() > 3


def test_mirrored_cells_have_mirrored_flows_to_the_bit():
    labels = torch.from_numpy(draw_cells((60, 60), 9, 9, seed=2))[None]
    # Cells whose centre is a tie may choose another pixel in the mirror.
    flows, mirrored = (
        labels_to_flows(labels),
        labels_to_flows(labels.flip(2)).flip(3) * torch.tensor([1, -1])[:, None, None],
    )
    same = [
        torch.equal(flows[:, :, cell], mirrored[:, :, cell]) for cell in (labels[0] == n for n in labels.unique()[1:])
    ]
    assert sum(same) >= 7


@TO_FLOWS
def test_the_centre_of_a_symmetric_cell_and_a_single_pixel_have_no_flow(to_flows):
    labels = torch.zeros(1, 12, 20, dtype=torch.int32)
    labels[0, 1:8, 2:9] = 1
    labels[0, 4, 15] = 2
    flows = to_flows(labels)[0]
    assert not flows[:, 4, 5].any()
    assert not flows[:, 4, 15].any()
    assert flows.norm(dim=0).isclose(torch.tensor(1.0)).sum() == 48


@TO_FLOWS
def test_a_piece_that_does_not_touch_the_centre_has_no_flow(to_flows):
    labels = torch.zeros(1, 30, 200, dtype=torch.int32)
    labels[0, 2:12, 2:12] = 1
    labels[0, 20:23, 190:193] = 1
    flows = to_flows(labels)[0]
    assert not flows[:, 20:].any()
    assert flows[:, 2:12, 2:12].norm(dim=0).count_nonzero() == 100


def test_the_number_of_threads_does_not_show():
    labels = torch.from_numpy(np.stack([draw_cells((70, 64), 10, 9, seed) for seed in range(3)]))
    flows, logits = labels_to_flows(labels), sure_logits(labels)
    expected = flows_to_labels(flows, logits)
    torch.set_num_threads(3)
    try:
        assert torch.equal(labels_to_flows(labels), flows)
        assert torch.equal(flows_to_labels(flows, logits), expected)
        assert torch.equal(flows_to_labels(flows[:1], logits[:1]), expected[:1])
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (torch.zeros(4, 4, dtype=torch.int32), "(B, H, W)"),
        (torch.zeros(1, 4, 4), "torch.float32"),
        (-torch.ones(1, 4, 4, dtype=torch.int32), "negative"),
    ],
)
def test_labels_that_are_none_are_refused(labels, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        labels_to_flows(labels)


@pytest.mark.parametrize("amplitude", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("flow_threshold", "min_size", "steps"), [(0.4, 15, 200), (None, 0, 19)])
def test_labels_are_those_of_the_literal_loops(amplitude, flow_threshold, min_size, steps):
    cells = draw_cells((40, 34), 6, 7, seed=4)
    flows, logits = disturb(literal_flows(cells), cells, np.random.default_rng(5), amplitude)
    expected = literal_labels(flows, logits, steps, flow_threshold, min_size)
    assert expected.max() > 2 or (amplitude == 0.8 and flow_threshold)
    for to_labels in (flows_to_labels, device_labels):
        found = to_labels(
            torch.from_numpy(flows)[None],
            torch.from_numpy(logits)[None],
            steps=steps,
            flow_threshold=flow_threshold,
            min_size=min_size,
        )
        np.testing.assert_array_equal(found[0].numpy(), expected)
        assert found.dtype == torch.int32


@pytest.mark.parametrize("seed", range(6))
def test_sinks_of_a_random_field_are_those_of_the_literal_loops(seed):
    # Ends are scattered: small peaks, wide ones, and neighbours that reach for the same pixels.
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.standard_normal((3, 48, 40)), (0, 3, 3))
    noise /= noise.std((1, 2), keepdims=True)
    flows, logits = (0.3 * noise[:2]).astype(np.float32), (noise[2] + 1.5).astype(np.float32)
    expected = literal_labels(flows, logits, 25, None, 0)
    assert expected.max() > 5
    for to_labels in (flows_to_labels, device_labels):
        found = to_labels(
            torch.from_numpy(flows)[None], torch.from_numpy(logits)[None], steps=25, flow_threshold=None, min_size=0
        )
        np.testing.assert_array_equal(found[0].numpy(), expected)


@TO_LABELS
def test_cells_come_back_from_their_flows(to_labels):
    labels = torch.from_numpy(np.stack([draw_cells((96, 90), 12, 9, seed) for seed in range(4)]))
    found = to_labels(labels_to_flows(labels), sure_logits(labels), min_size=0)
    for truth, prediction in zip(labels, found, strict=True):
        for cell in (truth == number for number in truth.unique()[1:]):
            if ndimage.label(cell, np.ones((3, 3)))[1] > 1 or cell.sum() < 50:
                continue
            best = prediction == prediction[cell].mode().values
            assert (best & cell).sum() / (best | cell).sum() > 0.8


@TO_LABELS
def test_holes_are_filled_and_large_and_small_cells_dropped(to_labels):
    labels = torch.zeros(3, 60, 60, dtype=torch.int32)
    labels[0, 10:31, 10:31] = 1
    labels[0, 40:45, 40:45] = 2
    labels[1, 5:45, 5:45] = 1
    labels[2, 0:60, 0:30] = 1
    flows, logits = labels_to_flows(labels), sure_logits(labels)
    logits[0, 20, 20] = -4
    found = to_labels(flows, logits, min_size=25)
    assert torch.equal(found[0], labels[0])
    assert torch.equal(to_labels(flows, logits, min_size=26)[0], labels[0] * (labels[0] == 1))
    assert not found[1:].any()


@TO_LABELS
def test_a_cell_with_flows_of_another_shape_is_dropped(to_labels):
    labels = torch.zeros(1, 60, 60, dtype=torch.int32)
    labels[0, 10:31, 10:31] = 1
    flows, logits = labels_to_flows(labels) * 0.25, sure_logits(labels)
    # Squared error 0.75^2 in all but the pixel at the centre.
    error = 0.75**2 * (1 - 1 / 21**2)
    assert torch.equal(to_labels(flows, logits, flow_threshold=error + 1e-4), labels)
    assert not to_labels(flows, logits, flow_threshold=error - 1e-4).any()
    assert torch.equal(to_labels(flows, logits, flow_threshold=None), labels)
    assert torch.equal(to_labels(flows, logits, flow_threshold=0), labels)


@TO_LABELS
def test_the_logit_threshold_is_that_of_a_cell(to_labels):
    labels = torch.zeros(1, 40, 40, dtype=torch.int32)
    labels[0, 5:20, 5:20] = 1
    flows, logits = labels_to_flows(labels), torch.where(labels > 0, 1.0, -1.0)
    assert torch.equal(to_labels(flows, logits, logit_threshold=0.9), labels)
    assert not to_labels(flows, logits, logit_threshold=1.0).any()


@TO_LABELS
def test_no_cells_give_zeros(to_labels):
    flows = torch.zeros(2, 2, 30, 20)
    assert torch.equal(to_labels(flows, torch.full((2, 30, 20), -1.0)), torch.zeros(2, 30, 20, dtype=torch.int32))
    assert torch.equal(to_labels(flows, torch.full((2, 30, 20), 1.0)), torch.zeros(2, 30, 20, dtype=torch.int32))


def test_values_that_are_not_finite_count_as_none():
    labels = torch.zeros(1, 40, 40, dtype=torch.int32)
    labels[0, 5:20, 5:20] = 1
    flows, logits = labels_to_flows(labels), sure_logits(labels)
    flows[0, :, 30:33] = torch.tensor([float("nan"), float("inf"), float("-inf")])[:, None]
    logits[0, 33:] = float("nan")
    logits[0, 30:33] = float("inf")
    assert torch.equal(flows_to_labels(flows, logits), labels)
    assert not flows_to_labels(torch.full_like(flows, float("nan")), torch.full_like(logits, float("nan"))).any()


@pytest.mark.parametrize(
    ("shapes", "steps", "complaint"),
    [
        (((1, 3, 8, 8), (1, 8, 8)), 200, "(B, 2, H, W)"),
        (((2, 2, 8, 8), (1, 8, 8)), 200, "(2, 2, 8, 8) and (1, 8, 8)"),
        (((1, 2, 8, 8), (1, 8, 8)), -1, "steps"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(shapes, steps, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        flows_to_labels(torch.zeros(shapes[0]), torch.zeros(shapes[1]), steps=steps)


def true_labels(real_data):
    """One label image of each domain, cropped, numbered 1..n, and a drawn one."""
    for domain in ("fluo", "histo", "multi"):
        files = sorted((real_data / domain / "test").glob("*_GT.tif"))
        labels = next(crop for file in files if (crop := tifffile.imread(file)[:256, :256]).max() > 0)
        yield np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape).astype(np.int32)
    yield draw_cells((224, 224), 40, 13, seed=7)


@pytest.mark.peer
@pytest.mark.real
def test_flows_agree_with_cellpose(real_data):
    dynamics = pytest.importorskip("cellpose.dynamics")
    for labels in true_labels(real_data):
        ours = labels_to_flows(torch.from_numpy(labels)[None])[0].numpy()
        angles = degrees_between(ours, dynamics.masks_to_flows(labels))
        assert len(angles) > 0.98 * (labels > 0).sum()
        assert np.percentile(angles, 99) < 1e-3


@pytest.mark.peer
@pytest.mark.real
@pytest.mark.parametrize("amplitude", [0.0, 0.2, 0.35])
def test_labels_agree_with_cellpose(real_data, amplitude):
    dynamics = pytest.importorskip("cellpose.dynamics")
    metrics = pytest.importorskip("cellpose.metrics")
    generator = np.random.default_rng(0)
    matched = np.zeros(3)
    for labels in true_labels(real_data):
        flows = labels_to_flows(torch.from_numpy(labels)[None])[0].numpy()
        flows, logits = disturb(flows, labels, generator, amplitude)
        theirs = dynamics.compute_masks(5 * flows, logits, min_size=15)
        ours = flows_to_labels(torch.from_numpy(flows)[None], torch.from_numpy(logits)[None])[0].numpy()
        _, *counts = metrics.average_precision([theirs], [ours], [0.9])
        matched += np.ravel(counts)
    assert matched[0] > 50
    assert matched[0] / matched.sum() >= 0.99
