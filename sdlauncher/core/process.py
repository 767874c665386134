"""Who a process is, what it uses, and what is known of how it ended: values without a process table."""

from __future__ import annotations

from typing import NamedTuple


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for another: a pid alone is reused.

    `create_time` is the system's own count (ticks since boot on Linux, FILETIME on Windows), so that a clock that
    jumps changes nothing. Together with the boot it is unique.
    """

    pid: int
    create_time: int


class Usage(NamedTuple):
    """What a process tree uses: resident bytes, CPU seconds since it began, bytes read and written so far."""

    memory_rss: int
    cpu_seconds: float
    moved_bytes: int
