"""Time and memory of a training step of UCell over the depth of its recursion, beside the plain loop.

    python benchmarks/recursion.py --threads 2

Every cell of the table is one network in a process of its own, for its peak of memory; times are the best of turns that
all take one after another. "plain" is the recursion as one writes it down, with PyTorch's fused attention, all
activations kept and nothing compiled; "compiled" is ours with its blocks through torch.compile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.models import ucell
from frugalseg.models.ucell import UCell
from frugalseg.reporting.versions import versions
from measure import set_threads
from memory import in_fresh_process, peak_of_call
from report import markdown, write_csv, write_text

RESULTS = Path(__file__).parent / "results"
#: Name -> hidden, patch size, batch.
SIZES = {"hidden 128, 64 px, batch 8": (128, 64, 8), "hidden 512, 256 px, batch 1": (512, 256, 1)}
DEPTHS = (1, 3, 7, 21)
SIDES = ("plain", "ours", "recomputed", "compiled")
REGISTERS = 64


def build(side: str, size: str, depth: int) -> tuple[UCell, Tensor]:
    """The network of one cell of the table, and images to show it."""
    hidden, pixels, batch = SIZES[size]
    network = UCell(
        3,
        3,
        pixels,
        hidden=hidden,
        registers=REGISTERS,
        recursion=(1, 1, depth),
        recompute=side == "recomputed",
        generator=torch.Generator().manual_seed(0),
    )
    if side == "compiled":
        for block in network.transformer:
            block.compile()
    return network, torch.randn(batch, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))


def step(side: str, network: UCell, images: Tensor) -> None:
    """Forward and backward pass of one supervised step in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        output = plain(network, images) if side == "plain" else network(images, network.initial_state(images))[0]
    output.float().square().mean().backward()
    network.zero_grad(set_to_none=True)


def plain(network: UCell, images: Tensor) -> Tensor:
    """The recursion as one writes it down; its output is that of the network."""
    tokens = network.patch_emb(images)
    rows, columns = tokens.shape[-2:]
    tokens = tokens.flatten(2).transpose(1, 2)
    inputs = network.hidden**0.5 * torch.cat([network.task_emb(len(images)).to(tokens.dtype), tokens], dim=1)
    state = torch.zeros_like(inputs)
    for _ in range(network.recursion.inner):
        state = state + inputs
        for block in network.transformer:
            angles = ucell.rotary_angles(rows, columns, 1, REGISTERS, images.device)
            turn = angles.cos()[:, None], angles.sin()[:, None]
            query, key, value = block.attn.qkv_proj(state).unflatten(2, (3, -1, ucell.HEAD)).unbind(2)
            query, key = ucell.rotate(query, turn), ucell.rotate(key, turn)
            mixed = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (query, key, value)))
            state = norm(state + block.attn.o_proj(mixed.transpose(1, 2).flatten(2)))
            state = norm(state + block.mlp(state))
    return network.lm_head(state[:, REGISTERS:].transpose(1, 2).unflatten(2, (rows, columns)))


def norm(x: Tensor) -> Tensor:
    """Every token brought to unit root mean square, in float32."""
    values = x.float()
    return (values * torch.rsqrt(values.square().mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def peak(side: str, size: str, depth: int, threads: int) -> int:
    """Peak bytes of a step beyond the weights and the images; for a process of its own."""
    set_threads(threads)
    network, images = build(side, size, depth)
    # Kernels are compiled and buffers found on a smaller image.
    step(side, network, images[:1])
    return peak_of_call(lambda inputs: step(side, network, inputs), images)[0]


def seconds(size: str, depth: int, turns: int) -> dict[str, float]:
    """Best time of a step of every side, all taking turns."""
    calls: dict[str, Callable[[], None]] = {}
    for side in SIDES:
        network, images = build(side, size, depth)
        calls[side] = partial(step, side, network, images)
        calls[side]()
    best = dict.fromkeys(SIDES, float("inf"))
    for _ in range(turns):
        for side, call in calls.items():
            start = time.perf_counter()
            call()
            best[side] = min(best[side], time.perf_counter() - start)
    return best


def main() -> None:
    """Measure every cell, print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    set_threads(options.threads)
    rows = []
    for size in SIZES:
        for depth in DEPTHS:
            taken = seconds(size, depth, options.turns)
            for side in SIDES:
                used = in_fresh_process(peak, side, size, depth, options.threads)
                rows.append(
                    {
                        "network": size,
                        "cycles": depth,
                        "side": side,
                        "seconds": f"{taken[side]:.3g}",
                        "times as fast as plain": f"{taken['plain'] / taken[side]:.2f}",
                        "peak memory (MB)": f"{used / 1e6:.0f}",
                    }
                )
                print(" | ".join(rows[-1][key] if key != "cycles" else str(depth) for key in rows[-1]), flush=True)
    description = {**versions(), "threads": str(options.threads), "turns": str(options.turns)}
    write_csv(RESULTS / "recursion.csv", description, rows)
    header = "\n".join(f"- {name}: {value}" for name, value in description.items())
    title = "# A training step of UCell over the depth of its recursion"
    write_text(RESULTS / "recursion.md", f"{title}\n\n{header}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
