"""Norms of input gradients beside one backward pass an image and finite differences."""

import pytest
import torch
from torch import nn

from frugalseg.kernels import sensitivity
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.models import build
from frugalseg.models.unet import UNet


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def unet(cap=4, channels=1, dtype=torch.float64):
    return UNet(channels, 2, 32, cap=cap, generator=generator()).to(dtype)


def draw(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(1), dtype=dtype)


def slow(model, images):
    """One image at a time, full backward, as the published code does."""
    model.train()
    norms = []
    for image in images:
        leaf = image[None].clone().requires_grad_()
        model.zero_grad()
        model(leaf).sum().backward()
        norms.append(leaf.grad.square().sum().sqrt())
    return torch.stack(norms)


@pytest.mark.parametrize(("cap", "channels", "size"), [(512, 1, (32, 32)), (8, 3, (64, 32)), (1, 1, (32, 96))])
def test_same_as_image_by_image(cap, channels, size):
    model, images = unet(cap, channels), draw(3, channels, *size)
    torch.testing.assert_close(input_gradient_norm(model, images), slow(model, images), rtol=1e-9, atol=0)


def test_float32_is_close_to_float64():
    images = draw(4, 1, 64, 64)
    exact = input_gradient_norm(unet(16), images)
    single = input_gradient_norm(unet(16, dtype=torch.float32), images.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=5e-3, atol=0)


def test_a_linear_network_has_the_norm_of_its_weights():
    model = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([3.0, -1.0]).view(2, 1, 1, 1))
    # The summed output is (3 - 1) times the sum of 5 x 7 pixels.
    expected = torch.full((3,), 2 * 35**0.5)
    torch.testing.assert_close(input_gradient_norm(model, draw(3, 1, 5, 7, dtype=torch.float32)), expected)


def test_finite_differences():
    model, image = unet(2), draw(1, 1, 32, 32)
    gradient, step = torch.zeros(32 * 32, dtype=torch.float64), 1e-6
    with torch.no_grad():
        for pixel in range(gradient.numel()):
            nudge = torch.zeros(32 * 32, dtype=torch.float64)
            nudge[pixel] = step
            up, down = (model(image + sign * nudge.view(1, 1, 32, 32)).sum() for sign in (1, -1))
            gradient[pixel] = (up - down) / (2 * step)
    torch.testing.assert_close(input_gradient_norm(model, image)[0], gradient.norm(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("pixels", [1, 32 * 32 * 2, 1 << 30])
def test_splitting_the_batch_changes_nothing(monkeypatch, pixels):
    model, images = unet(), draw(5, 1, 32, 32)
    expected = slow(model, images)
    monkeypatch.setattr(sensitivity, "_PIXELS_ON_PROCESSOR", pixels)
    torch.testing.assert_close(input_gradient_norm(model, images), expected, rtol=1e-9, atol=0)


def test_channels_last_and_batches_of_any_layout():
    model, images = unet(8, 3), draw(3, 3, 32, 32)
    expected = slow(model, images)
    model.to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(input_gradient_norm(model, images), expected, rtol=1e-9, atol=0)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2, track_running_stats=True), nn.Conv2d(2, 1, 1))
    model.eval()
    model[2].train()
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = draw(2, 1, 8, 8, dtype=torch.float32)
    with torch.no_grad():
        input_gradient_norm(model, images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [False, False, True]
    assert [weight.requires_grad for weight in model.parameters()] == [False, True, True, True]
    assert all(weight.grad is None for weight in model.parameters())
    assert not images.requires_grad


def test_norms_use_the_statistics_of_the_image():
    model = nn.Sequential(nn.InstanceNorm2d(1, track_running_stats=True), nn.Tanh()).eval()
    images = 5 * draw(2, 1, 8, 8, dtype=torch.float32)
    norms = input_gradient_norm(model, images)
    torch.testing.assert_close(norms, slow(model, images), rtol=1e-5, atol=0)
    leaf = images[:1].clone().requires_grad_()
    evaluated = torch.autograd.grad(model.eval()(leaf).sum(), leaf)[0].norm()
    assert abs(evaluated - norms[0]) > 0.1


def test_autocast_around_it_changes_nothing():
    model, images = unet(8, dtype=torch.float32), draw(2, 1, 32, 32, dtype=torch.float32)
    expected = input_gradient_norm(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(input_gradient_norm(model, images), expected)


def test_batch_norm_is_refused():
    with pytest.raises(ValueError, match=r"is a batch norm: .* depend on all images of the batch"):
        input_gradient_norm(build("cpnet", 1, 3, widths=(4, 8)), draw(2, 1, 8, 8, dtype=torch.float32))
    with pytest.raises(ValueError, match="the model is a batch norm"):
        input_gradient_norm(nn.BatchNorm2d(1).eval(), draw(2, 1, 8, 8, dtype=torch.float32))


class Ignoring(nn.Module):
    """Has an output of its own, whatever the input."""

    def __init__(self, detached):
        super().__init__()
        self.offset = nn.Parameter(torch.ones(1))
        self.detached = detached

    def forward(self, images):
        return images.detach() * self.offset.detach() if self.detached else self.offset.expand(len(images))


@pytest.mark.parametrize("detached", [True, False])
def test_an_output_that_does_not_depend_on_the_input(detached):
    with pytest.raises(ValueError, match="does not depend on its input"):
        input_gradient_norm(Ignoring(detached), draw(2, 1, 8, 8))


def test_a_constant_network_is_told():
    network = unet(2)
    nn.init.zeros_(network.head.weight)
    with pytest.raises(ValueError, match="does not depend on its input"):
        input_gradient_norm(network, draw(2, 1, 32, 32))


@pytest.mark.parametrize(
    "images",
    [torch.zeros(0, 1, 32, 32), torch.zeros(1, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.int64)],
)
def test_images_of_another_form(images):
    with pytest.raises(ValueError, match=r"at least one image, as a float32 or float64"):
        input_gradient_norm(unet(), images)


def test_images_that_are_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        input_gradient_norm(unet(), torch.full((1, 1, 32, 32), torch.nan, dtype=torch.float64))
