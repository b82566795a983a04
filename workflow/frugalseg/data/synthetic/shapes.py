"""Outlines of cells, where they lie, and the label image they make."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import find_boundaries

SMALLEST_CELL = 9
"""Pixels; what is left of a cell below this is not labelled."""

WINDOW = 96
"""Side in pixels of the window in which `Population.least` cells are expected."""

OUTSIDE = 10.0
"""Relative radius given to background pixels: far outside any outline (1)."""

CANDIDATES = 24
"""Places tried for a cell before it is left out."""


@dataclass(frozen=True)
class Population:
    """The sizes, outlines and arrangement of the cells of one image."""

    diameter: float
    """Median equivalent diameter, pixels."""
    cover: float
    """Part of the image the cells are to cover, 0 to 1."""
    spread: float = 0.15
    """Standard deviation of the logarithm of the diameter."""
    elongation: float = 1.0
    """Mean ratio of long to short axis, 1 or more."""
    lobes: float = 0.05
    """Amplitude of the ripples of the outline, relative to the radius."""
    bend: float = 0.0
    """Curvature of the long axis: its sagitta relative to the short radius."""
    power: float = 2.0
    """Exponent of the superellipse: 2 an ellipse, 4 a rod with flat sides."""
    angle: float = 0.0
    """Common direction of the long axes, radians."""
    alignment: float = 0.0
    """How closely they follow it: 0 not at all, 1 exactly."""
    gap: float = 0.9
    """Smallest distance between centres relative to the sum of the radii; below 1 cells overlap."""
    clustering: float = 0.5
    """Probability that a cell is put beside another one instead of anywhere."""
    nucleus: float = 0.5
    """Radius of the nucleus relative to the cell's."""
    least: float = 8.0
    """Cells per window of 96 x 96 pixels below which `cover` is exceeded."""


@dataclass(frozen=True)
class Scene:
    """Cells seen from above, as maps of shape (size, size)."""

    labels: np.ndarray
    """0 background, 1..n cells."""
    radius: np.ndarray
    """Relative radius in the pixel's own cell: 0 centre, 1 outline; 10 in the background."""
    nucleus: np.ndarray
    """The same for the cell's nucleus: 1 on its outline."""
    edge: np.ndarray
    """Distance in pixels to the nearest outline pixel of any cell."""
    layers: np.ndarray
    """Number of cells lying over one another; 0 in the background."""

    @property
    def inside(self) -> np.ndarray:
        """True in cells."""
        return self.labels > 0

    @property
    def dome(self) -> np.ndarray:
        """Thickness of a cell that rests on the glass: 1 in its centre, 0 at its outline and outside."""
        return np.sqrt(np.clip(1 - self.radius**2, 0, None))

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each label, (n + 1,), the background's first."""
        return np.bincount(self.labels.ravel())

    def vary(self, rng: np.random.Generator, spread: float) -> np.ndarray:
        """Draw a factor around 1 for each cell (log-normal, `spread` of the logarithm) and spread it over its pixels."""
        return np.exp(spread * rng.standard_normal(self.labels.max() + 1))[self.labels]


def draw_scene(rng: np.random.Generator, size: int, population: Population, density: np.ndarray | None = None) -> Scene:
    """Place and draw the cells of a population; later cells lie above earlier ones.

    `density` (size, size) is the probability that a cell is accepted with its centre at a pixel.
    """
    labels = np.zeros((size, size), np.int32)
    radius = np.full((size, size), OUTSIDE)
    nucleus = np.full((size, size), OUTSIDE)
    layers = np.zeros((size, size), np.int32)
    centres, radii = _scatter(rng, size, population, density)
    for number, (centre, cell_radius) in enumerate(zip(centres, radii, strict=True), start=1):
        window, own_radius, own_nucleus = _cell(rng, size, centre, cell_radius, population)
        inside = own_radius < 1
        labels[window][inside] = number
        radius[window][inside] = own_radius[inside]
        nucleus[window][inside] = own_nucleus[inside]
        layers[window] += inside
    labels = settle(labels)
    background = labels == 0
    radius[background] = nucleus[background] = OUTSIDE
    layers[background] = 0
    return Scene(labels, radius, nucleus, _distance_to_outline(labels), layers)


def settle(labels: np.ndarray) -> np.ndarray:
    """Keep the largest 4-connected piece of each cell, drop what is below 9 pixels and number the rest 1..n, as int32."""
    pieces = label(labels, connectivity=1)
    areas = np.bincount(pieces.ravel())
    owners = np.zeros(len(areas), labels.dtype)
    owners[pieces] = labels
    by_area = np.argsort(areas[1:], kind="stable") + 1
    largest = np.zeros(labels.max() + 1, np.intp)
    largest[owners[by_area]] = by_area  # the last one written, hence the largest, stays
    kept = largest[1:]
    kept = kept[(kept > 0) & (areas[kept] >= SMALLEST_CELL)]
    numbers = np.zeros(len(areas), np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[pieces]


def soft_discs(
    rng: np.random.Generator, size: int, count: int, radius: tuple[float, float], softness: float
) -> np.ndarray:
    """Discs at random places, (size, size) from 0 to 1: debris, specks, red cells; the higher value where they overlap.

    `radius` is the range of the radii in pixels, `softness` the slope of the edge relative to it: 0.1 sharp, 1 out of focus.
    """
    field = np.zeros((size, size))
    y, x = np.ogrid[:size, :size]
    for _ in range(count):
        centre_y, centre_x = rng.uniform(0, size, 2)
        relative = np.hypot(y - centre_y, x - centre_x) / rng.uniform(*radius)
        np.maximum(field, np.clip((1 + softness / 2 - relative) / softness, 0, 1), out=field)
    return field


def _scatter(
    rng: np.random.Generator, size: int, population: Population, density: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Choose centres (n, 2) in pixels (y, x) and radii (n,) so that no two centres are closer than the gap allows."""
    margin = population.diameter / 3
    side = size + 2 * margin
    per_area = max(population.cover / (np.pi * population.diameter**2 / 4), population.least / WINDOW**2)
    wanted = round(per_area * side**2)
    radii = population.diameter / 2 * np.exp(population.spread * rng.standard_normal(wanted))
    centres = np.empty((wanted, 2))
    placed = np.empty(wanted)
    count = 0
    for radius in radii:
        candidates = _candidates(rng, size, margin, population, centres[:count], placed[:count], radius)
        apart = np.linalg.norm(candidates[:, None] - centres[:count], axis=2)
        # A hair less than the gap, so that a cell put exactly at the gap beside another one is accepted.
        free = (apart >= 0.99 * population.gap * (placed[:count] + radius)).all(axis=1)
        free &= ((candidates >= -margin) & (candidates <= size + margin)).all(axis=1)
        if density is not None:
            y, x = np.clip(candidates, 0, size - 1).astype(int).T
            free &= rng.random(CANDIDATES) < density[y, x]
        if free.any():
            centres[count] = candidates[free.argmax()]
            placed[count] = radius
            count += 1
    return centres[:count], placed[:count]


def _candidates(
    rng: np.random.Generator,
    size: int,
    margin: float,
    population: Population,
    centres: np.ndarray,
    radii: np.ndarray,
    radius: float,
) -> np.ndarray:
    """Draw places (CANDIDATES, 2) for one more cell, anywhere or beside one that is placed."""
    anywhere = rng.uniform(-margin, size + margin, (CANDIDATES, 2))
    if len(centres) == 0:
        return anywhere
    neighbour = rng.integers(len(centres), size=CANDIDATES)
    turn = rng.uniform(0, 2 * np.pi, CANDIDATES)
    reach = population.gap * (radii[neighbour] + radius)
    beside = centres[neighbour] + reach[:, None] * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    return np.where(rng.random((CANDIDATES, 1)) < population.clustering, beside, anywhere)


def _cell(
    rng: np.random.Generator, size: int, centre: np.ndarray, radius: float, population: Population
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Draw one cell: its window, and the relative radius to cell and nucleus of each of the window's pixels."""
    elongation = 1 + (population.elongation - 1) * rng.uniform(0.6, 1.4)
    long, short = radius * np.sqrt(elongation), radius / np.sqrt(elongation)
    reach = 1.4 * long + 2
    low = np.clip(np.floor(centre - reach), 0, size).astype(int)
    high = np.clip(np.ceil(centre + reach), 0, size).astype(int)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    y, x = np.ogrid[window]
    angle = population.angle + (1 - population.alignment) * rng.uniform(-np.pi / 2, np.pi / 2)
    # In units of the two half axes, the long one along u.
    u = ((x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)) / long
    v = ((y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)) / short
    v = v - population.bend * rng.uniform(-1, 1) * (u**2 - 0.5)
    superellipse = (np.abs(u) ** population.power + np.abs(v) ** population.power) ** (1 / population.power)
    own_radius = superellipse / _ripples(rng, np.arctan2(v, u), population.lobes)
    shift_u, shift_v = rng.uniform(-0.5, 0.5, 2) * (1 - population.nucleus)
    own_nucleus = np.hypot(u - shift_u, v - shift_v) / (population.nucleus * rng.uniform(0.85, 1.15))
    return window, own_radius, own_nucleus


def _ripples(rng: np.random.Generator, angle: np.ndarray, amplitude: float) -> np.ndarray:
    """Modulate a radius around 1 with harmonics 2 to 5 of the angle, the higher ones weaker."""
    modulation = np.ones_like(angle)
    for harmonic in range(2, 6):
        weight = amplitude * rng.standard_normal() * np.sqrt(2 / harmonic)
        modulation += weight * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    return np.clip(modulation, 0.4, 1.4)


def _distance_to_outline(labels: np.ndarray) -> np.ndarray:
    """Measure for each pixel the distance in pixels to the nearest outline pixel of any cell."""
    outlines = find_boundaries(labels, mode="inner")
    if not outlines.any():
        return np.full(labels.shape, float(max(labels.shape)))
    return ndimage.distance_transform_edt(~outlines)
