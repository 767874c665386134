"""An NVIDIA machine for tests: describes GPUs to the stand-in driver library that nvml.c builds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024**2


@dataclass
class NvidiaMachine:
    """Collects driver and GPUs, and gives the environment in which the real pynvml finds them."""

    library_folder: Path
    description: Path
    lines: list[str] = field(default_factory=list)
    gpus: int = 0

    def driver(self, version: str = "550.54.14", cuda: int = 12040) -> NvidiaMachine:
        return self._add(f"driver {version} {cuda}")

    def init_returns(self, code: int) -> NvidiaMachine:
        return self._add(f"init {code}")

    def gpu(
        self,
        name: str = "NVIDIA GeForce RTX 4090",
        capability: str = "8.9",
        memory_mib: int = 24564,
        *,
        free_mib: int | None = None,
        uuid: str | None = None,
        handle_returns: int = 0,
        busy: int = 3,
        temperature: int = 41,
        clock: int = 2520,
        throttle: int = 0,
        ecc: int = -1,
    ) -> NvidiaMachine:
        major, minor = capability.split(".")
        uuid = uuid or f"GPU-00000000-0000-0000-0000-{self.gpus:012d}"
        total = memory_mib * MIB
        free = total - 500 * MIB if free_mib is None else free_mib * MIB
        pci = f"00000000:{self.gpus + 1:02X}:00.0"
        self.gpus += 1
        fields = (
            handle_returns,
            uuid,
            name,
            major,
            minor,
            total,
            max(free, 0),
            busy,
            temperature,
            pci,
            clock,
            throttle,
            ecc,
        )
        return self._add("gpu " + "|".join(map(str, fields)))

    def process(self, gpu: int, pid: int, mib: int, name: str) -> NvidiaMachine:
        return self._add(f"proc {gpu}|{pid}|{mib * MIB}|{name}")

    def mig(self, gpu: int, uuid: str, name: str, mib: int) -> NvidiaMachine:
        return self._add(f"mig {gpu}|{uuid}|{name}|{mib * MIB}|{mib * MIB}")

    @property
    def env(self) -> dict[str, str]:
        """What to add to a process's environment so that it sees this machine."""
        return {"LD_LIBRARY_PATH": str(self.library_folder), "NVML_STANDIN": str(self.description)}

    def _add(self, line: str) -> NvidiaMachine:
        self.lines.append(line)
        self.description.write_text("\n".join(self.lines) + "\n")
        return self


def build_library(folder: Path) -> Path:
    """Compile the stand-in as libnvidia-ml.so.1 in `folder`."""
    source = Path(__file__).with_name("nvml.c")
    flags = ["-shared", "-fPIC", "-O1", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-discarded-qualifiers"]
    subprocess.run(["cc", *flags, "-o", str(folder / "libnvidia-ml.so.1"), str(source)], check=True, timeout=60)
    return folder
