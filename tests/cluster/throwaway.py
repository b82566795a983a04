"""A throw-away Slurm cluster: two nodes with a fake GPU each, all on this machine, without systemd and accounting."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# Slurm's plugins drop SLURM_CONF on the way to a job's steps, so that its files have to be where Slurm looks for them.
ETC = Path("/etc/slurm")
NAME = "frugalsegtest"
NODES = ("node1", "node2")
MUNGE = Path("/run/munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged")


def reason_not_to_start() -> str | None:
    """Why no cluster can be started here, or None where it can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not found; apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "only root can start a cluster"
    for file in (ETC / "slurm.conf", ETC / "gres.conf"):
        # What a run of these tests that was killed has left behind is a link, and ours.
        if file.exists() and not (file.is_symlink() and file.readlink().parent.name == NAME):
            return f"{file} belongs to a cluster that is in use"
    return None


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Look four times a second until a condition holds; an AssertionError says what did not happen in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.25)


class Cluster:
    """The cluster, in a folder of its own; started by `start`, ended by `stop`, whoever started it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / NAME
        self._lock = (folder / f"{NAME}.lock").open("w")

    def is_free(self) -> bool:
        """Whether no other run of these tests has the cluster; from now on this one has it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def start(self) -> None:
        """Start the daemons and wait until both nodes are idle."""
        self.stop()
        self.folder.mkdir(parents=True)
        host = socket.gethostname().partition(".")[0]
        template = Path(__file__).with_name("slurm.conf").read_text(encoding="utf-8")
        (self.folder / "slurm.conf").write_text(template.format(name=NAME, host=host, folder=self.folder))
        # Slurm counts a GPU for each file that there is; nothing opens it.
        (self.folder / "gpu").touch()
        (self.folder / "gres.conf").write_text(f"NodeName=node[1-2] Name=gpu File={self.folder}/gpu\n")
        ETC.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).symlink_to(self.folder / name)
        _start_munge()
        self.run("slurmctld", "-c")
        for node in NODES:
            (self.folder / node).mkdir()
            self.run("slurmd", "-N", node)
        wait_until(lambda: self.run("sinfo", "-h", "-p", "standard", "-o", "%D %t") == "2 idle", "both nodes idle")

    def stop(self) -> None:
        """End all jobs and daemons, and take the files away."""
        if (self.folder / "slurmctld.pid").exists():
            self.end_jobs()
        for daemon in ("slurmctld", *NODES):
            _end(self.folder / f"{daemon}.pid")
        for name in ("slurm.conf", "gres.conf"):
            (ETC / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def end_jobs(self) -> None:
        """Cancel all jobs, bring the nodes back and wait until they are idle."""
        subprocess.run(["scancel", "--user", "root"], check=False)
        for node in NODES:
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], capture_output=True, check=False)
        wait_until(lambda: not self.jobs("RUNNING,PENDING,COMPLETING"), "no jobs")

    def start_requeued(self, job: str) -> None:
        """Wait until a job is back in the queue, and spare it the two minutes that Slurm lets it wait there."""
        wait_until(lambda: job in {queued["JobID"] for queued in self.jobs("PENDING")}, f"job {job} is queued again")
        self.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def jobs(self, states: str) -> list[dict[str, str]]:
        """Jobs in some states: number, node, and rule with its wildcards, the oldest first."""
        fields = ("JobID", "NodeList", "Comment")
        listing = self.run("squeue", "-h", "-S", "i", "-t", states, "-O", ",".join(f"{name}:|" for name in fields))
        return [dict(zip(fields, line.split("|"), strict=False)) for line in listing.splitlines()]

    def ended(self, folder: Path) -> list[dict[str, str]]:
        """Records of the ended runs of jobs that were submitted in a folder, in the order in which they ended."""
        path = self.folder / "completed.txt"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return [record for record in records if record["WorkDir"] == str(folder)]


def _start_munge() -> None:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    for folder, mode in ((MUNGE, 0o755), (Path("/etc/munge"), 0o700)):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        shutil.chown(folder, "munge", "munge")
    key = Path("/etc/munge/munge.key")
    if not key.exists():
        key.touch(mode=0o400)
        key.write_bytes(secrets.token_bytes(1024))
        shutil.chown(key, "munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)


def _end(pidfile: Path) -> None:
    if not pidfile.exists():
        return
    pid = int(pidfile.read_text())
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(40):
            time.sleep(0.25)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
