"""Learning without forgetting: the parent's outputs on the new images are learned beside their labels (Li and Hoiem 2017).

Adapted from classes of images to maps: there is one head and no new one, what the parent says of a pixel is its
target, and the temperature is 1.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.training import keeping
from frugalseg.training.distributed import predict_in_parts

METHODS = (
    "to repeat the parent's outputs on the new patches as well (learning without forgetting; @lwf), with a weight of "
    "{{ '%g' % strength }}"
)
CITES = {
    "lwf": "Li & Hoiem 2017, Learning without forgetting, IEEE Transactions on Pattern Analysis and Machine Intelligence 40",
}
OPTIONS = {
    "strength": {
        "description": "Weight of the loss against the parent's outputs; 0 keeps nothing.",
        "type": "number",
        "minimum": 0,
    },
}

# Of the cross-entropy of the logit, as in the losses of these targets.
_LOGIT_WEIGHTS = {"flows": 1.0, "unit_flows": 0.1}


class Way(keeping.Way):
    """Adds the loss between the outputs of the network and of its parent.

    The parent predicts in evaluation mode: its batch norms have the statistics of the images that it was trained on.
    """

    def start(self, start: keeping.Start) -> None:
        parent = copy.deepcopy(start.network).requires_grad_(False).eval()
        self._predict = partial(start.predict, parent)
        self._target = start.target

    def loss(self, images: Tensor, output: Tensor) -> Tensor:
        with torch.no_grad():
            parent = predict_in_parts(self._predict, images)
        return self.keep.options["strength"] * distillation_loss(output, parent, self._target)


def distillation_loss(output: Tensor, parent: Tensor, target: str) -> Tensor:
    """Loss of an output against that of the parent, its terms weighted as in the loss of the target.

    ``0.5 MSE(flow, parent's flow) + BCE(logit, parent's probability)`` for ``flows``, with the cross-entropy times 0.1 for
    ``unit_flows``; for ``foreground``, which has no flow, ``BCE(logit, parent's probability)`` alone.

    Outputs are (B, 3, H, W), flow y, flow x and logit, or (B, 2, H, W), logits of background and foreground, of any float
    type; the result is () float32. Terms are means over all pixels, also those outside cells.
    """
    output, parent = output.float(), parent.float()
    if target == "foreground":
        logit, parent_logit = (maps[:, 1] - maps[:, 0] for maps in (output, parent))
        return F.binary_cross_entropy_with_logits(logit, parent_logit.sigmoid())
    entropy = F.binary_cross_entropy_with_logits(output[:, 2], parent[:, 2].sigmoid())
    return 0.5 * F.mse_loss(output[:, :2], parent[:, :2]) + _LOGIT_WEIGHTS[target] * entropy
