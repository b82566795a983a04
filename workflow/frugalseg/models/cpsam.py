"""Cellpose-SAM, the network of Cellpose 4: SAM's image encoder on small tokens, read out as flows (Pachitariu et al. 2025).

Parameters carry the names that Cellpose gives them, so that a checkpoint of either opens in the other
(:func:`from_published`, :func:`to_published`):

    encoder.pos_embed                  (1, rows, columns, hidden) of the tokens of a patch
    encoder.patch_embed.proj           convolution of tokens, 8 x 8 pixels
    encoder.blocks.i.norm1, norm2      layer norms before attention and before the feed-forward network
    encoder.blocks.i.attn.qkv, proj    queries, keys, values, each head by head, and what is made of them
    encoder.blocks.i.attn.rel_pos_h    (distances, hidden / heads), and rel_pos_w: relative positions by rows and columns
    encoder.blocks.i.mlp.lin1, lin2    feed-forward network
    encoder.neck.0, 1, 2, 3            convolution, norm, convolution, norm
    out, W2                            3 values for every pixel of a token, and the identity that puts each in its place
    diam_mean, diam_labels             (1,) diameters in pixels, see below
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.models._initial import draw_weights

METHODS = (
    "Cellpose-SAM [@cpsam], {{ network.encoder.blocks | length | plural('transformer block') }} of {{ network.hidden }} channels "
    "and {{ weights }} weights in all,"
)
METHODS_TRAINING = (
    "{% if network.drop %}In training whole blocks were skipped, image by image, with a probability that rose over depth from 0 to "
    "{{ '%g' % network.drop }}.{% endif %}"
)
CITES = {
    "cpsam": "Pachitariu, Rariden & Stringer 2025, Cellpose-SAM: superhuman generalization for cellular segmentation, bioRxiv "
    "2025.04.28.651001",
}
ENCODER = ("encoder",)
SIZES = "cpsam"
OPTIONS = {
    "hidden": {"description": "Channels of a token.", "type": "integer", "minimum": 1, "default": 1024},
    "depth": {"description": "Transformer blocks.", "type": "integer", "minimum": 1, "default": 24},
    "heads": {
        "description": "Heads of the attention, a divisor of hidden.",
        "type": "integer",
        "minimum": 1,
        "default": 16,
    },
    "drop": {
        "description": "Probability of skipping the last block in training; it falls linearly to 0 at the first.",
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.4,
    },
}

TOKEN = 8
"""Side in pixels of the square that a token stands for."""
_NECK = 256
_EXPANSION = 4
_EPSILON = 1e-6
# SAM's tokens are 16 pixels of an image of 1,024; most of its blocks look at windows of 14 tokens, every fourth at all 64.
# Here all blocks look at all tokens, but relative positions have the lengths that SAM gave them.
_WINDOW, _GLOBAL, _GLOBAL_BLOCKS = 14, 64, 4


class CPSAM(nn.Module):
    """Vision transformer with attention over all tokens, (B, 3, H, W) -> (B, 3, H, W).

    The outputs are flow y, flow x (both five times the unit vector that they were trained on) and the logit of the cell
    probability. H and W are those of the training patches: larger images are predicted in windows.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images, three as published, and of the output: two of flow and one logit.
    patch_size : int
        Side of the training patches in pixels, a multiple of 8; 256 as published.
    hidden, depth, heads : int
        Channels of a token, blocks, and heads of their attention.
    drop : float
        Probability in [0, 1) that training skips the last block for an image; it falls linearly to 0 at the first.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.

    Attributes
    ----------
    window, stride : int
        Side in pixels of what the network is to be shown, and of which sides of images are multiples.
    draws : torch.Generator or None
        Says which blocks are skipped; PyTorch's global generator where it is None.
    diam_mean, diam_labels : Tensor
        (1,) diameter in pixels of the cells as the network was shown them, and as they are in the training patches.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        patch_size: int | None = 256,
        *,
        hidden: int = 1024,
        depth: int = 24,
        heads: int = 16,
        drop: float = 0.4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"{hidden} channels do not divide among {heads} heads; change 'hidden' or 'heads'")
        self.in_channels, self.hidden, self.drop = in_channels, hidden, drop
        self.window, self.stride = patch_size or 256, TOKEN
        if self.window % TOKEN:
            raise ValueError(
                f"patches of {self.window} pixels do not divide into tokens of {TOKEN}; change the recipe's crop"
            )
        self.draws: torch.Generator | None = None
        self.encoder = Encoder(in_channels, self.window // TOKEN, hidden, depth, heads)
        values = out_channels * TOKEN**2
        self.out = nn.Conv2d(_NECK, values, 1)
        self.register_buffer("W2", torch.eye(values).view(values, out_channels, TOKEN, TOKEN))
        self.register_buffer("diam_mean", torch.full((1,), 30.0))
        self.register_buffer("diam_labels", torch.full((1,), 30.0))
        if generator is not None:
            draw_weights(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Flow y, flow x and logit (B, out_channels, H, W) of normalised images (B, in_channels, H, W)."""
        if images.shape[-2:] != (self.window, self.window):
            raise ValueError(
                f"images of {images.shape[-2]} x {images.shape[-1]} pixels do not fit positions of {self.window} x {self.window}; "
                "predict in windows of this size, or train on it"
            )
        return F.conv_transpose2d(self.out(self.encoder(images, self._skipped(images))), self.W2, stride=TOKEN)

    def _skipped(self, images: Tensor) -> Tensor | None:
        """Which blocks the images skip, (blocks, B, 1, 1, 1) bool; None: none."""
        if not (self.training and self.drop):
            return None
        depth = len(self.encoder.blocks)
        # Drawn on the processor, so that all devices skip the same.
        drawn = torch.rand(len(images), depth, generator=self.draws)
        skipped = drawn < torch.linspace(0, self.drop, depth)
        return skipped.T[:, :, None, None, None].to(images.device)


build = CPSAM


class Encoder(nn.Module):
    """SAM's image encoder: images (B, C, H, W) -> features (B, 256, H / 8, W / 8)."""

    def __init__(self, in_channels: int, side: int, hidden: int, depth: int, heads: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(in_channels, hidden, TOKEN, TOKEN)})
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, hidden))
        over_all = {depth * (number + 1) // _GLOBAL_BLOCKS - 1 for number in range(_GLOBAL_BLOCKS)}
        lengths = [2 * (_GLOBAL if block in over_all else _WINDOW) - 1 for block in range(depth)]
        self.blocks = nn.ModuleList(Block(hidden, heads, length) for length in lengths)
        self.neck = nn.Sequential(
            nn.Conv2d(hidden, _NECK, 1, bias=False),
            ChannelNorm(_NECK, eps=_EPSILON),
            nn.Conv2d(_NECK, _NECK, 3, padding=1, bias=False),
            ChannelNorm(_NECK, eps=_EPSILON),
        )

    def forward(self, images: Tensor, skipped: Tensor | None = None) -> Tensor:
        x = self.patch_embed["proj"](images).permute(0, 2, 3, 1) + self.pos_embed
        for number, block in enumerate(self.blocks):
            x = block(x) if skipped is None else torch.where(skipped[number], x, block(x))
        return self.neck(x.permute(0, 3, 1, 2))


class Block(nn.Module):
    """Attention and a feed-forward network, each of the normalised tokens (B, rows, columns, hidden) and added to them."""

    def __init__(self, hidden: int, heads: int, distances: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden, eps=_EPSILON)
        self.attn = Attention(hidden, heads, distances)
        self.norm2 = nn.LayerNorm(hidden, eps=_EPSILON)
        layers = {"lin1": nn.Linear(hidden, _EXPANSION * hidden), "lin2": nn.Linear(_EXPANSION * hidden, hidden)}
        self.mlp = nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["lin2"](F.gelu(self.mlp["lin1"](self.norm2(x))))


class Attention(nn.Module):
    """Attention over all tokens (B, rows, columns, hidden), with relative positions by rows and columns in its logits.

    The logit of query q at (y, x) and key k at (v, u) is ``q k / sqrt(channels) + q (h[y - v] + w[x - u])``.
    """

    def __init__(self, hidden: int, heads: int, distances: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)
        self.rel_pos_h = nn.Parameter(torch.zeros(distances, hidden // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(distances, hidden // heads))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1:3]
        parts = self.qkv(x).unflatten(3, (3, self.heads, -1))
        query, key, value = parts.permute(3, 0, 4, 1, 2, 5)  # (B, heads, rows, columns, channels) each
        by_row = torch.einsum("bhyxc,yvc->bhyxv", query, _relative(self.rel_pos_h, rows))
        by_column = torch.einsum("bhyxc,xuc->bhyxu", query, _relative(self.rel_pos_w, columns))
        positions = (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)
        query, key, value = (part.flatten(2, 3) for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=positions)
        return self.proj(mixed.transpose(1, 2).flatten(2).unflatten(1, (rows, columns)))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a :class:`CPSAM` from one of Cellpose's; early ones lack the diameters, which are 30 pixels there."""
    diameters = {name: torch.full((1,), 30.0) for name in ("diam_mean", "diam_labels")}
    return diameters | {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def to_published(network: CPSAM) -> dict[str, Tensor]:
    """State dict of a network as Cellpose saves it: ``torch.save(to_published(network), path)``."""
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}


def _relative(table: Tensor, side: int) -> Tensor:
    """Entries (side, side, channels) of a table (distances, channels) for pairs of positions, stretched to their distances."""
    stretched = F.interpolate(table.T[None], size=2 * side - 1, mode="linear")[0].T
    positions = torch.arange(side, device=table.device)
    return stretched[positions[:, None] - positions + side - 1]
