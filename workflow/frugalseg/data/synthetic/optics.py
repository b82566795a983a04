"""Light, stain and noise: what lies between a cell and a pixel value."""

import numpy as np
from scipy import fft, ndimage

HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
"""Optical density of the two stains in red, green and blue (Ruifrok and Johnston 2001), unit length."""


def cloud(rng: np.random.Generator, size: int, scale: float) -> np.ndarray:
    """Draw Gaussian noise smoothed to a scale: uneven stain, tissue, haze, chromatin.

    Parameters
    ----------
    rng : Generator
        Source of all chance.
    size : int
        Height and width in pixels.
    scale : float
        Standard deviation of the smoothing Gaussian, pixels. The field is periodic.

    Returns
    -------
    ndarray of float, (size, size)
        Mean 0, standard deviation 1.
    """
    spectrum = fft.rfft2(rng.standard_normal((size, size)))
    spectrum[0, 0] = 0
    field = fft.irfft2(ndimage.fourier_gaussian(spectrum, scale, n=size), s=(size, size))
    return field / field.std()


def fibres(rng: np.random.Generator, size: int, angle: float, width: float, waviness: float) -> np.ndarray:
    """Draw bundles of wavy fibres: stroma, actin.

    Noise is stretched twelvefold along `angle` by reading it at coordinates that a smooth field bends.

    Parameters
    ----------
    rng : Generator
        Source of all chance.
    size : int
        Height and width in pixels.
    angle : float
        Direction of the fibres, radians.
    width : float
        Thickness of a fibre, pixels.
    waviness : float
        Standard deviation of the sideways displacement, pixels.

    Returns
    -------
    ndarray of float, (size, size)
        0 to 1, median about one half.
    """
    y, x = np.mgrid[:size, :size]
    along = (x * np.cos(angle) + y * np.sin(angle)) / (12 * width)
    across = (y * np.cos(angle) - x * np.sin(angle) + waviness * cloud(rng, size, size / 10)) / width
    noise = rng.random((size, size))
    return ndimage.map_coordinates(noise, [across % size, along % size], order=1, mode="grid-wrap")


def illumination(rng: np.random.Generator, size: int, strength: float) -> np.ndarray:
    """Draw uneven light: a bright spot anywhere, from which the light falls by up to `strength`.

    Returns
    -------
    ndarray of float, (size, size)
        1 - strength to 1.
    """
    centre_y, centre_x = rng.uniform(0, 1, 2)
    y, x = np.ogrid[: 1 : size * 1j, : 1 : size * 1j]
    distance = (y - centre_y) ** 2 + (x - centre_x) ** 2
    return 1 - strength * distance / distance.max()


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image (H, W) or (H, W, C) with a Gaussian of `sigma` pixels, channel by channel."""
    return ndimage.gaussian_filter(image, (sigma, sigma, 0)[: image.ndim])


def expose(rng: np.random.Generator, image: np.ndarray, photons: float, read_noise: float) -> np.ndarray:
    """Take a picture: photons are counted, the camera adds noise, the result is stored in 8 bits.

    Parameters
    ----------
    rng : Generator
        Source of all chance.
    image : ndarray of float, (H, W) or (H, W, 3)
        Brightness, 0 black to 1 white; values outside are cut off.
    photons : float
        Photons counted at white: few make a grainy picture (Poisson noise).
    read_noise : float
        Standard deviation of the camera's noise, in units of white.

    Returns
    -------
    ndarray of uint8, like `image`
    """
    counted = rng.poisson(np.clip(image, 0, 1) * photons) / photons
    read = counted + read_noise * rng.standard_normal(image.shape)
    return np.round(255 * np.clip(read, 0, 1)).astype(np.uint8)


def transmit(
    haematoxylin: np.ndarray, eosin: np.ndarray, stains: tuple[np.ndarray, np.ndarray] = (HAEMATOXYLIN, EOSIN)
) -> np.ndarray:
    """Let white light pass stained tissue (Beer and Lambert): brightness = exp(-amount * density).

    Parameters
    ----------
    haematoxylin, eosin : ndarray of float, (H, W)
        Amounts of stain, 0 or more.
    stains : (ndarray (3,), ndarray (3,))
        Their optical densities in red, green and blue.

    Returns
    -------
    ndarray of float, (H, W, 3)
        RGB, 0 to 1.
    """
    return np.exp(-haematoxylin[..., None] * stains[0] - eosin[..., None] * stains[1])
