"""The machine's GPUs and the rest of its hardware, read in bounded time."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Final

from sdlauncher.core.hardware import GpuFault, Hardware, Host

# A driver that hangs (seen after a GPU fell off the bus) must not hang us.
PATIENCE: Final = 5.0


def detect_hardware() -> Hardware:
    """Read host, driver and GPUs. Never raises and never takes longer than `PATIENCE` seconds.

    CUDA_VISIBLE_DEVICES does not narrow the answer: NVML sees all GPUs, in PCI order.
    """
    host = detect_host()
    found: list[Hardware] = []
    # A daemon thread, since a call that hangs inside the driver cannot be interrupted.
    reader = threading.Thread(target=lambda: found.append(_read_gpus(host)), daemon=True)
    reader.start()
    reader.join(PATIENCE)
    if not found:
        return Hardware(host, faults=(GpuFault("SDL-GPU-TIMEOUT", f"{PATIENCE:g} s"),))
    return found[0]


def detect_host() -> Host:
    """Read what the machine is, apart from its GPUs."""
    if sys.platform == "win32":
        import psutil

        return Host("windows", os.environ.get("PROCESSOR_ARCHITECTURE", "AMD64"), psutil.virtual_memory().total)
    else:  # noqa: RET505  a checker for Windows must see that the rest is not for it
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        system = "darwin" if sys.platform == "darwin" else "linux"
        return Host(system, os.uname().machine, memory, is_root=os.geteuid() == 0)


def _read_gpus(host: Host) -> Hardware:
    # pynvml takes longer to import than everything else that a command does; without a driver it can only say so.
    if sys.platform == "linux" and (missing := _miss_driver_library()):
        cards = _nvidia_cards_on_pci()
        if cards:
            return Hardware(host, faults=(GpuFault("SDL-GPU-CARD-WITHOUT-DRIVER", ", ".join(cards)),))
        return Hardware(host, faults=(GpuFault("SDL-GPU-NO-DRIVER", missing),))
    from sdlauncher.machine.nvml import read_nvml

    return read_nvml(host)


def _miss_driver_library() -> str:
    """Say why the driver's library cannot be loaded; empty if it can."""
    import ctypes

    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        return str(error)
    return ""


def _nvidia_cards_on_pci() -> list[str]:
    """Name the PCI addresses of NVIDIA display controllers that Linux sees, with or without a driver."""
    cards = []
    for device in sorted(Path("/sys/bus/pci/devices").glob("*")):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
        except OSError:
            continue
        if vendor == "0x10de" and kind.startswith(("0x0300", "0x0302")):
            cards.append(device.name)
    return cards
