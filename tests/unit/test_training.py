"""The training loop and its parts on discs: what is learnt, logged, written and refused."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from frugalseg import models
from frugalseg.data.stores import Patches
from frugalseg.runtime import provenance
from frugalseg.runtime.files import write_json
from frugalseg.training import checkpoints
from frugalseg.training.loop import train
from frugalseg.training.losses import flow_and_logit_loss
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import autocast_type, zoom_to_diameter
from frugalseg.training.sampling import Batch, Source
from frugalseg.training.validation import crop_centre, magnify_centre, validation_loss

CPU = torch.device("cpu")


def disc_patches(count=12, size=32, channels=1, seed=0, cells=9):
    """One bright disc a patch on a noisy ground, with unit flows to its centre."""
    random = np.random.default_rng(seed)
    axis = np.arange(size)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    images, labels, flows, diameters = [], [], [], []
    for _ in range(count):
        radius, (cy, cx) = random.uniform(4, 9), random.uniform(8, size - 8, 2)
        inside = np.hypot(y - cy, x - cx) < radius
        direction = np.stack([cy - y, cx - x]) / np.maximum(np.hypot(cy - y, cx - x), 1e-6)
        labels.append(inside)
        flows.append(direction * inside)
        images.append(np.repeat((inside + random.normal(0, 0.2, inside.shape))[None], channels, axis=0))
        diameters.append(2 * radius)
    return Patches(
        images=np.reshape(images, (count, channels, size, size)).astype(np.float16),
        labels=np.reshape(labels, (count, size, size)).astype(np.uint16),
        flows=np.reshape(flows, (count, 2, size, size)).astype(np.float16),
        table=pd.DataFrame({"patch": np.arange(count), "cells": cells, "diameter": diameters}),
    )


def network(seed=0, widths=(4, 8), channels=2):
    return models.build("cpnet", channels, 3, widths=widths, generator=torch.Generator().manual_seed(seed))


def run(folder, model=None, patches=None, recipe=None, **keywords):
    patches = patches if patches is not None else disc_patches()
    recipe = recipe or Recipe(steps=6, batch=4, crop=16, schedule="warmup", validate_every=2, precision="float32")
    model = model or network()
    result = train(
        model,
        [Source("discs", patches, np.arange(len(patches)))],
        recipe,
        weights=folder / "model.pt",
        log=folder / "log.csv",
        state_folder=folder / "state",
        **{"seed": 0, "min_cells": 0, **keywords},
    )
    return result, model


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_loss_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    flows = torch.randn(2, 2, 4, 5, generator=generator)
    squares, entropies = [], []
    for b in range(2):
        for y in range(4):
            for x in range(5):
                squares += [(output[b, c, y, x].item() - 5 * flows[b, c, y, x].item()) ** 2 for c in range(2)]
                p = 1 / (1 + math.exp(-output[b, 2, y, x].item()))
                entropies.append(-math.log(p if labels[b, y, x] > 0 else 1 - p))
    expected = 0.5 * np.mean(squares) + np.mean(entropies)
    loss = flow_and_logit_loss(output, labels, flows)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert flow_and_logit_loss(output.bfloat16(), labels, flows).dtype == torch.float32


@pytest.mark.peer
def test_loss_is_that_of_cellpose():
    cellpose = pytest.importorskip("cellpose.train", reason="cellpose<4 is not installed")
    generator = torch.Generator().manual_seed(1)
    output = torch.randn(2, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    flows = torch.randn(2, 2, 8, 8, generator=generator)
    theirs = cellpose._loss_fn_seg(torch.cat([labels[:, None], flows], dim=1).numpy(), output, CPU)
    torch.testing.assert_close(flow_and_logit_loss(output, labels, flows), theirs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns_discs(tmp_path, precision):
    recipe = Recipe(
        steps=60, batch=8, crop=32, schedule="warmup", validate_every=20, precision=precision, scale_range=0.2
    )
    result, model = run(tmp_path, network(widths=(8, 16)), recipe=recipe, validation=[disc_patches(5, seed=7)])
    log = rows(tmp_path / "log.csv")
    assert [row["step"] for row in log] == ["20", "40", "60"]
    assert float(log[-1]["train_loss"]) < 0.7 * float(log[0]["train_loss"])
    assert result.loss == pytest.approx(float(log[-1]["train_loss"]), rel=1e-6)
    assert result.validation_loss == pytest.approx(float(log[-1]["validation_loss"]), rel=1e-6)
    assert result.precision == precision
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    test = disc_patches(6, seed=9)
    images = torch.from_numpy(np.pad(test.images.astype(np.float32), [(0, 0), (0, 1), (0, 0), (0, 0)]))
    with torch.no_grad():
        foreground = model.eval()(images)[:, 2] > 0
    truth = torch.from_numpy(test.labels > 0)
    assert (foreground & truth).sum() / (foreground | truth).sum() > 0.6


def test_same_seed_same_bits_another_seed_others(tmp_path):
    files = {}
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        run(tmp_path / name, seed=seed, validation=[disc_patches(3, seed=7)])
        files[name] = [(tmp_path / name / file).read_bytes() for file in ("model.pt", "log.csv")]
    assert files["first"] == files["again"]
    assert files["first"][0] != files["other"][0]
    assert files["first"][1] != files["other"][1]


def test_validation_changes_nothing(tmp_path):
    _, with_validation = run(tmp_path / "a", validation=[disc_patches(3, seed=7)])
    result, without = run(tmp_path / "b")
    assert math.isnan(result.validation_loss)
    assert rows(tmp_path / "b" / "log.csv")[0]["validation_loss"] == ""
    states = with_validation.state_dict(), without.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_log_holds_rates_and_epochs(tmp_path):
    result, _ = run(tmp_path, recipe=Recipe(epochs=10, batch=4, crop=16, validate_every=9, precision="float32"))
    assert result.steps == 30
    log = rows(tmp_path / "log.csv")
    assert [float(row["epoch"]) for row in log] == pytest.approx([3, 6, 9, 10])
    # Step 9 is the last of epoch 2, and so on; epoch 0 has rate 0, epoch 9 the full one.
    assert [float(row["lr"]) for row in log] == pytest.approx([0.2 / 9, 0.5 / 9, 0.8 / 9, 0.1])
    assert not (tmp_path / "state").exists()


def test_without_momentum(tmp_path):
    recipe = Recipe(steps=4, batch=4, crop=16, schedule="warmup", momentum=0, save_every=1, precision="float32")
    assert math.isfinite(run(tmp_path, recipe=recipe)[0].loss)


@pytest.mark.parametrize("rescale", [False, True])
def test_diameters_are_recorded_for_cellpose(tmp_path, rescale):
    patches = disc_patches()
    recipe = Recipe(steps=1, batch=4, crop=16, schedule="warmup", rescale=rescale, precision="float32")
    _, model = run(tmp_path, patches=patches, recipe=recipe)
    mean = patches.table["diameter"].mean()
    assert model.diam_labels.item() == pytest.approx(mean, rel=1e-6)
    assert model.diam_mean.item() == pytest.approx(30 if rescale else mean, rel=1e-6)


def test_counts_come_back(tmp_path):
    patches = disc_patches(cells=np.arange(12))
    result, _ = run(tmp_path, patches=patches, min_cells=5)
    assert [(count.given, count.left_out, count.used) for count in result.counts] == [(12, 5, 7)]


def test_a_run_that_diverges_is_told(tmp_path):
    recipe = Recipe(steps=40, batch=4, crop=16, lr=1e12, schedule="warmup", validate_every=5, precision="float32")
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        run(tmp_path, recipe=recipe)
    assert not (tmp_path / "model.pt").exists()


def test_recipe_takes_steps_or_epochs_or_compute():
    for wrong in ({}, {"steps": 1, "epochs": 1}, {"epochs": 1, "compute": 0.5}):
        with pytest.raises(ValueError, match="needs 'steps' or 'epochs' or 'compute', and only one of them"):
            Recipe(**wrong)
    recipe = Recipe.of({"arch": "cpnet", "widths": [4], "epochs": 3, "parent": "small", "rescale": True})
    assert (recipe.epochs, recipe.scales, recipe.count_steps(2.5, int)) == (3, 0.5, 8)
    assert Recipe(steps=5).scales == 1.0
    assert Recipe(steps=5, scale_range=0.0).scales == 0.0


def test_precision():
    assert autocast_type("float32", CPU) is None
    assert autocast_type("bfloat16", CPU) == torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    has_bfloat16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    assert autocast_type("auto", CPU) == (torch.bfloat16 if has_bfloat16 else None)
    with pytest.raises(ValueError, match="'half'; known: auto"):
        autocast_type("half", CPU)


def test_zoom_to_diameter():
    assert zoom_to_diameter(torch.tensor([15.0, 30.0, 60.0, 2.0, 0.0]), 30.0).tolist() == [2, 1, 0.5, 6, 1]


def test_validation_loss_is_the_mean_over_patches():
    patches, more = disc_patches(5, size=20, seed=1), disc_patches(2, size=20, seed=2)
    model = network().eval()
    with torch.no_grad():
        loss = validation_loss(
            model, flow_and_logit_loss, [patches, more], batch=2, size=16, channels=2, zoom=None, device=CPU
        )
        single = []
        for store in (patches, more):
            for k in range(len(store)):
                images = torch.zeros(1, 2, 16, 16)
                images[:, 0] = torch.from_numpy(store.images[k : k + 1, 0, 2:18, 2:18].astype(np.float32))
                labels = torch.from_numpy(store.labels[k : k + 1, 2:18, 2:18].astype(np.int32))
                flows = torch.from_numpy(store.flows[k : k + 1, :, 2:18, 2:18].astype(np.float32))
                single.append(flow_and_logit_loss(model(images), labels, flows).item())
    assert loss == pytest.approx(np.mean(single), rel=1e-5)


def test_centre_crop_of_a_patch_that_is_too_small_is_padded():
    batch = Batch(torch.ones(1, 1, 6, 6), torch.ones(1, 6, 6).int(), torch.ones(1, 2, 6, 6), torch.ones(1))
    images, labels, flows = crop_centre(batch, 8)
    assert images.shape == (1, 1, 8, 8)
    assert images.sum() == labels.sum() == 36
    assert flows[0, 0, 0].sum() == 0


def test_magnifying_keeps_the_centre_and_scales_what_is_there():
    square = torch.zeros(2, 16, 16, dtype=torch.int32)
    square[:, 6:10, 6:10] = 7
    flows = torch.stack([square > 0, square < 0], dim=1).float()
    batch = Batch(square[:, None].float(), square, flows, torch.ones(2))
    images, labels, flows = magnify_centre(batch, 16, torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(images[0, 0], square[0].float())
    assert torch.equal(labels[0], square[0])
    larger = torch.zeros(16, 16, dtype=torch.int32)
    larger[4:12, 4:12] = 7
    assert torch.equal(labels[1], larger)
    assert torch.equal(flows[1, 0] > 0, larger > 0)


def test_checkpoint_comes_back(tmp_path):
    checkpoints.save(network(3), tmp_path / "deep" / "model.pt")
    model = network(4)
    checkpoints.load(tmp_path / "deep" / "model.pt", model)
    saved = network(3).state_dict()
    assert all(torch.equal(saved[name], tensor) for name, tensor in model.state_dict().items())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.pt"]


def test_checkpoints_that_do_not_fit_are_told(tmp_path):
    path = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"model\.pt: there is no such checkpoint"):
        checkpoints.load(path, network())
    for content in (b"", b"no checkpoint", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.pt: this is not a checkpoint"):
            checkpoints.load(path, network())
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="dictionary of tensors"):
        checkpoints.load(path, network())
    checkpoints.save(network(widths=(4, 6)), path)
    before = network().state_dict()
    model = network()
    name = r"downsample\.down\.res_down_1\.conv\.conv_0\.2\.weight"
    with pytest.raises(ValueError, match=rf"'{name}' is \(6, 4, 3, 3\) there and \(8, 4, 3, 3\) in"):
        checkpoints.load(path, model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    checkpoints.save(network(widths=(4, 8, 8)), path)
    with pytest.raises(ValueError, match=r"'downsample\.down\.res_down_2.* is not in the network"):
        checkpoints.load(path, network())
    checkpoints.save(network(), path)
    with pytest.raises(ValueError, match=r"has no parameter 'downsample\.down\.res_down_2"):
        checkpoints.load(path, network(widths=(4, 8, 8)))


def test_provenance_is_json(tmp_path):
    description = provenance.describe(
        chain="cyto@dq10", recipe="small", config={"steps": 3}, seed=1, device="cpu", seconds=2.5
    )
    write_json(description, tmp_path / "model.json")
    read = json.loads((tmp_path / "model.json").read_text())
    assert read == description
    assert (
        read["versions"]["torch"] == torch.__version__.split("+")[0] or read["versions"]["torch"] == torch.__version__
    )
    assert read["threads"] == torch.get_num_threads()
    assert {"chain", "recipe", "config", "seed", "revision", "device", "seconds"} <= set(read)


def test_the_loop_imports_nothing_heavy():
    heavy = ["scipy", "skimage", "sklearn", "matplotlib", "transformers", "cellpose", "torchvision"]
    code = f"import sys, frugalseg.training.loop; print([m for m in {heavy} if m in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


def test_a_study_may_watch_no_patches(tmp_path):
    result, _ = run(tmp_path, validation=[disc_patches(0)])
    assert math.isnan(result.validation_loss)
    assert {row["validation_loss"] for row in rows(tmp_path / "log.csv")} == {""}
