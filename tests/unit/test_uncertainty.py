"""Selection by what a model is uncertain of, against the definition written out pixel by pixel."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from studies import demo
from torch import nn

from frugalseg.data.stores import Patches
from frugalseg.evaluation.uncertainty import entropy, uncertainties
from frugalseg.models import build
from frugalseg.plan.models import featured_datasets, with_parents
from frugalseg.reporting.methods import to_markdown
from frugalseg.selection import select
from frugalseg.study.kinds import study_models
from frugalseg.study.lineage import asked_for
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError


class Doubtful(nn.Module):
    """Says the pixels of an image as its logits; in training mode it would say something else."""

    in_channels, stride = 1, 16

    def forward(self, images):
        logits = images[:, :1] if not self.training else torch.zeros_like(images[:, :1])
        return torch.cat([torch.zeros_like(logits), torch.zeros_like(logits), logits], dim=1)


def patches_of(images):
    count, _, height, width = images.shape
    table = pd.DataFrame({"patch": range(count), "image": "a", "y": 0, "x": 0, "cells": 9, "diameter": 8.0})
    zeros = np.zeros((count, height, width))
    return Patches(
        images.astype(np.float16), zeros.astype(np.uint16), np.zeros((count, 2, height, width), np.float16), table
    )


def slow_entropy(logit):
    p = 1 / (1 + math.exp(-logit))
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def test_uncertainty_is_the_mean_entropy_of_the_cell_probability():
    images = np.random.default_rng(0).normal(0, 3, (7, 1, 24, 24))
    patches = patches_of(images)
    found = uncertainties(Doubtful(), patches, device="cpu", batch_size=3)
    for number in range(7):
        logits = patches.images[number, 0].astype(float).ravel()
        assert found[number] == pytest.approx(np.mean([slow_entropy(logit) for logit in logits]), abs=1e-6)


def test_entropy_holds_for_every_logit():
    logits = np.array([0, 1e-8, -2.5, 2.5, 30, -30, 700, -700, 1e5], dtype=np.float32)
    found = entropy(logits)
    assert found[0] == 1
    np.testing.assert_allclose(found[:6], [slow_entropy(float(logit)) for logit in logits[:6]], rtol=1e-3)
    assert found[2] == found[3]
    assert np.isfinite(found).all()
    assert found[-1] == 0
    # Where 1 - p rounds to 0 the definition as written is no longer of use: a / (e^a ln 2) is left.
    assert found[4] == pytest.approx(31 * math.exp(-30) / math.log(2), rel=1e-6)


def test_batches_change_nothing_and_the_model_is_as_before():
    model = build("cpnet", 1, 3, 32, generator=torch.Generator().manual_seed(0), widths=(4, 8)).train()
    patches = patches_of(np.random.default_rng(1).random((5, 1, 32, 32)))
    one, three = (uncertainties(model, patches, device="cpu", batch_size=size) for size in (1, 3))
    np.testing.assert_allclose(one, three, atol=1e-6)
    assert np.array_equal(one, uncertainties(model, patches, device="cpu", batch_size=1))
    assert ((one >= 0) & (one <= 1)).all()
    assert model.training


def test_the_most_uncertain_come_first_and_ties_by_index():
    scores = torch.tensor([0.2, 0.9, 0.2, 0.9, 0.5, 0.2], dtype=torch.float64)
    selection = select("uncertainty", scores[:, None], 0)
    assert selection.order.tolist() == sorted(range(6), key=lambda index: (-scores[index].item(), index))
    assert selection.bins.tolist() == [0] * 6
    with pytest.raises(ValueError, match="one number a patch, not 2"):
        select("uncertainty", scores.reshape(3, 2), 0)


def completed(root, selectors, chains=("cyto_to_histo@uncertain10", "cyto_to_histo@random10")):
    default = demo(root)
    default["selectors"] |= selectors
    default["questions"]["zero_shot"]["chains"] = [{"chain": chain, "label": chain} for chain in chains]
    return complete(default, root)


GONE = object()
ASKING = {"uncertain": {"method": "uncertainty", "recipe": "small", "chain": "cyto@dq7_to_multi", "seed": 5}}


def test_the_model_that_is_asked_is_one_of_the_study(root):
    config = completed(root, ASKING)
    asked, model = ("small", "cyto@dq7_to_multi", 5), ("small", "cyto_to_histo@uncertain10", 0)
    assert study_models(config).count(asked) == 1
    assert asked_for(model, config) == [asked]
    assert asked_for(("small", "histo@uncertain5_to_cyto", 0), config) == [asked]
    ordered = with_parents([model], config)
    assert ordered.index(("small", "cyto@dq7", 5)) < ordered.index(asked) < ordered.index(model)
    assert featured_datasets([model], config) == featured_datasets([], config)
    text = to_markdown(config)
    assert "the model *cyto@dq7_to_multi* (recipe *small*, seed 5) is least certain" in text


def test_models_that_are_asked_may_ask_others(root):
    second = {"method": "uncertainty", "recipe": "small", "chain": "histo@uncertain20"}
    config = completed(root, ASKING | {"other": second}, ("cyto@other10",))
    assert {("small", "histo@uncertain20", 0), ("small", "cyto@dq7_to_multi", 5)} <= set(study_models(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "smal"}, "selectors.uncertain.recipe is 'smal'; did you mean 'small'?"),
        ({"recipe": "foreground"}, "selectors.uncertain.recipe 'foreground' learns foreground"),
        ({"recipe": GONE}, "selectors.uncertain lacks the key 'recipe'"),
        ({"chain": "cito"}, "chain 'cito' names the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"chain": "cyto@"}, "selectors.uncertain.chain: chain 'cyto@'"),
        ({"chain": "histo_to_cyto@uncertain10"}, "needs its own order (uncertain -> uncertain); ask a model"),
        ({"chain": "cyto@other5"}, "needs its own order (uncertain -> other -> uncertain); ask a model"),
        ({"gain": "sum"}, "selectors.uncertain.gain means nothing to the method 'uncertainty'"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    other = {"method": "uncertainty", "recipe": "small", "chain": "cyto@uncertain5"}
    block = ASKING["uncertain"] | changes
    selectors = {"uncertain": {key: value for key, value in block.items() if value is not GONE}}
    with pytest.raises(ConfigError) as caught:
        completed(root, selectors | ({"other": other} if "other" in str(changes) else {}))
    assert message in str(caught.value)


def test_other_selectors_ask_no_model(root):
    with pytest.raises(ConfigError, match=r"selectors\.dq\.chain means nothing to the method 'dq'"):
        completed(root, {"dq": {"method": "dq", "chain": "cyto"}, **ASKING})
