"""Verdicts on a study's claims: what is measured for each, which side of its bound that lies on, and what was published."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked, Score
from frugalseg.answers.scores import read_scores
from frugalseg.answers.seeds import Seeds
from frugalseg.reporting import prose, style
from frugalseg.reporting.formats import MISSING, score
from frugalseg.statistics.comparisons import smallest_alpha
from frugalseg.statistics.effects import Effect, Verdict, effect_of_means, judge, measure, more_runs
from frugalseg.statistics.more_runs import Needed
from frugalseg.statistics.tests import false_discovery
from frugalseg.study.kinds.claim import Printed, printed_means, scores_by_role, tests_of_roles
from frugalseg.study.metrics import METRICS

QUESTION = "Do the study's claims hold on these data?"
# Share of false verdicts among those that stand together.
_FALSE = 0.05

# Shares are drawn no farther than this: an interval that goes on gets an arrow.
_FARTHEST_SHARE = (-0.6, 1.6)
# Inches: a line of a claim, what a row has beside its lines, an axis with its label, and the legend.
_LINE, _GAP, _AXIS, _LEGEND = 0.125, 0.12, 0.55, 0.35
_LABEL_WIDTH, _VERDICT_WIDTH = 46, 17
_MARKERS = {"supported": style.MARKERS[0], "refuted": style.MARKERS[6], "undecided": style.MARKERS[0]}


@dataclass(frozen=True)
class Look:
    """How effects of a kind of claim are drawn and written: on which axis, times what, with which unit."""

    axis: str
    scale: int = 1
    digits: int = 3
    signed: bool = True
    unit: str = ""


_DIFFERENCE = Look("Difference of the score")
#: Kind of claim -> its look. Effects of one unit and one meaning share an axis, and no others.
LOOKS = {
    "gain": _DIFFERENCE,
    "equal": _DIFFERENCE,
    "different": _DIFFERENCE,
    "loss": Look("Share of the score that is lost", 100, 1, False, " %"),
    "recovery": Look("Share of the loss that is won back", 100, 1, False, " %"),
    "asymmetry": Look("Share lost in one direction less that in the other, percentage points", 100, 1, True, " points"),
}


@dataclass(frozen=True)
class Judged:
    """A claim with its effect as measured, its verdict, its numbers of test images and the published means, if any.

    `replicated` models of the study say how much seeds vary, 0 where too few do; `needed` would decide what is undecided. `p` is
    that of the test behind the interval, `q` the share of false verdicts among all of the study that are reached as surely.
    """

    name: str
    claim: Mapping[str, Any]
    effect: Effect
    verdict: Verdict
    images: tuple[int, ...]
    printed: Printed | None = None
    replicated: int = 0
    needed: Needed = field(default_factory=Needed)
    p: float = 1.0
    q: float = 1.0

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def published(self) -> float:
        """The effect of the published means; NaN where there are none."""
        return effect_of_means(self.claim["effect"], self.printed.means) if self.printed else math.nan

    @property
    def has_published(self) -> bool:
        return not math.isnan(self.published)

    @property
    def printed_else(self) -> bool:
        """Whether another metric was published, or other test sets."""
        ours = tuple(dict.fromkeys(tests_of_roles(self.claim).values()))
        return (self.printed.metric, self.printed.tests) != (self.claim["metric"], ours)

    @property
    def says(self) -> str | None:
        """The publication's words on the claim."""
        return self.claim.get("published", {}).get("says")

    @property
    def one_seed(self) -> bool:
        """Whether the interval knows nothing of how much a training varies by chance."""
        return len(self.claim["seeds"]) == 1 and not self.replicated

    @property
    def alone(self) -> bool:
        """Whether it was decided by one seed alone."""
        return self.one_seed and self.verdict != "undecided"

    @property
    def stands(self) -> bool:
        """Whether it is decided among all claims of the study together, at most 5 % of them falsely."""
        return self.verdict != "undecided" and self.q <= _FALSE

    @property
    def said(self) -> str:
        """The verdict with its hedge."""
        word = "cannot be decided" if self.verdict == "undecided" else self.verdict
        return f"{word}, by one seed alone" if self.alone else word

    @property
    def measured(self) -> bool:
        """Whether there is an effect at all."""
        return not math.isnan(self.effect.estimate.value)

    @property
    def effect_text(self) -> str:
        """The effect with its interval."""
        if not self.measured:
            return MISSING
        low, high = self.effect.estimate.low, self.effect.estimate.high
        if math.isinf(low) and math.isinf(high):
            return f"{self.text(self.effect.estimate.value)} (anything is possible)"
        low = "no limit below" if math.isinf(low) else self._digits(low)
        high = "no limit above" if math.isinf(high) else self._digits(high)
        return f"{self.text(self.effect.estimate.value)} ({low} to {high})"

    def text(self, value: float) -> str:
        """An effect of the claim's kind: a difference, a share in percent, or percentage points."""
        return self._digits(value) + LOOKS[self.claim["effect"]].unit

    def _digits(self, value: float) -> str:
        look = LOOKS[self.claim["effect"]]
        return score(look.scale * value, look.digits, sign=look.signed)


def answer(asked: Asked) -> Answer:
    """Which of a study's claims hold; the block of `asked` is every claim by name."""
    published = next(iter(asked.files.get("published", ())), None)
    judged = judge_claims(asked.block, asked.metrics, published, asked.seeds_on)
    return Answer(
        table=to_table(judged),
        text=to_markdown(judged),
        question=QUESTION,
        sentences=sentences(judged),
        figure=draw_verdicts(judged),
    )


def judge_claims(
    claims: Mapping[str, Mapping[str, Any]],
    files: Mapping[Score, str | Path],
    published: str | Path | None = None,
    seeds_on: Callable[[str, str], Seeds] = lambda test, metric: Seeds(),
) -> list[Judged]:
    """Measure the effect of every claim and hold it against its bound; a ValueError names the claim.

    `seeds_on` (test set, metric) says what the study knows of seeds.
    """
    judged = []
    for name, claim in claims.items():
        try:
            judged.append(_judge(name, claim, files, published, seeds_on))
        except ValueError as error:
            raise ValueError(f"claim {name!r}: {error}") from error
    return [
        replace(item, q=float(q)) for item, q in zip(judged, false_discovery([item.p for item in judged]), strict=True)
    ]


def _judge(
    name: str,
    claim: Mapping[str, Any],
    files: Mapping[Score, str | Path],
    published: str | Path | None,
    seeds_on: Callable[[str, str], Seeds],
) -> Judged:
    scores, kind = _scores(claim, files), claim["effect"]
    tests = tests_of_roles(claim)
    known = {test: seeds_on(test, claim["metric"]) for test in dict.fromkeys(tests.values())}
    # All test sets have a prior, or none is used.
    priors = [seeds.prior for seeds in known.values()] if all(seeds.prior for seeds in known.values()) else []
    # An asymmetry has a second, which may be the same.
    priors = [*priors[:1], *priors[-1:]]
    effect = measure(kind, scores, *priors)
    if len(claim["seeds"]) == 1 and not priors and any(seeds.models for seeds in known.values()):
        # Other models have shown that seeds differ: images alone decide nothing.
        effect = replace(effect, fault=effect.fault or "one seed")
    verdict = judge(effect, claim)

    def decided(tail: float) -> bool:
        estimate = measure(kind, scores, *priors, level=1 - 2 * tail).estimate
        return judge(replace(effect, estimate=estimate), claim) != "undecided"

    images = {test: scores[role].shape[1] for role, test in tests.items()}
    return Judged(
        name,
        claim,
        effect,
        verdict,
        tuple(images.values()),
        printed=printed_means(claim, published) if "tables" in claim.get("published", {}) else None,
        replicated=min(prior.models for prior in priors) if priors else 0,
        needed=more_runs(kind, scores, claim, *priors[:1]) if verdict == "undecided" and not effect.fault else Needed(),
        p=min(2 * smallest_alpha(decided), 1.0),
    )


def to_table(judged: Sequence[Judged]) -> pd.DataFrame:
    """Everything about every claim, a row each.

    ``effect`` has the ends ``low`` and ``high`` of its 95 % interval, empty where it does not exist; ``fault`` says why. ``p``
    is at most 0.05 where it decides; ``q`` is p among all claims (Benjamini & Hochberg 1995).
    ``replicated`` models of the study say how much seeds vary, 0 where too few do; ``more_seeds`` of its models, or so many
    ``images_needed``, would decide a claim. ``published`` is the effect of the published means, from ``published_tables``.
    """
    keys = ("metric", "test", "other_test", "recipe", "at_least", "at_most", "margin")
    rows = [
        {
            "claim": item.name,
            "text": item.claim["text"],
            "kind": item.claim["effect"],
            **{key: item.claim.get(key) for key in keys},
            "chains": " ".join(f"{role}={chain}" for role, chain in item.claim["chains"].items()),
            "seeds": len(item.claim["seeds"]),
            "images": " ".join(map(str, item.images)),
            **dict(zip(("effect", "low", "high"), astuple(item.effect.estimate), strict=True)),
            "verdict": item.verdict,
            "p": item.p,
            "q": item.q,
            "fault": item.effect.fault,
            "replicated": item.replicated,
            "more_seeds": item.needed.seeds,
            "images_needed": item.needed.images,
            "published": item.published,
            "published_tables": " ".join(item.printed.tables) if item.printed else None,
            "published_words": item.says,
        }
        for item in judged
    ]
    return pd.DataFrame(rows)


def sentences(judged: Sequence[Judged]) -> list[str]:
    """How many claims are supported, refuted and undecided, then one paragraph on each."""
    return prose.sentences("claim", **_values(judged))


def to_markdown(judged: Sequence[Judged]) -> str:
    """The page of verdicts: the answer, then what it rests on."""
    return prose.page("claim", question=QUESTION, caption="", said=sentences(judged), **_values(judged))


def _values(judged: Sequence[Judged]) -> dict[str, Any]:
    """What the template is filled with."""
    words = ("supported", "refuted", "undecided")
    return {
        "judged": judged,
        "counts": {word: sum(item.verdict == word for item in judged) for word in words},
        "alone": sum(item.alone for item in judged),
        "falling": [item.title for item in judged if item.verdict != "undecided" and not item.stands],
        "one_seed": any(item.one_seed for item in judged),
        "replicated": sorted({item.replicated for item in judged} - {0}),
        "as_published": [item for item in judged if item.says or item.printed],
        "names": {key: metric.name for key, metric in METRICS.items()},
    }


def _scores(claim: Mapping[str, Any], files: Mapping[Score, str | Path]) -> dict[str, NDArray[np.float64]]:
    """Part -> (seeds, images), the images of a test set in one order."""
    by_test: dict[str, list[tuple[str, str | Path]]] = {}
    for role, wanted in scores_by_role(claim):
        by_test.setdefault(wanted[1], []).append((role, files[wanted]))
    scores: dict[str, list[NDArray]] = {}
    for runs in by_test.values():
        for (role, _), values in zip(runs, read_scores([path for _, path in runs], claim["metric"]), strict=True):
            scores.setdefault(role, []).append(values)
    return {role: np.stack(values) for role, values in scores.items()}


@style.styled
def draw_verdicts(judged: Sequence[Judged]) -> Figure:
    """Draw the effects of claims with their intervals, each on the claim's side of its bound or not.

    A panel for each axis. The claim stands left of its row, the verdict in words right of it.
    """
    groups: dict[Look, list[Judged]] = {look: [] for look in LOOKS.values()}
    for item in judged:
        groups[LOOKS[item.claim["effect"]]].append(item)
    groups = {look: items for look, items in groups.items() if items}
    lines = max(len(textwrap.wrap(item.claim["text"], _LABEL_WIDTH)) for item in judged)
    height = len(judged) * (max(lines, 2) * _LINE + _GAP) + len(groups) * _AXIS + _LEGEND
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(len(groups), 1, height_ratios=list(map(len, groups.values())), squeeze=False)[:, 0]
    for axes, (look, items) in zip(panels, groups.items(), strict=True):
        _draw_panel(axes, items)
        axes.set_xlabel(look.axis)
        if look.scale == 100:
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="" if look.signed else " %"))
    figure.legend(handles=_legend(judged), loc="outside upper center", ncols=6, handlelength=1.4, columnspacing=1.1)
    return figure


def _draw_panel(axes: Axes, items: Sequence[Judged]) -> None:
    low, high = _limits(items)
    axes.set_xlim(low, high)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.axvline(0, color="#999999", linewidth=0.7, zorder=1)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_yticks(range(len(items)), [textwrap.fill(item.claim["text"], _LABEL_WIDTH) for item in items])
    axes.tick_params(axis="y", length=0, pad=6)
    for row, item in enumerate(items):
        _draw_side(axes, item, row)
        _draw_effect(axes, item, row)
        text = textwrap.fill(item.said, _VERDICT_WIDTH)
        axes.annotate(
            text, (1, row), (5, 0), ("axes fraction", "data"), "offset points", va="center", fontweight="bold"
        )


def _draw_side(axes: Axes, item: Judged, row: int) -> None:
    """The claim's side of its bound as a band, the bound as its edge, and the published effect."""
    low, high = axes.get_xlim()
    claim = item.claim
    margin = claim.get("margin", math.inf)
    bands = {
        "at_least": [(claim.get("at_least"), high)],
        "at_most": [(low, claim.get("at_most"))],
        "equal": [(-margin, margin)],
        "different": [(low, -margin), (margin, high)],
    }
    side = next((key for key in ("at_least", "at_most") if key in claim), claim["effect"])
    for start, end in bands[side]:
        axes.fill_betweenx([row - 0.36, row + 0.36], start, end, color=style.FILLS[3], alpha=0.5, linewidth=0, zorder=0)
    for edge in _bounds(item):
        axes.vlines(edge, row - 0.36, row + 0.36, color=style.COLOURS[0], linewidth=1.2, zorder=2)
    if _shows_published(item):
        axes.vlines(item.published, row - 0.36, row + 0.36, color=style.COLOURS[4], linestyle="--", zorder=2)


def _draw_effect(axes: Axes, item: Judged, row: int) -> None:
    estimate = item.effect.estimate
    low, high = axes.get_xlim()
    if math.isnan(estimate.value):
        middle = (low + high) / 2
        axes.text(middle, row, item.effect.fault, ha="center", va="center", style="italic", zorder=4)
        return
    ends = np.clip([estimate.low, estimate.high], low, high)
    axes.hlines(row, *ends, color=style.COLOURS[2], zorder=3)
    for end, drawn, beyond in ((estimate.low, ends[0], "<"), (estimate.high, ends[1], ">")):
        marker = "|" if end == drawn else beyond
        axes.plot(drawn, row, marker=marker, color=style.COLOURS[2], linestyle="none", clip_on=False, zorder=3)
    if low <= estimate.value <= high:
        axes.plot(estimate.value, row, **_point(item.verdict), clip_on=False, zorder=4)


def _point(word: str) -> dict[str, object]:
    face = "white" if word == "undecided" else style.COLOURS[2]
    return {
        "marker": _MARKERS[word],
        "color": style.COLOURS[2],
        "markerfacecolor": face,
        "linestyle": "none",
        "markersize": 6,
    }


def _bounds(item: Judged) -> list[float]:
    margin = item.claim.get("margin")
    given = [item.claim[key] for key in ("at_least", "at_most") if key in item.claim]
    return given if margin is None else [-margin, margin]


def _shows_published(item: Judged) -> bool:
    """Whether there is a published effect, of the same metric: another one would not stand on the same axis."""
    return item.has_published and item.printed.metric == item.claim["metric"]


def _limits(items: Sequence[Judged]) -> tuple[float, float]:
    """Ends of an axis that shows every bound, effect, interval and published effect, as far as shares are drawn."""
    values = [0.0]
    for item in items:
        estimate = item.effect.estimate
        values += [estimate.value, estimate.low, estimate.high, *_bounds(item)]
        values += [item.published] if _shows_published(item) else []
    if LOOKS[items[0].claim["effect"]].scale == 100:
        values = [*np.clip(values, *_FARTHEST_SHARE), 1.0]
    finite = [value for value in values if math.isfinite(value)]
    room = 0.06 * (max(finite) - min(finite))
    return min(finite) - room, max(finite) + room


def _legend(judged: Sequence[Judged]) -> list[matplotlib.artist.Artist]:
    words = {"supported": "supported", "refuted": "refuted", "undecided": "cannot be decided"}
    present = [word for word in words if any(item.verdict == word for item in judged)]
    points = [Line2D([], [], label=words[word], **_point(word)) for word in present]
    points.append(Line2D([], [], color=style.COLOURS[2], label="95 % interval"))
    sides = [Patch(facecolor=style.FILLS[3], alpha=0.5, label="where the claim holds")]
    if any(map(_shows_published, judged)):
        sides.append(Line2D([], [], color=style.COLOURS[4], linestyle="--", label="published"))
    return [*points, *sides]
