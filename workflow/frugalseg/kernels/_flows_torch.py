"""The path of `frugalseg.kernels.flows` for devices other than the CPU: torch operations over the pixels of all cells at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.kernels._flows_cpu import (
    GROWTH_ROUNDS,
    SMALLEST_GROWTH,
    SMALLEST_PEAK,
    finish_labels,
)


def label_flows(labels: Tensor) -> Tensor:
    """Flow fields (B, 2, H, W) float32 of label images (B, H, W); see `flows.labels_to_flows`."""
    labels = labels.long()
    flows = labels.new_zeros((len(labels), 2, *labels.shape[1:]), dtype=torch.float32)
    pixels = labels.nonzero()
    if len(pixels) == 0:
        return flows
    image, y, x = pixels.T
    cell = (image * (labels.max() + 1) + labels[image, y, x]).unique(return_inverse=True)[1]
    centre, steps = _centres_and_steps(cell, y, x)
    # Cells with many steps first: the cells that still spread heat are then always a prefix, and so are their pixels.
    order = steps[cell].argsort(descending=True, stable=True)
    image, y, x, cell = image[order], y[order], x[order], cell[order]
    centre = order.argsort()[centre]
    longest = steps.argsort(descending=True, stable=True)
    neighbours = _neighbours(image, y, x, cell, labels.shape)
    heat = _spread_heat(neighbours, centre[longest], steps[longest], steps[cell])
    up, left, right, down = heat[neighbours[[1, 3, 5, 7]]]
    gradient = torch.stack((down - up, right - left))
    length = gradient.square().sum(0).sqrt()
    flows[image, :, y, x] = torch.where(length > 0, gradient / length, 0).T.float()
    return flows


def _centres_and_steps(cell: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The pixel (a row of `cell`) nearest the mean position of each cell, the first among equals, and its number of steps."""
    position = torch.stack((y, x))
    area = cell.bincount()
    index = cell.expand(2, -1)
    first = torch.zeros((2, len(area)), dtype=torch.long, device=cell.device)
    last, total = first.clone(), first.clone()
    first.scatter_reduce_(1, index, position, "amin", include_self=False)
    last.scatter_reduce_(1, index, position, "amax", include_self=False)
    total.scatter_add_(1, index, position)
    mean = total.double() / area - first
    distance = (position - first[:, cell] - mean[:, cell]).square().sum(0)
    nearest = torch.full((len(area),), torch.inf, dtype=torch.float64, device=cell.device)
    nearest.scatter_reduce_(0, cell, distance, "amin")
    rank = torch.arange(len(cell), device=cell.device)
    candidate = torch.where(distance == nearest[cell], rank, len(cell))
    centre = torch.full_like(area, len(cell)).scatter_reduce_(0, cell, candidate, "amin")
    return centre, 2 * ((last - first + 1).sum(0) + 4)


def _neighbours(image: Tensor, y: Tensor, x: Tensor, cell: Tensor, shape: torch.Size) -> Tensor:
    """Rows of the 3 x 3 neighbourhood in reading order, (9, N); N stands for what lies outside the cell."""
    count = len(cell)
    place = torch.full((shape[0], shape[1] + 2, shape[2] + 2), count, device=cell.device)
    place[image, y + 1, x + 1] = torch.arange(count, device=cell.device)
    around = torch.stack([place[image, y + down, x + right] for down in range(3) for right in range(3)])
    nobody = cell.new_full((1,), -1)
    return torch.where(torch.cat((cell, nobody))[around] == cell, around, count)


def _spread_heat(neighbours: Tensor, centre: Tensor, steps: Tensor, pixel_steps: Tensor) -> Tensor:
    """Heat of each pixel and a zero behind; cells (`centre`, `steps`) and pixels come in the order of falling steps."""
    heat = torch.zeros(neighbours.shape[1] + 1, dtype=torch.float64, device=centre.device)
    stages = steps.unique()
    cells = (steps >= stages[:, None]).sum(1)
    pixels = torch.stack([(pixel_steps >= stage).sum() for stage in stages])
    done = 0
    for stage, active, reached in zip(stages.tolist(), cells.tolist(), pixels.tolist(), strict=True):
        sources, around = centre[:active], neighbours[:, :reached]
        for _ in range(stage - done):
            heat[sources] += 1
            # The compiled path's order of additions, so that both give the same bits.
            above, here, below = heat[around].view(3, 3, -1)
            before, column, after = here + (above + below)
            heat[:reached] = (column + (before + after)) * (1 / 9)
        done = stage
    return heat


def flow_labels(
    flows: Tensor, inside: Tensor, steps: int, flow_threshold: float, min_size: int, largest: float = 0.4
) -> Tensor:
    """Label images (B, H, W) int32 of finite flows (B, 2, H, W) float32; see `flows.flows_to_labels`."""
    labels = torch.zeros_like(inside, dtype=torch.long)
    ends = _follow(flows, inside, steps)
    labels[inside] = _gather_sinks(ends, inside.shape)
    areas = _areas(labels)
    labels[areas.gather(1, labels.flatten(1)).view_as(labels) > int(largest * labels[0].numel())] = 0
    if flow_threshold > 0:
        labels = _drop_inconsistent(labels, flows, flow_threshold)
    return torch.from_numpy(finish_labels(labels.int().cpu().numpy(), min_size)).to(flows.device)


def _follow(flows: Tensor, inside: Tensor, steps: int) -> Tensor:
    """Flat index ((image H + y) W + x) of the end of each pixel inside, in reading order."""
    height, width = inside.shape[1:]
    # A row and a column longer: the four neighbours of a position always exist.
    field = F.pad(flows * inside[:, None], (0, 1, 0, 1)).permute(0, 2, 3, 1).reshape(-1, 2)
    image, row, column = inside.nonzero().T
    offset = image * (height + 1) * (width + 1)
    position = torch.stack((row, column), 1).float()
    last = torch.tensor((height - 1, width - 1), device=flows.device)
    for _ in range(steps):
        corner = position.long()
        below, beside = (position - corner).unsqueeze(2).unbind(1)
        top = offset + corner[:, 0] * (width + 1) + corner[:, 1]
        bottom = top + width + 1
        # The compiled path's order of operations, so that both give the same bits.
        upper = field[top] * ((1 - below) * (1 - beside)) + field[top + 1] * ((1 - below) * beside)
        lower = field[bottom] * (below * (1 - beside)) + field[bottom + 1] * (below * beside)
        position = (position + (upper + lower)).clamp(min=0).minimum(last)
    end = position.long()
    return (image * height + end[:, 0]) * width + end[:, 1]


def _gather_sinks(ends: Tensor, shape: torch.Size) -> Tensor:
    """Number of the sink each pixel ends in, 0 for none; fuller sinks have higher numbers, equal ones in reading order."""
    counts = ends.bincount(minlength=shape.numel()).view(shape).float()
    peaks = (counts > SMALLEST_PEAK) & (counts == F.max_pool2d(counts, 5, 1, 2))
    seeds = peaks.nonzero()
    if len(seeds) == 0:
        return torch.zeros_like(ends)
    seeds = seeds[counts[peaks].argsort(stable=True)]
    reach = GROWTH_ROUNDS
    window = torch.arange(-reach, reach + 1, device=ends.device)
    # Windows around the seeds, in an image with a border as wide as they reach.
    padded = F.pad(counts, (reach, reach, reach, reach))
    image, y, x = (seed[:, None, None] for seed in seeds.T)
    y, x = y + reach + window[:, None], x + reach + window
    passable = (padded[image, y, x] > SMALLEST_GROWTH).float()
    grown = torch.zeros_like(passable)
    grown[:, reach, reach] = 1
    for _ in range(reach):
        grown = F.max_pool2d(grown, 3, 1, 1) * passable
    number = torch.arange(1, len(seeds) + 1, device=ends.device)[:, None, None] * grown.long()
    flat = (image * padded.shape[1] + y) * padded.shape[2] + x
    sinks = torch.zeros(padded.numel(), dtype=torch.long, device=ends.device)
    sinks.scatter_reduce_(0, flat.flatten(), number.flatten(), "amax")
    return sinks.view_as(padded)[:, reach:-reach, reach:-reach].reshape(-1)[ends]


def _areas(labels: Tensor) -> Tensor:
    """Pixels of every label in every image, (B, largest label + 1); the background counts as none."""
    rows = int(labels.max()) + 1 if labels.numel() else 1
    areas = torch.zeros((len(labels), rows), dtype=torch.long, device=labels.device)
    areas.scatter_add_(1, labels.flatten(1), (labels > 0).flatten(1).long())
    return areas


def _drop_inconsistent(labels: Tensor, flows: Tensor, threshold: float) -> Tensor:
    """Set cells to 0 whose predicted flows lie further than `threshold` from those of their shape."""
    areas = _areas(labels)
    errors = torch.zeros_like(areas, dtype=torch.float64)
    error = (label_flows(labels).double() - flows).square().sum(1)
    errors.scatter_add_(1, labels.flatten(1), error.flatten(1))
    bad = errors > threshold * areas
    return torch.where(bad.gather(1, labels.flatten(1)).view_as(labels), 0, labels)
