"""The synthetic microscope: three domains of labelled images, drawn from a seed.

`cyto` is fluorescence in many looks, `histo` stained tissue (dark nuclei on a bright ground), `multi` a mixture of
modalities. What is drawn lives in one module per domain; outlines are in `shapes`, light, stain and noise in `optics`.
"""

from frugalseg.data.synthetic.microscope import DOMAINS, draw

__all__ = ["DOMAINS", "draw"]
