"""Doctor's look at the machine: GPU and driver, memory, disk, git, proxies, the port."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sdlauncher.core.hardware import GIB, MIB, Gpu
from sdlauncher.core.verdict import Level
from sdlauncher.machine import command, git, ports
from sdlauncher.supervise.status import living_tree, read_status
from sdlauncher.verify.finding import Check, Finding, Patient, finding

# Installing torch takes about 10 GB for a while; below 2 GB even pictures and logs soon fail.
_DISK_LOW: Final = 10 * GIB
_DISK_EMPTY: Final = 2 * GIB
_MEMORY_LOW: Final = 8 * 10**9
# More than this held by others makes out-of-memory errors of one's own likely.
_TAKEN: Final = 512 * MIB
_LOOPBACK: Final = ("localhost", "127.0.0.1")


def check_gpu(patient: Patient) -> Iterator[Finding]:
    """Driver and GPUs as NVML sees them: faults, throttling, memory errors, and who holds their memory."""
    hardware = patient.hardware
    for fault in hardware.faults:
        # A machine without NVIDIA's driver is most often one without NVIDIA's GPU.
        level = Level.INFO if fault.code == "SDL-GPU-NO-DRIVER" else Level.WARNING
        yield finding("gpu", fault.code, level, evidence=fault.evidence)
    if not hardware.gpus:
        if not hardware.faults:
            yield finding("gpu", "SDL-DOCTOR-NO-GPU", Level.INFO)
        return
    own = {one.pid for one in living_tree(read_status(patient.files, adopt=False).record)}
    for gpu in hardware.gpus:
        yield from _check_one(gpu, own, hardware.driver.version if hardware.driver else "?")


def _check_one(gpu: Gpu, own: set[int], driver: str) -> Iterator[Finding]:
    free = "?" if gpu.memory_free is None else f"{gpu.memory_free / GIB:.1f}"
    total = "?" if gpu.memory_total is None else f"{gpu.memory_total / GIB:.1f}"
    yield finding("gpu", "SDL-DOCTOR-GPU", Level.OK, gpu=gpu.name, sm=gpu.sm, driver=driver, free=free, total=total)
    if gpu.throttled:
        reasons = ", ".join(gpu.throttled)
        heat = gpu.temperature_celsius if gpu.temperature_celsius is not None else "?"
        yield finding("gpu", "SDL-DOCTOR-THROTTLED", Level.WARNING, gpu=gpu.name, reasons=reasons, temperature=heat)
    if gpu.ecc_errors:
        yield finding("gpu", "SDL-DOCTOR-ECC", Level.ERROR, gpu=gpu.name, count=gpu.ecc_errors)
    for other in gpu.processes:
        if other.pid not in own and (other.memory or 0) >= _TAKEN:
            held = f"{(other.memory or 0) / GIB:.1f}"
            facts = {"gpu": gpu.name, "name": other.name or "?", "pid": other.pid, "held": held}
            yield finding("gpu", "SDL-DOCTOR-GPU-SHARED", Level.WARNING, **facts)


def check_memory(patient: Patient) -> Iterator[Finding]:
    """The machine's memory: a model is read into it before it goes to the GPU."""
    total = patient.hardware.host.memory_total
    level = Level.WARNING if total < _MEMORY_LOW else Level.OK
    code = "SDL-DOCTOR-MEMORY-LOW" if level is Level.WARNING else "SDL-DOCTOR-MEMORY"
    yield finding("memory", code, level, total=f"{total / GIB:.1f}")


def check_disk(patient: Patient) -> Iterator[Finding]:
    """Free space where the checkout lies, or will lie."""
    place = patient.checkout
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    facts = {"free": f"{free / GIB:.1f}", "place": place}
    if free < _DISK_EMPTY:
        yield finding("disk", "SDL-DOCTOR-DISK-FULL", Level.ERROR, **facts)
    elif free < _DISK_LOW:
        yield finding("disk", "SDL-DOCTOR-DISK-LOW", Level.WARNING, **facts)
    else:
        yield finding("disk", "SDL-DOCTOR-DISK", Level.OK, **facts)


def check_git(_: Patient) -> Iterator[Finding]:
    """Git: installing, updating and the WebUI itself need it."""
    if command.find("git") is None:
        yield finding("git", "SDL-DOCTOR-GIT-NONE", Level.WARNING)
        return
    yield finding("git", "SDL-DOCTOR-GIT", Level.OK, version=git.git(None, "--version", timeout=10).stdout.strip())


def check_proxy(_: Patient) -> Iterator[Finding]:
    """Proxy variables: gradio asks its own address through them unless the loopback is excepted."""
    names = [
        name
        for name in ("http_proxy", "https_proxy", "all_proxy")
        if os.environ.get(name) or os.environ.get(name.upper())
    ]
    if not names:
        return
    excepted = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").replace(" ", "").split(",")
    facts = {"names": ", ".join(names)}
    if "*" in excepted or all(host in excepted for host in _LOOPBACK):
        yield finding("proxy", "SDL-DOCTOR-PROXY", Level.OK, **facts)
    else:
        yield finding("proxy", "SDL-DOCTOR-PROXY-LOOPBACK", Level.WARNING, **facts)


def check_port(patient: Patient) -> Iterator[Finding]:
    """The port: free, ours, or a stranger's."""
    status = read_status(patient.files, adopt=False)
    if status.state in ("starting", "running"):
        yield finding("port", "SDL-DOCTOR-PORT-OURS", Level.OK, port=status.port, url=status.url)
        return
    if patient.plan is None:
        return
    port, host = patient.plan.port, patient.plan.bind
    if ports.is_free(host, port):
        yield finding("port", "SDL-DOCTOR-PORT-FREE", Level.OK, port=port)
    else:
        facts = {"port": port, "owner": ports.find_owner(port), "free": ports.find_free(host, port) or "?"}
        yield finding("port", "SDL-PORT-TAKEN", Level.ERROR, **facts)


def check_libraries(patient: Patient) -> Iterator[Finding]:
    """System libraries that the WebUI loads at run time, on Linux."""
    if patient.hardware.host.system != "linux" or patient.webui == "mini":
        return
    folders = [
        Path(root) / name
        for root in ("/usr/lib", "/lib", "/usr/local/lib", "/usr/lib64")
        for name in ("", "x86_64-linux-gnu", "aarch64-linux-gnu")
    ]
    if not any(next(folder.glob("libtcmalloc*.so*"), None) for folder in folders if folder.is_dir()):
        yield finding("libraries", "SDL-DOCTOR-TCMALLOC", Level.INFO)


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("gpu", check_gpu),
    ("memory", check_memory),
    ("disk", check_disk),
    ("git", check_git),
    ("proxy", check_proxy),
    ("libraries", check_libraries),
    ("port", check_port),
)
