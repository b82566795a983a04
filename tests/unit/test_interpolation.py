"""Models between a parent and its child: the ends to the bit, the middle number by number, files as of a training."""

import csv
import json

import pytest
import torch
from test_keep import fine_tuned, parent_of

from frugalseg import models
from frugalseg.training import checkpoints
from frugalseg.training.loop import LOG_COLUMNS
from frugalseg.training.untrained import interpolate, interpolate_stage

RECIPE = {"arch": "cpnet", "channels": 2, "target": "flows", "widths": [4, 8], "crop": 16}


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Checkpoints of a parent and of its fine-tuned child."""
    folder = tmp_path_factory.mktemp("ends")
    checkpoints.save(parent_of(), folder / "parent.pt")
    fine_tuned(folder)
    return folder / "parent.pt", folder / "model.pt"


def between(ends, folder, alpha):
    """Files of the model between the ends."""
    interpolate_stage(
        "a_to_b",
        "small",
        3,
        *ends,
        config={"recipe": {**RECIPE, "interpolate": {"recipe": "small", "alpha": alpha}}, "bins": 4, "min_cells": 2},
        weights=folder / "model.pt",
        log=folder / "log.csv",
        description=folder / "model.json",
    )
    return folder / "model.pt"


def bits(path):
    """Name, type, shape and bytes of every tensor of a checkpoint."""
    tensors = torch.load(path, weights_only=True)
    return [(name, tensor.dtype, tensor.shape, tensor.numpy().tobytes()) for name, tensor in tensors.items()]


@pytest.mark.parametrize("alpha", [0, 1, 0.0, 1.0])
def test_the_ends_are_the_parent_and_the_child_to_the_bit(ends, tmp_path, alpha):
    made, expected, other = map(bits, (between(ends, tmp_path, alpha), ends[int(alpha)], ends[1 - int(alpha)]))
    assert made == expected
    assert made != other


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.8])
def test_between_the_ends_every_number_is_the_weighted_mean(ends, tmp_path, alpha):
    made, parent, child = (torch.load(path, weights_only=True) for path in (between(ends, tmp_path, alpha), *ends))
    assert list(made) == list(parent)
    for name, tensor in made.items():
        if name.endswith("num_batches_tracked"):
            assert parent[name] != child[name]
            assert tensor == (parent if alpha < 0.5 else child)[name], name
            continue
        pairs = zip(parent[name].flatten().tolist(), child[name].flatten().tolist(), strict=True)
        expected = torch.tensor([(1 - alpha) * one + alpha * other for one, other in pairs])
        torch.testing.assert_close(tensor.flatten(), expected, msg=name)
    name = "output.0.running_mean"
    assert not torch.equal(made[name], parent[name])
    assert not torch.equal(made[name], child[name])


def test_log_and_description_are_those_of_a_training_of_no_steps(ends, tmp_path):
    between(ends, tmp_path, 0.5)
    with (tmp_path / "log.csv").open() as lines:
        assert list(csv.reader(lines)) == [list(LOG_COLUMNS)]
    told = json.loads((tmp_path / "model.json").read_text())
    assert (told["recipe"], told["chain"], told["seed"], told["steps"]) == ("small", "a_to_b", 3, 0)
    assert told["config"]["recipe"]["interpolate"] == {"recipe": "small", "alpha": 0.5}
    assert told["sources"] == []
    assert told["seconds"] >= 0
    assert {"versions", "revision", "device", "threads", "joules", "precision"} < set(told)


def test_an_alpha_out_of_range_and_another_network_are_refused(ends, tmp_path):
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        interpolate({}, {}, 1.5)
    other = models.build("cpnet", 2, 3, widths=(4, 6), generator=torch.Generator().manual_seed(0))
    checkpoints.save(other, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt: .* another architecture or other widths"):
        between((ends[0], tmp_path / "other.pt"), tmp_path, 0.5)
