"""A width scan and its proof: what each score chooses, what training finds, and how far the two are apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked
from frugalseg.answers.scores import read_metrics
from frugalseg.answers.widths_figure import draw_widths
from frugalseg.data.stores import read_table
from frugalseg.reporting import prose
from frugalseg.reporting.formats import MISSING, with_ends
from frugalseg.reporting.tables import to_latex, to_markdown
from frugalseg.statistics.correlation import correlations, spread
from frugalseg.statistics.plateau import Plateau, plateau_edge
from frugalseg.statistics.seed_variance import fit_prior
from frugalseg.widths import choice
from frugalseg.widths.scan import values

METRICS = ("dice", "hd95")
_LOGARITHMIC = ("synflow", "parameter_count")
"""Scores that fall by a factor from cap to cap, 37 decades in all for SynFlow: a choice sees their logarithm, for else the
first step decides everything."""
_CHOSEN_NOTE = "Chosen by: the scores from which the published rule chooses this width."
_TRAINED_NOTE = (
    "Mean over test images and runs, ± standard deviation over images, in brackets over runs. p: of a loss of Dice of {margin:g} "
    "or more against the largest cap, for other seeds and other images (where every network was trained once, for other images "
    "alone, by a paired Wilcoxon test), Holm-corrected; small p means not worse."
)


@dataclass(frozen=True)
class Scan:
    """Scores of one width scan, (score, cap, seed, image, value), image -1 for all images; and bootstrap draws."""

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

    def values(self, score: str) -> NDArray[np.float64]:
        """(seeds, caps, images); the logarithm of scores that fall by a factor from cap to cap."""
        scores = values(self.table[self.table["score"] == score])
        return np.log(scores) if score in _LOGARITHMIC else scores


@dataclass(frozen=True)
class Findings:
    """What a scan and its proof found; without training no accuracy, no plateau, and of the networks the sizes alone."""

    choices: pd.DataFrame
    accuracy: pd.DataFrame
    networks: pd.DataFrame
    plateau: Plateau | None


def answer(asked: Asked) -> Answer:
    """Tables and figure of a width scan, from its files ``scores`` and ``networks``, and ``published`` where there is one."""
    block, name = asked.block, asked.name
    scores, networks = (read_table(asked.files[key][0]) for key in ("scores", "networks"))
    found = analyse(scores, networks, block, {model: path for (model, _), path in asked.metrics.items()})
    published = None
    if "published" in block:
        published = read_published(asked.files["published"][0], block["published"]["dataset"])
    edge = found.plateau.edge if found.plateau else None
    return Answer(
        table=found.networks,
        text=to_page(block, found, published),
        question=block["title"],
        figure=draw_widths(scores, networks, found.choices, found.accuracy, edge),
        tex=to_tex(block, found, published, f"tab:{name}"),
        tables={"choices": found.choices, "accuracy": found.accuracy},
    )


def analyse(
    scores: pd.DataFrame,
    networks: pd.DataFrame,
    block: Mapping[str, Any],
    metrics: Mapping[tuple[str, str, int], str | Path],
) -> Findings:
    """Everything that is to be said of a scan (`frugalseg.widths.scan.scan_dataset`).

    `metrics` are those of the trained networks on the test images, by (recipe, chain, seed); empty where none was trained.
    """
    scan = Scan(scores, block["draws"])
    chosen = choices(scan)
    if not metrics:
        return Findings(chosen, pd.DataFrame(columns=["network", "cap", "seed", "image", *METRICS]), networks, None)
    caps = networks.set_index("network")["cap"]
    names = {recipe: recipe.removeprefix(f"{block['training']['recipe']}-") for recipe, _, _ in metrics}
    accuracy = read_accuracy(
        {(names[recipe], caps[names[recipe]], seed): path for (recipe, _, seed), path in metrics.items()}
    )
    trained = accuracy[accuracy["cap"].notna()]
    dice = {
        int(cap): rows.pivot(index="seed", columns="image", values="dice").to_numpy()
        for cap, rows in trained.groupby("cap")
    }
    # With a prior, where several seeds were trained, seeds count as much as images.
    found = plateau_edge(dice, block["training"]["margin"], prior=fit_prior(list(dice.values())))
    chosen = compare(scan, chosen, trained, found.edge)
    return Findings(chosen, accuracy, network_table(networks, accuracy, found), found)


def _can_choose(rows: pd.DataFrame) -> bool:
    curves = rows.pivot_table(index="seed", columns="cap", values="value", aggfunc="mean")
    return bool(np.isfinite(rows["value"]).all() and (curves.nunique(axis=1) > 1).all())


def choices(scan: Scan) -> pd.DataFrame:
    """What every score chooses by every rule, and how sure that is: a row each.

    choice: median of the seeds' choices, the larger of two; on_edge: whether the published rule could not have gone further that
    way; seeds: the choice of every seed, as text; share_of_draws: share of the bootstrap draws of the images (over all
    seeds) that choose the same cap, NaN for a score without values for images; null_choice, null_share: what pure noise
    of the same spread chooses most often, and how often; null_p: probability that choices so far from the null's come
    from it. NaN where a score is not positive or does not vary.
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
    counts = zip(*np.unique(of_seeds, return_counts=True), strict=True)
    row = {
        "choice": chosen,
        "on_edge": rule is choice.published and chosen in choice.published_range(caps),
        "seeds": ", ".join(f"{cap}: {count}" for cap, count in counts),
        "share_of_draws": np.nan,
    }
    if table.shape[2] > 1:
        drawn = choice.over_images(rule, table, caps, draws=scan.draws, generator=generator)
        row["share_of_draws"] = float((drawn == chosen).mean())
    return row | _null(scan, table, rule, of_seeds, generator)


def _null(
    scan: Scan, table: NDArray, rule: choice.Rule, of_seeds: NDArray, generator: np.random.Generator
) -> dict[str, Any]:
    if not (table > 0).all() or np.ptp(table.mean(axis=2)) == 0:
        return {"null_choice": np.nan, "null_share": np.nan, "null_p": np.nan}
    noise, drawing = choice.noise_level(table), {"draws": scan.draws, "generator": generator}
    null = choice.null_distribution(rule, scan.caps, spread=noise, **drawing)
    # A score that no seed changes has been asked once, however many seeds there are.
    asked = of_seeds if np.ptp(table, axis=0).any() else of_seeds[:1]
    test = choice.against_null(asked, null, scan.caps, **drawing)
    likeliest = int(null.argmax())
    return {"null_choice": scan.caps[likeliest], "null_share": null[likeliest], "null_p": test.p_value}


def read_accuracy(files: Mapping[tuple[str, float, int], str | Path]) -> pd.DataFrame:
    """Dice and HD95 (px) of every test image, from the CSV of every (network, cap or NaN for a peer, seed)."""
    parts = [
        read_metrics(path, METRICS).rename_axis("image").reset_index().assign(network=network, cap=cap, seed=seed)
        for (network, cap, seed), path in files.items()
    ]
    return pd.concat(parts, ignore_index=True)[["network", "cap", "seed", "image", *METRICS]]


def compare(scan: Scan, chosen: pd.DataFrame, trained: pd.DataFrame, edge: int) -> pd.DataFrame:
    """Add to every choice how far it is from what training finds, and how its score goes with accuracy over caps.

    octaves_off is log2 of choice over edge, the smallest cap that is not worse than the largest (above 0: wider than needed);
    spearman and pearson have 95 % intervals over seeds, NaN where fewer than three caps were trained.
    """
    runs = trained.groupby(["cap", "seed"])["dice"].mean().unstack("seed").sort_index(ascending=False)
    positions = [scan.caps.index(cap) for cap in runs.index]
    rows = []
    for number, score in enumerate(scan.scores):
        found = correlations(scan.values(score).mean(axis=2).T[positions], runs.to_numpy(), number)
        spearman, pearson = (with_ends(method, estimate) for method, estimate in found.items())
        rows.append({"score": score, **spearman, **pearson})
    off = np.log2(chosen["choice"] / edge)
    return chosen.assign(octaves_off=off).merge(pd.DataFrame(rows), on="score", how="left", validate="many_to_one")


def network_table(networks: pd.DataFrame, accuracy: pd.DataFrame, found: Plateau) -> pd.DataFrame:
    """One row a trained network: network, cap, parameters, flops (of a crop), then of dice and hd95 the mean, its SD over runs
    and over images, then loss (of Dice, against the largest cap), p (of being worse by the margin, Holm-corrected), not_worse."""
    rows = {
        network: {key: value for metric in METRICS for key, value in spread(runs, metric).items()}
        for network, runs in accuracy.groupby("network", sort=False)
    }
    tested = pd.DataFrame(
        {f"cap{test.cap}": {"loss": test.loss, "p": test.p, "not_worse": test.not_worse} for test in found.comparisons}
    ).T.reindex(columns=["loss", "p", "not_worse"])
    table = networks.merge(pd.DataFrame(rows).T.rename_axis("network").reset_index(), on="network")
    return table.merge(tested.rename_axis("network").reset_index(), on="network", how="left")


def read_published(path: str | Path, dataset: str) -> pd.DataFrame:
    """Published networks of one dataset, or a ValueError that names those there are."""
    table = pd.read_csv(path)
    rows = table[table["dataset"] == dataset]
    if rows.empty:
        raise ValueError(f"{path}: has no dataset {dataset!r}; it has {', '.join(sorted(table['dataset'].unique()))}")
    return rows.drop(columns="dataset")


def sentences(found: Findings) -> list[str]:
    """What the published rule chooses, whether noise would too, and whether training agrees."""
    by_score = found.choices[found.choices["rule"] == "published"].set_index("score")
    chosen = by_score.loc["sensitivity"].to_dict() if "sensitivity" in by_score.index else {}
    facts: dict[str, Any] = {"chosen": chosen, "tested": bool(chosen and pd.notna(chosen["null_p"])), "edge": None}
    if found.plateau is not None:
        off = by_score["octaves_off"].abs()
        both = {"sensitivity", "parameter_count"} <= set(by_score.index)
        facts |= {
            "edge": found.plateau.edge,
            "nearest_by": off.min(),
            "nearest": [name.replace("_", " ") for name in off[off == off.min()].index],
            "ranks": by_score["spearman"].to_dict() if both else {},
        }
    return prose.sentences("widths", **facts)


def to_page(block: Mapping[str, Any], found: Findings, published: pd.DataFrame | None = None) -> str:
    """The page of a scan, in Markdown."""
    return prose.page(
        "widths",
        question=block["title"],
        caption=block["caption"],
        said=sentences(found),
        choices=to_markdown(_choices_frame(found.choices), names=2),
        networks=to_markdown(_networks_frame(found, block["crop"]), names=2),
        note=_TRAINED_NOTE.format(margin=block["training"]["margin"]) if found.plateau else "",
        published=None if published is None else to_markdown(_published_frame(published)),
    )


def to_tex(block: Mapping[str, Any], found: Findings, published: pd.DataFrame | None = None, label: str = "") -> str:
    """The networks of a scan in LaTeX, published ones below ours, in our units: Dice from 0 to 1, spread over images."""
    frame = _networks_frame(found, block["crop"])
    if published is not None:
        theirs = pd.DataFrame({"Network": _published_names(published), "Chosen by": ""})
        theirs["Parameters"] = _texts(published["params_k"] * 1000, ",.0f")
        theirs["Dice"] = _plus_minus(published["dice"] / 100, published["dice_std"] / 100, ".3f")
        theirs["HD95 (px)"] = _plus_minus(published["hd95"], published["hd95_std"], ".1f")
        title = pd.DataFrame({"Network": ["Published"]}).reindex(columns=frame.columns, fill_value="")
        theirs = theirs.reindex(columns=frame.columns, fill_value=MISSING)
        frame = pd.concat([frame, title, theirs], ignore_index=True)
    notes = [_CHOSEN_NOTE, *([_TRAINED_NOTE.format(margin=block["training"]["margin"])] if found.plateau else [])]
    return to_latex(frame, f"{block['title']}. {block['caption']}", label, " ".join(notes), names=2)


def _choices_frame(table: pd.DataFrame) -> pd.DataFrame:
    share = _texts(table["null_share"], ".0%")
    frame = pd.DataFrame(
        {
            "Score": table["score"].str.replace("_", " "),
            "Rule": table["rule"],
            "Choice": table["choice"].astype(str) + np.where(table["on_edge"], "*", ""),
            "By seed": table["seeds"],
            "Draws": _texts(table["share_of_draws"], ".0%"),
            "Null": (_texts(table["null_choice"], ".0f") + " (" + share + ")").where(share != MISSING, MISSING),
            "p": _texts(table["null_p"], ".3f"),
        }
    )
    if "octaves_off" in table:
        frame["Octaves"] = _texts(table["octaves_off"], "+.0f")
        for method in ("spearman", "pearson"):
            value, low, high = (_texts(table[f"{method}{end}"], ".2f") for end in ("", "_low", "_high"))
            whole = value + " (" + low + " to " + high + ")"
            frame[method.capitalize()] = whole.where(value != MISSING, MISSING)
    return frame


def _networks_frame(found: Findings, crop: int) -> pd.DataFrame:
    networks, published = found.networks, found.choices[found.choices["rule"] == "published"]
    by = published["score"].str.replace("_", " ").groupby(published["choice"]).agg(", ".join)
    frame = pd.DataFrame(
        {
            "Network": networks["network"],
            "Chosen by": networks["cap"].map(by).fillna(""),
            "Parameters": _texts(networks["parameters"], ","),
            f"FLOPs ({crop} x {crop})": _texts(networks["flops"], ".3g"),
        }
    )
    if "dice" in networks:
        for metric, heading, form in (("dice", "Dice", ".3f"), ("hd95", "HD95 (px)", ".1f")):
            runs = _texts(networks[f"{metric}_std_runs"], form)
            frame[heading] = _plus_minus(networks[metric], networks[f"{metric}_std_images"], form) + " (" + runs + ")"
        frame["Loss of Dice"] = _texts(networks["loss"], "+.3f")
        frame["p"] = _texts(networks["p"], ".3g")
    return frame


def _published_frame(published: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Network": _published_names(published),
            "Parameters (k)": _texts(published["params_k"], ",.4g"),
            "Dice (%)": _plus_minus(published["dice"], published["dice_std"], ".2f"),
            "HD95": _plus_minus(published["hd95"], published["hd95_std"], ".2f"),
        }
    )


def _published_names(published: pd.DataFrame) -> pd.Series:
    caps = " (cap " + _texts(published["chosen_cap"], ".0f") + ")"
    return published["model"] + caps.where(published["chosen_cap"].notna(), "")


def _plus_minus(mean: pd.Series, spread_of_it: pd.Series, form: str) -> pd.Series:
    return _texts(mean, form) + " ± " + _texts(spread_of_it, form)


def _texts(numbers: pd.Series, form: str) -> pd.Series:
    """Numbers as text, those that are not there as a dash."""
    return pd.Series([format(n, form) if pd.notna(n) else MISSING for n in numbers], numbers.index, dtype=object)
