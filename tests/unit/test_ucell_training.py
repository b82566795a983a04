"""What training has for UCell: its loss, AdamW, the mean of the weights, supervised steps with a carried state, adapters."""

import copy
import math

import numpy as np
import pytest
import torch
from test_training import disc_patches

from frugalseg import models
from frugalseg.models.cost import step_flops
from frugalseg.training import checkpoints, lora, optimiser
from frugalseg.training.average import WeightAverage
from frugalseg.training.loop import train
from frugalseg.training.lora import Adapters
from frugalseg.training.losses import unit_flow_and_logit_loss, unit_flow_errors
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.sampling import Source
from frugalseg.training.state import TakenOverError

CPU = torch.device("cpu")
RECIPE = {
    "target": "unit_flows",
    "steps": 6,
    "batch": 4,
    "crop": 16,
    "optimiser": "adamw",
    "lr": 1e-3,
    "weight_decay": 1.0,
    "average": 0.9,
    "schedule": "constant",
    "augmentation": "ucell",
    "validate_every": 3,
    "precision": "float32",
}


def ucell(seed=0, **options):
    sizes = {"hidden": 64, "registers": 2, "tasks": 1, "recursion": (3, 1, 2)}
    return models.build("ucell", 3, 3, 16, generator=torch.Generator().manual_seed(seed), **{**sizes, **options})


def cpnet(seed=0):
    return models.build("cpnet", 2, 3, widths=(4, 8), generator=torch.Generator().manual_seed(seed))


def run_of(model, **changes):
    source = Source("discs", disc_patches(), np.arange(12))
    return Run(model, [source], Recipe(**{**RECIPE, **changes}), 0, 0, [], CPU)


def trained(folder, model, state=None, **changes):
    patches = disc_patches()
    train(
        model,
        [Source("discs", patches, np.arange(12))],
        Recipe(**{**RECIPE, **changes}),
        seed=0,
        min_cells=0,
        weights=folder / "model.pt",
        log=folder / "log.csv",
        state_folder=state or folder / "state",
        adapters=folder / "adapters.pt" if "lora" in changes else None,
    )
    return torch.load(folder / "model.pt", weights_only=True)


def test_loss_of_unit_flows_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    flows = torch.randn(2, 2, 4, 5, generator=generator)
    squares, entropies = [], []
    for b in range(2):
        for y in range(4):
            for x in range(5):
                inside = labels[b, y, x] > 0
                squares += [inside * (output[b, c, y, x].item() - flows[b, c, y, x].item()) ** 2 for c in range(2)]
                p = 1 / (1 + math.exp(-output[b, 2, y, x].item()))
                entropies.append(-math.log(p if inside else 1 - p))
    loss = unit_flow_and_logit_loss(output, labels, flows)
    assert loss.item() == pytest.approx(0.1 * np.mean(entropies) + 0.5 * np.mean(squares), rel=1e-5)
    errors = unit_flow_errors(output, labels, flows)
    assert errors.mean().item() == pytest.approx(0.5 * np.mean(squares), rel=1e-5)
    assert errors[0].item() == pytest.approx(0.5 * np.mean(squares[:40]), rel=1e-5)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_adamw_is_that_of_torch(clip):
    ours, theirs = ucell(), ucell()
    made = optimiser.build(Recipe(steps=1, optimiser="adamw", weight_decay=1.0), list(ours.parameters()))
    peer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=1.0, fused=True)
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        if clip:
            torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        for group in peer.param_groups:
            group["lr"] = 1e-3 * (step + 1)
        optimiser.step(made, 1e-3 * (step + 1), clip)
        peer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_mean_of_the_weights_is_kept_in_their_place():
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average = WeightAverage([parameter], 0.75)
    expected = torch.tensor([1.0, 2.0])
    for step in range(3):
        with torch.no_grad():
            parameter += step + 1.0
        average.update()
        expected = 0.75 * expected + 0.25 * parameter.detach()
    with average.in_place():
        torch.testing.assert_close(parameter.detach(), expected)
    torch.testing.assert_close(parameter.detach(), torch.tensor([7.0, 8.0]))


def test_the_checkpoint_is_the_mean_of_the_weights(tmp_path):
    saved = trained(tmp_path, ucell())
    run = run_of(ucell())
    mean = [parameter.detach().clone() for parameter in run.model.parameters()]
    for _ in range(6):
        run.advance()
        mean = [0.9 * m + 0.1 * p.detach() for m, p in zip(mean, run.model.parameters(), strict=True)]
    for (name, parameter), expected in zip(run.model.named_parameters(), mean, strict=True):
        torch.testing.assert_close(saved[name], expected, msg=name)
        assert not torch.equal(saved[name], parameter), name


@pytest.mark.parametrize("carry", [True, False])
def test_supervised_steps_are_those_of_a_plain_loop(carry):
    """Each batch M times, each time an optimiser step, the state carried or not."""
    run, plain = run_of(ucell(carry=carry)), ucell()
    batches = run_of(ucell())
    optimiser = torch.optim.AdamW(plain.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=1.0, fused=True)
    for _ in range(2):
        images, labels, flows = batches.feed.take()
        state = plain.initial_state(images)
        for step in range(3):
            output, new_state = plain(images, state)
            state = new_state if carry else state
            loss = unit_flow_and_logit_loss(output, labels, flows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            assert run.supervision.between_batches == (step == 0)
            torch.testing.assert_close(run.advance(), loss.detach())
    for one, other in zip(run.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_an_epoch_shows_every_patch_once_though_in_several_steps(tmp_path):
    run = run_of(ucell(), steps=None, epochs=2)
    # Twelve patches in batches of four, three steps each.
    assert run.steps == 2 * 3 * 3
    for _ in range(9):
        run.advance()
    run.add_row()
    assert run.rows[-1][:2] == [9, 1.0]


def shown(model, steps):
    """Images that the network is shown at every step, and whether each step takes a new batch."""
    counts, starts, forward = [], [], model.forward

    def counted(images, *state):
        counts.append(len(images))
        return forward(images, *state)

    model.forward = counted
    run = run_of(model)
    for _ in range(steps):
        starts.append(run.supervision.between_batches)
        run.advance()
    return counts, starts


def test_no_image_halts_unless_its_flows_are_good_enough():
    for halting in (0.0, 1e-9):
        counts, starts = shown(ucell(halting=halting), 6)
        assert counts == [4] * 6
        assert starts == [True, False, False] * 2


def test_half_of_the_images_that_are_good_enough_halt():
    counts, starts = shown(ucell(halting=1e9, recursion=(20, 1, 1)), 80)
    assert all(count == 4 for count, start in zip(counts, starts, strict=True) if start)
    going_on = [0 if start else count for count, start in zip(counts[1:], starts[1:], strict=True)]
    assert all(after <= before for before, after in zip(counts[:-1], going_on, strict=True))
    assert sum(going_on) / sum(counts[:-1]) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "changes",
    [{"average": 0.9}, {"average": None, "lora": Adapters(2, 2.0, ("mlp",))}, {"average": 0.5, "gradient_clip": 0.1}],
)
@pytest.mark.parametrize("options", [{}, {"halting": 0.3}, {"recursion": (1, 2, 1)}])
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch, changes, options):
    whole = trained(tmp_path / "whole", ucell(**options), steps=9, save_every=2, **changes)
    advance, made = Run.advance, []

    def killed(run):
        made.append(run.step)
        if len(made) == 8:
            raise TakenOverError
        return advance(run)

    monkeypatch.setattr(Run, "advance", killed)
    with pytest.raises(TakenOverError):
        trained(tmp_path / "cut", ucell(**options), steps=9, save_every=2, **changes)
    resumed = trained(tmp_path / "cut", ucell(**options), steps=9, save_every=2, **changes)
    assert made[8] > 0
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name
    assert (tmp_path / "whole/log.csv").read_bytes() == (tmp_path / "cut/log.csv").read_bytes()


@pytest.mark.parametrize(("build", "layers"), [(ucell, ("mlp",)), (cpnet, ("conv", "full"))])
def test_adapters_alone_are_trained_and_merge_into_the_network(tmp_path, build, layers):
    start = build()
    changes = {"lora": Adapters(2, 4.0, layers), "target": "unit_flows" if build is ucell else "flows"}
    saved = trained(tmp_path, copy.deepcopy(start), average=None, **changes)
    merged = build(1)
    checkpoints.load(tmp_path / "model.pt", merged)
    changed = {name for name, tensor in start.state_dict().items() if not torch.equal(saved[name], tensor)}
    weights = {name for name in changed if "running_" not in name and "diam_" not in name and "num_batches" not in name}
    assert weights
    assert all(name.endswith(".weight") and any(layer in name for layer in layers) for name in weights)
    adapters = torch.load(tmp_path / "adapters.pt", weights_only=True)
    for name in weights:
        difference = (saved[name] - start.state_dict()[name]).flatten(1)
        layer = name.removesuffix(".weight")
        torch.testing.assert_close(adapters[f"{layer}.b"] @ adapters[f"{layer}.a"], difference, atol=1e-6, rtol=1e-4)
        assert torch.linalg.matrix_rank(difference, atol=1e-6) <= 2
    lora.add(start, adapters)
    for name in weights:
        torch.testing.assert_close(start.state_dict()[name], saved[name], atol=1e-6, rtol=1e-4)
    assert sum(tensor.numel() for tensor in adapters.values()) < 0.5 * sum(saved[name].numel() for name in weights)


def test_an_adapted_network_starts_as_the_one_it_adapts():
    network, images = ucell(), torch.randn(1, 3, 16, 16)
    expected = network(images)
    names = lora.inject(network, Adapters(4, 1.0, ("mlp",)), torch.Generator().manual_seed(0))
    assert names == [f"transformer.{block}.mlp.{part}_proj" for block in (0, 1) for part in ("gate", "up", "down")]
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0)
    assert lora.merged(network).keys() == ucell().state_dict().keys()


def test_adapted_weights_get_their_gradient_though_first_used_without():
    network = ucell(recursion=(1, 3, 1))
    lora.inject(network, Adapters(2, 1.0, ("mlp",)), torch.Generator().manual_seed(0))
    images = torch.randn(1, 3, 16, 16)
    with lora.computed_once(network):
        network(images, network.initial_state(images))[0].square().mean().backward()
    for name, parameter in network.named_parameters():
        if name.endswith(".b"):
            assert parameter.grad.abs().max() > 0, name


def test_adapters_that_fit_nothing_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"'swiglu' is in the name of no layer of this network; its layers are transformer\.0\.attn"
    ):
        run_of(ucell(), lora=Adapters(2, 1.0, ("mlp", "swiglu")))
    with pytest.raises(ValueError, match="this network has no such layer"):
        lora.add(
            cpnet(),
            {"transformer.0.mlp.up_proj.a": torch.zeros(2, 64), "transformer.0.mlp.up_proj.b": torch.zeros(256, 2)},
        )
    with pytest.raises(ValueError, match="this network has a weight of"):
        lora.add(
            ucell(hidden=128),
            {"transformer.0.attn.o_proj.a": torch.zeros(2, 64), "transformer.0.attn.o_proj.b": torch.zeros(64, 2)},
        )


@pytest.mark.parametrize("build", [ucell, cpnet])
def test_steps_follow_from_the_compute_that_a_run_may_take(build):
    flops = 4 * step_flops(build(), 16)
    assert run_of(build(), steps=None, compute=7.4 * flops / 1e12).steps == 7
    assert run_of(build(), steps=None, compute=0.01 * flops / 1e12).steps == 1


def test_adapters_do_not_change_the_count_of_operations():
    compute = 20.3 * 4 * step_flops(ucell(), 16) / 1e12
    assert run_of(ucell(), steps=None, compute=compute, lora=Adapters(4, 1.0, ("mlp",))).steps == 20
