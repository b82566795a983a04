"""Test images chosen to be looked at, and segmented as they are when models are evaluated."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from frugalseg.evaluation.evaluate import evaluate
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.samples import evenly_spaced, most_changed, segment_samples
from frugalseg.plan.costs import SEGMENTATIONS, costs
from frugalseg.study.figures import changed_models
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError


def scores(*values):
    return pd.DataFrame({"image": [f"i{number}" for number in range(len(values))], "pq": values})


class Bright(nn.Module):
    """Cells are where the image is bright; nothing flows."""

    def forward(self, images):
        return torch.cat([0 * images[:, :1], 0 * images[:, :1], 10 * (images[:, :1] - 0.5)], dim=1)


class Store:
    """Two test images with their labels, as `frugalseg.data.stores.Images` gives them."""

    names = ("first", "second")

    def __init__(self):
        self._labels = np.zeros((2, 64, 64), np.int32)
        self._labels[:, 8:24, 8:24] = 1
        self._labels[1, 40:56, 32:60] = 2

    def __len__(self):
        return 2

    def pixels(self, index):
        shown = self._labels[index] > index
        return shown[None].astype(np.float32)

    def labels(self, index):
        return self._labels[index]


def test_images_are_evenly_spaced():
    assert evenly_spaced(9, 3) == [0, 4, 8]
    assert evenly_spaced(2, 5) == [0, 1]


def test_the_images_that_changed_most_come_from_both_ends_in_turn():
    before = scores(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    after = scores(0.4, 0.9, 0.5, 0.1, 0.6, 0.3)
    # By hand: the losses are 0.4 (image 3), 0.2 (5), 0.1 (0); the gains 0.4 (1), 0.1 (4); image 2 is as it was.
    assert most_changed(before, after, "pq", 6) == [3, 1, 5, 4, 0, 2]
    assert most_changed(before, after, "pq", 2) == [3, 1]
    assert most_changed(before, after, "pq", 9) == most_changed(before, after, "pq", 6)


def test_where_nothing_is_won_the_next_losses_are_shown():
    assert most_changed(scores(0.9, 0.9, 0.9), scores(0.8, 0.1, 0.9), "pq", 3) == [1, 0, 2]


def test_of_equal_changes_the_earlier_image_comes_first():
    assert most_changed(scores(0, 0, 0, 0), scores(0.5, 0.5, 0.5, 0.5), "pq", 3) == [0, 1, 2]


def test_metrics_of_other_images_are_refused():
    with pytest.raises(ValueError, match="not of the same images"):
        most_changed(scores(0.1, 0.2), scores(0.1, 0.2, 0.3), "pq", 1)


@pytest.mark.parametrize("target", ["flows", "foreground"])
def test_samples_score_as_the_evaluation_says(target):
    store, options = Store(), {"device": torch.device("cpu"), "batch_size": 1, "in_channels": 1}
    table = evaluate(Bright(), store, target=target, **options)
    samples = segment_samples({"bright": Bright()}, {"test": store}, {"test": [1, 0]}, target, **options)
    assert list(samples.images) == ["test: second", "test: first"]
    for row, index in enumerate((1, 0)):
        shown = per_image(samples.truth[row], samples.predictions["bright"][row])
        assert shown == table.drop(columns="image").loc[index].to_dict()


def test_the_models_that_choose_are_scored_and_planned(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"study": "s", "datasets": {"cyto": "synthetic_cyto"}, "patches": {}, "features": {}, "selectors": {}}
    figure = {"chains": ["cyto", "cyto_to_cyto"], "tests": ["cyto"], "recipe": "small", "seed": 3}
    config |= {"recipes": {"small": {"arch": "cpnet", "steps": 1}}, "questions": {}}
    speeds = {"recipes": {"small": {"seconds_per_step": 1.0, "bytes": 1, "seconds_per_megapixel": 1.0}}}
    spent = {}
    for name, changed in {"without": {}, "with": {"changed": {"from": "cyto", "to": "cyto_to_cyto"}}}.items():
        completed = complete(config | {"figures": {"segmentations": figure | changed}}, root)
        models = [("small", "cyto", 3), ("small", "cyto_to_cyto", 3)] if changed else []
        assert changed_models(completed) == models
        spent[name] = costs(completed, speeds, remaining=False)[SEGMENTATIONS].evaluate
    assert spent["without"] == 0 < spent["with"]


def test_the_chains_that_choose_are_among_those_shown(root):
    figure = {"chains": ["cyto"], "tests": ["cyto"], "recipe": "small", "changed": {"from": "cyto", "to": "cyt"}}
    config = {"study": "s", "datasets": {"cyto": "synthetic_cyto"}, "patches": {}, "features": {}, "selectors": {}}
    config |= {"recipes": {"small": {"arch": "cpnet", "steps": 1}}, "questions": {}}
    with pytest.raises(
        ConfigError, match=r"changed\.to is 'cyt', which is not among the chains shown; did you mean 'cyto'"
    ):
        complete(config | {"figures": {"segmentations": figure}}, root)
