"""Label images from predicted foreground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_EIGHT_NEIGHBOURS = np.ones((3, 3))


def components(
    prediction: tuple[NDArray[np.float32], NDArray[np.float32]], threshold: float = 0.0
) -> NDArray[np.int32]:
    """Label image (H, W) int32 of the connected pixels with a logit above a threshold; pixels that touch at a corner are connected."""
    labels, _ = ndimage.label(prediction[1] > threshold, structure=_EIGHT_NEIGHBOURS, output=np.int32)
    return labels
