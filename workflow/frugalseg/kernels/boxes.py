"""Boxes of objects: overlap, suppression, pooling of features, coding, and masks put into their places.

A box is (x1, y1, x2, y2) in pixels: x to the right, y down, (0, 0) the outer corner of the first pixel, so that the box
of one whole image is (0, 0, W, H).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Most that a decoded box may be larger than its anchor, as a logarithm.
LARGEST_GROWTH = math.log(1000 / 16)
#: Entries of IoU matrices, pixels and pooled numbers that are held at a time: about 64 MB.
ROOM = 2**24


def box_areas(boxes: Tensor) -> Tensor:
    """Areas (...) of boxes (..., 4); 0 where a box ends before it begins."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def box_ious(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of all pairs of boxes.

    Parameters
    ----------
    a, b : Tensor
        (..., N, 4) and (..., M, 4) floating boxes on one device.

    Returns
    -------
    Tensor
        (..., N, M) in [0, 1]; 0 where a union is empty.
    """
    corner = torch.maximum(a[..., :, None, :2], b[..., None, :, :2])
    shared = (torch.minimum(a[..., :, None, 2:], b[..., None, :, 2:]) - corner).clamp(min=0).prod(-1)
    union = box_areas(a)[..., :, None] + box_areas(b)[..., None, :] - shared
    return torch.where(union > 0, shared / union, 0.0)


def nms(boxes: Tensor, scores: Tensor, threshold: float, groups: Tensor | None = None) -> Tensor:
    """Boxes that greedy non-maximum suppression keeps.

    From the highest score down, a box is kept unless it overlaps a kept one by more than the threshold. That is the one
    fixed point of "kept = overlaps no kept box of higher score", and is reached from "all are kept" in as many rounds as
    the longest chain of suppressions: a few.

    Parameters
    ----------
    boxes : Tensor
        (N, 4) floating.
    scores : Tensor
        (N,) floating.
    threshold : float
        IoU in [0, 1].
    groups : Tensor, optional
        (N,) integers, such as classes or images; boxes of different groups leave each other alone.

    Returns
    -------
    Tensor
        (K,) int64 indices, by falling score and, where these are equal, by index.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    groups = None if groups is None else groups[order]
    # Pairs (earlier, later) that overlap too much; a chunk of rows at a time looks at what comes later alone.
    pairs = []
    step = max(1, ROOM // max(1, 8 * len(boxes)))
    for first in range(0, len(boxes), step):
        overlap = box_ious(boxes[first : first + step], boxes[first:]).triu(1) > threshold
        if groups is not None:
            overlap &= groups[first : first + step, None] == groups[None, first:]
        pairs.append(overlap.nonzero() + first)
    earlier, later = torch.cat(pairs).T if pairs else order.new_zeros(2, 0)
    kept, before = torch.ones_like(order, dtype=torch.bool), None
    while before is None or not torch.equal(kept, before):
        before = kept
        kept = torch.ones_like(before).index_fill(0, later[before[earlier]], False)
    return order[kept]


def roi_align(
    features: Tensor, boxes: Tensor, images: Tensor, size: int | tuple[int, int], scale: float = 1.0, samples: int = 2
) -> Tensor:
    """Features of boxes, pooled to one size (He et al. 2017, aligned by half a pixel); differentiable in `features`.

    Each of the `size` cells of a box is the mean of `samples` x `samples` points, bilinear between the centres of pixels.
    A point up to one pixel outside takes the nearest pixel, one further out is 0.

    Parameters
    ----------
    features : Tensor
        (B, C, H, W) floating.
    boxes : Tensor
        (N, 4) floating, in pixels of the images.
    images : Tensor
        (N,) int64: the image that a box lies in, below B.
    size : int or pair of int
        Height and width of the result.
    scale : float
        Pixels of the features in a pixel of the images, such as 1/8.
    samples : int
        Points a cell and direction.

    Returns
    -------
    Tensor
        (N, C, height, width) of the dtype of `features`.
    """
    height, width = (size, size) if isinstance(size, int) else size
    pooled = features.new_zeros(len(boxes), features.shape[1], height, width)
    for image in images.unique().tolist():
        chosen = (images == image).nonzero().squeeze(1)
        step = max(1, ROOM // (features.shape[1] * height * width * samples**2))
        parts = [
            _pool(features[image : image + 1], boxes[part] * scale - 0.5, height, width, samples)
            for part in chosen.split(step)
        ]
        pooled = pooled.index_copy(0, chosen, torch.cat(parts))
    return pooled


def _pool(features: Tensor, boxes: Tensor, height: int, width: int, samples: int) -> Tensor:
    """Means of sample points (N, C, height, width) in features (1, C, H, W); boxes count from the first pixel's centre."""
    x = _points(boxes[:, 0], boxes[:, 2], width * samples)
    y = _points(boxes[:, 1], boxes[:, 3], height * samples)
    x, x_inside = _placed(x, features.shape[3])
    y, y_inside = _placed(y, features.shape[2])
    count, rows, columns = len(boxes), height * samples, width * samples
    grid = torch.stack((x[:, None].expand(count, rows, columns), y[:, :, None].expand(count, rows, columns)), 3)
    grid = grid.reshape(1, count * rows, columns, 2).to(features.dtype)
    values = F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)
    values = values.view(features.shape[1], count, rows, columns) * (y_inside[:, :, None] & x_inside[:, None])
    return F.avg_pool2d(values, samples).transpose(0, 1).to(features.dtype)


def _points(first: Tensor, last: Tensor, count: int) -> Tensor:
    """`count` points (N, count), evenly spread between `first` and `last` (N,)."""
    steps = (torch.arange(count, device=first.device, dtype=first.dtype) + 0.5) / count
    return first[:, None] + (last - first)[:, None] * steps


def _placed(points: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """`grid_sample`'s coordinates of positions along a side, and whether they lie at most a pixel outside."""
    return (2 * points + 1) / length - 1, (points >= -1) & (points <= length)


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Sequence[float] = (1, 1, 1, 1)) -> Tensor:
    """What takes anchors to boxes, (..., 4) each: shifts of the centre in anchor sizes, logarithms of growth, weighted.

    Parameters
    ----------
    boxes, anchors : Tensor
        (..., 4) with sides above 0.
    weights : four floats
        Of x, y, width and height; a cascade uses (10, 10, 5, 5), (20, 20, 10, 10) and (30, 30, 15, 15).
    """
    (centre, side), (anchor_centre, anchor_side) = _centred(boxes), _centred(anchors)
    code = torch.cat(((centre - anchor_centre) / anchor_side, (side / anchor_side).log()), -1)
    return code * code.new_tensor(weights)


def decode_boxes(
    codes: Tensor,
    anchors: Tensor,
    weights: Sequence[float] = (1, 1, 1, 1),
    shape: tuple[int, int] | None = None,
) -> Tensor:
    """Boxes (..., 4) of codes as of :func:`encode_boxes`; cut at the rim of an image of `shape` (H, W) where it is given."""
    codes = codes / codes.new_tensor(weights)
    anchor_centre, anchor_side = _centred(anchors)
    centre = anchor_centre + codes[..., :2] * anchor_side
    half = anchor_side * codes[..., 2:].clamp(max=LARGEST_GROWTH).exp() / 2
    boxes = torch.cat((centre - half, centre + half), -1)
    if shape is None:
        return boxes
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor((shape[1], shape[0], shape[1], shape[0])))


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides (..., 2) of boxes (..., 4)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def paste_masks(masks: Tensor, boxes: Tensor, scores: Tensor, shape: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """One label image of the masks of boxes; where objects overlap, the higher score wins, then the smaller index.

    Parameters
    ----------
    masks : Tensor
        (N, m, m) probabilities, stretched over their boxes: bilinear between the centres of their cells.
    boxes : Tensor
        (N, 4) floating.
    scores : Tensor
        (N,) floating.
    shape : pair of int
        Height and width of the image.
    threshold : float
        Probability from which a pixel belongs to an object.

    Returns
    -------
    Tensor
        (H, W) int32: 1 + the index of the object, 0 for background. Objects that are covered or empty do not occur.
    """
    # Ascending, so that the winner of a pixel is the object of the largest rank.
    order = scores.argsort(stable=True, descending=True).flip(0)
    ranks = order.argsort()
    corners = torch.stack((boxes[:, :2].floor(), boxes[:, 2:].ceil()), 1).long().clamp(min=0)
    windows = torch.minimum(corners, corners.new_tensor((shape[1], shape[0])))
    sides = (windows[:, 1] - windows[:, 0]).amax(1)
    octaves = sides.clamp(min=1).log2().ceil().long()
    best = torch.full((shape[0] * shape[1],), -1, dtype=torch.int64, device=masks.device)
    # Objects of similar size share the size of their windows, whose pixels are looked up for all of them at once.
    for octave in octaves.unique().tolist():
        side = 2**octave
        for part in (octaves == octave).nonzero().squeeze(1).split(max(1, ROOM // (8 * side**2))):
            places, inside = _paste(masks[part], boxes[part], windows[part], side, shape, threshold)
            best.scatter_reduce_(0, places[inside], ranks[part][:, None, None].expand_as(places)[inside], "amax")
    labels = torch.zeros_like(best)
    labels[best >= 0] = order[best[best >= 0]] + 1
    return labels.int().view(shape)


def _paste(
    masks: Tensor, boxes: Tensor, windows: Tensor, side: int, shape: tuple[int, int], threshold: float
) -> tuple[Tensor, Tensor]:
    """Places in the flattened image of windows of `side` pixels (N, side, side), and which of them are of the objects."""
    steps = torch.arange(side, device=boxes.device)
    x, y = (windows[:, 0, axis, None] + steps for axis in (0, 1))
    inside = (y < windows[:, 1, 1, None])[:, :, None] & (x < windows[:, 1, 0, None])[:, None]
    # Centres of the pixels from -1 to 1 over the box.
    u, v = (
        2 * (at + 0.5 - boxes[:, axis, None]) / (boxes[:, axis + 2, None] - boxes[:, axis, None]) - 1
        for at, axis in ((x, 0), (y, 1))
    )
    grid = torch.stack((u[:, None].expand(-1, side, -1), v[:, :, None].expand(-1, -1, side)), 3)
    values = F.grid_sample(masks[:, None], grid.to(masks.dtype), padding_mode="zeros", align_corners=False)[:, 0]
    places = y[:, :, None].clamp(max=shape[0] - 1) * shape[1] + x[:, None].clamp(max=shape[1] - 1)
    return places, inside & (values >= threshold)
