"""A width scan and its proof as tables: what each score chooses, what training finds, and how far the two are apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.answers.scores import read_metrics
from frugalseg.statistics.correlation import correlation
from frugalseg.statistics.tests import Plateau, plateau_edge
from frugalseg.widths import choice
from frugalseg.widths.scan import values

METRICS = ("dice", "hd95")
#: Scores that fall by a factor from cap to cap, 37 decades in all for SynFlow: a choice sees their logarithm, for else the
#: first step decides everything.
_LOGARITHMIC = ("synflow", "parameter_count")


@dataclass(frozen=True)
class Scan:
    """The scores of one width scan.

    Attributes
    ----------
    table : pd.DataFrame
        Columns score, cap, seed, image (-1: one value for all images) and value.
    draws : int
        Bootstrap draws of the images, and of the null.
    """

    table: pd.DataFrame
    draws: int

    @property
    def scores(self) -> list[str]:
        """Those that a cap can be chosen from: finite for every network, and not the same at all caps for any seed.

        NASWOT is infinite where two images have one code, SWAP the same everywhere while every pattern occurs.
        """
        return [name for name, rows in self.table.groupby("score", sort=False) if _can_choose(rows)]

    @property
    def caps(self) -> list[int]:
        """From large to small."""
        return sorted(self.table["cap"].unique().tolist(), reverse=True)

    def values(self, score: str) -> np.ndarray:
        """(seeds, caps, images) float64; the logarithm of scores that fall by a factor from cap to cap."""
        scores = values(self.table[self.table["score"] == score].rename(columns={"value": "sensitivity"}))
        return np.log(scores) if score in _LOGARITHMIC else scores


@dataclass(frozen=True)
class Findings:
    """What a width scan and its proof found.

    Attributes
    ----------
    choices : pd.DataFrame
        From :func:`compare`; without training from :func:`choices`.
    accuracy : pd.DataFrame
        From :func:`read_accuracy`; without a row where nothing was trained.
    networks : pd.DataFrame
        From :func:`network_table`; without training the sizes alone.
    sentences : list of str
        From :func:`verdict`.
    """

    choices: pd.DataFrame
    accuracy: pd.DataFrame
    networks: pd.DataFrame
    sentences: list[str]


def analyse(
    scores: pd.DataFrame,
    networks: pd.DataFrame,
    block: Mapping[str, Any],
    metrics: Mapping[tuple[str, str, int], str | Path],
) -> Findings:
    """Everything that is to be said of a width scan.

    Parameters
    ----------
    scores, networks : pd.DataFrame
        From `frugalseg.widths.dataset.scan_dataset`.
    block : mapping
        Its block of ``widths`` in the config.
    metrics : mapping of (recipe, chain, seed) to path
        Metrics of the trained networks on the test images, empty where none was trained.
    """
    scan = Scan(scores, block["draws"])
    chosen = choices(scan)
    if not metrics:
        empty = pd.DataFrame(columns=["network", "cap", "seed", "image", *METRICS])
        return Findings(chosen, empty, networks, verdict(chosen, None))
    caps = networks.set_index("network")["cap"]
    names = {recipe: recipe.removeprefix(f"{block['training']['recipe']}-") for recipe, _, _ in metrics}
    accuracy = read_accuracy(
        {(names[recipe], caps[names[recipe]], seed): path for (recipe, _, seed), path in metrics.items()}
    )
    found = plateau(accuracy, block["training"]["margin"])
    chosen = compare(scan, chosen, accuracy, found.edge)
    return Findings(chosen, accuracy, network_table(networks, accuracy, found), verdict(chosen, found))


def _can_choose(rows: pd.DataFrame) -> bool:
    curves = rows.pivot_table(index="seed", columns="cap", values="value", aggfunc="mean")
    return bool(np.isfinite(rows["value"]).all() and (curves.nunique(axis=1) > 1).all())


def choices(scan: Scan) -> pd.DataFrame:
    """What every score chooses by every rule, and how sure that is.

    Returns
    -------
    pd.DataFrame
        One row a score and rule. choice: median of the seeds' choices, the larger of two; on_edge: whether the published rule could not
        have gone further that way; seeds: the choice of every seed, as text; share_of_draws: share of the bootstrap
        draws of the images (over all seeds) that choose the same cap, NaN for a score without values for images;
        null_choice, null_share: what pure noise of the same spread chooses most often, and how often; null_p: probability
        that choices so far from the null's come from it. NaN where a score is not positive or does not vary.
    """
    rows = []
    for number, score in enumerate(scan.scores):
        for rule_name, rule in choice.RULES.items():
            generator = np.random.default_rng([number, len(rows)])
            rows.append({"score": score, "rule": rule_name, **_choice(scan, score, rule, generator)})
    return pd.DataFrame(rows)


def _choice(scan: Scan, score: str, rule: choice.Rule, generator: np.random.Generator) -> dict[str, Any]:
    table, caps = scan.values(score), scan.caps
    of_seeds = choice.over_seeds(rule, table, caps)
    # Not the choice of the mean curve: a few initialisations with scores many times those of the others would decide it.
    chosen = int(np.sort(of_seeds)[len(of_seeds) // 2])
    row = {
        "choice": chosen,
        "on_edge": rule is choice.published and chosen in choice.published_range(caps),
        "seeds": ", ".join(
            f"{cap}: {count}" for cap, count in zip(*np.unique(of_seeds, return_counts=True), strict=True)
        ),
        "share_of_draws": np.nan,
    }
    if table.shape[2] > 1:
        drawn = choice.over_images(rule, table, caps, draws=scan.draws, generator=generator)
        row["share_of_draws"] = float((drawn == chosen).mean())
    return row | _null(scan, table, rule, of_seeds, generator)


def _null(
    scan: Scan, table: np.ndarray, rule: choice.Rule, of_seeds: np.ndarray, generator: np.random.Generator
) -> dict[str, Any]:
    if not (table > 0).all() or np.ptp(table.mean(axis=2)) == 0:
        return {"null_choice": np.nan, "null_share": np.nan, "null_p": np.nan}
    spread = choice.noise_level(table)
    null = choice.null_distribution(rule, scan.caps, spread=spread, draws=scan.draws, generator=generator)
    # A score that no seed changes has been asked once, however many seeds there are.
    asked = of_seeds if np.ptp(table, axis=0).any() else of_seeds[:1]
    test = choice.against_null(asked, null, scan.caps, draws=scan.draws, generator=generator)
    likeliest = int(null.argmax())
    return {"null_choice": scan.caps[likeliest], "null_share": null[likeliest], "null_p": test.p_value}


def read_accuracy(files: Mapping[tuple[str, float, int], str | Path]) -> pd.DataFrame:
    """Dice and HD95 of every test image from the metrics of trained networks.

    Parameters
    ----------
    files : mapping of (network, cap, seed) to path
        The CSV of every run; the cap is NaN for a peer.

    Returns
    -------
    pd.DataFrame
        Columns network, cap, seed, image (position in the test set), dice in [0, 1], hd95 in pixels.
    """
    parts = [
        read_metrics(path, METRICS).rename_axis("image").reset_index().assign(network=network, cap=cap, seed=seed)
        for (network, cap, seed), path in files.items()
    ]
    return pd.concat(parts, ignore_index=True)[["network", "cap", "seed", "image", *METRICS]]


def plateau(accuracy: pd.DataFrame, margin: float) -> Plateau:
    """Where the Dice of the trained caps stops to rise; see `frugalseg.statistics.tests.plateau_edge`."""
    trained = accuracy[accuracy["cap"].notna()]
    tables = {
        int(cap): rows.pivot(index="seed", columns="image", values="dice").to_numpy()
        for cap, rows in trained.groupby("cap")
    }
    return plateau_edge(tables, margin)


def compare(scan: Scan, chosen: pd.DataFrame, accuracy: pd.DataFrame, edge: int) -> pd.DataFrame:
    """Add to every choice how far it is from what training finds, and how its score goes with accuracy over caps.

    Parameters
    ----------
    scan : Scan
        The scores.
    chosen : pd.DataFrame
        From :func:`choices`.
    accuracy : pd.DataFrame
        From :func:`read_accuracy`.
    edge : int
        The smallest cap that is not worse than the largest.

    Returns
    -------
    pd.DataFrame
        `chosen` with octaves_off, log2 of choice over edge (above 0: wider than needed), and spearman and pearson with
        their 95 % intervals over seeds, NaN where fewer than three caps were trained or the score is constant.
    """
    trained = accuracy[accuracy["cap"].notna()]
    runs = trained.groupby(["cap", "seed"])["dice"].mean().unstack("seed").sort_index(ascending=False)
    positions = [scan.caps.index(cap) for cap in runs.index]
    rows = []
    for number, score in enumerate(scan.scores):
        of_caps = scan.values(score).mean(axis=2).T[positions]
        rows.append({"score": score, **dict(_correlations(of_caps, runs.to_numpy(), number))})
    off = np.log2(chosen["choice"] / edge)
    return chosen.assign(octaves_off=off).merge(pd.DataFrame(rows), on="score", how="left", validate="many_to_one")


def _correlations(score: np.ndarray, dice: np.ndarray, seed: int) -> Iterator[tuple[str, float]]:
    for method in ("spearman", "pearson"):
        if len(score) < 3 or np.ptp(score.mean(axis=1)) == 0:
            estimate = (np.nan, np.nan, np.nan)
        else:
            generator = np.random.default_rng(seed)
            found = correlation(score, dice, method, generator, resample_caps=False, draws=2000)
            estimate = (found.value, found.low, found.high)
        yield from zip((method, f"{method}_low", f"{method}_high"), estimate, strict=True)


def network_table(networks: pd.DataFrame, accuracy: pd.DataFrame, found: Plateau) -> pd.DataFrame:
    """One row a trained network: its size, Dice and HD95 with both spreads, and whether it is worse than the largest.

    Parameters
    ----------
    networks : pd.DataFrame
        Columns network, cap, parameters, flops (of one crop).
    accuracy : pd.DataFrame
        From :func:`read_accuracy`.
    found : Plateau
        From :func:`plateau`.

    Returns
    -------
    pd.DataFrame
        network, cap, parameters, flops, then of dice and hd95 the mean, its SD over runs and over images, then loss (of
        Dice, against the largest cap), p (of being worse by the margin or more, Holm-corrected), not_worse.
    """
    rows = {}
    for network, runs in accuracy.groupby("network", sort=False):
        rows[network] = {
            name: summary(runs, metric)
            for metric in METRICS
            for name, summary in (
                (metric, _mean),
                (f"{metric}_std_runs", _std_over_runs),
                (f"{metric}_std_images", _std_over_images),
            )
        }
    comparisons = {f"cap{other.cap}": other for other in found.comparisons}
    tested = pd.DataFrame(
        {name: {"loss": other.loss, "p": other.p, "not_worse": other.not_worse} for name, other in comparisons.items()}
    ).T.reindex(columns=["loss", "p", "not_worse"])
    table = networks.merge(pd.DataFrame(rows).T.rename_axis("network").reset_index(), on="network")
    return table.merge(tested.rename_axis("network").reset_index(), on="network", how="left")


Summary = Callable[[pd.DataFrame, str], float]


def _mean(runs: pd.DataFrame, metric: str) -> float:
    return float(runs[metric].mean())


def _std_over_runs(runs: pd.DataFrame, metric: str) -> float:
    return float(runs.groupby("seed")[metric].mean().std(ddof=1))


def _std_over_images(runs: pd.DataFrame, metric: str) -> float:
    return float(runs.groupby("image")[metric].mean().std(ddof=1))


def read_published(path: str | Path, dataset: str) -> pd.DataFrame:
    """Published networks of one dataset.

    Raises
    ------
    ValueError
        When the file lacks the dataset.
    """
    table = pd.read_csv(path)
    rows = table[table["dataset"] == dataset]
    if rows.empty:
        raise ValueError(f"{path}: has no dataset {dataset!r}; it has {', '.join(sorted(table['dataset'].unique()))}")
    return rows.drop(columns="dataset")


def verdict(chosen: pd.DataFrame, found: Plateau | None) -> list[str]:
    """Plain sentences: what the published rule chooses, whether noise would too, and whether training agrees."""
    by_score = chosen[chosen["rule"] == "published"].set_index("score")
    lines = list(_choice_sentences(by_score.loc["sensitivity"])) if "sensitivity" in by_score.index else []
    if found is not None:
        lines += _proof_sentences(by_score, found)
    return lines


def _choice_sentences(row: pd.Series) -> Iterator[str]:
    yield f"The published rule chooses the cap {row['choice']} (by seed, {row['seeds']})."
    if row["on_edge"]:
        yield "This is the edge of what the rule can return, so it says little."
    if pd.notna(row["null_p"]):
        known = "can be told" if row["null_p"] < 0.05 else "cannot be told"
        yield (
            f"It {known} from what the rule makes of pure noise (which chooses {row['null_choice']:.0f} in "
            f"{row['null_share']:.0%} of draws; p = {row['null_p']:.3f})."
        )


def _proof_sentences(by_score: pd.DataFrame, found: Plateau) -> list[str]:
    lines = [f"Training puts the edge of the plateau at the cap {found.edge}."]
    off = by_score["octaves_off"].abs()
    nearest = off[off == off.min()].index
    lines.append(
        f"Nearest to it, by {off.min():.0f} octaves, {'is' if len(nearest) == 1 else 'are'} "
        f"{', '.join(name.replace('_', ' ') for name in nearest)}."
    )
    if {"sensitivity", "parameter_count"} <= set(by_score.index):
        ranks = by_score["spearman"]
        lines.append(
            f"Over the trained caps, Spearman's correlation with Dice is {ranks['sensitivity']:.2f} for sensitivity and "
            f"{ranks['parameter_count']:.2f} for counting parameters."
        )
    return lines
