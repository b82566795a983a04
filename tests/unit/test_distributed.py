"""Two processes that train one network, beside one process that sees the whole batch."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_training import disc_patches
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from frugalseg import models
from frugalseg.training import distributed
from frugalseg.training.distributed import SharedNetwork, launch
from frugalseg.training.keeping import Keep
from frugalseg.training.loop import train
from frugalseg.training.lora import Adapters
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.sampling import Source

PAIR = [torch.device("cpu")] * 2
COMMON = {"steps": 6, "batch": 4, "crop": 32, "validate_every": 2, "save_every": 4, "precision": "float32"}
# Of the second, the loss takes Dice over all pixels of a batch: it is no mean over the parts of the processes.
RECIPES = {
    "cpnet": Recipe(**COMMON, schedule="warmup", rescale=True),
    "unet-cap4": Recipe(**COMMON, target="foreground", schedule="poly", gradient_clip=1.0),
    # Its state is carried between the two steps of a batch, by each process for its own part.
    "ucell": Recipe(
        **COMMON,
        target="unit_flows",
        schedule="constant",
        lr=0.01,
        average=0.5,
        lora=Adapters(4, 4.0, ("mlp",)),
        augmentation="ucell",
    ),
}
SIZES = {"cpnet": {"widths": (4, 8)}, "ucell": {"hidden": 64, "registers": 2, "recursion": (2, 1, 2)}}


def build(arch: str) -> nn.Module:
    """A small network before training."""
    outputs = 2 if RECIPES[arch].target == "foreground" else 3
    sizes = SIZES.get(arch, {})
    return models.build(arch, 2, outputs, COMMON["crop"], generator=torch.Generator().manual_seed(0), **sizes)


def train_on_discs(arch: str, folder: Path, device: torch.device) -> None:
    """Train a small network on one-disc patches and watch it on others."""
    patches = disc_patches()
    train(
        build(arch),
        [Source("discs", patches, np.arange(len(patches)))],
        RECIPES[arch],
        seed=0,
        min_cells=0,
        weights=folder / "model.pt",
        log=folder / "log.csv",
        state_folder=folder / "state",
        validation=[disc_patches(count=5, seed=1)],
        device=device,
    )


def train_and_stop(arch: str, folder: Path, device: torch.device) -> None:
    """Train until after the first save, and fail there."""
    advance = Run.advance

    def advance_or_stop(run):
        if run.step == 5:
            raise RuntimeError("the power is cut")
        return advance(run)

    Run.advance = advance_or_stop
    train_on_discs(arch, folder, device)


@pytest.mark.parametrize("arch", RECIPES)
def test_two_processes_see_the_losses_of_the_joint_batch(arch, tmp_path):
    train_on_discs(arch, tmp_path / "one", torch.device("cpu"))
    launch(train_on_discs, PAIR, str(tmp_path / "log.txt"), arch, tmp_path / "two")
    one, two = (pd.read_csv(tmp_path / name / "log.csv") for name in ("one", "two"))
    assert (one["step"] == [2, 4, 6]).all()
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)
    one, two = (torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("one", "two"))
    assert list(one) == list(two)
    start = build(arch).state_dict()
    # Rounding grows from step to step; a gradient that lacks a part would be off by as much as it is long.
    assert distance(one, two) < 1e-3 * distance(one, start)
    # The first process writes for both.
    assert (tmp_path / "log.txt").read_text().count("step 6 of 6") == 1


def keep_discs(folder: Path, device: torch.device) -> None:
    """Fine-tune a small network by every way of keeping the old."""
    old, new = disc_patches(seed=2), disc_patches()
    for method in ("l2sp", "ewc", "lwf", "frozen"):
        keep = Keep.of({"method": method} | ({} if method == "frozen" else {"strength": 2.0}), "cpnet")
        train(
            build("cpnet"),
            [Source("new", new, np.arange(len(new)))],
            RECIPES["cpnet"].with_changes(keep=keep),
            seed=0,
            min_cells=0,
            weights=folder / method / "model.pt",
            log=folder / method / "log.csv",
            state_folder=folder / method / "state",
            parent_sources=[Source("old", old, np.arange(len(old)))],
            device=device,
        )


def test_two_processes_keep_the_old_as_one_does(tmp_path):
    keep_discs(tmp_path / "one", torch.device("cpu"))
    launch(keep_discs, PAIR, str(tmp_path / "log.txt"), tmp_path / "two")
    start = build("cpnet").state_dict()
    for method in ("l2sp", "ewc", "lwf", "frozen"):
        one, two = (torch.load(tmp_path / name / method / "model.pt", weights_only=True) for name in ("one", "two"))
        assert distance(one, two) < 1e-3 * distance(one, start), method
        one, two = (pd.read_csv(tmp_path / name / method / "log.csv") for name in ("one", "two"))
        pd.testing.assert_frame_equal(one, two, rtol=1e-3)


def distance(one, two):
    """Length of the difference of two state dicts."""
    return torch.cat([(one[name].double() - two[name].double()).flatten() for name in one]).norm()


def test_two_processes_go_on_where_they_were_stopped(tmp_path):
    launch(train_on_discs, PAIR, str(tmp_path / "log.txt"), "cpnet", tmp_path / "unbroken")
    with pytest.raises(ChildFailedError, match="the power is cut"):
        launch(train_and_stop, PAIR, str(tmp_path / "log.txt"), "cpnet", tmp_path / "broken")
    state = torch.load(tmp_path / "broken/state/state.pt", weights_only=True)
    assert int(state["tensors"]["step"]) == 4
    launch(train_on_discs, PAIR, str(tmp_path / "log.txt"), "cpnet", tmp_path / "broken")
    for file in ("model.pt", "log.csv"):
        assert (tmp_path / "broken" / file).read_bytes() == (tmp_path / "unbroken" / file).read_bytes()
    assert not (tmp_path / "broken/state").exists()


def test_one_device_needs_no_other_process(tmp_path):
    calls = []
    launch(lambda *given, **named: calls.append((given, named)), PAIR[:1], str(tmp_path / "log.txt"), "a", log="b")
    assert calls == [(("a",), {"log": "b", "device": PAIR[0]})]


def test_a_batch_has_to_divide_among_the_processes(monkeypatch):
    monkeypatch.setattr(distributed, "processes", lambda: 3)
    with pytest.raises(ValueError, match="batch of 4 patches does not divide among 3 GPUs; change the recipe's batch"):
        SharedNetwork(build("cpnet"), 4)


def test_images_cannot_leave_a_shared_batch(monkeypatch):
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    network = models.build("ucell", 2, 3, 32, hidden=64, halting=0.1)
    with pytest.raises(ValueError, match="leave out 'halting'"):
        SharedNetwork(network, 4)
