"""Multi: several modalities in one data set, grey and colour, dark and bright cells."""

import numpy as np

from frugalseg.data.synthetic import cyto
from frugalseg.data.synthetic.optics import blur, cloud, expose, fibres, illumination, transmit
from frugalseg.data.synthetic.shapes import Population, draw_scene, soft_discs

ROMANOWSKY = (np.array([0.62, 0.72, 0.31]), np.array([0.20, 0.80, 0.57]))
"""Optical density of the blue and the red dye of a blood smear in red, green and blue, unit length."""

Drawn = tuple[np.ndarray, np.ndarray]
"""An image, uint8, (size, size) or (size, size, 3), and its label image, int32."""


def _bacteria(rng: np.random.Generator, size: int) -> Drawn:
    """Draw rods in phase contrast: dark, in colonies, with a bright halo."""
    population = Population(
        diameter=rng.uniform(10, 13),
        cover=rng.uniform(0.2, 0.45),
        elongation=rng.uniform(2.5, 4.0),
        lobes=0.0,
        bend=0.4,
        power=4.0,
        angle=rng.uniform(0, np.pi),
        alignment=rng.uniform(0.2, 0.9),
        gap=rng.uniform(0.75, 0.95),
        clustering=0.9,
    )
    scene = draw_scene(rng, size, population)
    body = np.where(scene.inside, -0.3 - 0.1 * scene.dome, 0.25 * np.exp(-scene.edge / rng.uniform(2, 4)))
    light = 0.5 + body * scene.vary(rng, 0.15) + 0.03 * cloud(rng, size, 15)
    return _photograph(rng, light, sharpness=(0.5, 1.0)), scene.labels


def _rims(rng: np.random.Generator, size: int) -> Drawn:
    """Draw transparent cells in brightfield: a dark rim, a bright one within, grains."""
    population = Population(
        diameter=rng.uniform(16, 28),
        cover=rng.uniform(0.3, 0.6),
        elongation=rng.uniform(1.0, 1.5),
        lobes=rng.uniform(0.03, 0.12),
        gap=rng.uniform(0.9, 1.05),
        clustering=0.6,
        least=6,
    )
    scene = draw_scene(rng, size, population)
    dark = np.exp(-((scene.edge / 1.3) ** 2))
    bright = np.exp(-(((scene.edge - 3) / 1.3) ** 2))
    grains = 0.05 * cloud(rng, size, 1.5)
    cells = scene.inside * (0.18 * bright + grains - 0.3 * dark) * scene.vary(rng, 0.3)
    dirt = 0.3 * soft_discs(rng, size, rng.poisson(4), (1, 3), 0.8)
    light = 0.6 + cells - dirt + 0.04 * cloud(rng, size, 20)
    return _photograph(rng, light, sharpness=(0.5, 1.2)), scene.labels


def _blood(rng: np.random.Generator, size: int) -> Drawn:
    """Draw a blood smear in colour: red cells with a pale centre, the largest cells white ones with a nucleus."""
    population = Population(
        diameter=rng.uniform(22, 30),
        cover=rng.uniform(0.35, 0.6),
        spread=0.15,
        elongation=1.1,
        lobes=0.03,
        gap=rng.uniform(0.85, 1.05),
        nucleus=0.65,
        least=5,
    )
    scene = draw_scene(rng, size, population)
    white = (scene.areas > np.quantile(scene.areas[1:], rng.uniform(0.8, 0.95)))[scene.labels] & scene.inside
    pallor = 1 - rng.uniform(0.2, 0.6) * np.exp(-((scene.radius / 0.45) ** 2))
    haemoglobin = (scene.inside & ~white) * pallor * scene.vary(rng, 0.1) * scene.layers
    grains = np.clip(1 + 0.3 * cloud(rng, size, 1.3), 0, None)
    nucleus = white & (scene.nucleus < 1)
    azure = np.where(nucleus, 1.1, 0.25 * white) * grains
    eosin = 0.06 + rng.uniform(0.25, 0.6) * haemoglobin + 0.15 * white * grains
    slide = transmit(blur(azure, 0.7), blur(eosin, 0.7), ROMANOWSKY)
    light = slide * rng.uniform([0.9, 0.85, 0.7], [1.0, 0.95, 0.95])
    return _photograph(rng, light, sharpness=(0.4, 1.0)), scene.labels


def _yeast(rng: np.random.Generator, size: int) -> Drawn:
    """Draw budding yeast: round cells of two sizes in chains, a bright rim around a grey body with a vacuole."""
    population = Population(
        diameter=rng.uniform(11, 17),
        cover=rng.uniform(0.25, 0.45),
        spread=0.3,
        elongation=1.15,
        lobes=0.0,
        gap=1.0,
        clustering=0.92,
        nucleus=0.4,
    )
    scene = draw_scene(rng, size, population)
    rim = np.exp(-((scene.edge / 1.2) ** 2))
    body = np.where(scene.nucleus < 1, 0.12, -0.12) * (0.5 + 0.5 * scene.dome)
    shadow = -0.2 * np.exp(-(((scene.edge - 2) / 1.5) ** 2)) * ~scene.inside
    light = 0.5 + scene.inside * (0.35 * rim + body) * scene.vary(rng, 0.2) + shadow + 0.03 * cloud(rng, size, 15)
    return _photograph(rng, light, sharpness=(0.5, 1.0)), scene.labels


def _negative(rng: np.random.Generator, size: int) -> Drawn:
    """Draw a fluorescence image and print its negative: most looks give dark cells on white."""
    image, labels = cyto.LOOKS[rng.integers(len(cyto.LOOKS))](rng, size)
    return image.max() - image, labels


def _two_stains(rng: np.random.Generator, size: int) -> Drawn:
    """Draw fluorescence in colour: nuclei blue, the cell body green or red."""
    population = Population(
        diameter=rng.uniform(17, 27),
        cover=rng.uniform(0.4, 0.65),
        spread=0.2,
        elongation=rng.uniform(1.0, 1.6),
        lobes=rng.uniform(0.05, 0.15),
        gap=rng.uniform(0.85, 1.0),
        least=6,
    )
    scene = draw_scene(rng, size, population)
    stripes = fibres(rng, size, rng.uniform(0, np.pi), 1.8, 8.0)
    body = scene.inside * (0.25 + 0.4 * stripes) * scene.vary(rng, 0.3)
    nuclei = (scene.nucleus < 1) * 0.8 * np.clip(1 + 0.2 * cloud(rng, size, 1.5), 0, None) * scene.vary(rng, 0.2)
    light = np.zeros((size, size, 3))
    light[..., rng.integers(2)] = body
    light[..., 2] = nuclei
    return _photograph(rng, 0.04 + light + 0.1 * blur(light, 6), sharpness=(0.6, 1.3)), scene.labels


def _photograph(rng: np.random.Generator, light: np.ndarray, sharpness: tuple[float, float]) -> np.ndarray:
    """Take a picture of (size, size) or (size, size, 3) brightness with uneven light, blur and noise."""
    uneven = illumination(rng, len(light), rng.uniform(0.0, 0.4))
    lit = light * (uneven if light.ndim == 2 else uneven[..., None])
    return expose(rng, blur(lit, rng.uniform(*sharpness)), np.exp(rng.uniform(np.log(150), np.log(3000))), 0.01)


LOOKS = (_bacteria, _rims, _blood, _yeast, _negative, _two_stains)
"""The deck of six modalities."""
