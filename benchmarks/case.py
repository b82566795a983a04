"""What a benchmark is made of: a case, its peers, what they must agree in, and the bar that ours must pass."""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch

#: Modules of cases, in the order of the table; each has a function ``cases(long)``.
MODULES = (
    "quantize_cases",
    "flow_cases",
    "overlap_cases",
    "augment_cases",
    "training_cases",
    "sensitivity_cases",
    "inference_cases",
)


@dataclass(frozen=True)
class Timed:
    """Result of a side that keeps its own time: a step out of many, or a run extrapolated from its first part.

    Attributes
    ----------
    seconds : float
        What counts as the time of the call.
    result : Any
        What is compared.
    """

    seconds: float
    result: Any


@dataclass(frozen=True)
class Agreement:
    """How far two results agree: in words, and as the number that the bar asks about, if it asks."""

    words: str
    value: float = float("nan")


@dataclass(frozen=True)
class Bar:
    """What must be shown; None asks for nothing.

    Attributes
    ----------
    ratio : float
        Least peer's time / our time.
    seconds : float
        Most that ours may take.
    memory : float
        Most bytes that ours may hold beyond its inputs.
    agreement_from, agreement_to : float
        Range of the agreement's value.
    """

    ratio: float | None = None
    seconds: float | None = None
    memory: float | None = None
    agreement_from: float | None = None
    agreement_to: float | None = None

    def __str__(self) -> str:
        return ", ".join(words for words, _ in self._clauses(0.0, 0.0, 0.0, 0.0))

    def met(self, ratio: float, seconds: float, memory: float, agreement: float) -> str:
        """``yes``, or ``no:`` and the clauses that are missed; empty where there is no bar."""
        clauses = self._clauses(ratio, seconds, memory, agreement)
        missed = ", ".join(words for words, holds in clauses if not holds)
        return f"no: {missed}" if missed else "yes" if clauses else ""

    def _clauses(self, ratio: float, seconds: float, memory: float, agreement: float) -> list[tuple[str, bool]]:
        clauses = []
        if self.ratio is not None:
            clauses.append((f"≥ {self.ratio:g}x", ratio >= self.ratio))
        if self.seconds is not None:
            clauses.append((f"≤ {self.seconds:g} s", seconds <= self.seconds))
        if self.memory is not None:
            clauses.append((f"≤ {self.memory / 1e6:.0f} MB", memory <= self.memory))
        if self.agreement_from is not None:
            clauses.append((f"agreement ≥ {self.agreement_from:g}", agreement >= self.agreement_from))
        if self.agreement_to is not None:
            clauses.append((f"agreement ≤ {self.agreement_to:g}", agreement <= self.agreement_to))
        return clauses


@dataclass(frozen=True)
class Peer:
    """Someone else's way to do the same work.

    Attributes
    ----------
    name : str
        Who, and how much of the work was timed if not all.
    run : callable
        Inputs -> result.
    agree : callable
        Inputs, our result, the peer's result -> Agreement.
    bar : Bar
        What ours must reach against this peer.
    repeats : int, optional
        Timed calls of a peer that takes long; as many as asked for where it is not given.
    precision : torch.dtype
        What the peer computes in.
    """

    name: str
    run: Callable[[Any], Any]
    agree: Callable[[Any, Any, Any], Agreement]
    bar: Bar = Bar()
    repeats: int | None = None
    precision: torch.dtype = torch.float32


@dataclass(frozen=True)
class Work:
    """Operations, and bytes moved when every number has four; counted from the algorithm."""

    operations: float
    bytes: float

    def of_width(self, precision: torch.dtype) -> Work:
        """The same work on numbers of another type."""
        return Work(self.operations, self.bytes * precision.itemsize / 4)


@dataclass(frozen=True)
class Case:
    """The same work on the same inputs, by us and by peers.

    Attributes
    ----------
    work, input : str
        What is done, and to what.
    draw : callable
        Makes the inputs.
    toy : callable
        Makes small inputs of the same kind, for the call that compiles and loads code.
    ours : callable
        Inputs -> result.
    peers : tuple of Peer
        At least one.
    count : callable
        Inputs -> Work.
    precision : torch.dtype
        What ours computes in: which product of matrices its speed is held against.
    """

    work: str
    input: str
    draw: Callable[[], Any]
    toy: Callable[[], Any]
    ours: Callable[[Any], Any]
    peers: tuple[Peer, ...]
    count: Callable[[Any], Work]
    precision: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        """Work and input, by which a case is found."""
        return f"{self.work}, {self.input}"

    def sides(self) -> dict[str, Callable[[Any], Any]]:
        """Ours and the peers' calls by name."""
        return {"ours": self.ours} | {peer.name: peer.run for peer in self.peers}


def load(pattern: str, long: bool) -> Iterator[tuple[str, Case]]:
    """Cases whose name holds a match of the pattern, each with the module it is from.

    Parameters
    ----------
    pattern : str
        Regular expression, upper and lower case alike.
    long : bool
        With the cases that take minutes.
    """
    for module in MODULES:
        for case in importlib.import_module(module).cases(long):
            if re.search(pattern, case.name, re.IGNORECASE):
                yield module, case


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a peer's progress bars, log and warnings off the terminal."""
    with redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
        yield


def find(module: str, name: str) -> Case:
    """The case of a module by its name."""
    return next(case for case in importlib.import_module(module).cases(long=True) if case.name == name)
