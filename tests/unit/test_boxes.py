"""Boxes against slow obvious forms, gradients by finite differences."""

import math
import time

import numpy as np
import pytest
import torch

from frugalseg.kernels.boxes import box_areas, box_ious, decode_boxes, encode_boxes, nms, paste_masks, roi_align


def some_boxes(count, seed=0, extent=60.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    corners = extent * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    sides = 1 + 0.4 * extent * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat((corners, corners + sides), 1).to(dtype)


def literal_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = sum(max(x2 - x1, 0) * max(y2 - y1, 0) for x1, y1, x2, y2 in (a, b)) - shared
    return shared / union if union > 0 else 0.0


def literal_nms(boxes, scores, threshold, groups):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(groups[i] != groups[j] or literal_iou(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def literal_roi_align(features, box, size, scale, samples):
    """Every sample point of every cell, one after another (C, size, size) of features (C, H, W)."""
    channels, height, width = features.shape
    x1, y1, x2, y2 = (float(side) * scale - 0.5 for side in box)
    pooled = torch.zeros(channels, size, size, dtype=features.dtype)
    for row in range(size * samples):
        for column in range(size * samples):
            y = y1 + (y2 - y1) * (row + 0.5) / (size * samples)
            x = x1 + (x2 - x1) * (column + 0.5) / (size * samples)
            if y < -1 or y > height or x < -1 or x > width:
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
            for i in (0, 1):
                for j in (0, 1):
                    weight = (1 - abs(y - top - i)) * (1 - abs(x - left - j))
                    if weight > 0:
                        pooled[:, row // samples, column // samples] += weight * features[:, top + i, left + j]
    return pooled / samples**2


def literal_paste(masks, boxes, scores, shape, threshold):
    labels, best = np.zeros(shape, int), np.full(shape, -np.inf)
    for index, (mask, (x1, y1, x2, y2)) in enumerate(zip(masks.tolist(), boxes.tolist(), strict=True)):
        side = len(mask)
        for y in range(max(0, math.floor(y1)), min(shape[0], math.ceil(y2))):
            for x in range(max(0, math.floor(x1)), min(shape[1], math.ceil(x2))):
                v, u = (y + 0.5 - y1) / (y2 - y1) * side - 0.5, (x + 0.5 - x1) / (x2 - x1) * side - 0.5
                value = 0.0
                for i in range(side):
                    for j in range(side):
                        value += max(0, 1 - abs(v - i)) * max(0, 1 - abs(u - j)) * mask[i][j]
                if value >= threshold and scores[index] > best[y, x]:
                    labels[y, x], best[y, x] = index + 1, scores[index]
    return labels


def test_overlaps_are_those_of_every_pair():
    a, b = some_boxes(12), some_boxes(9, seed=1)
    a[3], b[4] = torch.tensor([5.0, 5.0, 5.0, 9.0]), a[0]
    expected = [[literal_iou(one, other) for other in b.tolist()] for one in a.tolist()]
    torch.testing.assert_close(box_ious(a, b), torch.tensor(expected, dtype=torch.float64))
    assert box_ious(a, b)[0, 4] == 1
    assert box_areas(a)[3] == 0
    assert not box_ious(a, b)[3].any()
    assert torch.equal(box_ious(torch.stack((a, a)), b[None])[1], box_ious(a, b))


def test_two_boxes_without_area_do_not_overlap():
    nothing = torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    assert box_ious(nothing, nothing).item() == 0


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("seed", range(10))
def test_suppression_keeps_what_the_greedy_loop_keeps(seed, threshold):
    boxes, generator = some_boxes(70, seed), torch.Generator().manual_seed(seed)
    # Equal scores go by index.
    scores = torch.randint(0, 20, (70,), generator=generator) / 20
    groups = torch.randint(0, 3, (70,), generator=generator)
    for labels in (groups, torch.zeros_like(groups)):
        expected = literal_nms(boxes.tolist(), scores.tolist(), threshold, labels.tolist())
        assert nms(boxes, scores, threshold, labels).tolist() == expected
    assert nms(boxes, scores, threshold).tolist() == expected


def test_suppression_in_small_chunks_is_the_same(monkeypatch):
    boxes, scores = some_boxes(90, 5), torch.rand(90, generator=torch.Generator().manual_seed(5))
    expected = nms(boxes, scores, 0.4)
    monkeypatch.setattr("frugalseg.kernels.boxes.ROOM", 8 * 90 * 7)
    assert torch.equal(nms(boxes, scores, 0.4), expected)


def test_no_box_is_no_box():
    nothing = torch.zeros(0, 4)
    assert nms(nothing, torch.zeros(0), 0.5).shape == (0,)
    assert roi_align(torch.zeros(1, 3, 8, 8), nothing, torch.zeros(0, dtype=torch.int64), 7).shape == (0, 3, 7, 7)
    assert box_ious(nothing, some_boxes(3, dtype=torch.float32)).shape == (0, 3)
    assert not paste_masks(torch.zeros(0, 5, 5), nothing, torch.zeros(0), (6, 7)).any()


def regions():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    boxes = some_boxes(8, seed=3, extent=30)
    # Over the rim, far beyond it, and without area.
    boxes[0] = torch.tensor([-9.0, -7.0, 20.0, 15.0])
    boxes[1] = torch.tensor([60.0, 60.0, 90.0, 80.0])
    boxes[2] = torch.tensor([8.0, 8.0, 8.0, 8.0])
    return features, boxes, torch.tensor([0, 1, 0, 1, 1, 0, 0, 1])


@pytest.mark.parametrize(("scale", "samples"), [(0.25, 2), (0.5, 1), (0.3, 3)])
def test_pooled_features_are_those_of_every_point(scale, samples):
    features, boxes, images = regions()
    pooled = roi_align(features, boxes, images, 4, scale, samples)
    for index, image in enumerate(images.tolist()):
        expected = literal_roi_align(features[image], boxes[index], 4, scale, samples)
        torch.testing.assert_close(pooled[index], expected, atol=1e-12, rtol=0)


def test_pooling_in_small_chunks_and_of_oblong_sizes_is_the_same(monkeypatch):
    features, boxes, images = regions()
    expected = roi_align(features, boxes, images, (4, 6), 0.25)
    assert expected.shape == (8, 3, 4, 6)
    monkeypatch.setattr("frugalseg.kernels.boxes.ROOM", 600)
    torch.testing.assert_close(roi_align(features, boxes, images, (4, 6), 0.25), expected)


def test_gradients_of_pooled_features_are_finite_differences():
    features, boxes, images = regions()
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: roi_align(values, boxes, images, 3, 0.25), features)


def test_gradients_of_codes_are_finite_differences():
    boxes, anchors = some_boxes(5).requires_grad_(), some_boxes(5, seed=1)
    weights = (10, 10, 5, 5)
    assert torch.autograd.gradcheck(lambda values: encode_boxes(values, anchors, weights), boxes)
    codes = encode_boxes(boxes, anchors, weights).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda values: decode_boxes(values, anchors, weights), codes)


def test_decoding_takes_codes_back_to_boxes():
    boxes, anchors = some_boxes(20).view(2, 10, 4), some_boxes(20, seed=1).view(2, 10, 4)
    codes = encode_boxes(boxes, anchors, (10, 10, 5, 5))
    torch.testing.assert_close(decode_boxes(codes, anchors, (10, 10, 5, 5)), boxes)
    one = encode_boxes(torch.tensor([[2.0, 1.0, 6.0, 3.0]]), torch.tensor([[0.0, 0.0, 2.0, 2.0]]))
    torch.testing.assert_close(one, torch.tensor([[1.5, 0.5, math.log(2), 0.0]]))


def test_decoded_boxes_end_at_the_rim_and_stay_finite():
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    decoded = decode_boxes(torch.tensor([[0.0, 0.0, 1e4, 1e4]]), anchors, shape=(30, 50))
    assert decoded.tolist() == [[0, 0, 50, 30]]
    assert decode_boxes(torch.tensor([[0.0, 0.0, 1e4, 1e4]]), anchors).isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_pasted_as_pixel_by_pixel(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(15, 5, 5, generator=generator, dtype=torch.float64)
    boxes = some_boxes(15, seed, extent=25) - 4
    scores = torch.randint(0, 6, (15,), generator=generator).double()
    expected = literal_paste(masks, boxes, scores.tolist(), (21, 27), 0.5)
    made = paste_masks(masks, boxes, scores, (21, 27))
    assert made.dtype == torch.int32
    np.testing.assert_array_equal(made, expected)


def test_three_thousand_objects_take_a_second_or_so():
    """Proposals, suppression and masks of one 520 x 704 image; generous, for the machine may be busy."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3000, 2, generator=generator) * torch.tensor([680.0, 500.0])
    anchors = torch.cat((corners, corners + 8 + 16 * torch.rand(3000, 2, generator=generator)), 1)
    scores, masks = torch.rand(3000, generator=generator), torch.rand(3000, 28, 28, generator=generator)
    start = time.process_time()
    boxes = decode_boxes(0.1 * torch.randn(3000, 4, generator=generator), anchors, shape=(520, 704))
    kept = nms(boxes, scores, 0.7)
    labels = paste_masks(masks[kept], boxes[kept], scores[kept], (520, 704))
    assert time.process_time() - start < 4
    assert len(kept) > 1000
    assert labels.max() > 1000
