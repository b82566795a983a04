"""GPUs shared out among the jobs of a machine, by names that stand for them."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from frugalseg.runtime import device
from frugalseg.runtime.device import claim

GPUS = ["GPU-a", "GPU-b"]
HOLD = """
import sys
from pathlib import Path
from frugalseg.runtime.device import claim
indices, _ = claim(["GPU-a", "GPU-b"], 2, 1, Path(sys.argv[1]))
print(*indices, flush=True)
sys.stdin.read()
"""


def test_jobs_spread_before_they_share(tmp_path):
    claims = [claim(GPUS, 1, 2, tmp_path) for _ in range(4)]
    assert [indices for indices, _ in claims] == [[0], [1], [0], [1]]
    for _, locks in claims:
        os.close(locks[0])


def test_a_gpu_that_is_given_back_is_taken_again(tmp_path):
    _, (first,) = claim(GPUS, 1, 1, tmp_path)
    indices, (second,) = claim(GPUS, 1, 1, tmp_path)
    assert indices == [1]
    os.close(first)
    indices, (third,) = claim(GPUS, 1, 1, tmp_path)
    assert indices == [0]
    os.close(second), os.close(third)


def test_a_job_waits_until_another_process_is_killed(tmp_path, monkeypatch, capsys):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "0 1\n"
    naps = []

    def kill_the_other(seconds):
        naps.append(seconds)
        other.kill()
        other.wait()

    monkeypatch.setattr(time, "sleep", kill_the_other)
    indices, locks = claim(GPUS, 1, 1, tmp_path)
    assert (indices, len(naps)) == ([0], 1)
    assert "waiting for 1 of the 2 GPUs" in capsys.readouterr().err
    os.close(locks[0])


def test_two_gpus_are_claimed_at_once_or_not_at_all(tmp_path, monkeypatch):
    _, (first,) = claim(GPUS, 1, 1, tmp_path)

    def look_and_give_back(_):
        # What waits for two holds none meanwhile.
        indices, (second,) = claim(GPUS, 1, 1, tmp_path)
        assert indices == [1]
        os.close(first), os.close(second)

    monkeypatch.setattr(time, "sleep", look_and_give_back)
    indices, locks = claim(GPUS, 2, 1, tmp_path)
    assert indices == [0, 1]
    for lock in locks:
        os.close(lock)


def test_more_gpus_than_there_are_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"asks for 3 GPUs and this machine shows it 2; .*profile"):
        claim(GPUS, 3, 1, tmp_path)


def test_a_process_is_given_the_gpus_it_can_see(tmp_path, monkeypatch):
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=GPUS[index]))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(device, "_claims", [])
    assert device.claim_devices(2) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert chosen == [0]
    assert device.claim_devices(0) == [torch.device("cpu")]
    folder = tmp_path / f"frugalseg-gpus-{os.getuid()}"
    assert sorted(path.name for path in folder.iterdir()) == ["GPU-a-0", "GPU-b-0"]
    assert folder.stat().st_mode & 0o777 == 0o700
    for lock in device._claims:
        os.close(lock)


@pytest.mark.parametrize(
    ("gpus", "limit"), [(2, "--resources gpu=$((2 * 3)) --default-resources jobs_per_gpu=3"), (0, "")]
)
def test_make_tells_snakemake_how_many_jobs_the_gpus_take(root, tmp_path, gpus, limit):
    listing = "\n".join(f"GPU {index}: A (UUID: GPU-{index})" for index in range(gpus))
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<END\n{listing}\nEND\n")
    program.chmod(0o755)
    command = ["make", "--dry-run", "fetch", "JOBS_PER_GPU=3"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    assert ("gpu=" in said) == bool(limit)
    assert limit in " ".join(said.split())
