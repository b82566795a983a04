"""How far a transfer has come, said now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS_BETWEEN = 10.0


class Progress:
    """Lines such as ``train.zip: 1.2 of 4.8 GB (25 %), 11.0 MB/s, 5 min 27 s left``, one every ten seconds.

    Parameters
    ----------
    name : str
        What is transferred.
    start : int
        Bytes that are there already; they do not count for the rate.
    total : int or None
        Bytes of the whole, where they are known.
    say : callable
        Takes a line.
    clock : callable
        Gives seconds.
    """

    def __init__(
        self,
        name: str,
        start: int,
        total: int | None,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._start, self._total, self._say, self._clock = name, start, total, say, clock
        self._begun = self._said = clock()

    def at(self, position: int) -> None:
        """Note that `position` bytes are there, and say so if it is time to."""
        now = self._clock()
        if now - self._said < _SECONDS_BETWEEN:
            return
        self._said = now
        rate = (position - self._start) / (now - self._begun)
        line = f"{self._name}: {in_units(position)}"
        if self._total:
            line += f" of {in_units(self._total)} ({100 * position // self._total} %)"
        line += f", {in_units(rate)}/s"
        if self._total and rate:
            line += f", {in_time((self._total - position) / rate)} left"
        self._say(line)


def in_units(count: float) -> str:
    """A number of bytes as people read it: 82945 is ``82.9 kB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def in_time(seconds: float) -> str:
    """A number of seconds as people read it: 327 is ``5 min 27 s``."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
