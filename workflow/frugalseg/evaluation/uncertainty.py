"""How uncertain a model is of patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from frugalseg.data.stores import Patches
from frugalseg.evaluation.prediction import predict


def uncertainties(model: nn.Module, patches: Patches, **options: Any) -> NDArray[np.float64]:
    """Mean entropy of the cell probability over each patch.

    Every pixel is cell with probability p = sigmoid(logit), and the entropy of that, -p log p - (1 - p) log(1 - p), is what
    the model does not know (Shannon 1948; as an acquisition function Settles 2009, section 3.1); a patch has the mean over
    its pixels, so that all patches of a store compare. Flows have no part in it: they are directions without a probability,
    and outside cells they mean nothing.

    Parameters
    ----------
    **options
        Keyword arguments of :func:`frugalseg.evaluation.prediction.predict`: `device`, `batch_size` and others.

    Returns
    -------
    np.ndarray
        (N,) float64 in bits, from 0, certain everywhere, to 1, undecided everywhere.
    """
    images = (np.asarray(patches.images[index], dtype=np.float32) for index in range(len(patches)))
    found = np.empty(len(patches))
    for index, (_, logits) in predict(model, images, **options):
        found[index] = entropy(logits).mean()
    return found


def entropy(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Binary entropy in bits of sigmoid(logits), of the same shape.

    With a = abs(logit) it is log(1 + exp(-a)) + a / (1 + exp(a)): nothing cancels, and no logit overflows.
    """
    size = np.abs(logits.astype(np.float64))
    small = np.exp(-size)
    return (np.log1p(small) + size * small / (1 + small)) / np.log(2)
