"""Run Snakemake for a person: one run a study at a time, progress in plain words, the whole log in a file.

``python -m frugalseg.runtime.run demo -- --cores all --configfile config/config.yaml``

A power cut leaves Snakemake's own lock behind, and a person has to know ``--unlock``. Here a run holds a lock of the
operating system as long as it lives. Where that lock is free, Snakemake's lock on the study is stale and taken away.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TextIO

import psutil

RULE = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):$")
JOBID = re.compile(r"^    jobid: (\d+)$")
WILDCARDS = re.compile(r"^    wildcards: (.*)$")
FINISHED = re.compile(r"^Finished jobid: (\d+) \(Rule: (\w+)\)$")
DONE = re.compile(r"^(\d+) of (\d+) steps")
TROUBLE = re.compile(r"^(Error in rule|\w*(Error|Exception)\b|Traceback|Failed|Logfile |Missing)")


class StudyIsRunning(Exception):
    """Another process runs this study."""


def hold(results: Path) -> IO[str] | None:
    """Lock a study's results for as long as the file that comes back is open; None where the file system has no locks.

    Raises
    ------
    StudyIsRunning
        When somebody holds the lock; the message says who.
    """
    results.mkdir(parents=True, exist_ok=True)
    file = (results / ".run").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise StudyIsRunning(f"{results} is being written by {holder}; wait for it, or stop it") from None
    except OSError as error:
        file.close()
        print(f"{results}: no locks on this file system ({error}); Snakemake's own lock is left as it is")
        return None
    return file


def take_away_stale_locks(results: Path, held: IO[str]) -> None:
    """Take away Snakemake's locks on files of a study that nobody runs."""
    held.seek(0)
    last = held.read().strip()
    here = socket.gethostname()
    locks = [path for path in Path(".snakemake/locks").glob("*.lock") if _names_files_below(path, results)]
    if locks and f" on {here} " in last and not _snakemake_runs_here():
        print(f"the last run of {results} ended without cleaning up; its lock is taken away")
        for path in locks:
            path.unlink()
    elif locks:
        print(f"a run of {results} by {last or 'snakemake itself'} left a lock; if it is gone, run snakemake --unlock")
    held.truncate(0)
    held.write(f"process {os.getpid()} on {here} since {time.strftime('%Y-%m-%d %H:%M')}")
    held.flush()


def _snakemake_runs_here() -> bool:
    """Whether a Snakemake that a person called directly, and that holds no lock of ours, works in this folder."""
    here = str(Path.cwd())
    processes = (process.info for process in psutil.process_iter(["cmdline", "cwd"]))
    return any(info["cwd"] == here and any("snakemake" in part for part in info["cmdline"] or []) for info in processes)


def _names_files_below(lock: Path, results: Path) -> bool:
    with lock.open(encoding="utf-8") as lines:
        return any(line.startswith(f"{results}/") for line in lines)


class Progress:
    """Snakemake's log turned into a line a job: what starts, how many of how many are done, how long it may take yet.

    Parameters
    ----------
    out : text stream
        Where the lines go.
    cores : int
        Jobs that run at once.
    """

    def __init__(self, out: TextIO, cores: int) -> None:
        self.out = out
        self.cores = cores
        self.left: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.started: dict[str, float] = {}
        self.rule = self.name = ""
        self.done = self.total = 0
        self.counting = self.in_trouble = False

    def read(self, line: str, now: float) -> None:
        """Take in one line of the log, written at `now` in seconds."""
        self._count(line)
        self.in_trouble = not line.startswith("[") and (self.in_trouble or bool(TROUBLE.match(line)))
        if self.in_trouble:
            print(line, file=self.out)
        elif found := RULE.match(line):
            self.rule = self.name = found[1]
        elif found := JOBID.match(line):
            self.started[found[1]] = now
        elif found := WILDCARDS.match(line):
            self.name = f"{self.rule} {' '.join(pair.partition('=')[2] for pair in found[1].split(', '))}"
        elif line.startswith("    resources:") and self.rule:
            print(f"[{self.done}/{self.total}] {self.name}{self._time_left()}", file=self.out, flush=True)
            self.rule = ""
        elif (found := FINISHED.match(line)) and found[1] in self.started:
            self.seconds.setdefault(found[2], []).append(now - self.started.pop(found[1]))
            self.left[found[2]] -= 1
        elif found := DONE.match(line):
            self.done, self.total = int(found[1]), int(found[2])
        elif line.startswith("Nothing to be done"):
            print("nothing to do: every result is there and up to date", file=self.out)

    def _count(self, line: str) -> None:
        """Read the table of jobs that Snakemake starts with."""
        parts = line.split()
        if line.startswith("job  "):
            self.counting = True
        elif self.counting and len(parts) == 2 and parts[1].isdigit():
            if parts[0] == "total":
                self.total, self.counting = int(parts[1]), False
            else:
                self.left[parts[0]] = int(parts[1])

    def _time_left(self) -> str:
        """From what jobs of the same rule took; nothing is promised before a tenth of the jobs is done."""
        if not self.seconds or self.done * 10 < self.total:
            return ""
        means = {rule: sum(took) / len(took) for rule, took in self.seconds.items()}
        usual = sum(means.values()) / len(means)
        seconds = sum(number * means.get(rule, usual) for rule, number in self.left.items()) / self.cores
        return f" · about {max(1, round(seconds / 60))} min left"


def lines_of(stream: Iterable[str], log: TextIO) -> Iterator[str]:
    """Lines of a stream without their ends, each written to a log as it is."""
    for line in stream:
        log.write(line)
        yield line.rstrip("\n")


def run(results: Path, arguments: list[str], out: TextIO = sys.stdout) -> int:
    """Run Snakemake with these arguments while holding a study's lock; Snakemake's exit code."""
    held = hold(results)
    if held:
        take_away_stale_locks(results, held)
    path = results / "logs" / f"run-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    path.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snakemake", *arguments]
    # Snakemake inherits the lock: killing this process alone sets nothing free.
    inherited = (held.fileno(),) if held else ()
    progress = Progress(out, _cores(arguments))
    with (
        path.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=inherited, errors="replace"
        ) as process,
    ):
        for line in lines_of(process.stdout, log):
            progress.read(line, time.monotonic())
    if process.returncode:
        print(f"stopped; Snakemake's whole log: {path}. The same command goes on from here.", file=out)
    if held:
        held.truncate(0)
        held.close()
    return process.returncode


def _cores(arguments: list[str]) -> int:
    """Cores that Snakemake is given: all of this machine unless a number is there."""
    given = arguments[arguments.index("--cores") + 1] if "--cores" in arguments[:-1] else "all"
    return int(given) if given.isdigit() else os.cpu_count() or 1


if __name__ == "__main__":
    name, _, *rest = sys.argv[1:]
    try:
        sys.exit(run(Path("results") / name, rest))
    except StudyIsRunning as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
