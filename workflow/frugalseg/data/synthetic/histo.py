"""Histo: tissue stained with haematoxylin and eosin, dark nuclei on a bright ground, in colour."""

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import ndimage

from frugalseg.data.synthetic.optics import EOSIN, HAEMATOXYLIN, blur, cloud, expose, fibres, illumination, transmit
from frugalseg.data.synthetic.shapes import Population, Scene, draw_scene, soft_discs

Tissue = tuple[Scene, np.ndarray]
"""The nuclei, and the amount of eosin (size, size) of what lies around them."""


def _tumour(rng: np.random.Generator, size: int) -> Tissue:
    """Crowded, large, uneven nuclei in a mottled cytoplasm with cracks."""
    population = Population(
        diameter=rng.uniform(14, 20),
        cover=rng.uniform(0.35, 0.55),
        spread=0.25,
        elongation=rng.uniform(1.1, 1.5),
        lobes=rng.uniform(0.04, 0.1),
        gap=rng.uniform(0.85, 1.0),
    )
    cytoplasm = 0.45 + 0.1 * cloud(rng, size, 5) + 0.08 * cloud(rng, size, 1.2)
    cracks = np.clip(1.6 - 8 * np.abs(cloud(rng, size, 9)), 0, 1)
    return draw_scene(rng, size, population), cytoplasm * (1 - 0.8 * cracks)


def _stroma(rng: np.random.Generator, size: int) -> Tissue:
    """Spindle nuclei along the fibres of connective tissue."""
    angle = rng.uniform(0, np.pi)
    population = Population(
        diameter=rng.uniform(10, 14),
        cover=rng.uniform(0.15, 0.3),
        spread=0.2,
        elongation=rng.uniform(1.8, 3.2),
        bend=0.5,
        angle=angle,
        alignment=0.8,
        gap=0.9,
        clustering=0.2,
    )
    bundles = fibres(rng, size, angle, rng.uniform(2.0, 4.0), rng.uniform(4, 14))
    return draw_scene(rng, size, population), 0.1 + 0.7 * bundles + 0.06 * cloud(rng, size, 1.0)


def _glands(rng: np.random.Generator, size: int) -> Tissue:
    """Nuclei that line pale openings, stroma between."""
    opening = cloud(rng, size, size / 14) - rng.uniform(0.7, 1.1)
    distance = ndimage.distance_transform_edt(opening < 0)
    lining = np.exp(-(((distance - 9) / 6) ** 2))
    population = Population(
        diameter=rng.uniform(11, 15),
        cover=0.4,
        elongation=rng.uniform(1.2, 1.7),
        gap=rng.uniform(0.85, 0.95),
        clustering=0.4,
    )
    scene = draw_scene(rng, size, population, density=np.where(distance > 3, np.maximum(lining, 0.12), 0))
    around = 0.35 + 0.35 * fibres(rng, size, rng.uniform(0, np.pi), 3.0, 10.0) * (distance > 16)
    return scene, around * np.clip(distance / 2, 0.05, 1) + 0.05 * cloud(rng, size, 1.2)


def _lymphoid(rng: np.random.Generator, size: int) -> Tissue:
    """Small, round, crowded nuclei."""
    population = Population(
        diameter=rng.uniform(9, 12),
        cover=rng.uniform(0.4, 0.6),
        spread=0.12,
        elongation=1.1,
        gap=rng.uniform(0.88, 1.0),
    )
    return draw_scene(rng, size, population), 0.3 + 0.12 * cloud(rng, size, 4) + 0.08 * cloud(rng, size, 1.2)


def _smear(rng: np.random.Generator, size: int) -> Tissue:
    """Loose cells in clumps on an almost clean slide."""
    population = Population(
        diameter=rng.uniform(13, 19),
        cover=rng.uniform(0.2, 0.35),
        spread=0.25,
        elongation=1.3,
        lobes=rng.uniform(0.06, 0.14),
        gap=rng.uniform(0.75, 0.95),
        clustering=0.9,
    )
    scene = draw_scene(rng, size, population)
    cytoplasm = 0.35 * np.exp(-scene.edge / 4) * (cloud(rng, size, 6) > -0.5)
    return scene, 0.08 + cytoplasm + 0.04 * cloud(rng, size, 8)


def _nuclear_stain(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Paint the haematoxylin of nuclei: some pale with a dark rim and grains, some dark all over."""
    size = len(scene.labels)
    grains = np.clip(1 + 0.35 * cloud(rng, size, 1.2), 0.2, None)
    rim = np.exp(-((scene.edge / 1.5) ** 2))
    vesicular = (0.5 + 0.6 * rim) * grains
    solid = 0.9 + 0.25 * (grains - 1)
    pale = scene.vary(rng, 1.0) > np.exp(rng.uniform(-1.5, 1.5))
    overlap = 1 + 0.35 * np.clip(scene.layers - 1, 0, 2)
    return scene.inside * np.where(pale, vesicular, solid) * scene.vary(rng, 0.3) * overlap


def _stains(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vary the colours of the two stains: laboratories differ."""
    varied = []
    for stain in (HAEMATOXYLIN, EOSIN):
        colour = np.clip(stain + 0.08 * rng.standard_normal(3), 0.02, None)
        varied.append(colour / np.linalg.norm(colour))
    return varied[0], varied[1]


def _draw(
    rng: np.random.Generator, size: int, tissue: Callable[[np.random.Generator, int], Tissue]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one tissue image (size, size, 3) uint8 and its label image int32."""
    scene, eosin = tissue(rng, size)
    smudges = soft_discs(rng, size, rng.poisson(8), (3, 9), 1.2)
    red_cells = soft_discs(rng, size, rng.poisson(6), (4, 6), 0.3)
    basophilia = np.clip(
        rng.uniform(0.0, 0.35) * (1 + 0.7 * cloud(rng, size, 12) + 0.4 * cloud(rng, size, 2.0)), 0, None
    )
    haematoxylin = rng.uniform(0.6, 1.4) * _nuclear_stain(rng, scene) + basophilia + rng.uniform(0.3, 0.9) * smudges
    eosin = np.clip(np.where(scene.inside, 0.2 + 0.7 * eosin, np.maximum(eosin, 0.9 * red_cells)), 0, None)
    slide = transmit(blur(haematoxylin, 0.6), rng.uniform(0.5, 1.2) * eosin, _stains(rng))
    light = 0.95 * slide * illumination(rng, size, rng.uniform(0.0, 0.25))[..., None]
    return expose(rng, blur(light, rng.uniform(0.4, 1.2)), 2000, rng.uniform(0.005, 0.02)), scene.labels


LOOKS = tuple(partial(_draw, tissue=tissue) for tissue in (_tumour, _stroma, _glands, _lymphoid, _smear))
"""The deck of five."""
