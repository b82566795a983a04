"""Microscope images as pictures: channels to colours."""

from __future__ import annotations

import numpy as np


def to_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] of a normalised image (1 to 3, H, W), 0 is black and 1 is white.

    One channel is shown in grey. Of two, the first is green and the second magenta, which colour-blind readers tell
    apart; where the second is empty the first is shown in grey. Three are red, green and blue.
    """
    channels = np.clip(np.asarray(image, dtype=np.float32), 0, 1)
    if len(channels) == 2 and not channels[1].any():
        channels = channels[:1]
    if len(channels) == 1:
        return np.repeat(channels[0][..., None], 3, axis=-1)
    if len(channels) == 2:
        return np.stack([channels[1], channels[0], channels[1]], axis=-1)
    if len(channels) == 3:
        return np.moveaxis(channels, 0, -1)
    raise ValueError(f"an image to be shown has 1, 2 or 3 channels, not {len(channels)}")
