"""NVIDIA GPUs as the driver reports them through NVML, and what each way of failing means."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pynvml

from sdlauncher.core.hardware import Driver, Gpu, GpuFault, GpuProcess, Hardware, Host, MigInstance

Answer = TypeVar("Answer")

# A driver that hangs (seen after a GPU fell off the bus) must not hang us.
PATIENCE: Final = 5.0

# What NVML's refusals mean to a person; the sentences are in messages/gpu.toml.
_MEANING: Final = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "SDL-GPU-NO-DRIVER",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "SDL-GPU-DRIVER-NOT-LOADED",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "SDL-GPU-DRIVER-MISMATCH",
    pynvml.NVML_ERROR_NO_PERMISSION: "SDL-GPU-NO-PERMISSION",
    pynvml.NVML_ERROR_GPU_IS_LOST: "SDL-GPU-LOST",
    pynvml.NVML_ERROR_RESET_REQUIRED: "SDL-GPU-LOST",
}

# "This board or driver has no answer to that": an absent value, not a fault.
_NO_ANSWER: Final = {
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
    pynvml.NVML_ERROR_NOT_FOUND,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_UNKNOWN,
}


def detect_hardware() -> Hardware:
    """Read host, driver and GPUs. Never raises and never takes longer than `PATIENCE` seconds.

    CUDA_VISIBLE_DEVICES does not narrow the answer: NVML sees all GPUs, in PCI order.
    """
    host = detect_host()
    found: list[Hardware] = []
    # A daemon thread, since a call that hangs inside the driver cannot be interrupted.
    reader = threading.Thread(target=lambda: found.append(_detect(host)), daemon=True)
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


def _detect(host: Host) -> Hardware:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Hardware(host, faults=(_fault(error),))
    try:
        driver = _driver()
        gpus, faults = [], []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                gpus.append(_gpu(index))
            except pynvml.NVMLError as error:
                faults.append(_fault(error, where=f"GPU {index}: "))
        return Hardware(host, driver, tuple(gpus), tuple(faults))
    except pynvml.NVMLError as error:
        return Hardware(host, faults=(_fault(error),))
    finally:
        pynvml.nvmlShutdown()


def _driver() -> Driver:
    version = str(pynvml.nvmlSystemGetDriverVersion())
    cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion_v2)
    return Driver(version, None if cuda is None else (cuda // 1000, cuda % 1000 // 10))


def _gpu(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    load = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    clock = _ask(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_SM)
    pci = _ask(pynvml.nvmlDeviceGetPciInfo, handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        name=str(pynvml.nvmlDeviceGetName(handle)),
        compute_capability=(major, minor),
        memory_total=None if memory is None else int(memory.total),
        memory_free=None if memory is None else int(memory.free),
        utilization_percent=None if load is None else int(load.gpu),
        temperature_celsius=_ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        clock_mhz=clock,
        throttled=_throttled(_ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0),
        ecc_errors=_ask(
            pynvml.nvmlDeviceGetTotalEccErrors,
            handle,
            pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            pynvml.NVML_VOLATILE_ECC,
        ),
        pci_bus_id="" if pci is None else _text(pci.busId),
        processes=_processes(handle),
        mig_instances=_mig_instances(handle),
    )


def _processes(handle: Any) -> tuple[GpuProcess, ...]:
    """List who holds memory on a GPU, those that compute and those that draw, each once."""
    seen: dict[int, GpuProcess] = {}
    for listing in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        for process in _ask(listing, handle) or ():
            name = _ask(pynvml.nvmlSystemGetProcessName, process.pid)
            seen[process.pid] = GpuProcess(process.pid, "" if name is None else _text(name), process.usedGpuMemory)
    return tuple(seen.values())


def _mig_instances(handle: Any) -> tuple[MigInstance, ...]:
    mode = _ask(pynvml.nvmlDeviceGetMigMode, handle)
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return ()
    instances = []
    for index in range(_ask(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = _ask(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if part is None:
            continue
        memory = _ask(pynvml.nvmlDeviceGetMemoryInfo, part)
        instances.append(
            MigInstance(
                uuid=str(pynvml.nvmlDeviceGetUUID(part)),
                name=str(pynvml.nvmlDeviceGetName(part)),
                memory_total=None if memory is None else int(memory.total),
                memory_free=None if memory is None else int(memory.free),
            )
        )
    return tuple(instances)


# Reasons that cost speed and that somebody can do something about (nvml.h, nvmlClocksEventReasons).
_THROTTLES: Final = (
    (pynvml.nvmlClocksThrottleReasonSwPowerCap, "power cap"),
    (pynvml.nvmlClocksThrottleReasonHwSlowdown, "hardware slowdown"),
    (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown, "temperature"),
    (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "temperature (hardware)"),
    (pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "power brake"),
)


def _throttled(bits: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _THROTTLES if bits & bit)


def _ask(function: Callable[..., Answer], *arguments: Any) -> Answer | None:
    """Call NVML; None where this board, driver or user gets no answer. Raises for what concerns the whole GPU."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _NO_ANSWER:
            return None
        raise


def _fault(error: Any, *, where: str = "") -> GpuFault:
    code = _MEANING.get(error.value, "SDL-GPU-NVML-ERROR")
    if code == "SDL-GPU-NO-DRIVER" and (cards := _nvidia_cards_on_pci()):
        return GpuFault("SDL-GPU-CARD-WITHOUT-DRIVER", ", ".join(cards))
    return GpuFault(code, f"{where}{error}")


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


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
