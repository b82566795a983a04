"""The width scan: a score of untrained U-Nets at every cap and seed, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models.unet import UNet
from frugalseg.widths.caps import CAPS, check_caps

Score = Callable[[nn.Module, Tensor], Tensor]

# nnU-Net has one output for the background and one for the foreground.
OUT_CHANNELS = 2
_ALL_IMAGES = -1


def scan(
    images: NDArray[np.floating] | Tensor,
    seeds: Sequence[int],
    caps: Sequence[int] = CAPS,
    *,
    score: Score = input_gradient_norm,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Score untrained U-Nets of every cap and seed at unlabelled images.

    The network is nnU-Net's for patches of the images' size, with as many inputs as they have channels and two outputs.
    The weights of a seed are drawn by a generator with that seed, afresh for every cap, so that a row does not depend on
    which other caps are scanned.

    Parameters
    ----------
    images : np.ndarray or Tensor
        (K, C, H, W) normalised, K >= 1, finite; H and W may differ, see :func:`frugalseg.models.unet.plan`.
    seeds : sequence of int
        Seeds of the initial weights, each once.
    caps : sequence of int
        Width caps, from large to small.
    score : callable
        Maps a network and the images (K, C, H, W) float32 to (K,) scores, or to one for all images.
    device : torch.device or str
        Where the networks run.

    Returns
    -------
    pd.DataFrame
        Columns cap, seed, image (position in `images`, -1 where `score` gives one value for all) and sensitivity (the
        score), by cap from large to small, then seed, then image.

    Raises
    ------
    ValueError
        When there are no images, they are not (K, C, H, W), too small or of sides that the network does not take, when
        seeds or caps are missing or repeated, or the score has another shape; and as `score` does.
    """
    images = torch.as_tensor(images, dtype=torch.float32, device=device)
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(
            f"a width scan needs at least one image, as (images, channels, height, width), not {tuple(images.shape)}; "
            "look at the files of the dataset"
        )
    check_caps(caps)
    if not len(seeds) or len(set(seeds)) < len(seeds):
        raise ValueError(f"a width scan needs seeds, each once, not {list(seeds)}")
    parts = []
    for cap in caps:
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            network = UNet(images.shape[1], OUT_CHANNELS, images.shape[-2:], cap=cap, generator=generator).to(device)
            parts.append(_rows(cap, seed, score(network, images), len(images)))
    return pd.concat(parts, ignore_index=True)


def networks(in_channels: int, patch_size: int | tuple[int, int], caps: Sequence[int] = CAPS) -> pd.DataFrame:
    """Parameters of the scanned network at every cap.

    Returns
    -------
    pd.DataFrame
        Columns cap, parameters, and parameters_nnunet: with the heads that nnU-Net builds for deep supervision, as
        Kimbowa et al. 2026 count.
    """
    check_caps(caps)
    rows = []
    for cap in caps:
        # On the meta device no weight is drawn.
        with torch.device("meta"):
            network = UNet(in_channels, OUT_CHANNELS, patch_size, cap=cap)
        parameters = sum(weight.numel() for weight in network.parameters())
        rows.append((cap, parameters, parameters + network.deep_supervision_parameters))
    return pd.DataFrame(rows, columns=["cap", "parameters", "parameters_nnunet"])


def values(table: pd.DataFrame) -> NDArray[np.float64]:
    """Scores of a scan as an array (seeds, caps, images): seeds and images rising, caps from large to small.

    Raises
    ------
    ValueError
        When a seed, cap and image has no score or several.
    """
    sizes = table["seed"].nunique(), table["cap"].nunique(), table["image"].nunique()
    keys = ["seed", "cap", "image"]
    if not len(table) or len(table) != np.prod(sizes) or table.duplicated(keys).any():
        raise ValueError("the scan needs one score for every seed, cap and image; scan all of them again")
    ordered = table.sort_values(keys, ascending=[True, False, True])
    return ordered["sensitivity"].to_numpy(np.float64).reshape(sizes)


def square_crops(
    images: Sequence[NDArray[np.float32]], size: int, number: int, *, generator: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Square crops of one size from whole images, no two of one image.

    Parameters
    ----------
    images : sequence of np.ndarray
        (C, H, W) float32, normalised, of one number of channels; sizes may differ. Those with a side below `size` are
        passed over.
    size : int
        Side of the crops in pixels.
    number : int
        How many crops.
    generator : np.random.Generator, optional
        Draws the images and the place in each. Without, the images are spread evenly and cropped in the centre.

    Returns
    -------
    np.ndarray
        (number, C, size, size) float32.

    Raises
    ------
    ValueError
        When `size` or `number` is below 1, fewer than `number` images are large enough, or channels differ.
    """
    if size < 1 or number < 1:
        raise ValueError(f"the size and the number of crops must be at least 1, not {size} and {number}")
    large = [image for image in images if min(image.shape[-2:]) >= size]
    if len(large) < number:
        raise ValueError(
            f"{number} crops of {size} x {size} pixels need as many images of at least this size, and {len(large)} of "
            f"{len(images)} images are; take smaller or fewer crops"
        )
    if len({len(image) for image in large}) > 1:
        raise ValueError("the images differ in their number of channels; bring them to one, for example to grey")
    spread = np.arange(number) * len(large) // number
    chosen = spread if generator is None else generator.choice(len(large), number, replace=False)
    return np.stack([_crop(large[index], size, generator) for index in chosen]).astype(np.float32, copy=False)


def _crop(image: NDArray[np.float32], size: int, generator: np.random.Generator | None) -> NDArray[np.float32]:
    room = [side - size for side in image.shape[-2:]]
    y, x = (gap // 2 if generator is None else generator.integers(gap + 1) for gap in room)
    return image[:, y : y + size, x : x + size]


def _rows(cap: int, seed: int, scores: Tensor, images: int) -> pd.DataFrame:
    scores = scores.detach().cpu().double()
    if scores.ndim and scores.shape != (images,):
        raise ValueError(
            f"a score gives one value, or one for each of {images} images, but this gave {tuple(scores.shape)}"
        )
    positions = np.arange(images) if scores.ndim else _ALL_IMAGES
    return pd.DataFrame({"cap": cap, "seed": seed, "image": positions, "sensitivity": scores.numpy().reshape(-1)})
