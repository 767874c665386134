"""The command that shows what this machine is made of: gpu."""

from __future__ import annotations

from typing import Any

from sdlauncher import messages
from sdlauncher.cli.options import command
from sdlauncher.cli.output import Report, language
from sdlauncher.cli.table import gibibytes, render_table
from sdlauncher.core.hardware import Gpu, Hardware


@command("gpu", short_help="Show the NVIDIA driver and GPUs.")
def gpu_command(instance: str) -> Report:
    """Show driver, CUDA version and GPUs as NVML reports them, or why they cannot be seen."""
    from sdlauncher.machine.gpu import detect_hardware

    hardware = detect_hardware()
    return Report(describe_hardware(hardware), lambda: _text(hardware))


def describe_hardware(hardware: Hardware) -> dict[str, Any]:
    """Give the hardware as `gpu --json` shows it; memory in bytes."""
    driver = hardware.driver
    cuda = driver.cuda_version if driver else None
    return {
        "driver": driver.version if driver else None,
        "cuda_version": ".".join(map(str, cuda)) if cuda else None,
        "gpus": [_gpu(gpu) for gpu in hardware.gpus],
        "faults": [_fault(fault.code, fault.evidence) for fault in hardware.faults],
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "compute_capability": ".".join(map(str, gpu.compute_capability)),
        "memory_total": gpu.memory_total,
        "memory_free": gpu.memory_free,
        "utilization_percent": gpu.utilization_percent,
        "temperature_celsius": gpu.temperature_celsius,
        "clock_mhz": gpu.clock_mhz,
        "throttled": list(gpu.throttled),
        "ecc_errors": gpu.ecc_errors,
        "pci_bus_id": gpu.pci_bus_id,
        "processes": [{"pid": it.pid, "name": it.name, "memory": it.memory} for it in gpu.processes],
        "mig_instances": [
            {"uuid": it.uuid, "name": it.name, "memory_total": it.memory_total, "memory_free": it.memory_free}
            for it in gpu.mig_instances
        ],
    }


def _fault(code: str, evidence: str) -> dict[str, str]:
    said = messages.describe(code, {"evidence": evidence}, language())
    return {"code": code, "message": said.sentence, "hint": said.hint}


def _text(hardware: Hardware) -> str:
    data = describe_hardware(hardware)
    lines = []
    if hardware.driver:
        lines.append(f"NVIDIA driver {data['driver']}, CUDA {data['cuda_version'] or '-'}")
    rows = [
        (
            f"GPU {gpu.index}",
            gpu.name,
            gpu.sm,
            f"{gibibytes(gpu.memory_free)} / {gibibytes(gpu.memory_total)}",
            "-" if gpu.utilization_percent is None else f"{gpu.utilization_percent} %",
            "-" if gpu.temperature_celsius is None else f"{gpu.temperature_celsius} °C",
            gpu.uuid,
        )
        for gpu in hardware.gpus
    ]
    lines.append(render_table(rows))
    for gpu in hardware.gpus:
        lines += [f"  GPU {gpu.index}: {it.name or '?'} (pid {it.pid}) {gibibytes(it.memory)}" for it in gpu.processes]
        lines += [f"  GPU {gpu.index}: {it.name} {gibibytes(it.memory_total)} {it.uuid}" for it in gpu.mig_instances]
        lines += [f"  GPU {gpu.index}: throttled by {reason}" for reason in gpu.throttled]
    for fault in data["faults"]:
        lines += [f"{fault['message']}  [{fault['code']}]", f"  {fault['hint']}"]
    return "\n".join(line for line in lines if line)
