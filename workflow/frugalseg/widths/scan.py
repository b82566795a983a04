"""The width scan: scores of untrained U-Nets at every cap and seed, image by image, and what each network costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from frugalseg.data.stores import Images
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models import build
from frugalseg.models.cost import forward_flops, parameters
from frugalseg.models.unet import UNet
from frugalseg.widths.choice import CAPS, check_caps
from frugalseg.widths.scores import SCORES

Score = Callable[[nn.Module, Tensor], Tensor]

# nnU-Net has one output for the background and one for the foreground.
OUT_CHANNELS = 2
_ALL_IMAGES = -1
ALL_SCORES = {"sensitivity": input_gradient_norm, **SCORES}


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
    seeds, caps : sequence of int
        Seeds of the initial weights, each once; width caps, from large to small.
    score : callable
        Maps a network and the images (K, C, H, W) float32 to (K,) scores, or to one for all images.
    device : torch.device or str
        Where the networks run.

    Returns
    -------
    pd.DataFrame
        Columns cap, seed, image (position in `images`, -1 where `score` gives one value for all) and value, by cap from
        large to small, then seed, then image.
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


def scan_dataset(
    stored: Images,
    *,
    archs: Mapping[str, str],
    images: int,
    crop: int,
    caps: Sequence[int],
    seeds: Sequence[int],
    scores: Sequence[str],
    device: torch.device | str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score untrained networks on `images` unlabelled crops of a dataset, and say what each network of `archs` (by name) costs.

    The first table has the columns score, cap, seed, image (-1: one value for all images) and value; the second network, cap
    (NaN for those that are no capped U-Net), parameters and flops.
    """
    crops = square_crops([stored.pixels(index) for index in range(len(stored))], crop, images)
    falling = sorted(caps, reverse=True)
    costs = describe(archs.values(), crops.shape[1], crop).assign(network=list(archs))
    costs["cap"] = costs["network"].map({f"cap{cap}": cap for cap in falling}).astype(np.float64)
    tables = [scan(crops, seeds, falling, score=ALL_SCORES[name], device=device).assign(score=name) for name in scores]
    table = pd.concat(tables, ignore_index=True)[["score", "cap", "seed", "image", "value"]]
    return table, costs[["network", "cap", "parameters", "flops"]]


def describe(archs: Iterable[str], in_channels: int, size: int) -> pd.DataFrame:
    """Parameters of networks, and operations of their prediction of one image of that side; columns arch, parameters, flops."""
    rows = []
    for arch in archs:
        # On the meta device no weight is drawn.
        with torch.device("meta"):
            network = build(arch, in_channels, OUT_CHANNELS, size)
        rows.append((arch, parameters(network), forward_flops(network, size)))
    return pd.DataFrame(rows, columns=["arch", "parameters", "flops"])


def values(table: pd.DataFrame) -> NDArray[np.float64]:
    """Scores of a scan as an array (seeds, caps, images): seeds and images rising, caps from large to small."""
    sizes = table["seed"].nunique(), table["cap"].nunique(), table["image"].nunique()
    keys = ["seed", "cap", "image"]
    if not len(table) or len(table) != np.prod(sizes) or table.duplicated(keys).any():
        raise ValueError("the scan needs one score for every seed, cap and image; scan all of them again")
    ordered = table.sort_values(keys, ascending=[True, False, True])
    return ordered["value"].to_numpy(np.float64).reshape(sizes)


def square_crops(images: Sequence[NDArray[np.float32]], size: int, number: int) -> NDArray[np.float32]:
    """Square crops (number, C, size, size) float32 of whole images (C, H, W), no two of one image.

    Images with a side below `size` are passed over; the others are spread evenly and cropped in the centre.
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
    chosen = (large[index] for index in np.arange(number) * len(large) // number)
    return np.stack([_centre(image, size) for image in chosen]).astype(np.float32, copy=False)


def _centre(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    y, x = ((side - size) // 2 for side in image.shape[-2:])
    return image[:, y : y + size, x : x + size]


def _rows(cap: int, seed: int, scores: Tensor, images: int) -> pd.DataFrame:
    scores = scores.detach().cpu().double()
    if scores.ndim and scores.shape != (images,):
        raise ValueError(
            f"a score gives one value, or one for each of {images} images, but this gave {tuple(scores.shape)}"
        )
    positions = np.arange(images) if scores.ndim else _ALL_IMAGES
    return pd.DataFrame({"cap": cap, "seed": seed, "image": positions, "value": scores.numpy().reshape(-1)})
