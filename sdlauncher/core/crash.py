"""Why a WebUI ended, from its exit, the end of its log and what the system says; and whether trying again can help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sdlauncher.core.lifecycle import Cause


class Ending(NamedTuple):
    """What is known of an exit. `oom_kills` counts the kernel's kills since the launch; `disk_free` is in bytes."""

    code: int | None = None
    signal: str | None = None
    ready: bool = False
    oom_kills: int = 0
    disk_free: int | None = None


class Sign(NamedTuple):
    """One line that tells a cause. `permanent`: the same launch would end the same way again."""

    id: str
    kind: str
    permanent: bool
    pattern: str


# Ids: those of the log signatures that `explain` knows. Order: the decisive before the general.
SIGNS = (
    Sign("unrecognized", "bad-flag", True, r"error: unrecognized arguments: .+"),
    Sign("bad_value", "bad-flag", True, r"error: argument --?[\w-]+.*: (?:invalid|expected)"),
    Sign("bad_quoting", "bad-flag", True, r"ValueError: No closing quotation"),
    Sign("precision_half_conflict", "bad-flag", True, r"--no-half and --no-half-vae conflict with --precision half"),
    Sign("port_busy", "port-taken", True, r"Cannot find empty port in range|All ports from \d+ to \d+ are in"),
    Sign("addr_in_use_uvicorn", "port-taken", True, r"\[Errno (?:98|48|10048)\]|attempting to bind on address"),
    Sign("root", "refused", True, r"This script must not be launched as root"),
    Sign("venv_missing", "environment", True, r"python3-venv is not installed|ensurepip is not available"),
    Sign("venv_activate", "environment", True, r"Cannot activate python venv|Unable to create venv in directory"),
    Sign("not_cd", "environment", True, r"ERROR: Can't cd to "),
    Sign("torch_no_gpu", "no-gpu", True, r"Torch is not able to use GPU"),
    Sign("no_cuda_gpus", "no-gpu", True, r"No CUDA GPUs are available"),
    Sign("driver_too_old", "no-gpu", True, r"NVIDIA driver on your system is too old|CUDA driver version is insuffic"),
    Sign("sd_repo_gone", "install", True, r"repository 'https://github\.com/Stability-AI/stablediffusion"),
    Sign("clip_pkg_resources", "install", True, r"ModuleNotFoundError: No module named 'pkg_resources'"),
    Sign("torch_no_wheel", "install", True, r"No matching distribution found for torch=="),
    Sign("no_space", "disk-full", True, r"No space left on device|\[Errno 28\]|\[WinError 112\]"),
    Sign("oom", "cuda-oom", False, r"OutOfMemoryError: CUDA out of memory|CUDA out of memory\. Tried to allocate"),
    Sign("gpu_lost", "gpu-lost", False, r"CUDA error: (?:unspecified launch failure|an illegal memory|device-s)"),
    Sign("starlette_mw", "http-too-early", False, r"Cannot add middleware after an application has started"),
    Sign("clone_failed", "install", False, r"RuntimeError: Couldn't (?:clone|fetch|checkout commit)"),
    Sign("pip_step_failed", "install", False, r"RuntimeError: Couldn't install "),
    Sign("nan", "nan", False, r"NansException: A tensor with NaNs"),
    Sign("memory_error", "out-of-memory", False, r"^MemoryError|DefaultCPUAllocator: can't allocate memory"),
    Sign("missing_module", "environment", False, r"^(?:ModuleNotFoundError|ImportError): "),
    Sign("permission", "environment", True, r"^PermissionError: \[Errno 13\]"),
)  # fmt: skip
_COMPILED = tuple((sign, re.compile(sign.pattern)) for sign in SIGNS)

# bash tells of its child's death by a signal in a line of its own: that is the only trace webui.sh leaves of it.
_SHELL = re.compile(
    r"(?:line \d+: +\d+ )(Killed|Segmentation fault|Aborted|Bus error|Illegal instruction|Terminated|"
    r"Floating point exception|Hangup|Trace/breakpoint trap)"
)
_SHELL_SIGNALS = {
    "Killed": "SIGKILL", "Segmentation fault": "SIGSEGV", "Aborted": "SIGABRT", "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL", "Terminated": "SIGTERM", "Floating point exception": "SIGFPE",
    "Hangup": "SIGHUP", "Trace/breakpoint trap": "SIGTRAP",
}  # fmt: skip
_ASKED = frozenset({"SIGTERM", "SIGINT", "SIGHUP"})
_ERROR_LINE = re.compile(r"^(?:[A-Za-z_.]*(?:Error|Exception|Interrupt)\b.*|.*\b(?:error|ERROR|fatal|FATAL)\b.*)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LITTLE_DISK = 16 << 20


def find_cause(ending: Ending, lines: Sequence[str]) -> Cause:
    """Name the cause of an exit from the last lines of the log (oldest first).

    A script's exit code proves nothing (webui.sh returns 0 whatever happened), so lines come before codes.
    """
    clean = [_COLOURS.sub("", line).strip() for line in lines]
    signal, evidence = ending.signal, ""
    for line in reversed(clean):
        if found := _SHELL.search(line):
            signal, evidence = _SHELL_SIGNALS[found[1]], line
            break
    sign, said = _find_sign(clean, started=ending.ready)
    if signal == "SIGKILL" and ending.oom_kills:
        return Cause("oom-killer", signal, "oom_killer", evidence or f"{ending.oom_kills} kill(s) by the kernel")
    if signal is not None and signal not in _ASKED:
        kind = "killed" if signal == "SIGKILL" else "crashed"
        return Cause(kind, signal, sign.id if sign else None, said or evidence)
    if sign is not None:
        return Cause(sign.kind, signal, sign.id, said, sign.permanent)
    if ending.disk_free is not None and ending.disk_free < _LITTLE_DISK:
        return Cause("disk-full", signal, "no_space", f"{ending.disk_free >> 20} MiB free")
    if signal is not None:
        return Cause("killed", signal, None, evidence)
    last = next((line for line in reversed(clean) if _ERROR_LINE.match(line)), "")
    # A script that says 0 without a word of error was asked to end by somebody else: still nothing that we asked for.
    code = f"exit code {ending.code}" if ending.code else ""
    return Cause("exited", None, None, last[:300] or code or (clean[-1][:300] if clean else ""))


def _find_sign(lines: Sequence[str], *, started: bool) -> tuple[Sign | None, str]:
    """Return the most decisive sign. Once it served, what was said long ago is no cause: only the last lines count."""
    recent = lines[-60:] if started else lines
    for sign, pattern in _COMPILED:
        for line in reversed(recent):
            if pattern.search(line):
                return sign, line[:300]
    return None, ""
