"""One run a study at a time, and progress in plain words."""

import io
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frugalseg.runtime.run import Progress, StudyIsRunning, hold, run, take_away_stale_locks

LOG = """\
Job stats:
job         count
--------  -------
prepare         1
train           2
all             1
total           4

[Sun Nov 29 11:07:34 2026]
rule prepare:
    output: results/tiny/images/histo/train/pixels.npy
    jobid: 10
    wildcards: dataset=histo
    resources: tmpdir=/tmp
[Sun Nov 29 11:07:36 2026]
Finished jobid: 10 (Rule: prepare)
1 of 4 steps (25%) done
[Sun Nov 29 11:07:36 2026]
rule train:
    jobid: 3
    wildcards: recipe=small, chain=cyto@dq10, seed=0
    resources: tmpdir=/tmp, gpu=1
how long a job takes to start
[Sun Nov 29 11:07:39 2026]
Error in rule train:
    message: None
    jobid: 3
    log: results/tiny/logs/train/small/cyto@dq10/seed0.txt (check log file(s) for error details)
"""


# Holds the lock, starts what stands for Snakemake, and is killed.
KILLED = """
import os, subprocess
from pathlib import Path
from frugalseg.runtime.run import hold
held = hold(Path("results/demo"))
child = subprocess.Popen(["sleep", "60"], pass_fds=(held.fileno(),), stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said_of(log, seconds_a_line=10):
    out = io.StringIO()
    progress = Progress(out, cores=2)
    for number, line in enumerate(log.splitlines()):
        progress.read(line, number * seconds_a_line)
    return out.getvalue().splitlines()


def test_a_line_says_what_starts_and_how_much_is_done():
    said = said_of(LOG)
    assert said[0] == "[0/4] prepare histo"
    assert said[1].startswith("[1/4] train small cyto@dq10 0 · about ")


def test_time_left_is_what_like_jobs_took_shared_by_the_cores():
    # The one job that ended took 40 s; three are left on two cores.
    assert said_of(LOG)[1].endswith("about 1 min left")
    assert said_of(LOG, 60)[1].endswith("about 6 min left")


def test_errors_are_shown_whole():
    said = said_of(LOG)
    assert said[2] == "Error in rule train:"
    assert "seed0.txt" in said[-1]


def test_a_second_run_of_a_study_is_told_who_runs_it():
    results = Path("results/demo")
    held = hold(results)
    take_away_stale_locks(results, held)
    with pytest.raises(StudyIsRunning, match=r"results/demo is being written by process \d+ on .* since "):
        hold(results)
    held.close()
    hold(results).close()


def test_a_lock_that_nobody_holds_is_taken_away_and_that_of_another_study_is_not(capsys):
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/demo/report.html\n")
    (locks / "1.output.lock").write_text("results/real/report.html\n")
    # As a run that was cut off leaves it.
    Path("results/demo").mkdir(parents=True)
    Path("results/demo/.run").write_text(f"process 3 on {socket.gethostname()} since 2026-01-01 10:00")
    with hold(Path("results/demo")) as held:
        take_away_stale_locks(Path("results/demo"), held)
    assert [path.name for path in locks.iterdir()] == ["1.output.lock"]
    assert "its lock is taken away" in capsys.readouterr().out


def test_the_lock_of_a_snakemake_that_works_in_the_folder_is_left(capsys):
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/demo/report.html\n")
    Path("results/demo").mkdir(parents=True)
    Path("results/demo/.run").write_text(f"process 3 on {socket.gethostname()} since 2026-01-01 10:00")
    with (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", "snakemake"]) as other,
        hold(Path("results/demo")) as held,
    ):
        take_away_stale_locks(Path("results/demo"), held)
        other.kill()
    assert list(locks.iterdir())
    assert "run snakemake --unlock" in capsys.readouterr().out


def test_the_lock_of_a_run_on_another_machine_is_left(capsys):
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("results/demo/report.html\n")
    Path("results/demo").mkdir(parents=True)
    Path("results/demo/.run").write_text("process 3 on elsewhere since 2026-01-01 10:00")
    with hold(Path("results/demo")) as held:
        take_away_stale_locks(Path("results/demo"), held)
    assert list(locks.iterdir())
    assert "if it is gone, run snakemake --unlock" in capsys.readouterr().out


def test_a_killed_run_sets_the_study_free_only_when_snakemake_has_ended():
    killed = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, check=False)
    with pytest.raises(StudyIsRunning):
        hold(Path("results/demo"))
    subprocess.run(["kill", killed.stdout.strip()], check=True)


def test_snakemake_runs_and_its_whole_log_is_kept():
    Path("Snakefile").write_text("rule all:\n    output: 'results/demo/a.txt'\n    shell: 'echo here > {output}'\n")
    out = io.StringIO()
    assert run(Path("results/demo"), ["--cores", "1"], out) == 0
    assert Path("results/demo/a.txt").exists()
    assert out.getvalue() == "[0/1] all\n"
    (log,) = Path("results/demo/logs").glob("run-*.txt")
    assert "1 of 1 steps (100%) done" in log.read_text()


def test_a_failed_run_says_that_the_same_command_goes_on():
    Path("Snakefile").write_text("rule all:\n    output: 'results/demo/a.txt'\n    shell: 'exit 1'\n")
    out = io.StringIO()
    assert run(Path("results/demo"), ["--cores", "1"], out) == 1
    assert "Error in rule all" in out.getvalue()
    assert "The same command goes on from here." in out.getvalue()
