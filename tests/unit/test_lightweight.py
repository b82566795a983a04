"""The lightweight networks: published sizes, their blocks against plain formulas, and what training asks of them."""

import pytest
import torch

from frugalseg.models.cmunext import CMUNeXt, LargeKernelBlock, SkipFusion
from frugalseg.models.tinyunet import CascadedFields, TinyUNet
from frugalseg.models.unext import ShiftedMLP, UNeXt, shift

NETWORKS = [TinyUNet, UNeXt, CMUNeXt]
# Million parameters as each paper states them; thousands as Kimbowa et al. (2026) print them, and for how many classes.
PUBLISHED = [(TinyUNet, 0.48, 481.11, 1), (UNeXt, 1.47, 1471.94, 2), (CMUNeXt, 0.42, 417.5, 1)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=1):
    return torch.randn(*shape, generator=generator(seed))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def trained(network, seed=2):
    """Norms with statistics, scales and offsets as after training, so that nothing is hidden by identities."""
    source = generator(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5, generator=source)
            module.bias.data.normal_(0, 0.1, generator=source)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=source)
            module.running_var.uniform_(0.5, 1.5, generator=source)
    return network.eval()


@pytest.mark.parametrize(("network", "millions", "thousands", "classes"), PUBLISHED)
def test_published_parameter_counts(network, millions, thousands, classes):
    assert round(parameters(network(3, 1)) / 1e6, 2) == millions
    assert parameters(network(3, classes)) / 1e3 == pytest.approx(thousands, abs=0.0051)


@pytest.mark.parametrize("network", NETWORKS)
def test_shapes_channels_and_sides(network):
    built = network(2, 3, generator=generator()).eval()
    assert built.in_channels == 2
    side = built.stride
    assert built(images(1, 2, side, 3 * side)).shape == (1, 3, side, 3 * side)
    for height, width in [(side + 1, side), (side, side // 2), (0, side)]:
        with pytest.raises(ValueError, match=f"{height} x {width} .* multiples of {side}"):
            built(torch.zeros(1, 2, height, width))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_gradient_reaches_every_parameter(network):
    built = network(2, 3, generator=generator())
    built(images(2, 2, 64, 64)).square().mean().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A batch norm takes out the bias of the convolution before it: its gradient is rounding alone.
        assert name.endswith("bias") or parameter.grad.any(), name


@pytest.mark.parametrize("network", NETWORKS)
def test_the_generator_decides_the_weights_and_the_global_one_does_not(network):
    torch.manual_seed(1)
    first = network(1, 2, generator=generator(5)).state_dict()
    torch.manual_seed(2)
    second = network(1, 2, generator=generator(5)).state_dict()
    third = network(1, 2, generator=generator(6)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], third[name]) for name in first if first[name].dim() > 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_generator_draws_from_the_default_distribution(network):
    ours = network(1, 2, generator=generator()).state_dict()
    torch.manual_seed(0)
    default = network(1, 2).state_dict()
    for name, tensor in ours.items():
        if tensor.numel() > 5000:
            assert tensor.std().item() == pytest.approx(default[name].std().item(), rel=0.03)
            assert tensor.abs().max().item() == pytest.approx(default[name].abs().max().item(), rel=0.01)


@pytest.mark.parametrize("network", NETWORKS)
def test_after_training_an_image_does_not_see_the_others(network):
    built = trained(network(1, 2, generator=generator()))
    batch = images(3, 1, 64, 96)
    with torch.no_grad():
        together = built(batch)
        alone = torch.cat([built(image[None]) for image in batch])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_few_steps_fit_a_square(network):
    built = network(1, 1, generator=generator())
    truth = torch.zeros(2, 1, 64, 64)
    truth[0, :, 8:40, 16:48] = truth[1, :, 24:56, 4:36] = 1
    noisy = truth + 0.1 * images(2, 1, 64, 64)
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(built(noisy), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def pixelwise(weight, x):
    """A convolution of 1 x 1 as a sum over channels."""
    return torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x)


def placewise(weight, x):
    """A depthwise convolution as a sum over its taps."""
    kernel = weight.shape[-1]
    padded = torch.nn.functional.pad(x, [kernel // 2] * 4)
    height, width = x.shape[-2:]
    taps = [(i, j) for i in range(kernel) for j in range(kernel)]
    return sum(weight[:, 0, i, j, None, None] * padded[..., i : i + height, j : j + width] for i, j in taps)


def normed(norm, x):
    mean, variance = norm.running_mean[:, None, None], norm.running_var[:, None, None]
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def test_cascaded_fields_against_their_formula():
    block = trained(CascadedFields(5, 32))
    x = images(2, 5, 6, 7)
    with torch.no_grad():
        reduced = gelu(normed(block.reduce[1], pixelwise(block.reduce[0].weight, x)))
        assert reduced.shape[1] == 4
        odd, even = reduced[:, [0, 2]], reduced[:, [1, 3]]
        fields, last = [odd + even], even
        for conv, norm in block.cascade:
            last = normed(norm, placewise(conv.weight, last))
            fields.append(last)
        assert len(fields) == 8
        expected = gelu(normed(block.fuse[1], pixelwise(block.fuse[0].weight, torch.cat(fields, 1))))
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


def shifted(x, axis):
    """Every pixel looked up where it came from."""
    result = torch.zeros_like(x)
    groups = torch.arange(x.shape[1]) // -(-x.shape[1] // 5)
    for channel, group in enumerate(groups.tolist()):
        for target in range(x.shape[axis]):
            source = target - (group - 2)
            if 0 <= source < x.shape[axis]:
                result[:, channel].select(axis - 1, target).copy_(x[:, channel].select(axis - 1, source))
    return result


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("shape", [(2, 10, 6, 7), (1, 32, 1, 3), (1, 5, 2, 1), (1, 13, 4, 4)])
def test_shift_against_a_loop(axis, shape):
    x = images(*shape)
    torch.testing.assert_close(shift(x, axis), shifted(x, axis), rtol=0, atol=0)


def test_shifted_mlp_against_its_formula():
    mlp = trained(ShiftedMLP(10))
    x = images(2, 10, 6, 7)
    with torch.no_grad():
        mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
        tokens = (x - mean) / (variance + mlp.norm.eps).sqrt()
        tokens = tokens * mlp.norm.weight[:, None, None] + mlp.norm.bias[:, None, None]
        hidden = pixelwise(mlp.first.weight, shifted(tokens, 3)) + mlp.first.bias[:, None, None]
        hidden = gelu(placewise(mlp.depthwise.weight, hidden) + mlp.depthwise.bias[:, None, None])
        expected = x + pixelwise(mlp.second.weight, shifted(hidden, 2)) + mlp.second.bias[:, None, None]
        torch.testing.assert_close(mlp(x), expected, atol=1e-5, rtol=1e-5)


def test_large_kernel_block_against_its_formula():
    block = trained(LargeKernelBlock(4, 7))
    x = images(2, 4, 9, 8)
    with torch.no_grad():
        conv, _, norm = block.places
        hidden = x + normed(norm, gelu(placewise(conv.weight, x) + conv.bias[:, None, None]))
        for conv, _, norm in block.channels:
            hidden = normed(norm, gelu(pixelwise(conv.weight, hidden) + conv.bias[:, None, None]))
        assert block.channels[0][0].out_channels == 16
        torch.testing.assert_close(block(x), hidden, atol=1e-5, rtol=1e-5)


def test_skip_fusion_convolves_encoder_and_decoder_apart_first():
    fusion = trained(SkipFusion(4))
    grouped = fusion.fuse[0]
    skip, x = images(1, 4, 5, 5), images(1, 4, 5, 5, seed=3)
    with torch.no_grad():
        first = grouped(torch.cat((skip, x), 1))
        other_decoder = grouped(torch.cat((skip, x + 1), 1))
        assert torch.equal(first[:, :4], other_decoder[:, :4])
        assert not torch.allclose(first[:, 4:], other_decoder[:, 4:])
        assert fusion(skip, x).shape == (1, 4, 5, 5)
        assert not torch.allclose(fusion(skip, x), fusion(skip, x + 1))
