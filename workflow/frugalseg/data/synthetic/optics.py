"""Light, stain and noise: what lies between a cell and a pixel value."""

import numpy as np
from scipy import fft, ndimage

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
"""Optical density of the two stains in red, green and blue (Ruifrok and Johnston 2001), unit length."""


def cloud(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Gaussian noise (size, size) of mean 0 and deviation 1, periodic, smoothed by `scale` pixels: stain, haze, chromatin."""
    spectrum = fft.rfft2(rng.standard_normal((size, size)))
    spectrum[0, 0] = 0
    field = fft.irfft2(ndimage.fourier_gaussian(spectrum, scale, n=size), s=(size, size))
    return field / field.std()


def fibres(rng: np.random.Generator, size: int, angle: float, width: float, waviness: float) -> np.ndarray:
    """Bundles of wavy fibres, (size, size) from 0 to 1: stroma, actin.

    They run at `angle` radians, are `width` pixels thick and swing sideways by `waviness` pixels (standard deviation).
    Noise is stretched twelvefold along the angle by reading it at coordinates that a smooth field bends.
    """
    y, x = np.mgrid[:size, :size]
    along = (x * np.cos(angle) + y * np.sin(angle)) / (12 * width)
    across = (y * np.cos(angle) - x * np.sin(angle) + waviness * cloud(rng, size, size / 10)) / width
    noise = rng.random((size, size))
    return ndimage.map_coordinates(noise, [across % size, along % size], order=1, mode="grid-wrap")


def illumination(rng: np.random.Generator, size: int, strength: float) -> np.ndarray:
    """Uneven light (size, size): a bright spot anywhere, from which the light falls from 1 to 1 - `strength`."""
    centre_y, centre_x = rng.uniform(0, 1, 2)
    y, x = np.ogrid[: 1 : size * 1j, : 1 : size * 1j]
    distance = (y - centre_y) ** 2 + (x - centre_x) ** 2
    return 1 - strength * distance / distance.max()


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image (H, W) or (H, W, C) with a Gaussian of `sigma` pixels, channel by channel."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)[: image.ndim])


def expose(rng: np.random.Generator, image: np.ndarray, photons: float, read_noise: float) -> np.ndarray:
    """Take a picture of brightness 0 to 1, (H, W) or (H, W, 3), as uint8: photons are counted, the camera adds noise.

    `photons` are those counted at white: few make a grainy picture. `read_noise` is a standard deviation, of white.
    """
    counted = rng.poisson(np.clip(image, 0, 1) * photons) / photons
    read = counted + read_noise * rng.standard_normal(image.shape)
    return np.round(255 * np.clip(read, 0, 1)).astype(np.uint8)


def transmit(
    haematoxylin: np.ndarray, eosin: np.ndarray, stains: tuple[np.ndarray, np.ndarray] = (HAEMATOXYLIN, EOSIN)
) -> np.ndarray:
    """White light (H, W, 3) that passed amounts (H, W) of two stains: exp(-amount * density) (Beer and Lambert)."""
    return np.exp(-haematoxylin[..., None] * stains[0] - eosin[..., None] * stains[1])
