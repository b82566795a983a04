"""Learning without forgetting: the parent's outputs on the new images are learned beside their labels (Li and Hoiem 2017).

Adapted from classes of images to maps: there is one head and no new one, what the parent says of a pixel is its
target, and the temperature is 1.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.training.distributed import predict_in_parts

# Of the cross-entropy of the logit, as in the losses of these targets.
_LOGIT_WEIGHTS = {"flows": 1.0, "unit_flows": 0.1}


class Distillation:
    """Loss between the outputs of a network in training and of what it was when this was made.

    The parent predicts in evaluation mode: its batch norms have the statistics of the images that it was trained on.

    Parameters
    ----------
    network : nn.Module
        With the parent's weights; copied.
    strength : float
        Weight of the loss.
    target : {"flows", "unit_flows", "foreground"}
        What the network learns.
    predict : callable
        Calls a network with images, in the arithmetic of the run.
    """

    def __init__(self, network: nn.Module, strength: float, target: str, predict: Callable[..., Any]) -> None:
        parent = copy.deepcopy(network).requires_grad_(False).eval()
        self._predict = partial(predict, parent)
        self._strength, self._target = strength, target

    def __call__(self, images: Tensor, output: Tensor) -> Tensor:
        """Strength times :func:`distillation_loss`, (), of images (B, C, H, W) and the output (B, ...) of the network for them."""
        with torch.no_grad():
            parent = predict_in_parts(self._predict, images)
        return self._strength * distillation_loss(output, parent, self._target)


def distillation_loss(output: Tensor, parent: Tensor, target: str) -> Tensor:
    """Loss of an output against that of the parent, its terms weighted as in the loss of the target.

    ``0.5 MSE(flow, parent's flow) + BCE(logit, parent's probability)`` for ``flows``, with the cross-entropy times 0.1 for
    ``unit_flows``; for ``foreground``, which has no flow, ``BCE(logit, parent's probability)`` alone.

    Parameters
    ----------
    output, parent : Tensor
        (B, 3, H, W), flow y, flow x and logit, or (B, 2, H, W), logits of background and foreground; any float type.
    target : {"flows", "unit_flows", "foreground"}
        What the networks have learned.

    Returns
    -------
    Tensor
        () float32; terms are means over all pixels, also those outside cells.
    """
    output, parent = output.float(), parent.float()
    if target == "foreground":
        logit, parent_logit = (maps[:, 1] - maps[:, 0] for maps in (output, parent))
        return F.binary_cross_entropy_with_logits(logit, parent_logit.sigmoid())
    entropy = F.binary_cross_entropy_with_logits(output[:, 2], parent[:, 2].sigmoid())
    return 0.5 * F.mse_loss(output[:, :2], parent[:, :2]) + _LOGIT_WEIGHTS[target] * entropy
