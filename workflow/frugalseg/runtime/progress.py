"""Progress of a run: a bar for a person who watches, a line now and then for a log file."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from torch import Tensor
from tqdm import tqdm


class Progress:
    """Shows loss, rate and time left of a run on standard error, or nothing where another process does; used as a context.

    An earlier, killed run has made `done` of the `steps`.
    """

    def __init__(self, description: str, steps: int, done: int, silent: bool = False) -> None:
        self._description = description
        self._steps = steps
        self._first = self._done = done
        self._start = self._shown = time.monotonic()
        self._silent = silent
        self._terminal = sys.stderr.isatty() and not silent
        self._bar = tqdm(
            total=steps, initial=done, desc=description, unit="step", mininterval=1, disable=not self._terminal
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, loss: Tensor) -> None:
        """Count one step. The loss is read, which waits for the device, only when it is shown."""
        self._done += 1
        now = time.monotonic()
        if self._terminal and now - self._shown >= 1:
            self._bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            self._shown = now
        self._bar.update()
        if self._terminal or self._silent:
            return
        if self._done * 10 // self._steps > (self._done - 1) * 10 // self._steps:
            rate = (self._done - self._first) / max(now - self._start, 1e-9)
            print(
                f"{self._description}: step {self._done} of {self._steps}, loss {loss.item():.3f}, "
                f"{rate:.3g} steps/s, {(self._steps - self._done) / rate:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
