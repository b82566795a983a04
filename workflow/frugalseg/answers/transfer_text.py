"""Transfer along chains, in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from frugalseg.answers.transfer_data import path_name, row_names
from frugalseg.chains import parse
from frugalseg.reporting.formats import listing, number, plural
from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.transfer import ChainScores, Transfer, compare_ends
from frugalseg.study.metrics import metric_of

# So many paths are told one by one in the answer; of more, the one that forgets least and the one that forgets most.
_FEW = 2

_NOTE = (
    "Bold: the dataset is learned. Intervals are for other seeds and other test images, 95 %; every dataset counts as much "
    "as every other. Mean at the end: over all datasets of the path. Backward transfer: what the datasets learned before the "
    "last stage have gained since they were learned, on average; below 0 they are forgotten. Forward transfer: the score on a "
    "dataset just before it is learned, less that of {reference}, averaged over the datasets learned after the first stage "
    "(Lopez-Paz & Ranzato 2017). {counting}"
)
_REFERENCES = {
    "untrained": "the same network at its random start, which was evaluated like every other model",
    "start": "the model after the path's first stage (pre-training, which stands for chance here: a random network would not "
    "tell what the stages add)",
}
_COUNTING = (
    "Where a stage joins several new datasets, all of them are learned at once; a dataset that is replayed counts from the "
    "stage that learned it first."
)


def sentences(block: Mapping[str, Any], paths: Mapping[str, ChainScores], found: Mapping[str, Transfer]) -> list[str]:
    """The answer in words: what is forgotten, then every path, the order, and what makes it doubtful.

    Parameters
    ----------
    block : mapping
        Of ``transfers`` in the config.
    paths, found : mapping
        Chain -> scores, and what is said of them.
    """
    if not any(scores.any() for path in paths.values() for scores in path.scores.values()):
        return ["What is forgotten cannot be said. All models score 0 on all test images: train them longer first."]
    name = _metric(block)
    chains = sorted(found, key=lambda chain: -found[chain].backward.value)
    told = list(found) if len(found) <= _FEW else [chains[0], chains[-1]]
    count = "" if len(found) <= _FEW else f" (least and most of {number(len(found))} paths)"
    parts = [_change(found[chain].backward, f"at the end of {path_name(block, chain)}") for chain in told]
    answer = f"On average, {name} on the datasets learned before the last stage {listing(parts)}{count}."
    single = next(iter(paths.values())).seeds == 1
    said = [f"Going by one seed alone: {answer[0].lower()}{answer[1:]}" if single else answer]
    said += [_of_path(block, chain, found[chain], name) for chain in found]
    said += _orders(block, paths, found, name)
    if single:
        said.append(
            "There is one seed, so how much a training varies by chance is not known, and every interval is too narrow."
        )
    return said


def to_markdown(
    block: Mapping[str, Any], paths: Mapping[str, ChainScores], found: Mapping[str, Transfer], said: Sequence[str]
) -> str:
    """The page of a transfer matrix: the answer, then the matrices and their sums."""
    first, *others = said
    name = metric_of(block["metric"]).name
    parts = [f"# {block['title']}", block["caption"], f"**{first}**", "\n".join(f"- {sentence}" for sentence in others)]
    for chain, path in paths.items():
        parts += [
            f"## {path_name(block, chain)}",
            f"{name} on the test images:",
            _matrix(block, chain, path, found[chain]),
        ]
    heads = ["Path", "Mean at the end", "Backward transfer", "Forward transfer"]
    lines = [
        [path_name(block, chain), *map(_interval, (sums.average, sums.backward, sums.forward))]
        for chain, sums in found.items()
    ]
    parts += ["## In all", _table(heads, lines), note(block, paths)]
    return "\n\n".join(part for part in parts if part) + "\n"


def note(block: Mapping[str, Any], paths: Mapping[str, ChainScores]) -> str:
    """What the words of the table mean, and what stands for chance."""
    special = any(
        len(set(path.learned.values())) < len(path.learned) or _replays(block, chain) for chain, path in paths.items()
    )
    text = _NOTE.format(reference=_REFERENCES[block["reference"]], counting=_COUNTING if special else "").strip()
    images = {test: scores.shape[2] for path in paths.values() for test, scores in path.scores.items()}
    of_tests = listing(f"{count:,} of {test}" for test, count in images.items())
    return f"{text} {plural(next(iter(paths.values())).seeds, 'seed').capitalize()}; test images: {of_tests}."


def _of_path(block: Mapping[str, Any], chain: str, found: Transfer, name: str) -> str:
    start = "an untrained network" if block["reference"] == "untrained" else "the start"
    return (
        f"{path_name(block, chain)}: a mean {name} of {_interval(found.average)} at the end, backward transfer "
        f"{_interval(found.backward)}; before they are learned, datasets score {_interval(found.forward)} more than by {start} "
        "(forward transfer)."
    )


def _orders(
    block: Mapping[str, Any], paths: Mapping[str, ChainScores], found: Mapping[str, Transfer], name: str
) -> Iterator[str]:
    """Which of the paths through the same datasets ends best, of every such group."""
    # Of one seed it is not known whether another would say the same.
    alone = " in these runs" if next(iter(paths.values())).seeds == 1 else ""
    by_datasets = sorted(paths, key=lambda chain: sorted(paths[chain].scores))
    for datasets, group in groupby(by_datasets, key=lambda chain: sorted(paths[chain].scores)):
        members = set(group)
        chains = [chain for chain in paths if chain in members]
        if len(chains) < 2:
            continue
        differences = compare_ends([paths[chain] for chain in chains])
        best = max(range(len(chains)), key=lambda rank: found[chains[rank]].average.value)
        leads = {other: gap for (better, other), gap in differences.items() if better == best}
        nearest = min(leads, key=lambda other: leads[other].value)
        led = f"{path_name(block, chains[nearest])} by {_interval(leads[nearest])}"
        if all(gap.low > 0 for gap in leads.values()):
            yield (
                f"Of the paths through {listing(datasets)}, {path_name(block, chains[best])} ends with the best mean {name}; it leads "
                f"{led}: the order matters{alone}."
            )
        else:
            yield (
                f"Which path through {listing(datasets)} ends best cannot be said yet: {path_name(block, chains[best])} leads {led}."
            )


def _change(backward: Estimate, where: str) -> str:
    size = Estimate(*(abs(value) for value in (backward.value, *sorted((backward.low, backward.high), key=abs))))
    if backward.high < 0:
        return f"has fallen by {_interval(size)} {where}"
    if backward.low > 0:
        return f"has risen by {_interval(size)} {where}"
    ends = f"{_score(backward.low)} to {_score(backward.high)}"
    return f"is not shown to have changed {where} (change {_score(backward.value)}, {ends})"


def _matrix(block: Mapping[str, Any], chain: str, path: ChainScores, found: Transfer) -> str:
    lines = []
    for row, after in enumerate(row_names(block, chain)):
        cells = []
        for test, estimates in found.matrix.items():
            value = f"{_score(estimates[row].value)}"
            value = f"**{value}**" if row >= path.learned[test] else value
            cells.append(f"{value} ({_score(estimates[row].low)} to {_score(estimates[row].high)})")
        lines.append([f"`{after}`" if row or block["reference"] == "start" else after, *cells])
    return _table(["After", *found.matrix], lines)


def _replays(block: Mapping[str, Any], chain: str) -> bool:
    seen = [source.dataset for stage in parse(chain).stages for source in stage.sources]
    return len(set(seen)) < len(seen)


def _metric(block: Mapping[str, Any]) -> str:
    return metric_of(block["metric"]).short


def _interval(estimate: Estimate) -> str:
    return f"{_score(estimate.value)} ({_score(estimate.low)} to {_score(estimate.high)})"


def _score(value: float) -> str:
    # Nothing is left of a tiny negative number but its sign.
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *rows])
