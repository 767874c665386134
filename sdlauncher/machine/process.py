"""A process *tree*: everything that one launch started, found again by session, by descent and by a mark of ours.

The mark is an environment variable that every launch gets anew and that all its descendants inherit, also those that
detach themselves. A process without it, outside the session and without an ancestor in the tree, is never touched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence

from sdlauncher.core.process import ProcessId, Usage

if sys.platform == "win32":
    from sdlauncher.machine import _windows as _system
else:
    from sdlauncher.machine import _posix as _system

MARK = "SDLAUNCHER_LAUNCH"


class Tree:
    """All processes of one launch. `owned`: we are their parent or their reaper, so that their ends reach us."""

    def __init__(self, root: ProcessId, mark: str, *, owned: bool) -> None:
        self.root = root
        self.mark = mark
        self.owned = owned
        self._entry = f"{MARK}={mark}".encode()
        self._known: set[ProcessId] = {root}

    def members(self) -> list[ProcessId]:
        """Return every living process of the tree, the first one first."""
        table = _system.read_table()
        table.pop(os.getpid(), None)
        rooted = (row := table.get(self.root.pid)) is not None and row.id == self.root
        ours = {
            pid
            for pid, row in table.items()
            if row.id in self._known
            or (row.session == self.root.pid and rooted and row.start >= self.root.create_time)
            or (row.start >= self.root.create_time and _system.has_environment(pid, self._entry))
        }
        grown = True
        while grown:
            below = {pid for pid, row in table.items() if row.parent in ours and pid not in ours}
            ours |= below
            grown = bool(below)
        found = sorted((table[pid].id for pid in ours), key=lambda one: (one != self.root, one.create_time, one.pid))
        self._known.update(found)
        return found

    def signal(self, number: int) -> list[ProcessId]:
        """Send a signal to every process of the tree and return those that were there."""
        there = self.members()
        for process in there:
            _system.send(process, number)
        return there

    def usage(self) -> Usage:
        """Add up what the tree uses now."""
        return add_usage(self.members())


def add_usage(members: Iterable[ProcessId]) -> Usage:
    """Add up what these processes use now."""
    rows = [row for one in members if (row := _system.read_stat(one.pid)) is not None and row.id == one]
    return Usage(
        sum(row.pages for row in rows) * _system.PAGE,
        sum(row.cpu_ticks for row in rows) / _system.TICKS,
        sum(_system.moved_bytes(row.pid) for row in rows),
    )


def identify(pid: int) -> ProcessId | None:
    """Return who has this pid now, None when nobody has."""
    row = _system.read_stat(pid)
    return None if row is None or row.state == b"Z" else row.id


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def boot() -> str:
    """Return what tells this boot of the machine from every other."""
    return _system.boot()


def spawn(argv: Sequence[str], env: Mapping[str, str], output: int | None) -> int:
    """Start a program in a session of its own, in our working directory. Raises OSError."""
    return _system.spawn(argv, env, output)


def terminate(members: Iterable[ProcessId]) -> None:
    """Ask processes to end."""
    for process in members:
        _system.send(process, _system.TERM)


def kill(members: Iterable[ProcessId]) -> None:
    """End processes, whatever they think of it."""
    for process in members:
        _system.send(process, _system.KILL)


def detach(argv: Sequence[str], *, keep: int, trouble: str) -> None:
    """Start a program that outlives us and our terminal, with one inherited descriptor; its stderr goes to a file."""
    _system.detach(argv, keep, trouble)


def find_listener(members: Iterable[ProcessId], port: int) -> ProcessId | None:
    """Return which of these processes listens on a TCP port."""
    sockets = _system.listening_sockets(port)
    return next((one for one in members if _system.has_open(one.pid, sockets)), None)


def run_hook(command: str, event: str) -> int | None:
    """Run the user's own shell command for one event, given as JSON in SDLAUNCHER_EVENT; None when that is impossible.

    Its pid is returned, nobody waits for it.
    """
    argv = _system.shell(command)
    try:
        return _system.spawn(argv, {**os.environ, "SDLAUNCHER_EVENT": event}, None)
    except OSError:
        return None


try_lock = _system.try_lock
reap = _system.reap
count_oom_kills = _system.count_oom_kills
WRITTEN = _system.WRITTEN
has_children = _system.has_children
decode = _system.decode
hold = _system.hold
knock = _system.knock
become_subreaper = _system.become_subreaper
Waker = _system.Waker
