"""Batch norm and ReLU in one: values and gradients beside PyTorch's modules, in float64 and in bfloat16."""

import pytest
import torch
from torch import nn

from frugalseg.kernels.batch_norm import batch_norm_relu, scale_shift_relu

EPS = 1e-5
# Few channels are laid side by side, unless the pixels cannot be halved; wide pixels fill several blocks.
SHAPES = [(3, 5, 7, 5), (2, 2, 16, 24), (4, 16, 32, 32), (2, 96, 20, 24), (1, 300, 12, 16), (3, 7, 1, 1)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(shape, seed=0, mean=0.0):
    values = torch.randn(shape, generator=generator(seed)) + mean
    return values.bfloat16().contiguous(memory_format=torch.channels_last)


def parameters(channels, seed=1):
    weight = torch.rand(channels, generator=generator(seed)) + 0.5
    return weight.requires_grad_(), torch.randn(channels, generator=generator(seed + 1)).requires_grad_()


def reference(x, weight, bias, added):
    """In float64, with modules and operations of PyTorch."""
    norm = nn.BatchNorm2d(x.shape[1], eps=EPS).double()
    norm.weight, norm.bias = nn.Parameter(weight.detach().double()), nn.Parameter(bias.detach().double())
    inputs = [x.detach().double().requires_grad_(), added.detach().double().requires_grad_()]
    shifted = inputs[0] + inputs[1][:, :, None, None]
    variance = shifted.var((0, 2, 3), correction=0)
    return norm(shifted).relu(), shifted.mean((0, 2, 3)), torch.sqrt(variance + EPS), [*inputs, norm.weight, norm.bias]


def assert_near(ours, theirs, relative):
    assert (ours.double() - theirs).norm() <= relative * theirs.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_the_modules(shape):
    x, gradient = drawn(shape, mean=3.0).requires_grad_(), drawn(shape, seed=5)
    added = torch.randn(shape[:2], generator=generator(6)).requires_grad_()
    weight, bias = parameters(shape[1])
    mean_gradient, deviation_gradient = torch.randn(2, shape[1], generator=generator(7)) * shape[0] * shape[2]
    outputs = batch_norm_relu(x, weight, bias, EPS, added)
    *expected, inputs = reference(x, weight, bias, added)
    assert outputs[0].dtype == torch.bfloat16
    assert outputs[0].is_contiguous(memory_format=torch.channels_last)
    for ours, theirs, relative in zip(outputs, expected, (3e-3, 1e-5, 1e-5), strict=True):
        assert_near(ours, theirs, relative)
    gradients = (gradient, mean_gradient, deviation_gradient)
    ours = torch.autograd.grad(outputs, (x, added, weight, bias), gradients)
    theirs = torch.autograd.grad(expected, inputs, [g.double() for g in gradients])
    assert ours[0].dtype == torch.bfloat16
    for mine, their, relative in zip(ours, theirs, (3e-3, 1e-4, 1e-4, 1e-4), strict=True):
        assert_near(mine, their, relative)


def test_nearer_to_float64_than_bfloat16_modules():
    x, gradient = drawn((4, 32, 24, 24), mean=20.0).requires_grad_(), drawn((4, 32, 24, 24), seed=5)
    weight, bias = parameters(32)
    *expected, inputs = reference(x, weight, bias, torch.zeros(4, 32))
    exact = torch.autograd.grad(expected[0], [inputs[0], *inputs[2:]], gradient.double())
    norm = nn.BatchNorm2d(32, eps=EPS)
    norm.weight, norm.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    plain = torch.autograd.grad(norm(x).relu(), (x, norm.weight, norm.bias), gradient)
    ours = torch.autograd.grad(batch_norm_relu(x, weight, bias, EPS)[0], (x, weight, bias), gradient)
    for mine, theirs, truth in zip(ours, plain, exact, strict=True):
        assert (mine - truth).norm() <= 1.05 * (theirs - truth).norm()


def test_a_mean_far_from_zero_keeps_the_variance():
    x = (drawn((2, 4, 64, 64)) * 0.0 + 256.0).bfloat16()
    x[:, :, ::2] = 258.0
    weight, bias = torch.ones(4), torch.zeros(4)
    _, mean, deviation = batch_norm_relu(x, weight, bias, 0.0)
    assert mean.tolist() == [257.0] * 4
    assert deviation.tolist() == [1.0] * 4


def test_same_bits_at_any_number_of_threads():
    x, gradient = drawn((3, 16, 64, 64)).requires_grad_(), drawn((3, 16, 64, 64), seed=5)
    weight, bias = parameters(16)
    results, threads = [], torch.get_num_threads()
    for number in (1, 2):
        torch.set_num_threads(number)
        outputs = batch_norm_relu(x, weight, bias, EPS)
        results.append([*outputs, *torch.autograd.grad(outputs[0], (x, weight, bias), gradient)])
    torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_a_norm_of_fixed_statistics_is_a_line():
    x = drawn((3, 6, 10, 4))
    scale, shift = torch.randn(6, generator=generator(1)), torch.randn(3, 6, generator=generator(2))
    expected = (x.float() * scale[:, None, None] + shift[:, :, None, None]).relu().bfloat16()
    assert torch.equal(scale_shift_relu(x, scale, shift), expected)


def test_what_is_not_a_number_stays_so():
    x = drawn((1, 2, 4, 4))
    x[0, 1, 0, 0] = torch.nan
    activations, mean, _ = batch_norm_relu(x, torch.ones(2), torch.zeros(2), EPS)
    assert activations[:, 1].isnan().all()
    assert activations[:, 0].isfinite().all()
    assert mean.isnan().tolist() == [False, True]


def test_rounding_is_that_of_torch():
    bits = torch.randint(0, 2**31, (4096,), generator=generator(), dtype=torch.int64).to(torch.int32)
    values = bits.view(torch.float32)
    values = torch.cat([values[values.isfinite()], torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, 1e-40, torch.inf])])
    x = torch.ones(1, 1, 1, len(values)).bfloat16().contiguous(memory_format=torch.channels_last)
    x = x.expand(len(values), 1, 1, len(values))[..., :1].contiguous(memory_format=torch.channels_last)
    rounded = scale_shift_relu(x, torch.zeros(1), values[:, None])
    assert torch.equal(rounded.flatten(), values.bfloat16())


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 4, 4, 4), torch.zeros(2, 4, 4, 4).bfloat16()], ids=["float32", "channels first"]
)
def test_other_tensors_are_refused(x):
    with pytest.raises(ValueError, match="x must be bfloat16 on the CPU with its channels last"):
        batch_norm_relu(x, torch.ones(4), torch.zeros(4), EPS)
    with pytest.raises(ValueError, match=r"use torch\.nn\.BatchNorm2d"):
        scale_shift_relu(x, torch.ones(4), torch.zeros(2, 4))


def test_one_pixel_has_no_variance():
    with pytest.raises(ValueError, match="larger crops or more images"):
        batch_norm_relu(drawn((1, 4, 1, 1)), torch.ones(4), torch.zeros(4), EPS)
