"""A few test images segmented by several models, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.prediction import segment_images


@dataclass
class Samples:
    """Test images with their truth and what each model makes of them.

    Attributes
    ----------
    images : dict
        Title -> (C, H, W) float32, normalised.
    truth : list of np.ndarray
        (H, W) int32 label image of each.
    predictions : dict
        Title of the model -> (H, W) int32 label image of each.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    truth: list[np.ndarray] = field(default_factory=list)
    predictions: dict[str, list[np.ndarray]] = field(default_factory=dict)


def segment_samples(
    models: Mapping[str, nn.Module], tests: Mapping[str, Images], count: int, device: torch.device
) -> Samples:
    """Segment images of each test set, evenly spaced in it, by every model.

    Parameters
    ----------
    models : mapping of str to nn.Module
        Title -> network; predictions are made at the scale it was trained at.
    tests : mapping of str to Images
        Name -> test set.
    count : int
        Images of each; all of them where there are fewer.
    device : torch.device
        Where the networks run.
    """
    samples = Samples()
    for name, images in tests.items():
        for index in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int)):
            samples.images[f"{name}: {images.names[index]}"] = images.pixels(index)
            samples.truth.append(images.labels(index))
    for title, model in models.items():
        pixels = list(samples.images.values())
        labels = segment_images(model, pixels, device=device, batch_size=1, rescale=prediction_scale(model))
        samples.predictions[title] = list(labels)
    return samples


def prediction_scale(model: nn.Module) -> float:
    """Factor that brings test images to the scale a network was trained at, ``diam_mean / diam_labels``.

    Cellpose assumes that the cells of the test images are as large as those of the training images. It is 1 for a
    network that was trained without rescaling, and for one that keeps no diameters.
    """
    return float(model.diam_mean / model.diam_labels) if hasattr(model, "diam_mean") else 1.0
