"""The loss that the Cellpose network is trained with (Stringer et al. 2021, Methods)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

FLOW_SCALE = 5.0
"""Unit flows are multiplied by this before the network learns them, which balances both terms of the loss."""


def flow_and_logit_loss(output: Tensor, labels: Tensor, flows: Tensor) -> Tensor:
    """Loss of predicted flows and logits: ``0.5 MSE(flow, 5 target) + BCE(logit, label > 0)``.

    Parameters
    ----------
    output : Tensor
        (B, 3, H, W) of the network, any float type: flow y, flow x (both times five), logit.
    labels : Tensor
        (B, H, W) integer, 0 is background.
    flows : Tensor
        (B, 2, H, W) unit vectors (y, x), 0 outside cells.

    Returns
    -------
    Tensor
        () float32; both terms are means over all pixels.
    """
    output = output.float()
    flow_loss = F.mse_loss(output[:, :2], FLOW_SCALE * flows.float())
    logit_loss = F.binary_cross_entropy_with_logits(output[:, 2], (labels > 0).float())
    return 0.5 * flow_loss + logit_loss
