"""What networks cost: parameters and operations, beside counts written out from their layers by hand."""

from itertools import pairwise

import pytest
import torch

from frugalseg.models import build
from frugalseg.models.cost import forward_flops, parameters, step_flops

SIZE = 32


def convolution(inputs, outputs, kernel, side, stride=1):
    """Two operations for every weight of a kernel and every pixel (side x side) of the output."""
    return 2 * inputs * outputs * kernel**2 * (side // stride) ** 2


def product(rows, inner, columns):
    return 2 * rows * inner * columns


def cpnet_by_hand(channels, widths, outputs, side):
    flops, inputs = 0, channels
    for level, width in enumerate(widths):
        here = side >> level
        flops += convolution(inputs, width, 3, here) + 3 * convolution(width, width, 3, here)
        flops += convolution(inputs, width, 1, here)
        inputs = width
    for level, width in enumerate(widths):
        here = side >> level
        if level + 1 == len(widths):
            flops += convolution(width, width, 3, here) + convolution(width, width, 1, here)
        else:
            # Every pixel of the coarse grid reaches 4 x 4 of the fine one.
            below = widths[level + 1]
            flops += product((here // 2) ** 2, below, 16 * width) + convolution(below, width, 1, here // 2)
        flops += 3 * convolution(width, width, 3, here) + 3 * product(1, widths[-1], width)
    return flops + convolution(widths[0], outputs, 1, side)


def unet_by_hand(channels, widths, outputs, side):
    flops, inputs = 0, channels
    for level, width in enumerate(widths):
        here = side >> level
        flops += convolution(inputs, width, 3, here) + convolution(width, width, 3, here)
        inputs = width
    for level, (width, below) in enumerate(pairwise(widths)):
        here = side >> level
        # Every pixel of the coarse grid is multiplied into a square of 2 x 2 of the fine one.
        flops += product((here // 2) ** 2, below, 4 * width)
        flops += convolution(2 * width, width, 3, here) + convolution(width, width, 3, here)
    return flops + convolution(widths[0], outputs, 1, side)


def ucell_cycle(hidden, inner, depth, tokens):
    attention = (
        product(tokens, hidden, 3 * hidden) + product(tokens, hidden, hidden) + 2 * product(tokens, hidden, tokens)
    )
    return depth * (attention + 3 * product(tokens, hidden, inner))


def ucell_ends(channels, hidden, outputs, side):
    return convolution(channels, hidden, 8, side, stride=8) + product((side // 8) ** 2, hidden, 64 * outputs)


def ucell(**sizes):
    return build("ucell", 2, 3, SIZE, hidden=64, registers=8, **sizes)


# 16 tokens of the image and 8 registers; the feed-forward layer of 64 channels has 256.
CYCLE = ucell_cycle(64, 256, depth=2, tokens=16 + 8)
ENDS = ucell_ends(2, 64, 3, SIZE)

NETWORKS = {
    "cpnet": (lambda: build("cpnet", 2, 3, SIZE, widths=(4, 6, 8)), cpnet_by_hand(2, (4, 6, 8), 3, SIZE)),
    "unet-cap8": (lambda: build("unet-cap8", 1, 2, SIZE), unet_by_hand(1, (8, 8, 8, 8), 2, SIZE)),
    "ucell": (lambda: ucell(recursion=(2, 1, 5)), ENDS + 10 * CYCLE),
    "ucell of other cycles": (lambda: ucell(recursion=(2, 1, 5), cycles=3), ENDS + 3 * CYCLE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_operations_of_a_forward_pass_are_those_of_its_layers(name):
    network, expected = NETWORKS[name]
    assert forward_flops(network(), SIZE) == expected


@pytest.mark.parametrize("name", ["cpnet", "unet-cap8"])
def test_a_step_is_three_forward_passes(name):
    network, forward = NETWORKS[name]
    assert step_flops(network(), SIZE) == 3 * forward


@pytest.mark.parametrize("recursion", [(1, 1, 6), (2, 3, 2)])
def test_cycles_without_gradient_have_no_backward_pass(recursion):
    _, outer, inner = recursion
    expected = 3 * (ENDS + inner * CYCLE) + (outer - 1) * inner * CYCLE
    assert step_flops(ucell(recursion=recursion), SIZE) == expected
    assert step_flops(ucell(recursion=recursion, recompute=True), SIZE) == expected


def test_counting_leaves_the_network_alone():
    network = build("cpnet", 2, 3, SIZE, widths=(4, 8), generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    step_flops(network, SIZE)
    assert network.training
    assert all(weight.requires_grad for weight in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_network_without_memory_has_the_same_count():
    with torch.device("meta"):
        network = ucell(recursion=(1, 2, 2))
    assert step_flops(network, SIZE) == step_flops(ucell(recursion=(1, 2, 2)), SIZE)


def test_parameters_of_published_sizes():
    with torch.device("meta"):
        networks = {hidden: build("ucell", 3, 3, 256, hidden=hidden) for hidden in (512, 768, 1024)}
    counts = {hidden: round(parameters(network) / 1e6, 2) for hidden, network in networks.items()}
    assert counts == {512: 7.18, 768: 14.70, 1024: 26.41}
