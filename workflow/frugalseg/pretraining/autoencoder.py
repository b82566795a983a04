"""A small masked autoencoder (He et al. 2022) pre-trained on the study's own patches.

The network is transformers' ViT-MAE and the folder it is saved to has Hugging Face's layout, so that this encoder and
ViT-MAE-base are read by the same code (`frugalseg.selection.features`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn

from frugalseg.data.stores import Patches
from frugalseg.runtime.files import replacing, write_text
from frugalseg.selection.features import standardize, three_channels

if TYPE_CHECKING:
    # Importing transformers takes seconds, which readers of this module who do not train should not pay.
    from transformers import ViTMAEForPreTraining

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WARMUP_SHARE = 0.1
_BETAS = (0.9, 0.95)
_TOKEN_STD = 0.02
_STATISTICS_BATCH = 256


@dataclass(frozen=True)
class MaskedAutoencoder:
    """A pre-trained ViT-MAE with the normalisation of its input."""

    network: ViTMAEForPreTraining
    mean: torch.Tensor  # (3,) float32, of the channels that `three_channels` makes
    std: torch.Tensor
    losses: list[float]  # of each step: mean squared error of the hidden pixels in units of `std`


def channel_statistics(patch_stores: list[Patches]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, (3,) float32, of the channels over all patches, every store weighing the same.

    The deviation of a channel that is constant everywhere is given as 1, so that dividing by it leaves zeros.
    """
    means, squares = (torch.zeros(3, dtype=torch.float64) for _ in range(2))
    for patches in patch_stores:
        height, width = patches.images.shape[2:]
        weight = 1 / (len(patches) * height * width * len(patch_stores))
        for start in range(0, len(patches), _STATISTICS_BATCH):
            pixels = three_channels(patches.images[start : start + _STATISTICS_BATCH], height, width).double()
            means += weight * pixels.sum(dim=(0, 2, 3))
            squares += weight * pixels.square().sum(dim=(0, 2, 3))
    std = (squares - means.square()).clamp_min(0).sqrt().float()
    return means.float(), torch.where(std > 1e-6, std, torch.ones_like(std))


def pretrain(
    patch_stores: list[Patches],
    *,
    seed: int,
    image_size: int = 96,
    patch_size: int = 12,
    hidden_size: int = 128,
    layers: int = 4,
    heads: int = 4,
    decoder_hidden_size: int = 64,
    decoder_layers: int = 2,
    decoder_heads: int = 4,
    mask_ratio: float = 0.75,
    steps: int = 500,
    batch: int = 32,
    lr: float = 3e-3,
    weight_decay: float = 0.05,
    device: str | torch.device = "cpu",
    precision: str = "float32",
) -> MaskedAutoencoder:
    """Masked autoencoder from the patches of one or more data sets, each drawn equally often.

    A step shows a batch of patches, turned and mirrored at random, of which `mask_ratio` of the tokens are hidden, and
    minimises the squared error of the hidden pixels (He et al. 2022, section 3) with AdamW under a cosine schedule.

    Parameters
    ----------
    patch_stores : list of Patches
        One store a data set; sizes and channels may differ between them.
    seed : int
        Fixes initial weights, draws, augmentation and masks; on the CPU the result is the same to the bit.
    image_size, patch_size : int
        Side to which patches are resized and side of a token, in pixels.
    hidden_size, layers, heads, decoder_hidden_size, decoder_layers, decoder_heads : int
        Width, depth and attention heads of encoder and decoder.
    mask_ratio : float
        Share of the tokens that is hidden, in (0, 1).
    steps, batch, lr, weight_decay
        Number of steps, patches a step, and AdamW's peak learning rate and weight decay.
    precision : {"float32", "bfloat16"}
        Arithmetic of the network; weights and optimiser stay float32.
    """
    _check_patches(patch_stores)
    _check_sizes(image_size, patch_size, hidden_size, heads)
    _check_sizes(image_size, patch_size, decoder_hidden_size, decoder_heads)
    if precision not in _PRECISIONS:
        raise ValueError(f"precision {precision!r} is unknown; use one of {', '.join(_PRECISIONS)}")
    generator = torch.Generator().manual_seed(seed)
    network = _initialise(
        generator,
        image_size=image_size,
        patch_size=patch_size,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden_size,
        decoder_hidden_size=decoder_hidden_size,
        decoder_num_hidden_layers=decoder_layers,
        decoder_num_attention_heads=decoder_heads,
        decoder_intermediate_size=4 * decoder_hidden_size,
        mask_ratio=mask_ratio,
    ).to(device)
    tokens = network.vit.embeddings.patch_embeddings.num_patches
    mean, std = channel_statistics(patch_stores)
    optimizer = _adamw(network, lr, weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warmup_cosine(step, steps))
    losses = []
    network.train()
    for step in range(steps):
        pixels = _turn(_draw(patch_stores, step, batch, image_size, generator), generator)
        pixels = standardize(pixels, mean, std).to(device)
        # Without noise of ours the network draws its mask from the global random state.
        noise = torch.rand(batch, tokens, generator=generator).to(device)
        with torch.autocast(pixels.device.type, _PRECISIONS[precision], enabled=precision != "float32"):
            loss = network(pixels, noise=noise).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return MaskedAutoencoder(network.eval(), mean, std, torch.stack(losses).tolist())


def save(model: MaskedAutoencoder, folder: str | Path) -> None:
    """Write a checkpoint folder in Hugging Face's layout, and ``log.csv``, the loss of each step; ``config.json`` comes last."""
    folder = Path(folder)
    with replacing(folder / "model.safetensors") as partial:
        # Not the library's save_pretrained: it translates names to those of older releases, the decoder's wrongly.
        save_file(model.network.state_dict(), partial, metadata={"format": "pt"})
    side = model.network.config.image_size
    preprocessor = {
        "do_resize": True,
        "size": {"height": side, "width": side},
        "do_rescale": False,
        "do_normalize": True,
        "image_mean": model.mean.tolist(),
        "image_std": model.std.tolist(),
    }
    config = model.network.config.to_dict() | {"architectures": [type(model.network).__name__]}
    rows = [f"{step},{loss:.6f}\n" for step, loss in enumerate(model.losses, start=1)]
    write_text(_json(preprocessor), folder / "preprocessor_config.json")
    write_text("step,loss\n" + "".join(rows), folder / "log.csv")
    write_text(_json(config), folder / "config.json")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def position_embedding(side: int, width: int) -> torch.Tensor:
    """Sine-cosine embedding (1 + `side` * `side`, `width`) of a square grid of tokens, after zeros for the class token.

    Tokens are in row-major order, `width` a multiple of 4. The first half of a row tells the token's column, the second its
    row, each as sines and then cosines of the place times 10000^(-4 k / `width`).
    """
    frequencies = 10000.0 ** (-4 * torch.arange(width // 4, dtype=torch.float64) / width)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    place = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    grid = torch.cat([place.repeat(side, 1), place.repeat_interleave(side, dim=0)], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), grid]).float()


def _check_patches(patch_stores: list[Patches]) -> None:
    empty = [number for number, patches in enumerate(patch_stores, start=1) if len(patches) == 0]
    if empty or not patch_stores:
        which = f"patch store {empty[0]} of {len(patch_stores)} is empty" if empty else "no patch store was given"
        raise ValueError(f"{which}; a masked autoencoder needs patches of every data set: cut patches first")


def _check_sizes(image_size: int, patch_size: int, width: int, heads: int) -> None:
    if image_size % patch_size:
        raise ValueError(f"image_size {image_size} is not a multiple of patch_size {patch_size}; choose one that is")
    if width % heads or width % 4:
        raise ValueError(f"a width of {width} is not a multiple of 4 and of its {heads} heads; choose one that is")


def _initialise(generator: torch.Generator, **sizes: float) -> ViTMAEForPreTraining:
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    # The library draws initial weights from the global generator and takes no other; all are drawn again below, and the
    # fork only puts the global state back. CUDA's is not involved: the network is made on the CPU.
    with torch.random.fork_rng(devices=[]):
        network = ViTMAEForPreTraining(ViTMAEConfig(**sizes))
    embeddings, decoder = network.vit.embeddings, network.decoder
    side = round(embeddings.patch_embeddings.num_patches**0.5)
    with torch.no_grad():
        # Xavier's bounds, as in the paper. The library's standard deviation of 0.02 suits a width of 768; in a network
        # as narrow as this one the layers would add next to nothing to what they pass on.
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1), generator=generator)
                nn.init.zeros_(module.bias)
        # transformers 5 leaves the tokens and the (frozen) position embeddings of a new network at zero. A decoder
        # without positions can't tell hidden tokens apart and learns nothing but their mean.
        for token in (embeddings.cls_token, decoder.mask_token):
            nn.init.normal_(token, std=_TOKEN_STD, generator=generator)
        for positions in (embeddings.position_embeddings, decoder.decoder_pos_embed):
            positions.copy_(position_embedding(side, positions.shape[-1]))
    return network


def _adamw(network: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # Biases, gains of layer norms and tokens are not decayed: pulling them to zero regularises nothing.
    is_matrix = [parameter.squeeze().ndim > 1 for parameter in trained]
    groups = [
        {"params": [p for p, matrix in zip(trained, is_matrix, strict=True) if matrix], "weight_decay": weight_decay},
        {"params": [p for p, matrix in zip(trained, is_matrix, strict=True) if not matrix], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=_BETAS, fused=True)


def _warmup_cosine(step: int, steps: int) -> float:
    """Factor of the learning rate at `step`: up in a line over the first tenth, then down half a cosine to 0."""
    warmup = max(1, round(_WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _draw(
    patch_stores: list[Patches], step: int, batch: int, image_size: int, generator: torch.Generator
) -> torch.Tensor:
    """Images (batch, 3, image_size, image_size) in [0, 1]; the stores take turns over the places of all batches."""
    turns = (torch.arange(batch) + step * batch) % len(patch_stores)
    images = []
    for number, patches in enumerate(patch_stores):
        count = int((turns == number).sum())
        rows = torch.randint(len(patches), (count,), generator=generator).numpy()
        if count:
            images.append(three_channels(patches.images[rows], image_size, image_size))
    return torch.cat(images)


def _turn(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Square images, each in one of its eight orientations: transposed, mirrored up-down and left-right, or not."""
    transpose, up_down, left_right = torch.rand(3, len(images), 1, 1, 1, generator=generator) < 0.5
    images = torch.where(transpose, images.transpose(2, 3), images)
    images = torch.where(up_down, images.flip(2), images)
    return torch.where(left_right, images.flip(3), images)
