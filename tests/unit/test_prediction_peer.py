"""Flows, logits and cells of real images beside those of Cellpose 3's ``eval`` with the same weights."""

import itertools

import numpy as np
import pytest
import torch

from frugalseg.data.normalize import normalize, relabel, select_channels
from frugalseg.data.readers import pairs
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.prediction import predict, segment
from frugalseg.kernels.flows import labels_to_flows
from frugalseg.models import build
from frugalseg.training import checkpoints

pytestmark = [pytest.mark.real, pytest.mark.peer]


@pytest.fixture(scope="module")
def samples(real_data):
    """The first three small test images of both datasets with their labels; sides are multiples of 16."""
    found = []
    for dataset in ("fluo", "histo"):
        cases = pairs.find(real_data / dataset, {"image": "test/{name}_IM.tif", "label": "test/{name}_GT.tif"})
        small = (sample for sample in map(pairs.load, cases) if max(sample.labels.shape) <= 320)
        found += itertools.islice(small, 3)
    assert all(side % 16 == 0 for sample in found for side in sample.labels.shape)
    return found


@pytest.fixture(scope="module")
def network():
    """A network whose outputs have some spread: running statistics as training would leave them."""
    generator = torch.Generator().manual_seed(0)
    network = build("cpnet", 2, 3, generator=generator)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(torch.randn(2, 2, 64, 64, generator=generator))
        network.output[2].weight.mul_(4)
    return network


def test_whole_images_as_cellpose_predicts_them(samples, network, tmp_path):
    models = pytest.importorskip("cellpose.models", reason="cellpose<4 is not installed")
    checkpoints.save(network, tmp_path / "model.pt")
    cellpose = models.CellposeModel(pretrained_model=str(tmp_path / "model.pt"), device=torch.device("cpu"))
    greys = [select_channels(sample.pixels, "grey", sample.image)[:, :96, :128] for sample in samples]
    for index, (flows, logits) in predict(network, map(normalize, greys), device="cpu", batch_size=2):
        # Tiles as large as the image: Cellpose's own results depend on how it is tiled.
        _, theirs, _ = cellpose.eval(greys[index][0], channels=[0, 0], diameter=30, bsize=1024, compute_masks=False)
        assert np.abs(theirs[1]).mean() > 0.05
        np.testing.assert_allclose(5 * flows, theirs[1], atol=2e-3)
        np.testing.assert_allclose(logits, theirs[2], atol=2e-3)


def test_cells_as_cellpose_finds_them(samples):
    """The flows of the real cells, as far off as those of a trained network."""
    dynamics = pytest.importorskip("cellpose.dynamics", reason="cellpose<4 is not installed")
    generator = np.random.default_rng(0)
    scores = []
    for sample in samples:
        labels = relabel(sample.labels)
        noise = generator.normal(size=(3, *labels.shape)).astype(np.float32)
        flows = labels_to_flows(torch.from_numpy(labels)[None])[0].numpy() + 0.2 * noise[:2]
        logits = np.where(labels > 0, 4, -4).astype(np.float32) + noise[2]
        theirs = dynamics.resize_and_compute_masks(5 * flows, logits, device=torch.device("cpu"))
        scores.append(per_image(theirs.astype(np.int32), segment((flows, logits)))["ap_90"])
    assert np.mean(scores) >= 0.99
