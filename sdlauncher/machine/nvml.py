"""NVML through pynvml: what the NVIDIA driver reports, and what each of its refusals means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pynvml

from sdlauncher.core.hardware import Driver, Gpu, GpuFault, GpuProcess, Hardware, Host, MigInstance

Answer = TypeVar("Answer")

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


def read_nvml(host: Host) -> Hardware:
    """Read driver and GPUs; what cannot be read is a fault in the answer. May hang where the driver does."""
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
    return GpuFault(_MEANING.get(error.value, "SDL-GPU-NVML-ERROR"), f"{where}{error}")


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
