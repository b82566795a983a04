"""Scores of untrained networks beside slow, obvious references."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from frugalseg.models.unext import UNeXt
from frugalseg.widths import scores
from frugalseg.widths.scores import SCORES


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def randomised(network, seed=0):
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.5, generator=generator(seed + parameter.numel()))
    return network


def network(norm=nn.InstanceNorm2d, activation=nn.LeakyReLU):
    return randomised(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1),
            norm(3, affine=True),
            activation(0.01, inplace=True) if activation is nn.LeakyReLU else activation(),
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            norm(4, affine=True),
            activation(),
            nn.Dropout(0.5),
            nn.ConvTranspose2d(4, 2, 2, stride=2),
            nn.Conv2d(2, 1, 1),
        )
    )


def codes(model, images):
    """Bits of every image, one row an image, from the inputs of the activation modules."""
    rows = [[] for _ in images]

    def record(_, inputs):
        for row, pixels in zip(rows, inputs[0], strict=True):
            row.extend((pixels > 0).flatten().tolist())

    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
        if isinstance(module, nn.ReLU | nn.LeakyReLU):
            module.register_forward_pre_hook(record)
    with torch.no_grad():
        model(images)
    return rows


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU])
def test_naswot_against_pairs_of_codes(norm, activation, monkeypatch):
    monkeypatch.setattr(scores, "_UNITS_AT_ONCE", 50)
    model, images = network(norm, activation), draw(5, 2, 8, 8)
    rows = codes(model, images)
    units = len(rows[0])
    assert units == 3 * 64 + 4 * 16
    kernel = [[units - sum(a != b for a, b in zip(first, second, strict=True)) for second in rows] for first in rows]
    expected = math.log(np.linalg.det(np.array(kernel, dtype=float)))
    assert SCORES["naswot"](model, images).item() == pytest.approx(expected, rel=1e-9)


def test_naswot_is_minus_infinity_where_images_have_the_same_code():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    image = draw(1, 1, 4, 4)
    assert SCORES["naswot"](model, torch.cat((image, -image))).isfinite()
    # Twice as bright: every sign stays.
    assert SCORES["naswot"](model, torch.cat((image, -image, 2 * image))) == -math.inf


@pytest.mark.parametrize("batch", [1, 3, 5])
@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d])
def test_swap_against_a_set_of_words(batch, norm):
    model, images = network(norm), draw(batch, 2, 8, 8)
    expected = len(set(zip(*codes(model, images), strict=True)))
    assert SCORES["swap"](model, images).item() == expected


def test_swap_counts_words_once_over_layers_and_up_to_63_images():
    model = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU())
    images = torch.full((63, 1, 1, 3), -1.0)
    images[:, 0, 0, 1] = 1
    images[0, 0, 0, 2] = 1
    assert SCORES["swap"](model, images).item() == 3
    with pytest.raises(ValueError, match="at most 63 images, not 64"):
        SCORES["swap"](model, torch.zeros(64, 1, 1, 1))


def test_rectifiers_count_as_functions_too():
    class Functional(nn.Module):
        def forward(self, x):
            return nn.functional.gelu(torch.relu(nn.functional.leaky_relu(x - 0.5) + 0.1))

    class Modules(nn.Module):
        def __init__(self):
            super().__init__()
            self.leaky, self.relu = nn.LeakyReLU(), nn.ReLU()

        def forward(self, x):
            return self.relu(self.leaky(x - 0.5) + 0.1)

    images = draw(4, 1, 4, 4)
    for name in ("naswot", "swap"):
        assert SCORES[name](Functional(), images) == SCORES[name](Modules(), images)
        with pytest.raises(ValueError, match="no ReLU or leaky ReLU"):
            SCORES[name](nn.Sequential(nn.Conv2d(1, 1, 1), nn.GELU()), images)


def loss(model, images):
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    with torch.no_grad():
        return model(images).square().mean().item() / 2


def weights(model):
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def differences(model, images, steps):
    """Central differences of the loss for a step upon every weight, one array a weight tensor."""
    result = []
    for weight in weights(model):
        slopes = []
        for index in itertools.product(*map(range, weight.shape)):
            value, step = weight.data[index].item(), steps(weight.data[index].item())
            weight.data[index] = value + step
            above = loss(model, images)
            weight.data[index] = value - step
            slopes.append(above - loss(model, images))
            weight.data[index] = value
        result.append(np.array(slopes) / 2)
    return result


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d])
def test_gradient_norm_against_differences(norm):
    model, images = network(norm).double(), draw(2, 2, 4, 4, dtype=torch.float64)
    slopes = differences(model, images, steps=lambda value: 1e-6)
    expected = sum(np.linalg.norm(slope / 1e-6) for slope in slopes)
    assert SCORES["gradient_norm"](model, images).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.BatchNorm2d])
def test_snip_against_differences_of_the_connections(norm):
    model, images = network(norm).double(), draw(2, 2, 4, 4, dtype=torch.float64)
    # A factor of 1 + 1e-6 upon a weight is a step of 1e-6 of it.
    slopes = differences(model, images, steps=lambda value: 1e-6 * value)
    expected = sum(np.abs(slope / 1e-6).sum() for slope in slopes)
    assert SCORES["snip"](model, images).item() == pytest.approx(expected, rel=1e-5)


def dense(*widths, norm=None):
    layers = []
    for narrow, wide in itertools.pairwise(widths):
        layers += [nn.Conv2d(narrow, wide, 1), *([norm(wide, affine=True)] if norm else []), nn.LeakyReLU(inplace=True)]
    return randomised(nn.Sequential(*layers))


@pytest.mark.parametrize("norm", [None, nn.InstanceNorm2d, nn.BatchNorm2d])
def test_synflow_against_the_sum_over_paths(norm):
    model = dense(2, 3, 4, 2, norm=norm)
    for module in model:
        if isinstance(module, nn.Conv2d):
            module.bias.data.zero_()
    matrices = [weight.detach().abs().double().numpy()[:, :, 0, 0] for weight in weights(model)]
    # Every weight's product with its derivative is the flow of the paths through it, at every pixel.
    expected = 0.0
    for path in itertools.product(range(2), range(3), range(4), range(2)):
        flow = math.prod(matrix[j, i] for matrix, (i, j) in zip(matrices, itertools.pairwise(path), strict=True))
        expected += len(matrices) * flow * 6
    assert SCORES["synflow"](model, draw(3, 2, 2, 3)).item() == pytest.approx(expected, rel=1e-12)


def test_synflow_takes_magnitudes_of_biases_and_counts_weights_alone():
    model = nn.Conv2d(1, 1, 1)
    model.weight.data.fill_(-2.0)
    model.bias.data.fill_(-5.0)
    second = nn.Conv2d(1, 1, 1)
    second.weight.data.fill_(3.0)
    second.bias.data.fill_(7.0)
    # R = 3 (2 + 5) + 7; the first weight's share is 6, the second's 21.
    assert SCORES["synflow"](nn.Sequential(model, nn.ReLU(), second), draw(1, 1, 1, 1)).item() == pytest.approx(27)


def test_synflow_passes_the_range_of_float32_and_tells_when_it_passes_float64():
    model = dense(4, 4, 4, 4, 4, 4)
    for weight in weights(model):
        weight.data.mul_(1e10)
    score = SCORES["synflow"](model, draw(1, 4, 4, 4))
    assert torch.finfo(torch.float32).max < score.item() < math.inf
    for weight in weights(model):
        weight.data.fill_(3e38)
    with pytest.raises(ValueError, match="SynFlow score is inf"):
        SCORES["synflow"](nn.Sequential(*[model] * 3), draw(1, 4, 4, 4))


@pytest.mark.parametrize("name", ["gradient_norm", "snip"])
def test_an_overflowing_loss_is_told(name):
    model = nn.Conv2d(1, 1, 1)
    model.weight.data.fill_(3e38)
    with pytest.raises(ValueError, match=r"(gradient norm|SNIP score) is inf"):
        SCORES[name](model, 100 * torch.ones(1, 1, 2, 2))


def test_parameter_count():
    assert SCORES["parameter_count"](nn.Conv2d(2, 3, 3), draw(1, 2, 4, 4)).item() == 2 * 3 * 9 + 3


@pytest.mark.parametrize("name", ["gradient_norm", "snip", "synflow"])
def test_weights_that_reach_no_output_add_nothing(name):
    class Idle(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.idle = model, nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.model(x)

    model, images = network(), draw(2, 2, 8, 8)
    assert SCORES[name](Idle(model), images) == SCORES[name](model, images)


@pytest.mark.parametrize("name", ["gradient_norm", "snip", "synflow"])
def test_an_output_without_weights_is_told(name):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return torch.ones_like(x)

    for model in (nn.ReLU(), Constant()):
        with pytest.raises(ValueError, match="does not depend on any weight"):
            SCORES[name](model, draw(2, 1, 4, 4))


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_same_where_gradients_are_off(name):
    model, images = network(), draw(3, 2, 8, 8)
    expected = SCORES[name](model, images)
    with torch.no_grad():
        assert torch.equal(SCORES[name](model, images), expected)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("training", [False, True])
def test_a_score_leaves_the_network_as_it_was(name, training):
    model, images = network(nn.BatchNorm2d).train(training), draw(3, 2, 8, 8)
    model[1].train(not training)
    model[3].weight.requires_grad_(False)
    model[8].weight.grad = torch.ones_like(model[8].weight)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    flags = [parameter.requires_grad for parameter in model.parameters()]
    pixels, noise = images.clone(), torch.get_rng_state()
    first = SCORES[name](model, images)
    assert first.shape == ()
    assert first.dtype == torch.float64
    assert not first.requires_grad
    assert torch.equal(SCORES[name](model, images), first)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert [parameter.grad is not None for parameter in model.parameters()].count(True) == 1
    assert torch.equal(model[8].weight.grad, torch.ones_like(model[8].weight))
    assert torch.equal(images, pixels)
    assert torch.equal(torch.get_rng_state(), noise)


@pytest.mark.parametrize("name", SCORES)
def test_a_failing_network_gets_its_modes_back(name):
    model = network().train()
    if name != "parameter_count":
        with pytest.raises(RuntimeError):
            SCORES[name](model, draw(2, 7, 8, 8))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", SCORES)
def test_a_layer_norm_and_functions_are_understood(name):
    assert SCORES[name](UNeXt(1, 1, generator=generator()), draw(2, 1, 64, 64)) > 0


@pytest.mark.parametrize("name", SCORES)
def test_bad_images_are_told(name):
    model = network()
    for value in (math.nan, math.inf):
        images = draw(2, 2, 8, 8)
        images[1, 0, 3, 3] = value
        with pytest.raises(ValueError, match="not finite"):
            SCORES[name](model, images)
    for images in (draw(2, 8, 8), torch.zeros(0, 2, 8, 8), torch.zeros(2, 2, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"floating-point \(B, C, H, W\) and not empty"):
            SCORES[name](model, images)


def test_naswot_refuses_one_image_and_equal_images():
    with pytest.raises(ValueError, match="at least two"):
        SCORES["naswot"](network(), draw(1, 2, 8, 8))
    with pytest.raises(ValueError, match="some of them are equal"):
        SCORES["naswot"](network(), draw(2, 2, 8, 8)[[0, 1, 0]])
