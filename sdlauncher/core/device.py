"""Which GPU a WebUI should use, and which torch can drive it; or why it must be the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sdlauncher.core.dialect import Tables
from sdlauncher.core.hardware import Driver, Gpu, Hardware
from sdlauncher.core.launch import Reason, Torch
from sdlauncher.core.rules import Situation, TorchRule, choose, choose_tier
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError

_INDEX = "https://download.pytorch.org/whl/"
CPU_WORDS = ("cpu", "none")


class Device(NamedTuple):
    """The chosen device: cuda, cpu or unsupported, and all that follows from the choice alone.

    `is_masked` says that others must be hidden from the WebUI: there are several, or the user named this one.
    """

    kind: str
    gpu: Gpu | None
    torch: Torch
    is_masked: bool
    warnings: tuple[Verdict, ...]
    has_xformers: bool = False


def choose_device(hardware: Hardware, wanted: str | None, tables: Tables) -> Device:
    """Choose the GPU that `wanted` names (index, UUID or part of its name; `cpu` for none), else the best one.

    Raises SDL-GPU-ABSENT if there is no such GPU.
    """
    if wanted in CPU_WORDS:
        return _on_cpu(hardware, tables, "cpu", None, ())
    seen = _faults(hardware)
    gpus = _split_mig(hardware.gpus)
    if wanted is not None:
        gpus = _find(gpus, wanted)
    if not gpus:
        return _on_cpu(hardware, tables, "cpu", None, seen)
    ranked = sorted(gpus, key=lambda gpu: (-(gpu.memory_total or 0), [-n for n in gpu.compute_capability], gpu.index))
    refusals: list[Verdict] = []
    for gpu in ranked:
        refusal, rule = _judge(hardware, gpu, tables)
        if refusal is None:
            others = tuple(verdict for verdict in refusals if wanted is None)
            masked = wanted is not None or len(_split_mig(hardware.gpus)) > 1
            return _on_cuda(gpu, rule, tables, masked, (*seen, *others))
        refusals.append(refusal)
    return _on_cpu(hardware, tables, "unsupported", ranked[0], (*seen, *refusals))


def _faults(hardware: Hardware) -> tuple[Verdict, ...]:
    return tuple(Verdict(fault.code, Level.WARNING, {"evidence": fault.evidence}) for fault in hardware.faults)


def _split_mig(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Replace a GPU in MIG mode by its instances: CUDA gives a process one of them, never the whole card."""
    devices: list[Gpu] = []
    for gpu in gpus:
        if gpu.mig_instances:
            devices += [
                replace(gpu, uuid=slice_.uuid, name=slice_.name, memory_total=slice_.memory_total,
                        memory_free=slice_.memory_free, mig_instances=())
                for slice_ in gpu.mig_instances
            ]  # fmt: skip
        else:
            devices.append(gpu)
    return tuple(devices)


def _find(gpus: Sequence[Gpu], wanted: str) -> tuple[Gpu, ...]:
    word = wanted.strip().lower()
    found = (
        [gpu for gpu in gpus if word == str(gpu.index)]
        or [gpu for gpu in gpus if word and gpu.uuid.lower().startswith(word)]
        or [gpu for gpu in gpus if word and word in gpu.name.lower()]
    )
    if not found:
        there = ", ".join(f"{gpu.index} = {gpu.name}" for gpu in gpus) or "-"
        raise SdLauncherError("SDL-GPU-ABSENT", wanted=wanted, there=there)
    return tuple(found)


def _judge(hardware: Hardware, gpu: Gpu, tables: Tables) -> tuple[Verdict | None, TorchRule | None]:
    """Say why a GPU cannot be used, or which torch drives it."""
    capability = "{}.{}".format(*gpu.compute_capability)
    situation = Situation(hardware.host, hardware.driver, gpu, choose_tier(gpu.memory_total, tables.tiers), "auto")
    if (unsupported := choose(tables.unsupported, situation)) is not None:
        return Verdict(unsupported.because, Level.WARNING, {"gpu": gpu.name, "capability": capability}), None
    if not tables.dialect.needs_torch:
        return None, None
    if (rule := choose(tables.dialect.torch, situation)) is not None:
        return None, rule
    if hardware.driver is not None:
        ways = [row for row in tables.dialect.torch if row.when.hold(situation, whatever_driver=True)]
        if ways:
            floors = [(row.when.driver_least or {})[hardware.host.system] for row in ways]
            least = min(floors, key=lambda version: Driver(version).release)
            facts = {"driver": hardware.driver.version, "gpu": gpu.name, "least": least}
            return Verdict("SDL-DRIVER-TOO-OLD", Level.WARNING, facts), None
    facts = {"gpu": gpu.name, "capability": capability, "system": hardware.host.system}
    return Verdict("SDL-GPU-NO-WHEEL", Level.WARNING, {**facts, "architecture": hardware.host.architecture}), None


def _on_cuda(gpu: Gpu, rule: TorchRule | None, tables: Tables, masked: bool, warnings: tuple[Verdict, ...]) -> Device:
    if rule is None:
        assert not tables.dialect.needs_torch
        return Device("cuda", gpu, _no_torch(), masked, warnings, has_xformers=True)
    tag = f"+{rule.channel}"
    command = (
        f"pip install torch=={rule.version}{tag} torchvision=={rule.torchvision}{tag} "
        f"--extra-index-url {_INDEX}{rule.channel}"
    )
    facts = {"gpu": gpu.name, "capability": "{}.{}".format(*gpu.compute_capability), "version": rule.version,
             "channel": rule.channel}  # fmt: skip
    torch = Torch(rule.version, rule.channel, command, Reason(rule.because, facts), rule.torchvision, rule.xformers)
    return Device("cuda", gpu, torch, masked, warnings, has_xformers=bool(rule.xformers))


def _on_cpu(hardware: Hardware, tables: Tables, kind: str, gpu: Gpu | None, warnings: tuple[Verdict, ...]) -> Device:
    if not tables.dialect.needs_torch:
        return Device(kind, gpu, _no_torch(), False, warnings)
    version, torchvision = tables.dialect.torch_cpu
    # Only x86 Linux and Windows wheels carry the +cpu tag; elsewhere the ordinary wheel has no CUDA in it.
    tagged = hardware.host.system in ("linux", "windows") and hardware.host.architecture == "x86_64"
    tag, index = ("+cpu", f" --extra-index-url {_INDEX}cpu") if tagged else ("", "")
    command = f"pip install torch=={version}{tag} torchvision=={torchvision}{tag}{index}"
    torch = Torch(version, "cpu", command, Reason("SDL-WHY-TORCH-CPU"), torchvision)
    return Device(kind, gpu, torch, False, warnings)


def _no_torch() -> Torch:
    return Torch("", "none", "", Reason("SDL-WHY-NO-TORCH"))
