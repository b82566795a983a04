"""UCell: two transformer blocks, applied again and again to their own state (Kuang et al. 2026).

Parameters carry the names of the public implementation, so that a checkpoint of either opens in the other
(`frugalseg.models.ucell_public`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

METHODS = (
    "UCell [@ucell], {{ network.transformer | length | plural('transformer block') }} of {{ network.hidden }} channels applied "
    "again and again to {{ 'its' if network.transformer | length == 1 else 'their' }} own state, with "
    "{{ network.task_emb.registers | plural('register') }}, rotary positions "
    "{{ 'along the flattened grid of tokens' if network.rotary == 1 else 'by row and column' }} and "
    "{{ weights }} weights in all,"
)
METHODS_TRAINING = (
    "{% set supervised, outer, inner = network.recursion %}Every batch made {{ supervised | plural('supervised step') }} of "
    "{{ (outer * inner) | plural('cycle') }}{% if outer > 1 %}, the last {{ inner | number }} of them with gradient{% endif %}"
    "{% if supervised > 1 %}, "
    "{{ 'the state carried from one to the next' if network.carry else 'each from the initial state' }}{% endif %}; predictions "
    "took {{ network.cycles | plural('cycle') }}.{% if network.halting %} Images whose flow error fell below "
    "{{ '%g' % network.halting }} left their batch, half of them after every step.{% endif %}"
)
METHODS_PREDICTION = "predicted in {{ network.cycles | plural('cycle') }}"
CITES = {
    "ucell": "Kuang et al. 2026, UCell: rethinking generalizability and scaling of bio-medical vision models, arXiv:2604.00243",
}
# One stack of blocks and no decoder: all of it but the registers' input and the head that reads the tokens counts as encoder.
ENCODER = ("patch_emb", "transformer")
SIZES = "ucell"
OPTIONS = {
    "hidden": {
        "description": "Channels of a token, a multiple of 64; published are 512, 768 and 1024.",
        "type": "integer",
        "multipleOf": 64,
        "minimum": 64,
        "default": 512,
    },
    "depth": {"description": "Transformer blocks of a cycle.", "type": "integer", "minimum": 1, "default": 2},
    "registers": {
        "description": "Tokens beside those of the image, whose input is learned.",
        "type": "integer",
        "minimum": 0,
        "default": 64,
    },
    "recursion": {
        "description": "Supervised steps of a batch, outer cycles of each of them (all but the last without gradient), inner "
        "cycles of each outer one. default is [1, 1, 21], a [3, 1, 7], b [7, 1, 3], c [1, 3, 7].",
        "oneOf": [
            {"enum": ["default", "a", "b", "c"]},
            {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "integer", "minimum": 1}},
        ],
        "default": "default",
    },
    "cycles": {
        "description": "Cycles of a prediction; as many as a batch sees in training where it is not given.",
        "type": "integer",
        "minimum": 1,
    },
    "rotary": {
        "description": "Dimensions of the rotary positions: the flattened grid as published, or rows and columns.",
        "enum": [1, 2],
        "default": 1,
    },
    "carry": {
        "description": "Carry the state from one supervised step of a batch to the next.",
        "type": "boolean",
        "default": True,
    },
    "halting": {
        "description": "Images whose flow error falls below this leave their batch early; 0, as published, lets none.",
        "type": "number",
        "minimum": 0,
        "default": 0,
    },
    "recompute": {
        "description": "Compute cycles again in the backward pass: the memory of one, for a third more work.",
        "type": "boolean",
        "default": False,
    },
}

TOKEN = 8
"""Side in pixels of the square that a token stands for."""
HEAD = 64
"""Channels of an attention head."""
REGISTERS = 64
"""Tokens beside those of the image; their input is the embedding of the task."""
PUBLISHED_TASKS = 5
"""Task embeddings of the published models; studies here train and predict with the first."""

Turn = tuple[Tensor, Tensor]
"""Cosine and sine of rotary angles, (tokens, 1, 1, 32) each."""

# PyTorch's fused attention does not pay for a few tokens on processors: its backward pass took six times as long at 80.
_FEW_TOKENS = 256
_ROTARY_BASE = 10_000.0
_EPSILON = 1e-5
_EXPANSION = 4
# The hidden layer of the feed-forward network is rounded up to a multiple of this.
_MULTIPLE = 256


class Recursion(NamedTuple):
    """How often the blocks are applied in training."""

    supervised: int  # M steps of one batch; between them the state is carried, without gradient
    outer: int  # H cycles of a supervised step; all but the last are without gradient
    inner: int  # L cycles of an outer one: applications of the blocks

    @property
    def cycles(self) -> int:
        """Applications of the blocks to one batch, all supervised steps together."""
        return self.supervised * self.outer * self.inner


RECURSIONS = {
    "default": Recursion(1, 1, 21),
    "a": Recursion(3, 1, 7),
    "b": Recursion(7, 1, 3),
    "c": Recursion(1, 3, 7),
}
"""The published schedules."""


def recursion_of(recursion: str | Sequence[int]) -> Recursion:
    """Recursion from its three numbers, or from the name of a published schedule."""
    return RECURSIONS[recursion] if isinstance(recursion, str) else Recursion(*recursion)


class UCell(nn.Module):
    """Recursive transformer, (B, in_channels, H, W) -> (B, out_channels, H, W).

    With s the state (zero at first), e the embedded image and its registers, and f the blocks, a cycle is

        s <- f(s + sqrt(hidden) e)

    and the output is read from the state of the image's tokens by a transposed convolution: flow y, flow x (unit
    vectors) and the logit of the cell probability.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images, three as published, and of the output: two of flow and one logit.
    patch_size : int
        Side of the training patches in pixels, a multiple of 8. Larger images are predicted in windows of this size,
        since positions that the network never saw mean nothing to it.
    hidden, depth, registers, recursion, cycles, rotary, carry, halting, recompute
        See `OPTIONS`; a recursion is M, H and L, or the name of a published schedule.
    tasks : int
        Rows of the table of task embeddings.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.

    Attributes
    ----------
    window : int
        Side in pixels of what the network is to be shown: the patch size.
    stride : int
        Sides of images are multiples of this.
    diam_mean, diam_labels : Tensor
        (1,) diameter in pixels of the cells as the network was shown them, and as they are in the training patches.
        Images are predicted at the scale of the first over the second; the public implementation predicts them as they are.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        patch_size: int | None = 256,
        *,
        hidden: int = 512,
        depth: int = 2,
        recursion: str | Sequence[int] = "default",
        cycles: int | None = None,
        rotary: int = 1,
        tasks: int = PUBLISHED_TASKS,
        registers: int = REGISTERS,
        carry: bool = True,
        halting: float = 0.0,
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        recursion = recursion_of(recursion)
        _check_sizes(hidden, depth, rotary, recursion, cycles)
        self.in_channels, self.stride, self.hidden = in_channels, TOKEN, hidden
        self.window = patch_size or 256
        self.recursion, self.carry, self.halting = recursion, carry, halting
        self.recompute, self.rotary = recompute, rotary
        self.cycles = cycles or self.recursion.cycles
        self._check_image(self.window, self.window)
        self.transformer = nn.ModuleList(Block(hidden) for _ in range(depth))
        self.patch_emb = nn.Conv2d(in_channels, hidden, TOKEN, TOKEN)
        self.task_emb = TaskEmbedding(tasks, registers, hidden)
        self.lm_head = nn.ConvTranspose2d(hidden, out_channels, TOKEN, TOKEN)
        self.register_buffer("diam_mean", torch.full((1,), 35.0))
        self.register_buffer("diam_labels", torch.full((1,), 35.0))
        _initialise(self, generator)

    def forward(self, images: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Output (B, out_channels, H, W) of images, whose sides are multiples of 8; with `state` also the state after H L cycles.

        A state is (B, registers + H W / 64, hidden), see :meth:`initial_state`; given one, this is the forward pass of a
        supervised step, and the state comes back without gradient. Without it images are predicted in `cycles` cycles.
        """
        self._check_image(*images.shape[-2:])
        inputs = self._embed(images)
        if state is None:
            return self._read(self._cycle(self.initial_state(images), inputs, images, self.cycles), images)
        if self.recursion.outer > 1:
            with torch.no_grad():
                state = self._cycle(state, inputs, images, (self.recursion.outer - 1) * self.recursion.inner)
            # Autocast would go on with the copies of the weights that it made here, which know no gradient.
            torch.clear_autocast_cache()
        state = self._cycle(state, inputs, images, self.recursion.inner)
        return self._read(state, images), state.detach()

    def initial_state(self, images: Tensor) -> Tensor:
        """The state (B, registers + H W / 64, hidden) that the recursion of images (B, in_channels, H, W) starts from: 0."""
        tokens = self.task_emb.registers + math.prod(images.shape[-2:]) // TOKEN**2
        return images.new_zeros(len(images), tokens, self.hidden)

    def _embed(self, images: Tensor) -> Tensor:
        """Registers and image tokens (B, tokens, hidden), scaled: what every cycle adds to the state."""
        tokens = self.patch_emb(images).flatten(2).transpose(1, 2)
        registers = self.task_emb(len(images)).to(tokens.dtype)
        return math.sqrt(self.hidden) * torch.cat([registers, tokens], dim=1)

    def _cycle(self, state: Tensor, inputs: Tensor, images: Tensor, cycles: int) -> Tensor:
        turn = self._turn(images)
        state = state.to(inputs.dtype)
        for _ in range(cycles):
            if self.recompute and torch.is_grad_enabled():
                state = checkpoint(self._apply_blocks, state, inputs, turn, use_reentrant=False)
            else:
                state = self._apply_blocks(state, inputs, turn)
        return state

    def _apply_blocks(self, state: Tensor, inputs: Tensor, turn: Turn) -> Tensor:
        state = state + inputs
        for block in self.transformer:
            state = block(state, turn)
        return state

    def _read(self, state: Tensor, images: Tensor) -> Tensor:
        tokens = state[:, self.task_emb.registers :]
        rows, columns = (side // TOKEN for side in images.shape[-2:])
        return self.lm_head(tokens.transpose(1, 2).unflatten(2, (rows, columns)))

    def _turn(self, images: Tensor) -> Turn:
        rows, columns = (side // TOKEN for side in images.shape[-2:])
        angles = rotary_angles(rows, columns, self.rotary, self.task_emb.registers, images.device)
        return angles.cos()[:, None, None], angles.sin()[:, None, None]

    def _check_image(self, height: int, width: int) -> None:
        if height % TOKEN or width % TOKEN or min(height, width) < TOKEN:
            raise ValueError(
                f"images of {height} x {width} pixels do not fit tokens of {TOKEN} x {TOKEN}: sides must be multiples of "
                f"{TOKEN}; change the recipe's crop or pad the images"
            )


build = UCell


class Block(nn.Module):
    """Attention and a gated feed-forward network, each added to its input and brought to unit root mean square."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.attn = Attention(hidden)
        self.mlp = SwiGLU(hidden)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        x = _rms_norm(x + self.attn(x, turn))
        return _rms_norm(x + self.mlp(x))


class Attention(nn.Module):
    """Self-attention over all tokens (B, tokens, hidden), in heads of 64 channels with rotary positions."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.qkv_proj = nn.Linear(hidden, 3 * hidden, bias=False)
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        query, key, value = self.qkv_proj(x).unflatten(2, (3, -1, HEAD)).unbind(2)
        turned = rotate(torch.stack([query, key], dim=2), turn).unbind(2)
        mixed = _attend(*(part.transpose(1, 2) for part in (*turned, value)))
        return self.o_proj(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """Gated feed-forward network: ``down(silu(gate(x)) * up(x))`` (Shazeer 2020)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        inner = feed_forward_width(hidden)
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TaskEmbedding(nn.Module):
    """What the registers are told of the task, zero at the start; (B,) images -> (B, registers, hidden)."""

    def __init__(self, tasks: int, registers: int, hidden: int) -> None:
        super().__init__()
        self.registers = registers
        self.embedding_weight = nn.Parameter(torch.zeros(tasks, registers * hidden))

    def forward(self, images: int) -> Tensor:
        task = torch.zeros(images, dtype=torch.int64, device=self.embedding_weight.device)
        return F.embedding(task, self.embedding_weight).view(images, self.registers, -1)


def feed_forward_width(hidden: int) -> int:
    """Hidden width of the feed-forward network: 4 * 2/3 of the tokens', rounded up to a multiple of 256."""
    return -(-round(_EXPANSION * hidden * 2 / 3) // _MULTIPLE) * _MULTIPLE


def rotary_angles(rows: int, columns: int, dimensions: int, registers: int, device: torch.device) -> Tensor:
    """Angles (registers + rows * columns, 32) float32 in radians by which rotary positions turn pairs of channels.

    Position p turns pair i of n by ``p 10000^(-i / n)`` (Su et al. 2021). In one dimension p counts the tokens of the
    grid row by row and n is 32; in two the first 16 pairs are turned by the row, the others by the column. Registers are
    not turned.
    """
    if dimensions == 1:
        positions = torch.arange(rows * columns, device=device, dtype=torch.float32)
        angles = torch.outer(positions, _frequencies(HEAD // 2, device))
    else:
        frequencies = _frequencies(HEAD // 4, device)
        by_row, by_column = (
            torch.outer(torch.arange(count, device=device, dtype=torch.float32), frequencies)
            for count in (rows, columns)
        )
        angles = torch.cat([by_row.repeat_interleave(columns, 0), by_column.repeat(rows, 1)], dim=1)
    return F.pad(angles, (0, 0, registers, 0))


def rotate(x: Tensor, turn: Turn) -> Tensor:
    """Turn channels i and i + 32 of every token of `x`, (B, tokens, ..., 64), by an angle of cosine and sine (tokens, ..., 32)."""
    cosine, sine = turn
    real, imaginary = x.float().chunk(2, dim=-1)
    return torch.cat([real * cosine - imaginary * sine, imaginary * cosine + real * sine], dim=-1).to(x.dtype)


def _frequencies(count: int, device: torch.device) -> Tensor:
    return _ROTARY_BASE ** -(torch.arange(count, device=device, dtype=torch.float32) / count)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Mean of the values (B, heads, tokens, 64), weighted by the softmax of ``query key / 8``."""
    if query.device.type == "cpu" and query.shape[2] <= _FEW_TOKENS:
        return ((query / math.sqrt(HEAD)) @ key.transpose(-1, -2)).softmax(dim=-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


def _rms_norm(x: Tensor) -> Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], eps=_EPSILON).to(x.dtype)


def _check_sizes(hidden: int, depth: int, rotary: int, recursion: Recursion, cycles: int | None) -> None:
    if hidden < HEAD or hidden % HEAD:
        raise ValueError(f"hidden is {hidden}; it must be a multiple of {HEAD}, the channels of an attention head")
    if depth < 1 or min(recursion) < 1 or (cycles is not None and cycles < 1):
        raise ValueError(f"depth ({depth}), recursion {tuple(recursion)} and cycles ({cycles}) must be 1 or more")
    if rotary not in (1, 2):
        raise ValueError(f"rotary positions have 1 or 2 dimensions, not {rotary}")


def _initialise(network: UCell, generator: torch.Generator | None) -> None:
    """Linear layers: normal of variance 1 / inputs, cut off at two standard deviations; convolutions as PyTorch does it."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            # The cut takes a part of the variance; this gives it back.
            deviation = 1 / math.sqrt(module.in_features) / 0.87962566
            nn.init.trunc_normal_(module.weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            nn.init.uniform_(module.bias, -bound, bound, generator=generator)
