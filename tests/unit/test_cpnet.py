"""The Cellpose network beside the one of the installed Cellpose 3, and its registry."""

import pytest
import torch

from frugalseg import models
from frugalseg.models import cpnet
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
        # Sums over a quarter of the pixels round otherwise than over all.
        torch.testing.assert_close(ours.train(training)(images), expected, atol=5e-5, rtol=1e-5)


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


@pytest.mark.parametrize("name", ["cpnt", "CPnet"])
def test_unknown_architecture_names_the_nearest(name):
    with pytest.raises(ValueError, match=r"did you mean 'cpnet'"):
        models.build(name, 2, 3)


def test_a_size_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"50 x 50 .* multiples of 8"):
        models.build("cpnet", 2, 3, patch_size=50)
    with pytest.raises(ValueError, match="multiples of 2"):
        models.build("cpnet", 2, 3, widths=(4, 8))(torch.zeros(1, 2, 5, 8))


def half(network, images):
    """Output in bfloat16 as training computes it."""
    with torch.autocast("cpu", torch.bfloat16):
        return network(images)


def trained(widths, seed=0):
    """A network as after training, its statistics and norms off the identity, channels last."""
    network = randomised(models.build("cpnet", 2, 3, widths=widths, generator=generator(seed)))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.copy_(torch.rand(parameter.shape, generator=generator(seed + 1)) + 0.5)
    return network.to(memory_format=torch.channels_last)


def distance(ours, theirs):
    return ((ours.double() - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_computes_the_same_function(widths, training):
    images = torch.randn(3, 2, 48, 32, generator=generator(1))
    fast, exact = trained(widths).train(training), trained(widths).train(training)
    with torch.no_grad():
        output, expected = half(fast, images), exact(images).double()
    assert output.dtype == torch.bfloat16
    assert distance(output, expected) < 0.06
    for name, statistic in exact.named_buffers():
        torch.testing.assert_close(fast.state_dict()[name].double(), statistic.double(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("widths", WIDTHS)
def test_gradients_are_those_of_the_network_that_upsamples_first(widths):
    def upsample_first(block, x, skip, style):
        first, second, third, fourth = block.conv.values()
        if x.shape[-1] != skip.shape[-1]:
            x = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        x = block.proj(x) + second(first(x) + skip, style)
        return x + fourth(third(x, style), style)

    images = torch.randn(3, 2, 48, 32, generator=generator(1))
    weights = torch.randn(3, 3, 48, 32, generator=generator(2))

    def gradients():
        network = trained(widths)
        (network(images) * weights).mean().backward()
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    ours = gradients()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpnet.DecoderBlock, "forward", upsample_first)
        expected = gradients()
    assert distance(ours, expected.double()) < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 6)])
def test_a_convolution_of_an_upsampled_image_is_exact(size):
    """On small integers, which float32 holds exactly."""
    convolution = torch.nn.Conv2d(4, 3, 3, padding=1)
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=generator(1)))
    x = torch.randint(-2, 3, (2, 4, *size), generator=generator(2)).float()
    expected = convolution(torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
    assert torch.equal(cpnet._upsample_and_convolve(convolution, x), expected)


def test_bfloat16_gives_the_same_bits_again():
    def step():
        network = trained((8, 16))
        half(network, torch.randn(4, 2, 32, 32, generator=generator(1))).square().mean().backward()
        return [parameter.grad for parameter in network.parameters()]

    assert all(map(torch.equal, step(), step()))
