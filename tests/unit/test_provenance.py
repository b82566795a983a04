"""What a file was made on: revision, versions, and the energy that the machine counts."""

import ctypes
import json
import os
import subprocess
import types

import pytest
import torch

from frugalseg.runtime import energy, provenance
from frugalseg.runtime.energy import Meter

CPU = torch.device("cpu")


def test_revision_of_a_repository(tmp_path):
    def git(*arguments):
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        subprocess.run(
            ["git", *arguments], cwd=tmp_path, check=True, capture_output=True, env={**os.environ, **identity}
        )

    git("init")
    assert provenance.revision(tmp_path) is None
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    clean = provenance.revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert provenance.revision(tmp_path) == clean + "+changes"


def test_surroundings_are_json():
    found = provenance.surroundings("cpu")
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]


def test_a_hash_is_that_of_the_file(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert provenance.sha256_of(tmp_path / "abc") == digest


@pytest.fixture
def powercap(tmp_path):
    """A processor of one package that counts to 1,000 J, with a part of it that must not count twice."""
    for folder, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "core"), ("intel-rapl:1", "psys")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text("1000000000\n")
        (tmp_path / folder / "energy_uj").write_text("900000000\n")
    return tmp_path


def test_energy_is_what_the_counter_rose(powercap):
    with Meter(CPU, powercap) as meter:
        (powercap / "intel-rapl:0/energy_uj").write_text("950500000\n")
    assert meter.joules == {"package-0": 50.5}
    assert meter.seconds > 0


def test_a_counter_that_ran_over_goes_on(powercap, monkeypatch):
    monkeypatch.setattr(energy, "_SECONDS_BETWEEN_READINGS", 1e-3)
    with Meter(CPU, powercap) as meter:
        for microjoules in (300e6, 800e6, 100e6, 500e6):  # round the corner twice
            (powercap / "partial").write_text(f"{microjoules:.0f}\n")
            (powercap / "partial").replace(powercap / "intel-rapl:0/energy_uj")
            read = meter._readings
            while read["package-0"] != microjoules / 1e6:
                pass
    assert meter.joules == {"package-0": pytest.approx(400 + 500 + 300 + 400)}


def test_what_cannot_be_read_is_absent(powercap):
    (powercap / "intel-rapl:0/energy_uj").unlink()
    with Meter(CPU, powercap) as meter:
        pass
    assert meter.joules is None


def test_a_counter_that_is_lost_on_the_way_is_absent(powercap):
    with Meter(CPU, powercap) as meter:
        (powercap / "intel-rapl:0/energy_uj").unlink()
    assert meter.joules is None


def test_a_machine_without_counters_invents_nothing(tmp_path):
    with Meter(CPU, tmp_path) as meter:
        pass
    assert meter.joules is None


class Library:
    """NVML of one GPU, counting 1.5 J at every look."""

    def __init__(self, status=0):
        self.status, self.millijoules, self.asked = status, 0, None

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, handle):
        self.asked = uuid
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, value):
        self.millijoules += 1500
        value._obj.value = self.millijoules
        return self.status


@pytest.fixture
def gpu(monkeypatch):
    properties = types.SimpleNamespace(name="NVIDIA H100", uuid="1234-abcd")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return torch.device("cuda", 0)


def test_a_gpu_is_found_by_its_uuid(gpu, tmp_path, monkeypatch):
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    with Meter(gpu, tmp_path) as meter:
        pass
    assert library.asked == b"GPU-1234-abcd"
    assert meter.joules == {"NVIDIA H100 1234-abcd": 1.5}


def test_a_gpu_that_does_not_count_is_absent(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library(status=3))
    with Meter(gpu, tmp_path) as meter:
        pass
    assert meter.joules is None


def test_a_machine_without_nvml_has_no_counter_of_gpus(gpu, monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert energy.gpu_counters(gpu) == []
