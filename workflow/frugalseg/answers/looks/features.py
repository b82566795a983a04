"""Features of the patches in the plane: bins coloured, picks marked (the study's Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from frugalseg.reporting import style

_PERPLEXITY = 30
# t-SNE sees this many principal components at most: the rest is noise to it, and time.
_COMPONENTS = 50


@style.styled
def draw_features(
    features: np.ndarray, bins: np.ndarray, picks: Mapping[str, np.ndarray], seed: int, max_points: int = 3000
) -> Figure:
    """Draw a t-SNE of features (N, D), N >= 4, one panel a selector with its picks, title -> (K,), marked on it.

    All panels show the same projection, coloured by the bins (N,) from 0. Of more than `max_points` patches a random part is
    projected and drawn; of the picks of each selector, at most its equal share of half of the points.
    """
    if len(features) != len(bins):
        raise ValueError(f"there are {len(features)} rows of features for {len(bins)} patches in bins")
    if len(features) < 4:
        raise ValueError(f"t-SNE needs four patches or more, not {len(features)}")
    points, shown_picks = _subsample(len(features), picks, max_points, np.random.default_rng(seed))
    plane = np.full((len(features), 2), np.nan)
    plane[points] = project(features[points], seed)

    colours, norm = _bin_colours(int(bins.max()) + 1)
    width = style.PAGE_WIDTH / max(len(picks), 2)
    figure = Figure(figsize=(width * len(picks) + 0.5, width + 0.35), layout="constrained")
    axes = figure.subplots(1, len(picks), squeeze=False, sharex=True, sharey=True)[0]
    for ax, (title, chosen) in zip(axes, shown_picks.items(), strict=True):
        background = ax.scatter(
            *plane[points].T, c=bins[points], cmap=colours, norm=norm, s=4, linewidths=0, alpha=0.75, rasterized=True
        )
        ax.scatter(*plane[chosen].T, s=11, facecolor="#D55E00", edgecolor="black", linewidths=0.6)
        ax.set_title(f"{title} ({len(picks[title]):,} patches)")
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.grid(False)
        ax.spines[:].set_visible(True)
    if bins.max() > 0:
        bar = figure.colorbar(
            background, ax=list(axes), shrink=0.8, pad=0.02, label="Bin, in the order they were filled"
        )
        bar.set_ticks(np.arange(bins.max() + 1), labels=np.arange(1, bins.max() + 2))
        bar.ax.tick_params(length=0)
        bar.minorticks_off()
        bar.outline.set_linewidth(0.5)
        bar.solids.set_alpha(1)
    note = f"t-SNE of the features of {len(points):,} of {len(features):,} patches. Large dots: chosen."
    figure.supxlabel(note, **style.NOTE)
    return figure


def project(features: np.ndarray, seed: int) -> np.ndarray:
    """Project features (N, D), N >= 4, to the plane (N, 2) with t-SNE from their principal components; on one thread, so that
    the same seed gives the same."""
    features = np.asarray(features, dtype=np.float64)
    components = min(_COMPONENTS, *features.shape)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (len(features) - 1) / 3), init="pca", random_state=seed)
    # Sums over threads come in no fixed order.
    with threadpool_limits(limits=1):
        return tsne.fit_transform(PCA(components, random_state=seed).fit_transform(features))


def _subsample(
    count: int, picks: Mapping[str, np.ndarray], limit: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Patches to draw, and those of each selector's picks that are among them by choice."""
    if count <= limit:
        return np.arange(count), dict(picks)
    share = limit // (2 * len(picks))
    shown = {
        title: chosen if len(chosen) <= share else rng.choice(chosen, share, replace=False)
        for title, chosen in picks.items()
    }
    kept = np.unique(np.concatenate(list(shown.values())))
    others = rng.choice(np.setdiff1d(np.arange(count), kept), limit - len(kept), replace=False)
    return np.union1d(kept, others), shown


def _bin_colours(count: int) -> tuple[matplotlib.colors.Colormap, BoundaryNorm]:
    """One colour a bin, in even steps of lightness, so that the order of the bins can be read in grey too."""
    colours = matplotlib.colormaps["cividis"].resampled(count)
    return colours, BoundaryNorm(np.arange(count + 1) - 0.5, count)
