"""How to keep the old, in words and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from frugalseg.answers.keeping_answer import Answer, Arm, Way
from frugalseg.reporting.formats import listing, number, plain, plural
from frugalseg.statistics.intervals import Estimate
from frugalseg.study.metrics import metric_of

_NOTE = (
    "Means over test images, with 95 % intervals for other seeds and other test images; differences are paired by seed and "
    "image. Intervals are not corrected for the number of arms. Of every arm the candidate is shown that is best on the tuning "
    "images by *tuning*, the mean of both scores, {source} counting {weight}: {source_images} of {source} and {target_images} "
    "of {target}, on which nothing was trained. Test images chose nothing. Every arm had {candidates}, each with "
    "{seeds}; those that interpolate between models cost no training. On the Pareto front: none of the others in this table is better "
    "on one dataset and no worse on the other, by the means. The CSV has all candidates."
)
_NEVER_WORSE = (
    "Before is the start, after is the candidate that its arm chose. The model to take is what is best on the tuning images, the "
    "start or a candidate; where that is the start, do not fine-tune in this way."
)


def sentences(found: Answer, block: Mapping[str, Any]) -> list[str]:
    """The answer in words: the model to take, what the first arm does, the Pareto front, then what speaks against it.

    Parameters
    ----------
    found : Answer
    block : mapping
        Its block of ``keeping`` in the config.
    """
    if found.recommended is None:
        return ["Which way to take cannot be said. All models score 0 on all tuning images: train them longer first."]
    advice = _advice(found, block)
    parts = [
        f"Going by one seed alone: {advice[0].lower()}{advice[1:]}" if found.seeds == 1 else advice,
        _reference(found, block),
        _front(found, block),
        _runner_up(found),
        _better_not(found),
        _on_test_images(found, block),
    ]
    if found.seeds == 1:
        parts.append(
            "There is one seed, so how much a training varies by chance is not known, and every interval is too narrow."
        )
    return [part for part in parts if part]


def to_markdown(found: Answer, block: Mapping[str, Any]) -> str:
    """The page: the answer, then the arms, then for each of them whether it is better than the start."""
    first, *others = sentences(found, block)
    note = _NOTE.format(
        source=block["source"],
        target=block["target"],
        weight=plain(block["source_weight"]),
        source_images=number(found.tuning_images[0]),
        target_images=number(found.tuning_images[1]),
        candidates=plural(len(found.arms[0].ways), "candidate"),
        seeds=plural(found.seeds, "seed"),
    )
    source_images, target_images = map(number, found.test_images)
    images = f"{source_images} of {block['source']} and {target_images} of {block['target']}"
    parts = [
        f"# {block['title']}",
        block["caption"],
        f"**{first}**",
        "\n".join(f"- {sentence}" for sentence in others),
        f"## {metric_of(block['metric']).name} on the test images, {images}",
        _arms(found, block),
        note,
        "## Never worse than the start",
        _never_worse(found, block),
        _NEVER_WORSE,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _advice(found: Answer, block: Mapping[str, Any]) -> str:
    """The model to take, with its scores beside those of the start and of the first arm."""
    source, target, metric = block["source"], block["target"], metric_of(block["metric"]).name
    start, taken, reference = found.start, found.recommended, found.arms[0].chosen
    ways = plural(len(found.ways), "way")
    if taken is start:
        return (
            f"Of {ways} to learn {target}, none is to be taken: keep the start. Its {metric} is "
            f"{_interval(start.source)} on {source} and {_interval(start.target)} on {target}, where {found.arms[0].name} has "
            f"{_interval(reference.source)} and {_interval(reference.target)}."
        )
    beside = start if taken is reference else reference
    name = "the start" if beside is start else found.arms[0].name
    return (
        f"Of {ways} to learn {target}, {taken.candidate.title} is the one to take: its {metric} is "
        f"{_interval(taken.source)} on {source}, where the start has {_score(start.source.value)}, and "
        f"{_interval(taken.target)} on {target}, where {name} has {_interval(beside.target)}."
    )


def _reference(found: Answer, block: Mapping[str, Any]) -> str:
    """What the first arm loses and gains."""
    chosen = found.arms[0].chosen
    return (
        f"Against the start, {found.arms[0].name} {_change(chosen.kept)} on {block['source']} and {_change(chosen.gained)} on "
        f"{block['target']}."
    )


def _change(difference: Estimate) -> str:
    """A difference in words, which claim a direction only where the interval has one."""
    if difference.high < 0:
        lost = Estimate(-difference.value, -difference.high, -difference.low)
        return f"loses {_interval(lost)}"
    if difference.low > 0:
        return f"gains {_interval(difference)}"
    low, high = _score(difference.low), _score(difference.high)
    return f"is not shown to change anything ({_score(difference.value)}, {low} to {high})"


def _front(found: Answer, block: Mapping[str, Any]) -> str:
    names = [way.candidate.arm for way in found.front]
    if len(names) == 1:
        return f"By the means on the test images nothing tried is better on either dataset than {names[0]}."
    others = 1 + len(found.arms) - len(names)
    beaten = {0: "None is beaten", 1: "The other one is beaten by one of them"}.get(
        others, f"Each of the other {number(others)} is beaten by one of them"
    )
    return (
        f"On the Pareto front of the test images lie, from the least {block['source']} kept to the most, {_names(names)}. "
        f"{beaten}, by the means: where intervals overlap, the order is not certain."
    )


def _runner_up(found: Answer) -> str:
    """How near the next of the start and the other arms comes on the tuning images."""
    taken = found.recommended
    others = [
        way for way in (found.start, *(arm.chosen for arm in found.arms)) if way.candidate.arm != taken.candidate.arm
    ]
    second = max(others, key=lambda way: way.tuned.mean)
    behind = taken.tuned.mean - second.tuned.mean
    return f"On the tuning images {second.candidate.title} comes next, {behind:.3f} behind."


def _better_not(found: Answer) -> str:
    """Arms of which no candidate is worth leaving the start, where others are."""
    worse = [arm.name for arm in found.arms if arm.take is found.start]
    if not worse or found.recommended is found.start:
        return ""
    return f"By the tuning images the start itself is no worse than the best of {_names(worse)}."


def _on_test_images(found: Answer, block: Mapping[str, Any]) -> str:
    """Whether test images, which chose nothing, agree with the choice."""
    weight = block["source_weight"]

    def mean(way: Way) -> float:
        return weight * way.source.value + (1 - weight) * way.target.value

    best = max((found.recommended, found.start, *found.ways), key=mean)
    if best is found.recommended:
        return "The test images, which chose nothing, agree: by the same mean it is the best of all on them too."
    return (
        f"On the test images, which chose nothing, {best.candidate.title} is {mean(best) - mean(found.recommended):.3f} better by "
        "the same mean: so much the choice may be off."
    )


def _names(names: Sequence[str]) -> str:
    """A listing that stays clear where names have commas of their own."""
    return listing(names, comma="; " if any("," in name for name in names) else ", ")


def _arms(found: Answer, block: Mapping[str, Any]) -> str:
    source, target = block["source"], block["target"]
    heads = ["Arm", "Chosen", "Candidates", "Trainings", "Tuning", source, "To the start", target]
    heads += [f"To {found.arms[0].name}", "Pareto front"]
    return _table(
        heads,
        [_arm_row(found.start, None, found, block), *(_arm_row(arm.chosen, arm, found, block) for arm in found.arms)],
    )


def _arm_row(way: Way, arm: Arm | None, found: Answer, block: Mapping[str, Any]) -> list[str]:
    """The row of an arm's chosen candidate, or of the start, which has no arm."""
    budget = ["–", "–"] if arm is None else [str(len(arm.ways)), str(arm.trainings)]
    reference = way is found.arms[0].chosen
    return [
        f"**{way.candidate.arm}**" if way is found.recommended else way.candidate.arm,
        _which(way, block),
        *budget,
        _score(way.tuned.mean, 3),
        _interval(way.source, 3),
        "–" if arm is None else _interval(way.kept, 3),
        _interval(way.target, 3),
        "–" if reference else _interval(way.to_reference, 3),
        "yes" if any(way is other for other in found.front) else "no",
    ]


def _which(way: Way, block: Mapping[str, Any]) -> str:
    """Label of a candidate, or how it was trained."""
    recipe = "" if way.candidate.recipe == block["recipe"] else f", {way.candidate.recipe}"
    return way.candidate.label or f"`{way.candidate.chain}`{recipe}"


def _never_worse(found: Answer, block: Mapping[str, Any]) -> str:
    heads = ["Arm", f"{block['source']}, before and after", f"{block['target']}, before and after"]
    heads += ["Difference", "Tuning, before and after", "Take"]
    start = found.start
    rows = [
        [
            arm.name,
            _step(start.source.value, arm.chosen.source.value),
            _step(start.target.value, arm.chosen.target.value),
            _interval(arm.chosen.gained, 3),
            _step(start.tuned.mean, arm.chosen.tuned.mean),
            _take(arm, found),
        ]
        for arm in found.arms
    ]
    return _table(heads, rows)


def _take(arm: Arm, found: Answer) -> str:
    if found.recommended is None:
        return "–"
    return arm.take.candidate.arm if arm.take is found.start else arm.take.candidate.label or arm.name


def _step(before: float, after: float) -> str:
    return f"{_score(before, 3)} → {_score(after, 3)}"


def _interval(estimate: Estimate, digits: int = 2) -> str:
    return f"{_score(estimate.value, digits)} ({_score(estimate.low, digits)} to {_score(estimate.high, digits)})"


def _score(value: float, digits: int = 2) -> str:
    # A zero has no sign, however it was rounded.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])
