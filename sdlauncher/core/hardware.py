"""What a machine is made of, as far as a WebUI cares: host, driver and GPUs, all plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MIB = 1024**2
GIB = 1024**3


class GpuProcess(NamedTuple):
    """A process that holds memory on a GPU; `memory` in bytes, None where the driver does not tell (Windows WDDM)."""

    pid: int
    name: str
    memory: int | None


class MigInstance(NamedTuple):
    """One Multi-Instance-GPU slice; CUDA gives one process exactly one of them, addressed by `uuid`."""

    uuid: str
    name: str
    memory_total: int | None
    memory_free: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU as NVML sees it. Memory in bytes, None where NVML has no answer (unified-memory boards)."""

    index: int
    uuid: str
    name: str
    compute_capability: tuple[int, int]
    memory_total: int | None
    memory_free: int | None = None
    utilization_percent: int | None = None
    temperature_celsius: int | None = None
    clock_mhz: int | None = None
    throttled: tuple[str, ...] = ()
    ecc_errors: int | None = None
    pci_bus_id: str = ""
    processes: tuple[GpuProcess, ...] = ()
    mig_instances: tuple[MigInstance, ...] = ()

    @property
    def sm(self) -> str:
        """The architecture as torch names it, e.g. `sm_89`."""
        return f"sm_{self.compute_capability[0]}{self.compute_capability[1]}"


class Driver(NamedTuple):
    """The installed NVIDIA driver and the newest CUDA version that it supports."""

    version: str
    cuda_version: tuple[int, int] | None = None

    @property
    def release(self) -> tuple[int, ...]:
        """The driver version as numbers, comparable: `550.54.14` -> (550, 54, 14)."""
        return tuple(int(part) for part in self.version.split(".") if part.isdigit())


class Host(NamedTuple):
    """The machine around the GPUs. `memory_total` in bytes; `system` is linux, windows or darwin."""

    system: str
    architecture: str = "x86_64"
    memory_total: int = 16 * GIB
    is_root: bool = False


class GpuFault(NamedTuple):
    """Why GPUs could not be read (a code of `sdlauncher/messages`) and the evidence; the CPU still works."""

    code: str
    evidence: str


class Hardware(NamedTuple):
    """All that was detected. No GPU is a fact, not an error; `faults` say what kept GPUs from being seen."""

    host: Host
    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
    faults: tuple[GpuFault, ...] = ()
