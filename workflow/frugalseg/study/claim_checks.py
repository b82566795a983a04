"""Checks of the claims of a config that its schema cannot make: parts, bounds, and published values that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from frugalseg.chains import ChainError
from frugalseg.study.answers import VERDICTS
from frugalseg.study.claims import ROLES, WITH_MARGIN, printed_means

_BOUNDS = ("at_least", "at_most", "margin")


def claim_problems(config: Mapping[str, Any], root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the claims of a config, and the path of keys it stands at.

    Parameters
    ----------
    config : mapping
        A config that the schema has accepted, with its defaults.
    root : Path
        Where the path of the published values starts.
    """
    if not config["claims"]:
        return
    for section in ("experiments", "widths", "learning_curves", "keeping", "transfers"):
        if VERDICTS in config[section]:
            yield (
                (section, VERDICTS),
                f"{section}.{VERDICTS}: this is the name of the table of claims; choose another",
            )
    for name, claim in config["claims"].items():
        path, where = ("claims", name), f"claims.{name}"
        yield from ((path, f"{where}{message}") for message in _messages(claim, config))
        if has_its_parts(claim) and "published" in claim:
            yield from ((path, f"{where}.published{message}") for message in _published_messages(claim, config, root))


def has_its_parts(claim: Mapping[str, Any]) -> bool:
    """Whether a claim names the chains and test sets that its kind asks for, no more and no fewer."""
    asymmetric = claim["kind"] == "asymmetry"
    return set(claim["chains"]) == set(ROLES[claim["kind"]]) and ("other_test" in claim) == asymmetric


def _messages(claim: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    kind = claim["kind"]
    if set(claim["chains"]) != set(ROLES[kind]):
        given = ", ".join(claim["chains"]) or "none"
        yield f".chains: the kind {kind!r} needs the parts {', '.join(ROLES[kind])}, and only them; there are: {given}"
    if kind == "asymmetry" and "other_test" not in claim:
        yield " lacks the key 'other_test', the test set of other_before and other_after"
    if kind != "asymmetry" and "other_test" in claim:
        yield f".other_test means nothing to the kind {kind!r}; take it away"
    allowed = ("margin",) if kind in WITH_MARGIN else ("at_least", "at_most")
    given = [bound for bound in _BOUNDS if bound in claim]
    if len(given) != 1 or given[0] not in allowed:
        yield (
            f": the kind {kind!r} needs {' or '.join(map(repr, allowed))} as its bound, and only one; "
            f"it has {' and '.join(map(repr, given)) or 'none'}"
        )
    if claim["metric"] == "hd95":
        yield ".metric is 'hd95'; choose a score from 0 to 1, of which larger is better"
    if config["recipes"].get(claim["recipe"], {}).get("target") == "foreground":
        yield f".recipe {claim['recipe']!r} learns foreground, and is scored on one test set alone; choose one that finds cells"


def _published_messages(claim: Mapping[str, Any], config: Mapping[str, Any], root: Path) -> Iterator[str]:
    published = claim["published"]
    if "tables" not in published:
        surplus = [key for key in ("datasets", "metric") if key in published]
        if surplus:
            yield f".{surplus[0]} means nothing without 'tables', in which the values stand"
        return
    if "published" not in config:
        yield ".tables names tables of the file of published values; name the file under the key 'published'"
        return
    try:
        printed_means(claim, root / config["published"])
    except ChainError:
        # The checks of chains tell it.
        return
    except ValueError as error:
        yield f": {error}"
