"""Numbers and lists as English writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

_Words = TypeVar("_Words")

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def listing(items: Iterable[str], comma: str = ", ", before_last: str = " and ") -> str:
    """Join words as English does: ``a``, ``a and b``, ``a, b and c``."""
    *first, last = list(items)
    return f"{comma.join(first)}{before_last}{last}" if first else last


def number(count: int) -> str:
    """A count in words up to twelve, else in digits."""
    return _WORDS[count] if count < len(_WORDS) else f"{count:,}"


def plural(count: int, noun: str) -> str:
    """A count and its noun: ``one dataset``, ``three datasets``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def plain(value: float) -> str:
    """A number without an exponent."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def words_for(name: str, known: Mapping[str, _Words], kind: str) -> _Words:
    """What is known to be said of a name.

    Raises
    ------
    ValueError
        When nothing is, so that no text calls it something else.
    """
    if name not in known:
        raise ValueError(
            f"the methods section has no words for the {kind} {name!r}: add them in frugalseg.reporting.methods, beside those "
            f"for {listing(known)}"
        )
    return known[name]
