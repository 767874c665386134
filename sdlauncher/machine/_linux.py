"""The process table as Linux tells it in /proc, read with bare system calls: psutil would double the supervisor."""

from __future__ import annotations

import os

from sdlauncher.core.process import ProcessId

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Row:
    """One living process."""

    __slots__ = ("cpu_seconds", "id", "memory_rss", "parent", "pid", "session", "start")

    def __init__(self, pid: int, fields: list[bytes]) -> None:
        self.pid = pid
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        self.start = int(fields[19])
        self.memory_rss = int(fields[21]) * _PAGE
        self.id = ProcessId(pid, self.start)


def read_row(pid: int) -> Row | None:
    """Return one process, None when there is none (a zombie is none: it only waits to be collected).

    One whose first thread has ended while others still die is no zombie yet: a WebUI takes a tenth of a second to give
    back gigabytes, and has its port until then.
    """
    text = _read(f"/proc/{pid}/stat")
    # The name stands in brackets and may hold brackets and blanks itself.
    fields = text[text.rindex(b")") + 2 :].split() if text else []
    is_there = fields and fields[0] != b"X" and (fields[0] != b"Z" or int(fields[17]) > 1)
    return Row(pid, fields) if is_there else None


def read_table() -> dict[int, Row]:
    """Return all living processes by pid."""
    rows = (read_row(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  no pathlib here
    return {row.pid: row for row in rows if row is not None}


def has_environment(pid: int, name: str, value: str) -> bool:
    """Whether a process was started with this variable in its environment, as far as we may look."""
    return f"{name}={value}".encode() in _read(f"/proc/{pid}/environ").split(b"\0")


def moved_bytes(pid: int) -> int:
    """Return how many bytes a process has read and written so far, 0 where we may not look."""
    return sum(
        int(line.split()[1]) for line in _read(f"/proc/{pid}/io").splitlines() if line[:6] in (b"rchar:", b"wchar:")
    )


def children(pid: int) -> set[int] | None:
    """Return the pids of a process's children, those not yet collected too; None where the kernel does not tell."""
    folder = f"/proc/{pid}/task"
    try:
        # Each thread has children of its own.
        threads = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return set()
    found: set[int] = set()
    for thread in threads:
        found.update(int(child) for child in _read(f"{folder}/{thread}/children").split())
    if not found and not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # noqa: PTH110
        return None
    return found


def count_oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since boot."""
    for line in _read("/proc/vmstat").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return 0


def boot() -> str:
    """Return what tells this boot from every other."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        pieces = []
        while piece := os.read(descriptor, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
