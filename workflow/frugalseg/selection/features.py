"""Features that selectors compare patches by: the encoder of a ViT-MAE that sees every token of a patch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from frugalseg.data.stores import Patches
from frugalseg.runtime.files import replacing

if TYPE_CHECKING:
    # Importing transformers takes seconds, which readers of this module who embed nothing should not pay.
    from transformers import ViTMAEModel

POOLINGS = ("mean", "class")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@torch.inference_mode()
def embed(
    patches: Patches,
    checkpoint: str | Path,
    *,
    mask_ratio: float = 0.0,
    pooling: str = "mean",
    batch: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Feature vectors (N, D) float32 of patches from the encoder of a ViT-MAE checkpoint.

    Parameters
    ----------
    patches : Patches
        N patches of one or two channels. They are clipped to [0, 1], resized to the checkpoint's image size and
        normalised with its mean and standard deviation (ImageNet's if it has no `preprocessor_config.json`).
    checkpoint : str or Path
        Local folder in Hugging Face's layout, of a `ViTMAEForPreTraining` or of a bare `ViTMAEModel`.
    mask_ratio : float
        Share of the tokens hidden from the encoder, in [0, 1), by `seed`. The library hides 75 % in every forward pass, also
        in evaluation mode; 0 shows the whole patch.
    pooling : {"mean", "class"}
        Mean over all tokens of the last hidden state, the class token among them (Zhao & Chen 2025), or the class
        token alone.
    batch : int
        Patches per forward pass; changes the features by rounding only.
    """
    if not 0 <= mask_ratio < 1:
        raise ValueError(f"mask_ratio {mask_ratio} is outside [0, 1); 0 shows the encoder the whole patch")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling {pooling!r} is unknown; use one of {', '.join(POOLINGS)}")
    checkpoint = Path(checkpoint)
    encoder = load_encoder(checkpoint, mask_ratio).to(device)
    mean, std = _normalisation(checkpoint)
    height, width = encoder.embeddings.image_size
    noise = _token_noise(len(patches), encoder.embeddings.patch_embeddings.num_patches, mask_ratio, seed)
    features = np.empty((len(patches), encoder.config.hidden_size), dtype=np.float32)
    for start in range(0, len(patches), batch):
        rows = slice(start, start + batch)
        pixels = standardize(three_channels(patches.images[rows], height, width), mean, std)
        hidden = encoder(pixels.to(device), noise=noise[rows].to(device)).last_hidden_state  # (B, 1 + tokens, D)
        features[rows] = (hidden[:, 0] if pooling == "class" else hidden.mean(dim=1)).cpu().numpy()
    return features


def three_channels(images: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Images (B, 3, `height`, `width`) float32 in [0, 1]: grey repeated, or two channels and a third of zeros.

    They are (B, 1 or 2, H, W) with the 1st percentile at 0 and the 99th at 1, not clipped, and resized bilinearly.
    """
    pixels = torch.from_numpy(np.array(images, dtype=np.float32)).clamp_(0, 1)
    channels = pixels.shape[1]
    if channels not in (1, 2):
        raise ValueError(f"patches have {channels} channels, but 1 (grey) or 2 are understood; cut the patches again")
    if pixels.shape[2:] != (height, width):
        pixels = functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    return pixels.expand(-1, 3, -1, -1) if channels == 1 else functional.pad(pixels, (0, 0, 0, 0, 0, 1))


def standardize(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, H, W) less `mean` and divided by `std`, both (3,)."""
    return (pixels - mean[:, None, None]) / std[:, None, None]


def load_encoder(checkpoint: str | Path, mask_ratio: float) -> ViTMAEModel:
    """Encoder, in evaluation mode, from a local ViT-MAE checkpoint; `mask_ratio` replaces the one of the checkpoint."""
    checkpoint = Path(checkpoint)
    _check_checkpoint(checkpoint)
    from transformers import ViTMAEModel

    try:
        with _quiet_library():
            encoder, report = ViTMAEModel.from_pretrained(
                checkpoint,
                mask_ratio=float(mask_ratio),
                dtype=torch.float32,
                local_files_only=True,
                weights_only=True,
                output_loading_info=True,
            )
    except RuntimeError as error:
        raise ValueError(f"{checkpoint}: the weights do not fit config.json; get both anew ({error})") from error
    # The library fills what it does not find with random numbers and only warns.
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ValueError(
            f"{checkpoint}: the weights lack {len(missing)} of the encoder's tensors ({missing[0]}, ...); "
            "this is not a whole ViT-MAE checkpoint: get it anew"
        )
    return encoder.eval()


def save_features(path: str | Path, features: np.ndarray, table: pd.DataFrame) -> None:
    """Features (N, D) as .npy, stored as float32, and beside it under the same name the table of their N patches as .csv."""
    path = Path(path)
    if path.suffix != ".npy":
        raise ValueError(f"{path}: features are stored as .npy; give a path that ends in it")
    if len(features) != len(table):
        raise ValueError(f"{path}: {len(features)} features for {len(table)} patches; embed the patches again")
    with replacing(path.with_suffix(".csv")) as table_partial, replacing(path) as partial:
        with partial.open("wb") as file:
            np.save(file, np.asarray(features, dtype=np.float32))
        table.to_csv(table_partial, index=False, lineterminator="\n")


def _token_noise(count: int, tokens: int, mask_ratio: float, seed: int) -> torch.Tensor:
    """Numbers (count, tokens) by which the encoder sorts its tokens before it keeps the first ones.

    Ascending numbers keep the order of the tokens. Drawn ones are drawn for all patches at once, so that a patch's mask
    does not depend on the size of the batches.
    """
    if mask_ratio == 0:
        return torch.arange(tokens, dtype=torch.float32).expand(count, tokens)
    return torch.rand(count, tokens, generator=torch.Generator().manual_seed(seed))


def _normalisation(checkpoint: Path) -> tuple[torch.Tensor, torch.Tensor]:
    path = checkpoint / "preprocessor_config.json"
    stored = json.loads(path.read_text()) if path.is_file() else {}
    mean, std = stored.get("image_mean", _IMAGENET_MEAN), stored.get("image_std", _IMAGENET_STD)
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(
            f"{path}: image_mean and image_std must be three numbers each, image_std above 0; got {stored}"
        )
    return torch.tensor(mean), torch.tensor(std)


def _check_checkpoint(checkpoint: Path) -> None:
    has_weights = any((checkpoint / name).is_file() for name in _WEIGHTS)
    if not (has_weights and (checkpoint / "config.json").is_file()):
        what = "holds no checkpoint" if checkpoint.is_dir() else "is no folder"
        raise ValueError(
            f"{checkpoint}: {what}; expected config.json and model.safetensors or pytorch_model.bin, and "
            "preprocessor_config.json where the normalisation is not ImageNet's. For ViT-MAE-base download these files "
            f"from https://huggingface.co/facebook/vit-mae-base/tree/main into {checkpoint}, or leave out "
            "features/checkpoint in the config to train a small one"
        )
    model_type = json.loads((checkpoint / "config.json").read_text()).get("model_type")
    if model_type != "vit_mae":
        raise ValueError(
            f"{checkpoint / 'config.json'}: model_type is {model_type!r}, but the features need 'vit_mae'; "
            "name the folder of a ViT-MAE checkpoint"
        )


@contextmanager
def _quiet_library() -> Iterator[None]:
    """No progress bar and no report on the decoder's weights, which the encoder rightly leaves aside."""
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
