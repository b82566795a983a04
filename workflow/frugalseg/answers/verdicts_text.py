"""Verdicts on a study's claims, in words and as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from frugalseg.answers.verdicts import Judged
from frugalseg.reporting.formats import listing, number, plural
from frugalseg.statistics.intervals import Estimate
from frugalseg.study.claims import tests_of_roles
from frugalseg.study.metrics import metric_of

QUESTION = "Do the study's claims hold on these data?"

_VERDICTS = {"supported": "Supported", "refuted": "Refuted", "undecided": "Cannot be decided"}
_KINDS = {
    "gain": "difference of {metric} on {test}",
    "equal": "difference of {metric} on {test}",
    "different": "difference of {metric} on {test}",
    "loss": "share of {metric} on {test} that is lost",
    "recovery": "share of the lost {metric} on {test} that is won back",
    "asymmetry": "share of {metric} lost on {test}, less that lost on {other_test}",
}
_FAULTS = {
    "nothing learnt": "All models score 0 on all test images: train them longer first.",
    "nothing to lose": "The score before is 0, so there is nothing to lose.",
    "nothing lost": "Nothing was lost, so nothing can be won back.",
    "start uncertain": "The score before is not surely above 0, so no share of it can be told.",
    "loss uncertain": "It is not sure that anything was lost, so no share of it can be told.",
}
_MINUS = "\N{MINUS SIGN}"

_NOTES = """\
A claim is supported where the whole interval lies on its side of the bound, refuted where it lies wholly on the other side,
and cannot be decided otherwise. Intervals are for other seeds and other test images, 95 %, paired by image. Shares are
ratios of means. Two models are called equal where the interval lies within the margin, different where it lies beyond.
Every claim is judged by itself: of twenty whose effect is just at the bound, one would be decided by chance."""
_ONE_SEED = """\
With one seed an interval is for other test images only, and too narrow: how much a training varies by chance is not known,
and another training may turn the verdict."""
_PUBLISHED = """\
The published effect is worked out from the means printed in the tables named above, by the same formula. Other data and
other models gave it; it stands there for comparison and has no part in a verdict."""


def sentences(judged: Sequence[Judged]) -> list[str]:
    """How many claims are supported, refuted and undecided, then one sentence or two on each."""
    return [_count(judged), *map(_sentence, judged)]


def to_markdown(judged: Sequence[Judged]) -> str:
    """The page of verdicts: the answer, then what it rests on."""
    first, *others = sentences(judged)
    parts = [f"# {QUESTION}", f"**{first}**", "\n".join(f"- {sentence}" for sentence in others)]
    parts += ["## Effects", _table(judged), _NOTES]
    parts += [_ONE_SEED] if any(item.one_seed for item in judged) else []
    told = [line for line in map(_as_published, judged) if line]
    parts += ["## As published", _PUBLISHED, "\n".join(told)] if told else []
    return "\n\n".join(parts) + "\n"


def _effect_name(item: Judged) -> str:
    """What the effect of a claim is, with its metric and its test sets."""
    claim = item.claim
    return _KINDS[claim["kind"]].format(
        metric=metric_of(claim["metric"]).name, test=claim["test"], other_test=claim.get("other_test")
    )


def _bound(item: Judged) -> str:
    """The bound of a claim."""
    claim = item.claim
    if "margin" in claim:
        return f"{'within' if claim['kind'] == 'equal' else 'beyond'} ± {claim['margin']:.3f}"
    side = "at_least" if "at_least" in claim else "at_most"
    return f"{side.replace('_', ' ')} {_value(item, claim[side]) if claim[side] else '0'}"


def _interval(item: Judged) -> str:
    """The effect of a claim with its interval."""
    estimate = item.effect.estimate
    if math.isnan(estimate.value):
        return "–"
    return f"{_value(item, estimate.value)} ({_ends(item, estimate)})"


def verdict(item: Judged) -> str:
    """The verdict on a claim, with its hedge."""
    word = item.verdict if item.verdict != "undecided" else "cannot be decided"
    return f"{word}, by one seed alone" if item.one_seed and item.verdict != "undecided" else word


def _published(item: Judged) -> str:
    """The published effect and the tables it comes from."""
    printed = item.printed
    if printed is None or math.isnan(item.published):
        return "–"
    tables = f"Table{'s' if len(printed.tables) > 1 else ''} {listing(printed.tables)}"
    return f"{_value(item, item.published)} ({metric_of(printed.metric).name} on {listing(printed.tests)}; {tables})"


def _as_published(item: Judged) -> str | None:
    """The publication's words on a claim and the means it prints; None where the config names neither."""
    says = item.claim.get("published", {}).get("says")
    parts = [says] if says else []
    if item.printed:
        parts.append(", ".join(f"{role.replace('_', ' ')} {mean:.3f}" for role, mean in item.printed.means.items()))
    return f"- {_title(item)}: {'; '.join(parts)}" if parts else None


def _count(judged: Sequence[Judged]) -> str:
    counts = {word: sum(item.verdict == word for item in judged) for word in _VERDICTS}
    alone = sum(item.one_seed and item.verdict != "undecided" for item in judged)
    if len(judged) == 1:
        word = next(word for word, count in counts.items() if count)
        said = "cannot be decided" if word == "undecided" else f"is {word}"
        return f"The one claim {said} on these data{', by one seed alone' if alone else ''}."
    supported, refuted, undecided = counts.values()
    said = f"Of {plural(len(judged), 'claim')} {_are(supported)} supported, {_are(refuted)} refuted, and "
    said += f"{_none(undecided)} cannot be decided on these data"
    if not alone:
        return f"{said}."
    decided = supported + refuted
    which = (
        "the only one decided" if decided == 1 else f"{'all' if alone == decided else number(alone)} of those decided"
    )
    return f"{said}; {which} rest{'s' if alone == 1 else ''} on one seed alone."


def _sentence(item: Judged) -> str:
    alone = ", by one seed alone" if item.one_seed and item.verdict != "undecided" else ""
    said = f"{_VERDICTS[item.verdict]}{alone}: {item.claim['text']}"
    if math.isnan(item.effect.estimate.value):
        return f"{said} {_FAULTS[item.effect.fault]}"
    beside = "" if math.isnan(item.published) else f"; published: {_value(item, item.published)}{_printed_else(item)}"
    fault = f" {_FAULTS[item.effect.fault]}" if item.effect.fault else ""
    return f"{said} Measured: {_interval(item)}, {_effect_name(item)}; needed: {_bound(item)}{beside}.{fault}"


def _printed_else(item: Judged) -> str:
    """The published metric and test sets where they are not those of the claim."""
    printed, ours = item.printed, tuple(dict.fromkeys(tests_of_roles(item.claim).values()))
    if (printed.metric, printed.tests) == (item.claim["metric"], ours):
        return ""
    return f" ({metric_of(printed.metric).name} on {listing(printed.tests)})"


def _table(judged: Sequence[Judged]) -> str:
    heads = ["Claim", "Verdict", "Effect", "Bound", "Published", "Seeds", "Images"]
    rows = [
        [
            _title(item),
            verdict(item),
            _interval(item),
            _bound(item),
            _published(item),
            str(len(item.claim["seeds"])),
            ", ".join(map(str, item.images)),
        ]
        for item in judged
    ]
    cells = [heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _title(item: Judged) -> str:
    return item.name.replace("_", " ")


def _value(item: Judged, value: float) -> str:
    """A difference with its sign and three digits; a share in percent, a difference of two in percentage points."""
    return _digits(item, value) + {"loss": " %", "recovery": " %", "asymmetry": " points"}.get(item.claim["kind"], "")


def _digits(item: Judged, value: float) -> str:
    if item.claim["kind"] in ("loss", "recovery"):
        text = f"{100 * value:.1f}"
    else:
        text = f"{100 * value:+.1f}" if item.claim["kind"] == "asymmetry" else f"{value:+.3f}"
    return text.replace("-", _MINUS)


def _ends(item: Judged, estimate: Estimate) -> str:
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "anything is possible"
    low = "no limit below" if math.isinf(estimate.low) else _digits(item, estimate.low)
    high = "no limit above" if math.isinf(estimate.high) else _digits(item, estimate.high)
    return f"{low} to {high}"


def _are(count: int) -> str:
    return f"{_none(count)} {'are' if count > 1 else 'is'}"


def _none(count: int) -> str:
    return number(count) if count else "none"
