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
    """Words of a line that tell a cause, any of them. `permanent`: the same launch would end the same way again."""

    id: str
    kind: str
    permanent: bool
    words: tuple[str, ...]


# Ids: those of the log signatures that `explain` knows. Order: the decisive before the general. Plain words rather
# than patterns, which would cost the first restart 10 ms and the supervisor half a megabyte.
SIGNS = (
    Sign("unrecognized", "bad-flag", True, ("error: unrecognized arguments: ",)),
    Sign("bad_value", "bad-flag", True, ("error: argument -",)),
    Sign("bad_quoting", "bad-flag", True, ("ValueError: No closing quotation",)),
    Sign("precision_half_conflict", "bad-flag", True, ("--no-half and --no-half-vae conflict with --precision half",)),
    Sign("port_busy", "port-taken", True, ("Cannot find empty port in range", "All ports from ")),
    Sign("addr_in_use_uvicorn", "port-taken", True, ("attempting to bind on address", "[Errno 98]", "[Errno 10048]")),
    Sign("root", "refused", True, ("This script must not be launched as root",)),
    Sign("venv_missing", "environment", True, ("python3-venv is not installed", "ensurepip is not available")),
    Sign("venv_activate", "environment", True, ("Cannot activate python venv", "Unable to create venv in directory")),
    Sign("not_cd", "environment", True, ("ERROR: Can't cd to ",)),
    Sign("torch_no_gpu", "no-gpu", True, ("Torch is not able to use GPU",)),
    Sign("no_cuda_gpus", "no-gpu", True, ("No CUDA GPUs are available",)),
    Sign("driver_too_old", "no-gpu", True, ("driver on your system is too old", "CUDA driver version is insufficient")),
    Sign("sd_repo_gone", "install", True, ("repository 'https://github.com/Stability-AI/stablediffusion",)),
    Sign("clip_pkg_resources", "install", True, ("ModuleNotFoundError: No module named 'pkg_resources'",)),
    Sign("torch_no_wheel", "install", True, ("No matching distribution found for torch==",)),
    Sign("no_space", "disk-full", True, ("No space left on device", "[Errno 28]", "[WinError 112]")),
    Sign("oom", "cuda-oom", False, ("OutOfMemoryError: CUDA out of memory", "CUDA out of memory. Tried to allocate")),
    Sign("gpu_lost", "gpu-lost", False, ("CUDA error: unspecified launch", "CUDA error: an illegal memory access",
                                         "CUDA error: device-side assert", "GPU has fallen off the bus")),
    Sign("starlette_mw", "http-too-early", False, ("Cannot add middleware after an application has started",)),
    Sign("clone_failed", "install", False, ("Couldn't clone ", "Couldn't fetch ", "Couldn't checkout commit ")),
    Sign("pip_step_failed", "install", False, ("RuntimeError: Couldn't install ",)),
    Sign("nan", "nan", False, ("NansException: A tensor with NaNs",)),
    Sign("memory_error", "out-of-memory", False, ("MemoryError", "DefaultCPUAllocator: can't allocate memory")),
    Sign("missing_module", "environment", False, ("ModuleNotFoundError: ", "ImportError: ")),
    Sign("permission", "environment", True, ("PermissionError: [Errno 13]",)),
)  # fmt: skip

# bash tells of its child's death by a signal in a line of its own: that is the only trace webui.sh leaves of it.
_SHELL_SIGNALS = {
    "Killed": "SIGKILL", "Segmentation fault": "SIGSEGV", "Aborted": "SIGABRT", "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL", "Terminated": "SIGTERM", "Floating point exception": "SIGFPE",
    "Hangup": "SIGHUP", "Trace/breakpoint trap": "SIGTRAP",
}  # fmt: skip
# What Windows calls the ends that are signals elsewhere, by exit status.
_STATUSES = {
    0xC0000005: "ACCESS_VIOLATION", 0xC000001D: "ILLEGAL_INSTRUCTION", 0xC0000094: "INTEGER_DIVIDE_BY_ZERO",
    0xC00000FD: "STACK_OVERFLOW", 0xC0000135: "DLL_NOT_FOUND", 0xC0000142: "DLL_INIT_FAILED",
    0xC000013A: "CONTROL_C_EXIT", 0xC0000374: "HEAP_CORRUPTION", 0xC0000409: "STACK_BUFFER_OVERRUN",
    0xC0000017: "NO_MEMORY",
}  # fmt: skip
_ASKED = frozenset({"SIGTERM", "SIGINT", "SIGHUP", "CONTROL_C_EXIT"})
_ERRORS = ("Error", "Exception", "error", "ERROR", "fatal", "FATAL", "Interrupt")
# What git says of a checkout without tags, at every start.
_BENIGN = ("fatal: No names found, cannot describe anything.", "fatal: No tags can describe the given commit.")
# What a WebUI says when its own API was told to stop (AUTOMATIC1111 and the forks of it; SD.Next). A generation that
# runs is finished first, so that its progress may follow.
_ASKED_TO_STOP = ("Stopping server...", "Server shutdown request received")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# A WebUI logs the arguments it was started with. The log is its owner's alone, an evidence is shown to everybody.
_SECRETS = re.compile(r"(--(?:api-|gradio-)?auth[ =])\S+")
_RECENT = 60  # lines
_LITTLE_DISK = 16 << 20


def find_cause(ending: Ending, lines: Sequence[str]) -> Cause:
    """Name the cause of an exit from the last lines of the log (oldest first).

    A script's exit code proves nothing (webui.sh returns 0 whatever happened), so lines come before codes.
    """
    clean = [_SECRETS.sub(r"\1***", _COLOURS.sub("", line).strip()) for line in lines]
    return _find_asked(ending, clean) or _find_trouble(ending, clean)


def name_status(code: int) -> str | None:
    """Return the name of the exception that a Windows exit status stands for, None for an ordinary exit code."""
    return _STATUSES.get(code & 0xFFFFFFFF)


def _find_asked(ending: Ending, clean: Sequence[str]) -> Cause | None:
    """Return the end that its own API was asked for, None when it ended in another way."""
    if ending.signal is not None or ending.code or not ending.ready:
        return None
    said = next((line for line in reversed(clean[-_RECENT:]) if line.endswith(_ASKED_TO_STOP)), "")
    return Cause("stopped-by-api", evidence=said[:300]) if said else None


def _find_trouble(ending: Ending, clean: Sequence[str]) -> Cause:
    signal, evidence = ending.signal, ""
    for line in reversed(clean):
        if told := _told_by_shell(line):
            # A progress bar without an end stands before it in the same line.
            head = line.index(": line ")
            evidence = " ".join(line[max(line.rfind("]", 0, head), line.rfind(" ", 0, head)) + 1 :].split())
            signal = told
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
    last = next((line for line in reversed(clean) if any(word in line for word in _ERRORS) and line not in _BENIGN), "")
    # A script that says 0 without a word of error was asked to end by somebody else: still nothing that we asked for.
    code = f"exit code {ending.code}" if ending.code else ""
    return Cause("exited", None, None, last[:300] or code or (clean[-1][:300] if clean else ""))


def _find_sign(lines: Sequence[str], *, started: bool) -> tuple[Sign | None, str]:
    """Return the most decisive sign. Once it served, what was said long ago is no cause: only the last lines count."""
    recent = lines[-_RECENT:] if started else lines
    for sign in SIGNS:
        for line in reversed(recent):
            if any(word in line for word in sign.words):
                return sign, line[:300]
    return None, ""


def _told_by_shell(line: str) -> str | None:
    """Return the signal that bash says its child died of: `webui.sh: line 296: 20173 Killed  "${python_cmd}" ...`."""
    head, colon, rest = line.partition(": line ")
    number, _, rest = rest.partition(": ")
    pid, _, rest = rest.strip().partition(" ")
    if not (head and colon and number.isdigit() and pid.isdigit()):
        return None
    return next((signal for words, signal in _SHELL_SIGNALS.items() if rest.lstrip().startswith(words)), None)
