"""Keeping the old: L2-SP, EWC, learning without forgetting and frozen encoders, beside naive fine-tuning and the parent."""

import copy
import math

import numpy as np
import pytest
import torch
from test_training import disc_patches

from frugalseg import models
from frugalseg.runtime.literals import members
from frugalseg.training import optimiser
from frugalseg.training.keeping import Keep, Start, lwf
from frugalseg.training.keeping.ewc import fisher_information
from frugalseg.training.keeping.l2sp import Anchor, batch_norms
from frugalseg.training.keeping.lwf import distillation_loss
from frugalseg.training.loop import train
from frugalseg.training.lora import Adapters
from frugalseg.training.losses import LOSSES, OUT_CHANNELS
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.sampling import Source
from frugalseg.training.state import TakenOverError

CPU = torch.device("cpu")
COMMON = {"steps": 5, "batch": 4, "crop": 16, "schedule": "warmup", "validate_every": 2, "precision": "float32"}
SIZES = {"cpnet": {"widths": (4, 8)}, "ucell": {"hidden": 64, "registers": 2, "tasks": 1, "recursion": (2, 1, 2)}}
TARGETS = {
    "cpnet": "flows",
    "ucell": "unit_flows",
    "unet-cap4": "foreground",
    "cmunext": "foreground",
    "tinyunet": "foreground",
    "unext": "foreground",
}
METHODS = ["l2sp", "ewc", "lwf"]
# What describes a training and is no part of the function that a network computes.
DESCRIPTION = ("num_batches_tracked", "diam_mean", "diam_labels")


def parent_of(arch="cpnet", seed=0):
    """A network whose batch norms have statistics of their own, as after a training."""
    generator = torch.Generator().manual_seed(seed)
    outputs = OUT_CHANNELS[TARGETS[arch]]
    network = models.build(arch, 2, outputs, 32, generator=generator, **SIZES.get(arch, {}))
    for _, norm in batch_norms(network):
        norm.running_mean.normal_(0, 0.3, generator=generator)
        norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return network


def way(method, strength, **options):
    """What keeps the old, its encoder left out."""
    return Keep.of({"method": method, "strength": strength, **options}, "mynet")


def source(count=12, seed=0):
    patches = disc_patches(count=count, seed=seed)
    return Source(f"discs {seed}", patches, np.arange(count))


def recipe(keep=None, arch="cpnet", **changes):
    return Recipe(**{**COMMON, "target": TARGETS[arch], "keep": keep, **changes})


def fine_tuned(folder, keep=None, arch="cpnet", **changes):
    """State dict of a fine-tuned network; its files lie in the folder."""
    train(
        parent_of(arch),
        [source()],
        recipe(keep, arch, **changes),
        seed=0,
        min_cells=0,
        weights=folder / "model.pt",
        log=folder / "log.csv",
        state_folder=folder / "state",
        validation=[disc_patches(count=3, seed=2)],
        parent_sources=[source(6, seed=1)],
    )
    return torch.load(folder / "model.pt", weights_only=True)


def files(folder):
    return [(folder / name).read_bytes() for name in ("model.pt", "log.csv")]


def described(tensors):
    """A state dict without what only describes the training."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(DESCRIPTION)}


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("cpnet", {}),
        ("cpnet", {"precision": "bfloat16"}),
        ("unet-cap4", {"gradient_clip": 1.0}),
        ("ucell", {"optimiser": "adamw", "lr": 1e-3, "average": 0.9, "augmentation": "ucell"}),
    ],
)
def test_at_strength_0_all_are_naive_fine_tuning_to_the_bit(tmp_path, arch, changes):
    fine_tuned(tmp_path / "naive", None, arch, **changes)
    for method in METHODS:
        fine_tuned(tmp_path / method, way(method, 0.0), arch, **changes)
        assert files(tmp_path / method) == files(tmp_path / "naive"), method


@pytest.mark.parametrize("method", METHODS)
def test_a_strength_below_rounding_is_naive_fine_tuning(tmp_path, method):
    """Strength 0 skips what keeps the old; here it is computed, and too weak to move a weight."""
    naive = fine_tuned(tmp_path / "naive")
    kept = fine_tuned(tmp_path / "kept", way(method, 1e-30, **({"patches": 3} if method == "ewc" else {})))
    for name, tensor in naive.items():
        assert torch.equal(kept[name], tensor), name


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("cpnet", {}),
        ("cpnet", {"precision": "bfloat16", "nesterov": True}),
        ("cmunext", {"schedule": "poly"}),
        ("unet-cap4", {"gradient_clip": 1.0}),
        ("ucell", {"optimiser": "adamw", "lr": 1e-3, "average": 0.9, "augmentation": "ucell"}),
    ],
)
def test_at_a_very_large_strength_l2sp_is_the_parent_to_the_bit(tmp_path, arch, changes):
    parent = parent_of(arch).state_dict()
    kept = fine_tuned(tmp_path / "kept", way("l2sp", 1e15), arch, **changes)
    naive = fine_tuned(tmp_path / "naive", None, arch, **changes)
    for name, tensor in described(kept).items():
        assert torch.equal(tensor, parent[name]), name
    moved = [name for name, tensor in described(naive).items() if not torch.equal(tensor, parent[name])]
    assert len(moved) > 0.8 * len(described(naive))


def test_ewc_holds_what_the_parent_needs_and_lets_the_rest_go(tmp_path):
    parent, free = parent_of().state_dict(), 0
    kept = fine_tuned(tmp_path, way("ewc", 1e20, patches=6))
    run = Run(parent_of(), [source()], recipe(), 0, 0, [], CPU, [source(6, seed=1)])
    for name, fisher in fisher_information(run.model, run.loss, run._old_crops(6)).items():
        held = fisher > 1e-9
        assert torch.equal(kept[name][held], parent[name][held]), name
        free += (kept[name] != parent[name])[fisher == 0].sum()
    # The discs have one channel: what looks at the second does nothing for the parent.
    assert free > 0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_pull_ends_where_loss_and_penalty_balance(name):
    """For a quadratic loss the minimum of loss and penalty is known."""
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(3, 2, dtype=torch.float64)
    parent = layer.weight.detach().clone()
    curvature = 0.5 + torch.rand(2, 3, generator=generator, dtype=torch.float64)
    goal = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    importance = {"weight": torch.rand(2, 3, generator=generator, dtype=torch.float64), "bias": torch.ones(2)}
    layer.bias.requires_grad_(False)
    steps = optimiser.build(Recipe(steps=1, optimiser=name, weight_decay=0.0), [layer.weight])
    anchor = Anchor(layer, 3.0, importance)
    for step in range(4000):
        lr = 0.02 * 0.998**step
        steps.zero_grad()
        (0.5 * (curvature * (layer.weight - goal).square()).sum()).backward()
        optimiser.step(steps, lr)
        anchor.pull(optimiser.rates(steps))
    pull = 3.0 * importance["weight"]
    expected = (curvature * goal + pull * parent) / (curvature + pull)
    torch.testing.assert_close(layer.weight.detach(), expected, atol=2e-3, rtol=0)
    assert (layer.weight - goal).abs().max() > 0.05


def test_a_pull_is_the_proximal_step():
    """w <- (w + r s F p) / (1 + r s F), number by number; statistics with their momentum as rate."""
    network = parent_of()
    importance = {name: torch.rand_like(tensor) for name, tensor in described(network.state_dict()).items()}
    anchor = Anchor(network, 7.0, importance)
    parent = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        for tensor in described(network.state_dict()).values():
            tensor += torch.randn_like(tensor)
    moved = copy.deepcopy(network.state_dict())
    anchor.pull([0.3] * len(list(network.parameters())))
    for name, tensor in described(network.state_dict()).items():
        rate = 0.05 if "running_" in name else 0.3
        flat = zip(moved[name].flatten(), parent[name].flatten(), importance[name].flatten(), strict=True)
        expected = [(w + rate * 7 * f * p) / (1 + rate * 7 * f) for w, p, f in flat]
        torch.testing.assert_close(tensor.flatten(), torch.stack(expected), msg=name)


def test_fisher_information_is_the_mean_square_of_finite_differences():
    """Weights and statistics alike: the loss of every patch alone, with the number moved a little both ways."""
    network = parent_of("cmunext").double().eval()
    generator = torch.Generator().manual_seed(1)
    crops = []
    for _ in range(3):
        images = torch.randn(1, 2, 32, 32, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, 2, (1, 32, 32), generator=generator)
        crops.append((images, labels, torch.empty(0)))

    def double_loss(output, labels, flows):
        # Those of training compute in float32, too coarse for differences.
        return torch.nn.functional.cross_entropy(output, labels)

    fisher = fisher_information(network, double_loss, crops)
    assert fisher.keys() == described(network.state_dict()).keys()
    tensors = network.state_dict()
    for name, values in fisher.items():
        flat, index = tensors[name].view(-1), int(values.argmax())
        old, squares = flat[index].item(), []
        for images, labels, flows in crops:
            losses = []
            for number in (old + 1e-6, old - 1e-6):
                flat[index] = number
                with torch.no_grad():
                    losses.append(double_loss(network(images), labels, flows).item())
            squares.append(((losses[0] - losses[1]) / 2e-6) ** 2)
            flat[index] = old
        assert values.view(-1)[index].item() == pytest.approx(np.mean(squares), rel=0.01, abs=1e-15), name


def test_fisher_information_is_of_the_parents_patches_and_repeats():
    def fisher(parent_source, seed=0, patches=5):
        run = Run(parent_of(), [source()], recipe(), seed, 0, [], CPU, [parent_source])
        return fisher_information(run.model, run.loss, run._old_crops(patches))

    first, again, other, longer = (
        fisher(source(6, seed=1)),
        fisher(source(6, seed=1)),
        fisher(source(6, seed=3)),
        fisher(source(6, seed=1), patches=6),
    )
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    assert not torch.equal(first["output.2.weight"], other["output.2.weight"])
    assert not torch.equal(first["output.2.weight"], longer["output.2.weight"])
    with pytest.raises(ValueError, match="'ewc' needs the patches of the parent's stage"):
        Run(parent_of(), [source()], recipe(way("ewc", 1.0)), 0, 0, [], CPU)


@pytest.mark.parametrize("target", LOSSES)
def test_distillation_loss_is_the_formula(target):
    generator = torch.Generator().manual_seed(0)
    maps = OUT_CHANNELS[target]
    output, parent = (torch.randn(2, maps, 3, 4, generator=generator) for _ in range(2))
    squares, entropies = [], []
    for b in range(2):
        for y in range(3):
            for x in range(4):
                one, other = output[b, :, y, x].tolist(), parent[b, :, y, x].tolist()
                logit, parent_logit = (m[2] if maps == 3 else m[1] - m[0] for m in (one, other))
                p, q = (1 / (1 + math.exp(-value)) for value in (parent_logit, logit))
                entropies.append(-p * math.log(q) - (1 - p) * math.log(1 - q))
                squares += [(one[c] - other[c]) ** 2 for c in range(2)]
    flow, logit = {"flows": (0.5, 1), "unit_flows": (0.5, 0.1), "foreground": (0, 1)}[target]
    expected = flow * np.mean(squares) + logit * np.mean(entropies)
    assert distillation_loss(output, parent, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("arch", ["cpnet", "ucell"])
def test_distillation_is_from_what_the_network_was_in_evaluation(arch):
    network = parent_of(arch)
    before = copy.deepcopy(network).eval()
    distillation = lwf.Way(way("lwf", 2.0))
    distillation.start(Start(network, TARGETS[arch], None, lambda called, *inputs: called(*inputs), None))
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1
    images = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    output = torch.zeros(3, 3, 16, 16, requires_grad=True)
    loss = distillation.loss(images, output)
    torch.testing.assert_close(loss, 2.0 * distillation_loss(output, before(images), TARGETS[arch]))
    loss.backward()
    assert output.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in network.parameters())


def test_distillation_is_added_to_the_loss_of_every_step():
    run, plain = (Run(parent_of(), [source()], recipe(keep), 0, 0, [], CPU) for keep in (way("lwf", 3.0), None))
    for _ in range(3):
        weights = [weight.detach().clone() for weight in plain.model.parameters()]
        for one, other in zip(run.model.parameters(), weights, strict=True):
            one.data.copy_(other)
        loss, naive = run.advance(), plain.advance()
        images = run.supervision.images
        now = copy.deepcopy(plain.model).train()
        for one, other in zip(now.parameters(), weights, strict=True):
            one.data.copy_(other)
        expected = naive + 3.0 * distillation_loss(now(images), parent_of().eval()(images), "flows")
        torch.testing.assert_close(loss, expected.detach())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("arch", ["cpnet", "unet-cap4", "ucell", "cmunext", "tinyunet", "unext"])
def test_a_frozen_encoder_stays_and_the_rest_is_trained(tmp_path, arch, precision):
    changes = {"augmentation": "ucell", "optimiser": "adamw", "lr": 1e-3} if arch == "ucell" else {}
    changes["crop"] = 32
    parent = parent_of(arch).state_dict()
    keep = Keep.of({"method": "frozen"}, arch)
    trained = fine_tuned(tmp_path, keep, arch, precision=precision, weight_decay=0.1, **changes)
    for name, tensor in described(trained).items():
        stays = name.startswith(tuple(f"{part}." for part in models.encoder_of(arch)))
        assert torch.equal(tensor, parent[name]) == stays, name


def test_encoders_are_named_for_every_architecture():
    assert all(models.encoder_of(arch) for arch in members("models"))
    assert models.encoder_of("unet-cap8") == ("encoder",)
    assert models.encoder_of("mynet") == ()


@pytest.mark.parametrize("method", [*METHODS, "frozen"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch, method, precision):
    block = {"method": method} | ({} if method == "frozen" else {"strength": 5.0})
    keep = Keep.of(block, "cpnet")
    changes = {"steps": 9, "save_every": 2, "precision": precision}
    fine_tuned(tmp_path / "whole", keep, **changes)
    advance, made = Run.advance, []

    def killed(run):
        made.append(run.step)
        if len(made) == 8:
            raise TakenOverError
        return advance(run)

    monkeypatch.setattr(Run, "advance", killed)
    with pytest.raises(TakenOverError):
        fine_tuned(tmp_path / "cut", keep, **changes)
    fine_tuned(tmp_path / "cut", keep, **changes)
    assert made[8] > 0
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_the_stamp_of_a_run_has_the_parents_patches():
    stamps = {
        Run(parent_of(), [source()], recipe(way("ewc", strength, patches=2)), 0, 0, [], CPU, [parent]).stamp()
        for strength, parent in ((1.0, source(6, seed=1)), (1.0, source(6, seed=3)), (2.0, source(6, seed=1)))
    }
    assert len(stamps) == 3


def test_adapters_and_keeping_do_not_go_together():
    with pytest.raises(ValueError, match="lora or keep, not both"):
        recipe(way("l2sp", 1.0), lora=Adapters(2, 1.0, ("conv",)))
