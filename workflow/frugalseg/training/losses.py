"""Losses by what the network learns: flows and cell probability as Cellpose or UCell does, or nnU-Net's foreground."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

METHODS = {
    "flows": "flows towards cell centres and the probability of a cell",
    "unit_flows": "unit flows towards cell centres, by half their squared error inside cells, and the probability of a cell, by a "
    "tenth of its cross-entropy",
    "foreground": "foreground against background",
}

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

# nnU-Net's, added above and below the fraction.
_DICE_SMOOTH = 1e-5

FLOW_SCALE = 5.0
"""Unit flows are multiplied by this before the network learns them, which balances both terms of the loss."""


def flow_and_logit_loss(output: Tensor, labels: Tensor, flows: Tensor) -> Tensor:
    """Loss of predicted flows and logits: ``0.5 MSE(flow, 5 target) + BCE(logit, label > 0)`` (Stringer et al. 2021).

    Means over all pixels, () float32, of output (B, 3, H, W), any float type: flow y, flow x (both times five), logit; labels
    (B, H, W), 0 is background; flows (B, 2, H, W), unit vectors (y, x), 0 outside cells.
    """
    output = output.float()
    flow_loss = F.mse_loss(output[:, :2], FLOW_SCALE * flows.float())
    logit_loss = F.binary_cross_entropy_with_logits(output[:, 2], (labels > 0).float())
    return 0.5 * flow_loss + logit_loss


def unit_flow_and_logit_loss(output: Tensor, labels: Tensor, flows: Tensor) -> Tensor:
    """Loss of predicted unit flows and logits: ``0.1 BCE(logit, label > 0) + 0.5 mean of (flow - target)^2 inside cells``.

    Of pixels outside cells the flow is free; the mean is over all pixels and both components (Kuang et al. 2026). Arguments
    as of :func:`flow_and_logit_loss`, flows as they are.
    """
    logit_loss = F.binary_cross_entropy_with_logits(output[:, 2].float(), (labels > 0).float())
    return 0.1 * logit_loss + unit_flow_errors(output, labels, flows).mean()


def unit_flow_errors(output: Tensor, labels: Tensor, flows: Tensor) -> Tensor:
    """The flow term of :func:`unit_flow_and_logit_loss` of every image, (B,) float32."""
    inside = (labels > 0).unsqueeze(1)
    return 0.5 * (inside * (output[:, :2].float() - flows.float()).square()).mean(dim=(1, 2, 3))


def foreground_loss(output: Tensor, labels: Tensor, flows: Tensor) -> Tensor:
    """Loss of predicted foreground: cross-entropy less soft Dice (nnU-Net; Isensee et al. 2021).

    Dice is that of the foreground alone, over all pixels of the batch together. The output is (B, 2, H, W), logits of
    background and foreground; flows are not looked at.
    """
    # Two classes have one logit between them.
    logits = (output[:, 1] - output[:, 0]).float()
    truth = (labels > 0).float()
    foreground = logits.sigmoid()
    shared, total = (foreground * truth).sum(), foreground.sum() + truth.sum()
    dice = (2 * shared + _DICE_SMOOTH) / (total + _DICE_SMOOTH)
    return F.binary_cross_entropy_with_logits(logits, truth) - dice


LOSSES: dict[str, Loss] = {
    "flows": flow_and_logit_loss,
    "unit_flows": unit_flow_and_logit_loss,
    "foreground": foreground_loss,
}
OUT_CHANNELS = {"flows": 3, "unit_flows": 3, "foreground": 2}
"""By target: flow y, flow x and the logit of the cell probability; or the logits of background and foreground."""
