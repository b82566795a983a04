"""Killed runs: kill -9 at any moment and a rerun give the bits of an unbroken run; one folder, one trainer."""

import errno
import fcntl
import json
import os
import select
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from frugalseg.training.state import hold, stamp_of

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

# A process that imports the loop once and forks a child a run. A child trains and kills itself with SIGKILL at the
# n-th call of something the run goes through; the parent computes nothing, so that forking is safe.
RUNS = textwrap.dedent("""
    import json, os, signal, sys
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import torch

    from frugalseg import models
    from frugalseg.data.stores import Patches
    from frugalseg.training import loop, optimiser
    from frugalseg.training.sampling import Feed
    from frugalseg.training.recipe import Recipe
    from frugalseg.training.sampling import Source


    def patches(count, seed):
        random = np.random.default_rng(seed)
        labels = np.zeros((count, 20, 20), np.uint16)
        for label in labels:
            top, left = random.integers(0, 10, 2)
            label[top : top + 8, left : left + 8] = 1
        images = labels[:, None] + random.normal(0, 0.3, (count, 1, 20, 20))
        flows = random.normal(size=(count, 2, 20, 20)) * (labels[:, None] > 0)
        table = pd.DataFrame({"patch": np.arange(count), "cells": 9, "diameter": 9.0})
        return Patches(images.astype(np.float16), labels, flows.astype(np.float16), table)


    def die():
        os.kill(os.getpid(), signal.SIGKILL)


    def countdown(function, number, before):
        calls = 0

        def called(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls == number and before:
                die()
            result = function(*arguments, **keywords)
            if calls == number:
                die()
            return result

        return called


    def half_written(save, number):
        calls = 0

        def called(content, file):
            nonlocal calls
            calls += 1
            save(content, file)
            if calls == number:
                file.flush()
                os.truncate(file.fileno(), file.tell() // 2)
                die()

        return called


    def arm(moment, number):
        if moment == "step":
            optimiser.step = countdown(optimiser.step, number, before=True)
        elif moment == "prepare":
            # In the thread that prepares batches, while the main one computes.
            Feed._prepare = countdown(Feed._prepare, number, before=number % 2 == 0)
        elif moment == "write":
            torch.save = half_written(torch.save, number)
        elif moment == "fsync":
            os.fsync = countdown(os.fsync, number, before=False)
        elif moment == "replace":
            Path.replace = countdown(Path.replace, number, before=False)
        elif moment == "unlink":
            Path.unlink = countdown(Path.unlink, number, before=number % 2 == 0)


    def train(folder, precision, batch):
        steps = 0
        step = optimiser.step

        def counted(*arguments, **keywords):
            nonlocal steps
            steps += 1
            return step(*arguments, **keywords)

        optimiser.step = counted
        model = models.build("cpnet", 2, 3, widths=(4, 6), generator=torch.Generator().manual_seed(0))
        recipe = Recipe(
            steps=11, batch=batch, crop=16, schedule="warmup", precision=precision, save_every=2, validate_every=3
        )
        loop.train(
            model,
            [Source("new", patches(7, 0), np.arange(7)), Source("old", patches(5, 1), np.arange(4), 30)],
            recipe,
            seed=3,
            weights=folder / "model.pt",
            log=folder / "log.csv",
            state_folder=folder / "state",
            validation=[patches(3, 2)],
        )
        (folder / "steps").write_text(str(steps))


    for folder, precision, batch, moment, number in json.loads(sys.argv[1]):
        pid = os.fork()
        if pid == 0:
            try:
                arm(moment, number)
                train(Path(folder), precision, batch)
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        status = os.waitpid(pid, 0)[1]
        print("killed" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}", flush=True)
""")


def run_all(plans):
    """Make every run of the plans, (folder, precision, batch, moment, number) each, and tell how each ended."""
    for folder in {plan[0] for plan in plans}:
        Path(folder).mkdir(parents=True)
    plans = [[str(folder), *rest] for folder, *rest in plans]
    finished = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(plans)], capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert "exit 1" not in finished.stdout, finished.stderr
    return finished.stdout.split("\n")[:-1]


def outputs(folder):
    return [(folder / name).read_bytes() for name in ("model.pt", "log.csv")]


# What a run of 11 steps goes through: 11 steps, and as many batches prepared ahead of them; 5 saves of its state and 1
# of its checkpoint, each written, synced and moved into place like the 5 versions of its log; and 3 files deleted at its
# end.
MOMENTS = {"step": 11, "prepare": 11, "write": 6, "fsync": 6, "replace": 11, "unlink": 3}


def test_killed_once_at_any_moment(tmp_path):
    random = np.random.default_rng()
    kills = [("step", 1), ("step", 11), ("write", 6)]
    kills += [(moment, int(random.integers(1, calls + 1))) for moment, calls in MOMENTS.items() for _ in range(2)]
    plans = [(tmp_path / "unbroken", "float32", 4, "never", 0)]
    for moment, number in dict.fromkeys(kills):
        folder = tmp_path / f"{moment}{number}"
        plans += [(folder, "float32", 4, moment, number), (folder, "float32", 4, "never", 0)]
    ends = run_all(plans)
    assert ends == ["exit 0" if plan[3] == "never" else "killed" for plan in plans], plans
    for folder in tmp_path.iterdir():
        assert outputs(folder) == outputs(tmp_path / "unbroken"), folder.name
        assert sorted(path.name for path in folder.iterdir()) == ["log.csv", "model.pt", "steps"]
    # A run that was killed in step 11 has saved its state after step 10; one killed in step 1 has saved nothing.
    assert (tmp_path / "step11" / "steps").read_text() == "1"
    assert (tmp_path / "step1" / "steps").read_text() == "11"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_killed_again_and_again(tmp_path, precision):
    kills = [("step", 4), ("prepare", 5), ("fsync", 1), ("write", 2), ("replace", 3), ("step", 1)]
    plans = [(tmp_path / "unbroken", precision, 4, "never", 0)]
    plans += [(tmp_path / "broken", precision, 4, *kill) for kill in [*kills, ("never", 0)]]
    assert run_all(plans) == ["exit 0", *["killed"] * len(kills), "exit 0"]
    assert int((tmp_path / "broken" / "steps").read_text()) < 11
    assert outputs(tmp_path / "broken") == outputs(tmp_path / "unbroken")


def test_a_changed_run_starts_afresh(tmp_path):
    ends = run_all(
        [
            (tmp_path / "changed", "float32", 4, "step", 8),
            (tmp_path / "changed", "float32", 6, "never", 0),
            (tmp_path / "fresh", "float32", 6, "never", 0),
        ]
    )
    assert ends == ["killed", "exit 0", "exit 0"]
    assert (tmp_path / "changed" / "steps").read_text() == "11"
    assert outputs(tmp_path / "changed") == outputs(tmp_path / "fresh")


def test_state_of_tensors_comes_back(tmp_path):
    tensors = {"model": {"weight": torch.arange(3.0)}, "step": torch.tensor(4)}
    with hold(tmp_path / "state", "a") as state:
        assert state.load() is None
        state.save(tensors)
    with hold(tmp_path / "state", "a") as state:
        loaded = state.load()
        assert torch.equal(loaded["model"]["weight"], tensors["model"]["weight"])
        assert loaded["step"] == 4
    with hold(tmp_path / "state", "b") as state:
        assert state.load() is None


def test_a_damaged_state_is_told_and_left(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"damaged")
    with hold(tmp_path, "a") as state, pytest.warns(UserWarning, match=r"state\.pt: cannot be read .* starts afresh"):
        assert state.load() is None


def test_folder_goes_when_the_state_is_removed_and_stays_when_it_is_not(tmp_path):
    folder = tmp_path / "deep" / "state"
    with hold(folder, "a") as state:
        state.save({"step": torch.tensor(1)})
    assert (folder / "state.pt").exists()
    with hold(folder, "a") as state:
        state.remove()
    assert not folder.exists()
    folder.mkdir()
    (folder / "mine.txt").write_text("not ours")
    with hold(folder, "a"):
        pass
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_state_survives_an_error(tmp_path):
    def fail():
        with hold(tmp_path / "state", "a") as state:
            state.save({"step": torch.tensor(1)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with hold(tmp_path / "state", "a") as state:
        assert state.load()["step"] == 1


# Holds a folder, saves a state whenever a line comes in, and tells what it did; it removes the state at the line "end".
HOLDER = """
import sys
import torch
from frugalseg.training import state as running_state

running_state.time.sleep = lambda seconds: print("settles", seconds, flush=True)
with running_state.hold(sys.argv[1], "a") as state:
    saved = state.load()
    step = 0 if saved is None else int(saved["step"])
    print("held", step, flush=True)
    for line in sys.stdin:
        if line == "end\\n":
            state.remove()
            break
        step += 1
        state.save({"step": torch.tensor(step)})
        print("saved", step, flush=True)
"""


@pytest.fixture
def run_in(tmp_path):
    """Start a process that holds the folder, or waits for it; all end with the test."""
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def tell(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def test_a_second_run_takes_over_from_the_state_that_the_first_saves(tmp_path, run_in):
    first = run_in()
    assert first.stdout.readline() == "held 0\n"
    tell(first, "save")
    assert first.stdout.readline() == "saved 1\n"
    second = run_in()
    told = second.stderr.readline()
    assert f"process {first.pid} on " in told
    assert "goes on from its next save" in told
    wait_until_locked(tmp_path / "state" / "next")
    tell(first, "save")
    # The job of the first has to fail, and its outputs to be deleted, before the second writes its own.
    assert second.stdout.readline() == "settles 20.0\n"
    assert second.stdout.readline() == "held 2\n"
    assert "TakenOverError" in first.communicate()[1]
    assert f"process {second.pid} on " in (tmp_path / "state" / "lock").read_text()


def test_a_run_that_ends_leaves_its_state_to_one_that_waits(tmp_path, run_in):
    first = run_in()
    assert first.stdout.readline() == "held 0\n"
    tell(first, "save")
    assert first.stdout.readline() == "saved 1\n"
    second = run_in()
    wait_until_locked(tmp_path / "state" / "next")
    tell(first, "end")
    assert second.stdout.readline() == "settles 20.0\n"
    assert second.stdout.readline() == "held 1\n"
    assert first.wait() == 0
    tell(second, "end")
    assert second.wait() == 0
    assert not (tmp_path / "state").exists()


def test_a_killed_run_leaves_its_folder_at_once(run_in):
    first = run_in()
    assert first.stdout.readline() == "held 0\n"
    second = run_in()
    second.stderr.readline()
    first.kill()
    assert second.stdout.readline() == "settles 20.0\n"
    assert second.stdout.readline() == "held 0\n"


def test_a_run_goes_on_when_the_one_that_waited_is_killed(tmp_path, run_in):
    first = run_in()
    assert first.stdout.readline() == "held 0\n"
    second = run_in()
    wait_until_locked(tmp_path / "state" / "next")
    second.kill()
    second.wait()
    tell(first, "save")
    assert first.stdout.readline() == "saved 1\n"


def test_of_two_that_wait_the_second_takes_over_from_the_first(tmp_path, run_in):
    first = run_in()
    assert first.stdout.readline() == "held 0\n"
    others = [run_in(), run_in()]
    for run in others:
        run.stderr.readline()
    wait_until_locked(tmp_path / "state" / "next")
    tell(first, "save")
    first.wait()
    settled, _, _ = select.select([run.stdout for run in others], [], [])
    second, third = others if settled == [others[0].stdout] else others[::-1]
    assert [second.stdout.readline(), second.stdout.readline()] == ["settles 20.0\n", "held 1\n"]
    wait_until_locked(tmp_path / "state" / "next")
    tell(second, "save")
    assert [third.stdout.readline(), third.stdout.readline()] == ["settles 20.0\n", "held 2\n"]


def wait_until_locked(path):
    """Return as soon as another process holds the lock of a file."""
    for _ in range(1000):
        with suppress(FileNotFoundError), path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        time.sleep(0.01)
    raise AssertionError(f"nobody locked {path}")


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(OSError, match=r"state: this file system has no locks .*-o flock"),
        hold(tmp_path / "state", "a"),
    ):
        pass


def test_stamp_changes_with_everything_in_it():
    array = np.arange(4)
    stamps = {
        stamp_of({"a": 1}, {"x": array}),
        stamp_of({"a": 2}, {"x": array}),
        stamp_of({"a": 1}, {"y": array}),
        stamp_of({"a": 1}, {"x": array + 1}),
        stamp_of({"a": 1}, {"x": array.astype(np.int32)}),
        stamp_of({"a": 1}, {"x": array.reshape(2, 2)}),
    }
    assert len(stamps) == 6
    columns = torch.arange(6).reshape(2, 3).T
    assert stamp_of({}, {"x": columns}) == stamp_of({}, {"x": columns.contiguous()})
