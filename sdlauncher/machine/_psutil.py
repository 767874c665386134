"""The process table where there is no /proc (macOS, Windows): the same contract as _linux.py, through psutil."""

from __future__ import annotations

from typing import Any

import psutil

from sdlauncher.core.process import ProcessId


class Row:
    """One living process."""

    __slots__ = ("cpu_seconds", "id", "memory_rss", "parent", "pid", "session", "start")

    def __init__(self, process: Any) -> None:
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            self.pid: int = process.pid
            self.parent: int = process.ppid()
            # Neither system tells the session cheaply: the mark in the environment and descent have to do.
            self.session = 0
            self.cpu_seconds: float = times.user + times.system
            self.start = round(process.create_time() * 1000)
            self.memory_rss: int = memory.rss
        self.id = ProcessId(self.pid, self.start)


def read_row(pid: int) -> Row | None:
    """Return one process, None when there is none (a zombie is none: it only waits to be collected)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Row(process)
    except psutil.Error:
        return None


def read_table() -> dict[int, Row]:
    """Return all living processes by pid."""
    rows = (read_row(pid) for pid in psutil.pids())
    return {row.pid: row for row in rows if row is not None}


def has_environment(pid: int, name: str, value: str) -> bool:
    """Whether a process was started with this variable in its environment, as far as we may look."""
    try:
        return bool(psutil.Process(pid).environ().get(name) == value)
    except (psutil.Error, OSError):
        return False


def moved_bytes(pid: int) -> int:
    """Return how many bytes a process has read and written so far, 0 where we may not look."""
    try:
        counters = psutil.Process(pid).io_counters()
    except (psutil.Error, AttributeError):
        return 0
    return int(counters.read_bytes + counters.write_bytes)


def children(pid: int) -> set[int] | None:
    """Return the pids of a process's children; None, as nobody hands us those of a parent that ended."""
    return None


def count_oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since boot: not told here."""
    return 0


def boot() -> str:
    """Return what tells this boot from every other."""
    return str(round(psutil.boot_time()))
