"""Inference of whole real images with one checkpoint: ours beside Cellpose 3's ``eval``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from cellpose.models import CellposeModel
from numpy.typing import NDArray

from frugalseg.data.normalize import normalize, relabel, select_channels
from frugalseg.data.patches import cut
from frugalseg.data.readers import Sample, pairs
from frugalseg.data.stores import ImageWriter, open_images, open_patches
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.prediction import segment_images
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.runtime.device import choose_device
from frugalseg.training.loop import train
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import autocast_type
from frugalseg.training.sampling import Source
from frugalseg.training.stage import build_network, load_network

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = Path(os.environ.get("FRUGALSEG_REAL_DATA", ROOT.parent / "shared/data"))
CACHE = Path(__file__).parent / ".cache"
DATASETS = ("fluo", "histo")

# Cellpose 3's eval only takes networks of these widths.
NETWORK = {"arch": "cpnet", "widths": (32, 64, 128, 256), "channels": 2, "target": "flows", "crop": 112}
RECIPE = Recipe(
    steps=800, crop=NETWORK["crop"], lr=0.05, scale_range=0.75, schedule="warmup", save_every=1000, validate_every=100
)
TRAINING_IMAGES = 150
TRAINING_PATCHES = 1600
BATCH_SIZE = 8
PEER_TILE = 224
WHOLE = 1088

Labels = list[NDArray[np.integer]]


def trained_checkpoint(data: Path = REAL_DATA, folder: Path = CACHE) -> Path:
    """Checkpoint of a default network, trained for ten minutes on real patches unless the folder has it already.

    Parameters
    ----------
    data : Path
        Folder of real images, with the pairs of :data:`DATASETS`.
    folder : Path
        Where the checkpoint, its log and its patches are kept.
    """
    weights = folder / "inference.pt"
    if weights.exists():
        return weights
    with ImageWriter(folder / "images") as writer:
        for dataset in DATASETS:
            for sample in samples(data, dataset, "train", TRAINING_IMAGES):
                writer.add(f"{dataset} {sample.name}", normalize(grey(sample)), relabel(sample.labels))
    images = open_images(folder / "images")
    cut(images, folder / "patches", size=160, stride=96, border="drop", most=TRAINING_PATCHES)
    patches = open_patches(folder / "patches")
    source = Source(" and ".join(DATASETS), patches, np.arange(len(patches)))
    network = build_network(NETWORK, torch.Generator().manual_seed(0))
    state = folder / "state"
    train(network, [source], RECIPE, seed=0, weights=weights, log=folder / "inference.csv", state_folder=state)
    return weights


def inference_calls(
    checkpoint: Path, data: Path = REAL_DATA, images_per_dataset: int = 25, tile: int = PEER_TILE
) -> tuple[Callable[[], Labels], Callable[[], Labels], Callable[[Labels, Labels], Mapping[str, float]]]:
    """Both sides of the comparison over test images of each dataset, evenly spaced in it, and how they agree.

    Both take grey images as they are on disk, normalise them, predict at the scale that the checkpoint was trained
    at, follow the flows for 200 steps, drop cells of a flow error above 0.4 and cells under 15 pixels. Cellpose gets
    ``channels=[0, 0]``, ``diameter`` the network's training diameter, ``batch_size`` 8 and its defaults for all else
    (tiles of 224 pixels that overlap by a tenth, normalisation, resampling to the image's own size, no augmentation).

    Parameters
    ----------
    checkpoint : Path
        Weights of a network of default widths, as :func:`trained_checkpoint` gives them.
    data : Path
        Folder of real images.
    images_per_dataset : int
        Test images of each of :data:`DATASETS`.
    tile : int
        Our tiles. With the peer's, the style of the network is that of the same parts of an image, and so are the
        cells; with :data:`WHOLE` there is less to compute, and an image has one style.

    Returns
    -------
    ours, theirs : callable
        Label images (H, W) of all images.
    agreement : callable
        Their results -> average precision at IoU 0.9 of ours against theirs, as the mean over the images of each
        dataset, by its name.
    """
    images = {
        dataset: [grey(sample) for sample in samples(data, dataset, "test", images_per_dataset)] for dataset in DATASETS
    }
    pixels = [image for part in images.values() for image in part]
    names = [dataset for dataset, part in images.items() for _ in part]
    device = choose_device()
    network = load_network(NETWORK, checkpoint)
    cellpose = CellposeModel(pretrained_model=str(checkpoint), device=device)

    def ours() -> Labels:
        return list(
            segment_images(
                network,
                map(normalize, pixels),
                device=device,
                batch_size=BATCH_SIZE,
                tile=tile,
                rescale=prediction_scale(network),
                dtype=autocast_type("auto", device),
            )
        )

    def theirs() -> Labels:
        return cellpose.eval(
            [image[0] for image in pixels],
            channels=[0, 0],
            diameter=float(network.diam_labels),
            batch_size=BATCH_SIZE,
        )[0]

    def agreement(ours: Labels, theirs: Labels) -> dict[str, float]:
        pairs_of_labels = zip(theirs, ours, strict=True)
        scores = [per_image(reference.astype(np.int32), labels)["ap_90"] for reference, labels in pairs_of_labels]
        return {dataset: float(np.mean(np.array(scores)[np.array(names) == dataset])) for dataset in DATASETS}

    return ours, theirs, agreement


def samples(data: Path, dataset: str, split: str, count: int) -> Iterator[Sample]:
    """Images and labels of one split, evenly spaced in the order of their names."""
    patterns = {kind: f"{split}/{{name}}_{suffix}.tif" for kind, suffix in (("image", "IM"), ("label", "GT"))}
    cases = pairs.find(data / dataset, patterns)
    for index in np.linspace(0, len(cases) - 1, count).round().astype(int):
        yield pairs.load(cases[index])


def grey(sample: Sample) -> NDArray[np.float32]:
    """Pixels (1, H, W) of a sample, colours averaged."""
    return select_channels(sample.pixels, "grey", sample.image)
