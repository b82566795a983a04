"""Label images to flows and back: the targets a network learns, and the cells its predictions mean.

A flow is a unit vector (y, x) in each pixel of a cell that points along the way to the cell's centre, the gradient of heat
that spreads from there (Stringer et al. 2021, Cellpose, Nature Methods 18:100-106). Pixels that are let go along the flows
of a cell meet near its centre, so cells can be read off from where pixels end.

CPU tensors take a compiled path that uses ``torch.get_num_threads()`` threads, other devices take one made of torch
operations. On the CPU the same input gives the same bits whatever the number of threads and however images are batched.
"""

import torch
from torch import Tensor


def labels_to_flows(labels: Tensor) -> Tensor:
    """Make the flow fields of label images: unit vectors up the gradient of heat spread from each cell's centre.

    Each cell is on its own: one unit of heat a step enters at its centre, the pixel of the cell nearest its mean position
    (the first in reading order among equals); heat spreads by a 3 x 3 mean in which all that lies outside the cell is zero,
    for 2 (height + width + 4) steps, height and width those of the cell's box; the flow is the central difference of the
    heat, normalised to unit length.
    The flow of a cell does therefore not depend on what else is in the image or in the batch.

    Parameters
    ----------
    labels : (B, H, W) tensor of any integer dtype
        0 is background, every other value a cell. Numbers may be skipped, a cell may consist of pieces.

    Returns
    -------
    (B, 2, H, W) float32 tensor on the device of `labels`
        Flow y, flow x. Zero outside cells, where the gradient is zero (a cell of one pixel, the centre of a symmetric cell),
        and in pieces of a cell that do not touch (8-neighbourhood) the one its centre is in.

    Raises
    ------
    ValueError
        Labels not of shape (B, H, W), not of an integer dtype, or negative.

    Notes
    -----
    The work is the pixels of the cells times their steps. Steps are counted for each cell, as Cellpose 3 does on the CPU;
    on a GPU it gives every cell of an image 2 (height + width + 2) steps of the largest, and lets heat of a
    touching cell into the difference. The fields agree but for small angles.
    """
    if labels.ndim != 3 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels must be integers of shape (B, H, W), got {labels.dtype} {tuple(labels.shape)}")
    if labels.dtype.is_signed and labels.numel() and labels.min() < 0:
        raise ValueError("labels must be 0 (background) or more, got a negative one: set pixels to ignore to 0")
    if labels.device.type != "cpu":
        from frugalseg.kernels._flows_torch import label_flows

        return label_flows(labels)
    from frugalseg.kernels._flows_cpu import label_flows

    return torch.from_numpy(label_flows(labels.numpy()))


def flows_to_labels(
    flows: Tensor,
    logits: Tensor,
    *,
    steps: int = 200,
    logit_threshold: float = 0.0,
    flow_threshold: float | None = 0.4,
    min_size: int = 15,
    largest: float = 0.4,
) -> Tensor:
    """Make label images from predicted flows: pixels that flow to the same place are a cell.

    Every pixel with a logit above the threshold moves along the flows (bilinear between pixels, zero where the logit is not
    above the threshold) in Euler steps of one pixel at full speed. Peaks of the histogram of end pixels (more than 10 ends, none
    more within 2 pixels) are sinks; a sink grows five times by one pixel over histogram values above 2, the fuller sink
    taking what two reach. A cell is all pixels that end in one sink. Dropped are cells of more than `largest` of the
    image; cells whose own flow field is, in mean squared distance, further than `flow_threshold` from the predicted one;
    cells of fewer than `min_size` pixels. Holes are filled.

    Parameters
    ----------
    flows : (B, 2, H, W) floating tensor
        Flow y, flow x in the units of `labels_to_flows` (a network trained on 5 x flow: its output / 5). What is not finite
        counts as zero.
    logits : (B, H, W) floating tensor
        Cell probability as a logit, NaN counts as background.
    steps : int
        Euler steps, 0 or more.
    logit_threshold : float
        Pixels above it belong to cells.
    flow_threshold : float or None
        Largest error of a cell's flows, in [0, 4]; 0 or None keeps all cells.
    min_size : int
        Smallest cell in pixels.
    largest : float
        Largest cell as a share of the image; 1 keeps all.

    Returns
    -------
    (B, H, W) int32 tensor on the device of `flows`
        Cells 1..n of each image, numbered in reading order of their first pixels; 0 is background.

    Raises
    ------
    ValueError
        Shapes that do not fit together, or negative steps.

    Notes
    -----
    Filling holes and numbering are sequential scans and run on the CPU for every device.
    """
    if flows.ndim != 4 or flows.shape[1] != 2 or logits.shape != (flows.shape[0], *flows.shape[2:]):
        raise ValueError(
            f"flows must be (B, 2, H, W) and logits (B, H, W), got {tuple(flows.shape)} and {tuple(logits.shape)}"
        )
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, got {steps}")
    if logits.numel() == 0:
        return torch.zeros(logits.shape, dtype=torch.int32, device=flows.device)
    flows = flows.detach().float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    inside = logits.detach() > logit_threshold
    if flows.device.type != "cpu":
        from frugalseg.kernels._flows_torch import flow_labels

        return flow_labels(flows, inside, steps, flow_threshold or 0.0, min_size, largest)
    from frugalseg.kernels._flows_cpu import flow_labels

    return torch.from_numpy(flow_labels(flows.numpy(), inside.numpy(), steps, flow_threshold or 0.0, min_size, largest))
