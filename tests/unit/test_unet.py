"""nnU-Net's U-Net beside the one of dynamic-network-architectures, its planning rule, and its caps."""

import numpy as np
import pytest
import torch
from torch import nn

from frugalseg import models
from frugalseg.models.unet import UNet, plan
from frugalseg.widths.choice import CAPS

PATCHES = [(256, 256), (224, 224), (320, 96), (16, 512)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def peer(in_channels, out_channels, patch_size, cap):
    """The network as nnU-Net builds it from a plan: 3 x 3 kernels, two convolutions a stage, no deep supervision."""
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet", reason="not installed")
    strides, widths = plan(patch_size)
    return unet.PlainConvUNet(
        in_channels,
        len(strides),
        [min(cap, width) for width in widths],
        nn.Conv2d,
        [[3, 3]] * len(strides),
        [list(stride) for stride in strides],
        2,
        out_channels,
        2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )


def pairs(ours, theirs):
    """Modules with weights of the two networks, each of ours with its counterpart."""
    convolution, norm = (0, 3), (1, 4)
    stages = list(zip(ours.encoder, (stage[0] for stage in theirs.encoder.stages), strict=True))
    stages += list(zip(reversed(ours.decoder), theirs.decoder.stages, strict=True))
    for stage, blocks in stages:
        for position, block in enumerate(blocks.convs):
            yield stage[convolution[position]], block.conv
            yield stage[norm[position]], block.norm
    yield from zip(reversed(ours.upsample), theirs.decoder.transpconvs, strict=True)
    yield ours.head, theirs.decoder.seg_layers[-1]


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def planned_by_nnunet(patch_size):
    """Strides by nnU-Net's planner for square pixels, written from its description of spacing and size."""
    size, spacing, strides = np.array(patch_size), np.ones(2), [(1, 1)]
    while True:
        axes = [axis for axis in (0, 1) if size[axis] >= 8]
        axes = [axis for axis in axes if spacing[axis] < 2 * spacing[axes].min()]
        if not axes or (len(axes) == 1 and size[axes[0]] < 12):
            return strides
        factor = np.array([2 if axis in axes else 1 for axis in (0, 1)])
        size, spacing = -(-size // factor), spacing * factor
        strides.append(tuple(factor.tolist()))


@pytest.mark.peer
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("patch_size", PATCHES)
def test_parameters_of_nnunet(patch_size, cap):
    theirs = peer(3, 2, patch_size, cap)
    ours = UNet(3, 2, patch_size, cap=cap, generator=generator())
    # Without deep supervision, nnU-Net still builds the heads of the lower resolutions, which it never runs.
    idle = sum(count(head) for head in theirs.decoder.seg_layers[:-1])
    assert count(ours) == count(theirs) - idle
    assert count(ours) + ours.deep_supervision_parameters == count(theirs)


@pytest.mark.parametrize(("cap", "published"), [(512, 33472.4), (8, 20.39)])
def test_published_parameters(cap, published):
    with torch.device("meta"):
        network = UNet(3, 2, 256, cap=cap)
    thousands = (count(network) + network.deep_supervision_parameters) / 1000
    assert thousands == pytest.approx(published, abs=0.005 if cap == 8 else 0.05)


def with_the_same_weights(patch_size, cap):
    """Both networks, with scales and offsets as after training, so that nothing is hidden by identities."""
    ours, theirs, source = (
        UNet(2, 3, patch_size, cap=cap, generator=generator()),
        peer(2, 3, patch_size, cap),
        generator(1),
    )
    with torch.no_grad():
        for our, their in pairs(ours, theirs):
            our.bias.normal_(generator=source)
            if isinstance(our, nn.GroupNorm):
                our.weight.uniform_(0.5, 1.5, generator=source)
            their.load_state_dict(our.state_dict(), strict=True)
    return ours, theirs


@pytest.mark.peer
@pytest.mark.parametrize("cap", [512, 64, 8, 1])
@pytest.mark.parametrize("patch_size", PATCHES)
def test_same_output_with_the_same_weights(patch_size, cap):
    ours, theirs = with_the_same_weights(patch_size, cap)
    images = torch.randn(1, 2, *patch_size, generator=generator(2))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-5, rtol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("cap", [32, 8, 7, 1])
def test_same_output_for_a_batch(cap, memory_format):
    """In float64: in float32, two orders of summation differ by up to 1e-4 where an instance norm divides by little."""
    ours, theirs = (network.double() for network in with_the_same_weights((64, 96), cap))
    images = torch.randn(3, 2, 64, 96, generator=generator(2), dtype=torch.float64)
    ours, laid_out = ours.to(memory_format=memory_format), images.contiguous(memory_format=memory_format)
    with torch.no_grad():
        torch.testing.assert_close(ours(laid_out), theirs(images), atol=1e-9, rtol=1e-9)


@pytest.mark.peer
def test_initial_weights_of_nnunet():
    """The same draws in the same order give the bits that nnU-Net's own initialisation gives."""
    weights = pytest.importorskip("dynamic_network_architectures.initialization.weight_init", reason="not installed")
    ours, theirs = UNet(2, 3, 64, cap=16, generator=generator(4)), peer(2, 3, (64, 64), 16)
    counterparts = dict(pairs(ours, theirs))
    torch.manual_seed(4)
    for module in ours.modules():
        if module in counterparts:
            weights.InitWeights_He(1e-2)(counterparts[module])
    assert len(counterparts) == sum(bool(list(module.parameters(recurse=False))) for module in ours.modules())
    for our, their in counterparts.items():
        assert torch.equal(our.weight, their.weight)
        assert torch.equal(our.bias, their.bias)


@pytest.mark.parametrize("height", [8, 12, 16, 24, 40, 64, 96, 224, 320, 512])
@pytest.mark.parametrize("width", [8, 16, 80, 256])
def test_plan_follows_the_planner(height, width):
    expected = planned_by_nnunet((height, width))
    rows, columns = (np.prod([stride[axis] for stride in expected]) for axis in (0, 1))
    if height % rows or width % columns:
        with pytest.raises(ValueError, match=f"multiples of {rows} x {columns}"):
            plan((height, width))
    else:
        assert list(plan((height, width)).strides) == expected


@pytest.mark.parametrize(
    ("patch_size", "stages", "total"),
    [(256, 7, (64, 64)), (224, 6, (32, 32)), (8, 2, (2, 2)), ((512, 16), 7, (64, 4))],
)
def test_plan_of_known_patches(patch_size, stages, total):
    topology = plan(patch_size)
    assert len(topology.strides) == len(topology.widths) == stages
    assert topology.total_stride == total
    assert topology.widths == (32, 64, 128, 256, 512, 512, 512, 512)[:stages]


def test_attributes_and_output():
    network = models.build("unet-cap4", 1, 3, (32, 128), generator=generator())
    assert (network.in_channels, network.stride, network.strides) == (1, 16, (8, 16))
    assert max(weight.shape[0] for weight in network.parameters()) <= 8
    output = network(torch.randn(2, 1, 40, 64, generator=generator(1)))
    assert output.shape == (2, 3, 40, 64)
    output.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_images_do_not_depend_on_each_other():
    network = models.build("unet-cap4", 1, 2, 32, generator=generator()).double()
    images = torch.randn(3, 1, 32, 32, generator=generator(1), dtype=torch.float64)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, atol=1e-12, rtol=1e-12)


def test_unet_is_the_largest_cap():
    full, capped = (models.build(arch, 1, 2, 16, generator=generator()) for arch in ("unet", "unet-cap512"))
    assert all(torch.equal(a, b) for a, b in zip(full.parameters(), capped.parameters(), strict=True))


def test_generator_decides_the_weights_and_the_global_one_does_not():
    torch.manual_seed(1)
    first, other = (models.build("unet-cap2", 1, 2, 16, generator=generator(seed)) for seed in (5, 6))
    torch.manual_seed(2)
    second = models.build("unet-cap2", 1, 2, 16, generator=generator(5))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize("arch", ["unet-cap0", "unet-cap", "unet-cap-3", "unet-capwide", "unet-cap08", "unet-cap513"])
def test_a_cap_that_is_none(arch):
    with pytest.raises(ValueError, match=rf"'{arch}' names no width cap: write a whole number from 1 to 512"):
        models.build(arch, 1, 2, 64)


def test_a_cap_of_zero():
    with pytest.raises(ValueError, match="from 1 to 512 channels, not 0"):
        UNet(1, 2, 64, cap=0)


def test_patches_that_cannot_be_planned():
    with pytest.raises(ValueError, match=r"4 x 64 .* at least 8"):
        models.build("unet", 1, 2, (4, 64))
    with pytest.raises(ValueError, match=r"100 x 100 .* multiples of 16 x 16; take 112 x 112"):
        models.build("unet-cap8", 1, 2, 100)
    with pytest.raises(ValueError, match="give `patch_size`"):
        models.build("unet-cap8", 1, 2)


def test_images_that_do_not_fit():
    network = models.build("unet-cap1", 1, 2, (32, 128))
    with pytest.raises(ValueError, match="height must be a multiple of 8 and width of 16"):
        network(torch.zeros(1, 1, 32, 40))
    with pytest.raises(ValueError, match="too small"):
        network(torch.zeros(1, 1, 8, 16))


@pytest.mark.parametrize("arch", ["tinyunet", "unext", "cmunext"])
def test_lightweight_networks_are_built_by_name(arch):
    network = models.build(arch, 1, 2, 64, generator=generator())
    assert network.eval()(torch.zeros(1, 1, 64, 64)).shape == (1, 2, 64, 64)
    with pytest.raises(ValueError, match=f"multiples of {network.stride}"):
        models.build(arch, 1, 2, (64, 65))
