"""Energy that a machine counts by itself: of its processors by RAPL, of its NVIDIA GPUs by NVML.

Nothing is estimated: what has no counter, or none that this user may read, is absent.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

POWERCAP = Path("/sys/class/powercap")
# A counter of a package runs over after 65 to 262 kJ: at 1,000 W not before a minute.
_SECONDS_BETWEEN_READINGS = 20.0


@dataclass(frozen=True)
class Counter:
    """A counter that only rises, until it runs over."""

    name: str  # what it counts the energy of, for example package-0
    read: Callable[[], float]  # joules; raises OSError where it cannot be read
    span: float | None = None  # joules after which it starts from 0 again; None: never


class Meter:
    """Counts the energy used while its context is open, for `seconds`: of processor packages, and of a device that is a GPU.

    A processor's counter is that of the whole package: what other jobs used of it meanwhile is in it.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP) -> None:
        counters = processor_counters(powercap) + gpu_counters(device)
        self._counters = {counter.name: counter for counter in counters}
        self._joules: dict[str, float] = {}
        self._readings: dict[str, float] = {}
        self._start = self.seconds = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, name="energy", daemon=True)

    def __enter__(self) -> Meter:
        self._start = time.monotonic()
        for name, counter in list(self._counters.items()):
            try:
                self._readings[name], self._joules[name] = counter.read(), 0.0
            except OSError:
                del self._counters[name]
        if any(counter.span for counter in self._counters.values()):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        self._add()
        self.seconds = time.monotonic() - self._start

    @property
    def joules(self) -> dict[str, float] | None:
        """Joules by counter, once the context is left; None where there is no counter."""
        return {name: round(joules, 3) for name, joules in self._joules.items()} or None

    def _keep_reading(self) -> None:
        while not self._end.wait(_SECONDS_BETWEEN_READINGS):
            self._add()

    def _add(self) -> None:
        for name in list(self._joules):
            counter = self._counters[name]
            try:
                reading = counter.read()
            except OSError:
                # What is known of a part of the time is not the energy of the whole.
                del self._joules[name]
                continue
            used = reading - self._readings[name]
            self._joules[name] += used if used >= 0 or counter.span is None else used + counter.span
            self._readings[name] = reading


def processor_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """Counters of the processor packages that this user may read; Linux leaves them to root unless told otherwise."""
    counters = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text(encoding="ascii").strip()
            if not name.startswith("package"):  # a part of a package, or the whole platform
                continue
            span = float((folder / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            (folder / "energy_uj").read_text(encoding="ascii")
        except OSError:
            continue
        counters.append(Counter(name, lambda file=folder / "energy_uj": float(file.read_text("ascii")) / 1e6, span))
    return counters


def gpu_counters(device: torch.device) -> list[Counter]:
    """The counter of a GPU, in a list, empty where it has none: NVIDIA's since Volta, but no slice of one (MIG)."""
    if device.type != "cuda":
        return []
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    properties = torch.cuda.get_device_properties(device)
    handle = ctypes.c_void_p()
    name = f"GPU-{properties.uuid}".encode()
    # NVML's functions return 0 where they succeed.
    found = not library.nvmlInit_v2() and not library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle))
    # Two GPUs of a machine may have one name.
    return [Counter(f"{properties.name} {properties.uuid}", lambda: _gpu_joules(library, handle))] if found else []


def _gpu_joules(library: ctypes.CDLL, handle: ctypes.c_void_p) -> float:
    millijoules = ctypes.c_ulonglong()
    status = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
    if status != 0:
        raise OSError(f"NVML does not tell the energy of this GPU (status {status})")
    return millijoules.value / 1000
