"""Draws the images of a domain, one after the other, each from a seed of its own."""

from collections.abc import Iterator
from zlib import crc32

import numpy as np

from frugalseg.data.synthetic import cyto, histo, multi

DOMAINS = {"cyto": cyto, "histo": histo, "multi": multi}

SMALLEST = 64


def draw(domain: str, images: int, size: int, seed: int, split: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Draw the first `images` images of one split of a synthetic domain, with their label images.

    Image i depends on (domain, size, seed, split, i) alone, so more images keep the earlier ones. The looks of a domain
    are dealt like cards: each run of `len(LOOKS)` images shows every look of the deck once, in an order of its own.
    Splits share looks but no image. `size` is the height and width in pixels, 64 or more. Yields the name
    "{domain}_{split}_{number}", the image (size, size) or (size, size, 3) uint8 and its labels (size, size) int32, of which
    each is 4-connected and has 9 pixels or more; where cells overlap, the upper one has the pixels.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown synthetic domain {domain!r}: choose one of {', '.join(sorted(DOMAINS))}")
    for name, value, least in (("images", images, 0), ("size", size, SMALLEST), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"synthetic {domain}: {name} is {value}, give {least} or more")
    return _stream(domain, images, size, seed, split)


def _stream(domain: str, images: int, size: int, seed: int, split: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    looks = DOMAINS[domain].LOOKS
    key = (seed, crc32(domain.encode()), crc32(split.encode()))
    for number in range(images):
        deal, card = divmod(number, len(looks))
        # The last word keeps the generators of decks and of images apart.
        deck = np.random.default_rng(np.random.SeedSequence((*key, deal, 0))).permutation(len(looks))
        rng = np.random.default_rng(np.random.SeedSequence((*key, number, 1)))
        image, labels = looks[deck[card]](rng, size)
        yield f"{domain}_{split}_{number:04d}", image, labels
