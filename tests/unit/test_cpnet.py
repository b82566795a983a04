"""The Cellpose network beside the one of the installed Cellpose 3, and its registry."""

import pytest
import torch

from frugalseg import models
from frugalseg.training import checkpoints


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randomised(network, seed=0):
    """Running statistics and affine parameters as after training, so that nothing is hidden by identities."""
    source = generator(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.copy_(torch.randn(tensor.shape, generator=source) * 0.1)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.5)
    return network


def cellpose_network(widths):
    resnet = pytest.importorskip("cellpose.resnet_torch", reason="cellpose<4 is not installed")
    return resnet.CPnet(nbase=[2, *widths], nout=3, sz=3)


WIDTHS = [(32, 64, 128, 256), (16, 32, 64), (4, 8)]


@pytest.mark.peer
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("training", [False, True])
def test_ours_in_cellpose(widths, training):
    ours = randomised(models.build("cpnet", 2, 3, widths=widths, generator=generator()))
    theirs = cellpose_network(widths)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    images = torch.randn(2, 2, 32, 48, generator=generator(1))
    with torch.no_grad():
        expected = theirs.train(training)(images)[0]
        torch.testing.assert_close(ours.train(training)(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("widths", WIDTHS)
def test_cellpose_in_ours(widths, tmp_path):
    theirs = randomised(cellpose_network(widths))
    torch.save(theirs.state_dict(), tmp_path / "cellpose")
    ours = models.build("cpnet", 2, 3, widths=widths)
    checkpoints.load(tmp_path / "cellpose", ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    images = torch.randn(2, 2, 32, 32, generator=generator(2))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.peer
def test_checkpoint_opens_in_cellpose_model(tmp_path):
    cellpose = pytest.importorskip("cellpose.models", reason="cellpose<4 is not installed")
    ours = randomised(models.build("cpnet", 2, 3, generator=generator()))
    ours.diam_labels.fill_(21.0)
    checkpoints.save(ours, tmp_path / "model.pt")
    theirs = cellpose.CellposeModel(pretrained_model=str(tmp_path / "model.pt"), gpu=False)
    assert theirs.diam_labels == pytest.approx(21.0)
    images = torch.rand(1, 2, 64, 64, generator=generator(3))
    with torch.no_grad():
        torch.testing.assert_close(theirs.net.eval()(images)[0], ours.eval()(images), atol=1e-5, rtol=1e-5)
    masks, flows, _ = theirs.eval(images[0, 0].numpy(), channels=[0, 0], diameter=21)
    assert masks.shape == flows[2].shape == (64, 64)


@pytest.mark.parametrize("widths", WIDTHS)
def test_output_shape_and_parameters(widths):
    network = models.build("cpnet", 2, 3, patch_size=16, widths=widths, generator=generator())
    assert network(torch.zeros(3, 2, 16, 32)).shape == (3, 3, 16, 32)
    gradients = [p.grad for p in network.parameters()]
    assert gradients == [None] * len(gradients)
    network(torch.randn(3, 2, 16, 32, generator=generator(1))).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_an_empty_image_has_a_finite_output():
    network = models.build("cpnet", 2, 3, widths=(4, 8), generator=generator())
    with torch.no_grad():
        for parameter in network.downsample.parameters():
            parameter.zero_()
    assert network(torch.zeros(2, 2, 16, 16)).isfinite().all()


def test_generator_decides_the_weights_and_the_global_one_does_not():
    torch.manual_seed(1)
    first = models.build("cpnet", 2, 3, widths=(4, 8), generator=generator(5)).state_dict()
    torch.manual_seed(2)
    second = models.build("cpnet", 2, 3, widths=(4, 8), generator=generator(5)).state_dict()
    third = models.build("cpnet", 2, 3, widths=(4, 8), generator=generator(6)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["output.2.weight"], third["output.2.weight"])


def test_generator_draws_from_the_default_distribution():
    ours = models.build("cpnet", 2, 3, widths=(32, 64), generator=generator())
    torch.manual_seed(0)
    default = models.build("cpnet", 2, 3, widths=(32, 64)).state_dict()
    for name, tensor in ours.state_dict().items():
        if tensor.numel() > 5000:
            assert tensor.std().item() == pytest.approx(default[name].std().item(), rel=0.03)
            assert tensor.abs().max().item() == pytest.approx(default[name].abs().max().item(), rel=0.01)


@pytest.mark.parametrize("name", ["cpnt", "CPnet", "something"])
def test_unknown_architecture_names_the_nearest(name):
    with pytest.raises(ValueError, match=r"did you mean 'cpnet'"):
        models.build(name, 2, 3)


def test_a_size_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"50 x 50 .* multiples of 8"):
        models.build("cpnet", 2, 3, patch_size=50)
    with pytest.raises(ValueError, match="multiples of 2"):
        models.build("cpnet", 2, 3, widths=(4, 8))(torch.zeros(1, 2, 5, 8))
