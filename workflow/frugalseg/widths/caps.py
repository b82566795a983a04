"""The candidates of a width scan: caps on the channels of a U-Net's stages."""

from __future__ import annotations

from collections.abc import Sequence

from frugalseg.models.unet import FULL_WIDTH

CAPS = tuple(FULL_WIDTH >> step for step in range(FULL_WIDTH.bit_length()))


def check_caps(caps: Sequence[int]) -> None:
    """Refuse caps that are not whole numbers from 512 to 1 in falling order, each once.

    Raises
    ------
    ValueError
        When they are not, or there are none.
    """
    whole = all(int(cap) == cap and 1 <= cap <= FULL_WIDTH for cap in caps)
    if not len(caps) or not whole or any(caps[i] <= caps[i + 1] for i in range(len(caps) - 1)):
        raise ValueError(
            f"caps must be whole numbers from {FULL_WIDTH} to 1 from large to small, each once, as in {list(CAPS)}; "
            f"not {list(caps)}"
        )
