"""Learning foreground as nnU-Net does: the loss, the optimiser, the adapter and the label images."""

import numpy as np
import pytest
import torch

from frugalseg import models
from frugalseg.evaluation.foreground import components
from frugalseg.models.targets import ForegroundAsLogit
from frugalseg.training import optimiser, schedules
from frugalseg.training.losses import foreground_loss
from frugalseg.training.recipe import Recipe


def test_the_loss_is_cross_entropy_less_the_dice_of_the_whole_batch():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(3, 2, 5, 7, generator=generator)
    labels = torch.randint(0, 3, (3, 5, 7), generator=generator)
    truth = (labels > 0).long()
    probability = output.double().softmax(1)
    entropy, shared, total = 0.0, 0.0, 0.0
    for b in range(3):
        for y in range(5):
            for x in range(7):
                entropy -= float(probability[b, truth[b, y, x], y, x].log()) / (3 * 5 * 7)
                shared += float(probability[b, 1, y, x] * truth[b, y, x])
                total += float(probability[b, 1, y, x] + truth[b, y, x])
    expected = entropy - (2 * shared + 1e-5) / (total + 1e-5)
    assert foreground_loss(output, labels, torch.empty(0)).item() == pytest.approx(expected, abs=1e-6)


def test_a_batch_without_cells_has_a_finite_loss_and_gradient():
    output = torch.zeros(1, 2, 4, 4, requires_grad=True)
    foreground_loss(output, torch.zeros(1, 4, 4, dtype=torch.int64), torch.empty(0)).backward()
    assert output.grad.isfinite().all()


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_optimiser_is_that_of_torch_with_nesterov_and_clipping(clip):
    def train(make):
        network = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        move = make(network.parameters())
        for step in range(5):
            network.zero_grad()
            (network(torch.full((4, 3), 1.0 + step)) - 3).square().sum().backward()
            move(network)
        return network.weight.detach()

    def ours(parameters):
        made = optimiser.build(Recipe(steps=1, momentum=0.9, weight_decay=1e-2, nesterov=True), list(parameters))
        return lambda network: optimiser.step(made, 0.01, clip)

    def theirs(parameters):
        made = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=1e-2, nesterov=True)

        def step(network):
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            made.step()

        return step

    assert torch.equal(train(ours), train(theirs)) or torch.allclose(train(ours), train(theirs), rtol=1e-6)


def test_poly_falls_from_the_peak_and_never_reaches_zero():
    lr = schedules.build("poly", 0.01, steps=10, steps_per_epoch=3)
    assert lr(0) == 0.01
    assert lr(5) == pytest.approx(0.01 * 0.5**0.9)
    assert lr(9) > 0


def test_the_adapter_gives_the_logit_of_the_foreground_and_no_flow():
    network = models.build("unet-cap4", 1, 2, 32, generator=torch.Generator().manual_seed(0))
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    adapted = ForegroundAsLogit(network)
    output = adapted(images)
    assert output.shape == (2, 3, 32, 32)
    assert not output[:, :2].any()
    torch.testing.assert_close(output[:, 2].sigmoid(), network(images).softmax(1)[:, 1])
    assert (adapted.in_channels, adapted.stride) == (1, network.stride)


def test_every_connected_piece_is_a_label():
    logits = np.full((5, 6), -1.0, np.float32)
    logits[0, 0] = logits[1, 1] = 1  # touch at a corner
    logits[3:, 4:] = 1
    labels = components((np.zeros((2, 5, 6), np.float32), logits))
    assert labels.dtype == np.int32
    assert labels[0, 0] == labels[1, 1] != labels[4, 5]
    assert labels.max() == 2
    assert ((labels > 0) == (logits > 0)).all()
