"""What a job says on the terminal, kept in its log file too."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TextIO

from frugalseg.runtime.files import FullDiskError


class Tee:
    """A text stream that writes to a terminal and to a file."""

    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self.terminal = terminal
        self.file = file

    def write(self, text: str) -> int:
        """Write to both; a progress bar's carriage returns become lines of the file."""
        self.file.write(text.replace("\r", "\n"))
        return self.terminal.write(text)

    def flush(self) -> None:
        """Flush both."""
        self.file.flush()
        self.terminal.flush()

    def isatty(self) -> bool:
        """Whether the terminal is one."""
        return self.terminal.isatty()


def record(path: str | Path, append: bool = False) -> None:
    """Copy all that this process writes to standard error from now on into a file, tracebacks included; or add it to the file."""
    # Open for as long as the process lives: the last thing written to it may be a traceback.
    sys.stderr = Tee(sys.stderr, Path(path).open("a" if append else "w", encoding="utf-8", buffering=1))  # noqa: SIM115
    sys.excepthook = _say_or_trace


def _say_or_trace(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of a full disk a sentence says all; of every other error also where it came from."""
    if isinstance(error, FullDiskError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
