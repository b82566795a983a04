"""Cyto: fluorescence in many looks, bright cells on a dark ground for the most part.

What is stained (the look), how cells are shaped, how they lie and how the picture was taken are drawn independently of
one another, so that a few images do not cover the domain.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from frugalseg.data.synthetic.optics import blur, cloud, expose, fibres, illumination
from frugalseg.data.synthetic.shapes import Population, Scene, draw_scene, soft_discs

SHAPES = (
    {"diameter": (9, 13), "elongation": (1.0, 1.3), "lobes": (0.0, 0.06)},
    {"diameter": (13, 20), "elongation": (1.0, 1.3), "lobes": (0.0, 0.05)},
    {"diameter": (13, 19), "elongation": (1.3, 1.8), "lobes": (0.02, 0.08), "bend": (0.0, 0.6)},
    {"diameter": (12, 17), "elongation": (2.0, 3.2), "lobes": (0.0, 0.06), "bend": (0.0, 0.8), "alignment": (0.0, 0.9)},
    {"diameter": (15, 23), "elongation": (1.0, 1.5), "lobes": (0.1, 0.18)},
    {"diameter": (24, 32), "elongation": (1.1, 1.5), "lobes": (0.04, 0.15)},
)
"""Ranges of the outlines, from small and round to large and lobed."""

LAYOUTS = (
    {"cover": (0.15, 0.3), "gap": (1.05, 1.3), "clustering": (0.0, 0.2)},
    {"cover": (0.25, 0.45), "gap": (0.85, 1.0), "clustering": (0.8, 0.97)},
    {"cover": (0.45, 0.65), "gap": (0.8, 0.95), "clustering": (0.3, 0.9)},
)
"""Ranges of the arrangement: apart, in islands, crowded."""


def _nuclei(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint chromatin: a filled disc, mottled."""
    chromatin = 1 + rng.uniform(0.05, 0.35) * cloud(rng, len(scene.labels), rng.uniform(1.0, 2.0))
    return scene.inside * (0.6 + 0.4 * scene.dome) * chromatin


def _cytoplasm(rng: np.random.Generator, scene: Scene, nucleus: tuple[float, float]) -> np.ndarray:
    """Paint a filled cell with a nucleus whose brightness relative to the cytoplasm lies in the range `nucleus`."""
    mottle = 1 + rng.uniform(0.05, 0.3) * cloud(rng, len(scene.labels), rng.uniform(1.5, 3.0))
    flat = rng.uniform(0.2, 0.9)
    body = scene.inside * (flat + (1 - flat) * scene.dome) * mottle
    return body * np.where(scene.nucleus < 1, rng.uniform(*nucleus), 1.0)


def _membrane(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint the outline and next to nothing within."""
    width = rng.uniform(0.9, 1.8)
    patchy = np.clip(1 + 0.4 * cloud(rng, len(scene.labels), 4.0), 0.2, None)
    return scene.inside * (np.exp(-((scene.edge / width) ** 2)) * patchy + rng.uniform(0.02, 0.2))


def _granules(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint vesicles: bright grains in a faint cell that leave the nucleus out."""
    grains = np.clip(cloud(rng, len(scene.labels), rng.uniform(0.8, 1.4)) - rng.uniform(0.5, 1.2), 0, None)
    return scene.inside * (rng.uniform(0.2, 0.35) + 0.6 * grains * (scene.nucleus > 1))


def _filaments(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint a cytoskeleton: stripes through each cell and a stronger cortex."""
    stripes = fibres(rng, len(scene.labels), rng.uniform(0, np.pi), rng.uniform(1.2, 2.0), 8.0)
    cortex = rng.uniform(0.0, 0.6) * np.exp(-scene.edge)
    return scene.inside * (0.15 + stripes**2 + cortex)


def _vacuoles(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint a cell full of droplets that stay dark: it is a net rather than a disc."""
    droplets = cloud(rng, len(scene.labels), rng.uniform(1.6, 2.6)) > rng.uniform(-0.3, 0.3)
    return scene.inside * np.where(droplets & (scene.edge > 1), 0.15, 0.8)


def _caps(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint a bright cap on one side of a faint cell: a polarised protein, an organelle beside the nucleus."""
    beside = np.clip(scene.nucleus - rng.uniform(1.0, 1.3), 0, 1)
    return scene.inside * (rng.uniform(0.2, 0.35) + beside**2)


def _exclusion(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint the medium and leave the cells out, which keep the dye away, but for a trace on their outline."""
    rim = rng.uniform(0.0, 0.3) * np.exp(-((scene.edge / 1.3) ** 2))
    return np.where(scene.inside, rng.uniform(0.2, 0.5) - 0.15 * scene.dome + rim, 0.8)


def _population(rng: np.random.Generator) -> Population:
    """Draw the cells of an image: a shape and a layout, independent of each other."""
    ranges = SHAPES[rng.integers(len(SHAPES))] | LAYOUTS[rng.integers(len(LAYOUTS))]
    drawn = {name: rng.uniform(*bounds) for name, bounds in ranges.items()}
    return Population(
        **drawn, spread=rng.uniform(0.05, 0.3), angle=rng.uniform(0, np.pi), nucleus=rng.uniform(0.4, 0.65)
    )


def _debris(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw what floats above the cells, out of focus, and specks of dirt in focus."""
    floating = rng.uniform(0.2, 0.6) * soft_discs(rng, size, rng.poisson(5), (4, 16), 1.6)
    specks = soft_discs(rng, size, rng.poisson(8), (0.8, 2.2), 0.8)
    return np.maximum(floating, rng.uniform(0.4, 1.0) * specks)


def _matrix(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw fibres that shine by themselves, as bright as cells."""
    threads = fibres(rng, size, rng.uniform(0, np.pi), rng.uniform(1.5, 3.0), rng.uniform(4, 14))
    return rng.uniform(0.6, 1.6) * np.clip(threads - rng.uniform(0.55, 0.75), 0, None)


def _other_plane(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw cells of another focal plane: blurred, hence not labelled."""
    layer = draw_scene(rng, size, replace(_population(rng), cover=rng.uniform(0.1, 0.3), least=2))
    return rng.uniform(0.4, 0.8) * blur(layer.inside * layer.vary(rng, 0.3), rng.uniform(3.0, 5.0))


def _slope(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a ground that is brighter on one side: stray light, a thick gel."""
    return rng.uniform(0.2, 0.8) * illumination(rng, size, 1.0)


def _nothing(rng: np.random.Generator, size: int) -> np.ndarray:
    """Leave the ground clean."""
    return np.zeros((size, size))


SURROUNDINGS = (_debris, _matrix, _other_plane, _slope, _nothing)
"""What shines besides the cells, one to an image."""


def _ground(rng: np.random.Generator, cells: np.ndarray) -> np.ndarray:
    """Draw the light that reaches every image: camera offset, uneven medium, haze of the cells themselves."""
    size = len(cells)
    uneven = rng.uniform(0.02, 0.2) + rng.uniform(0.0, 0.06) * cloud(rng, size, size / 8)
    return uneven + rng.uniform(0.0, 0.5) * blur(cells, rng.uniform(4, 10))


def _draw(
    rng: np.random.Generator, size: int, stain: Callable[[np.random.Generator, Scene], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one fluorescence image (size, size) uint8 and its label image int32."""
    scene = draw_scene(rng, size, _population(rng))
    overlap = 1 + 0.3 * np.clip(scene.layers - 1, 0, 2)
    cells = stain(rng, scene) * scene.vary(rng, rng.uniform(0.1, 0.5)) * overlap
    surroundings = SURROUNDINGS[rng.integers(len(SURROUNDINGS))](rng, size)
    light = (cells + surroundings + _ground(rng, cells)) * illumination(rng, size, rng.uniform(0.0, 0.7))
    light = blur(light, rng.uniform(0.5, 1.6))
    # The exposure leaves some pictures dark and a few cells saturated.
    light *= np.exp(rng.uniform(np.log(0.25), np.log(1.1))) / np.percentile(light, 99.5)
    return expose(rng, light, np.exp(rng.uniform(np.log(100), np.log(1500))), rng.uniform(0.0, 0.015)), scene.labels


LOOKS = tuple(
    partial(_draw, stain=stain)
    for stain, share in (
        (_nuclei, 3),
        (partial(_cytoplasm, nucleus=(1.3, 2.5)), 2),
        (partial(_cytoplasm, nucleus=(0.1, 0.6)), 2),
        (_membrane, 2),
        (_granules, 2),
        (_exclusion, 1),
        (_filaments, 1),
        (_vacuoles, 1),
        (_caps, 1),
    )
    for _ in range(share)
)
"""The deck of fifteen: common looks several times, rare ones once."""
