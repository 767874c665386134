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
if sys.platform == "linux":
    from sdlauncher.machine import _linux as _table
else:
    from sdlauncher.machine import _psutil as _table

MARK = "SDLAUNCHER_LAUNCH"

Waker = _system.Waker
WRITTEN = _system.WRITTEN
become_subreaper = _system.become_subreaper
boot = _table.boot
count_oom_kills = _table.count_oom_kills
decode = _system.decode
hold = _system.hold
keep_descriptors = _system.keep_descriptors
knock = _system.knock
fork = _system.fork
free_bytes = _system.free_bytes
give = _system.give
let_go = _system.let_go
never_wait = _system.never_wait
reap = _system.reap
send_datagram = _system.send_datagram
take_inherited = _system.take_inherited
takes_output = _system.takes_output
try_lock = _system.try_lock
wait_end = _system.wait_end
wait_readable = _system.wait_readable
wait_lock = _system.wait_lock


class Tree:
    """All processes of one launch. `owned`: we are their parent or their reaper, so that their ends reach us."""

    def __init__(self, root: ProcessId, mark: str, *, owned: bool) -> None:
        self.root = root
        self.mark = mark
        self.owned = owned
        self._known: set[ProcessId] = {root}

    def members(self) -> list[ProcessId]:
        """Return every living process of the tree, the first one first."""
        below = _below_us(self) if self.owned else None
        found = self._search() if below is None else below
        found.sort(key=lambda one: (one != self.root, one.create_time, one.pid))
        self._known.update(found)
        return found

    def is_ours(self, row: _table.Row) -> bool:
        """Whether a process belongs here by itself, wherever it hangs now."""
        if row.id in self._known:
            return True
        if row.start < self.root.create_time:
            return False
        return (self.owned and row.session == self.root.pid) or _table.has_environment(row.pid, MARK, self.mark)

    def _search(self) -> list[ProcessId]:
        """Look through the whole process table: the way for a tree whose orphans are not handed to us."""
        table = _table.read_table()
        table.pop(os.getpid(), None)
        first = table.get(self.root.pid)
        rooted = first is not None and first.id == self.root
        ours = {pid for pid, row in table.items() if self.is_ours(row) or (rooted and row.session == self.root.pid)}
        grown = True
        while grown:
            below = {pid for pid, row in table.items() if row.parent in ours and pid not in ours}
            ours |= below
            grown = bool(below)
        return [table[pid].id for pid in ours]


def _below_us(tree: Tree) -> list[ProcessId] | None:
    """Return the tree from our own children downwards: all orphans of it are handed to us. None: nobody tells."""
    ours = _table.children(os.getpid())
    if ours is None:
        return None
    # One that has ended but was not collected has handed its children to us already.
    return _descend([row for pid in ours if (row := _table.read_row(pid)) is not None and tree.is_ours(row)])


def find_descendants(root: ProcessId) -> list[ProcessId]:
    """Return a process and what is below it, quickly: who has detached itself is not among them."""
    row = _table.read_row(root.pid)
    if row is None or row.id != root:
        return []
    return Tree(root, "", owned=False).members() if _table.children(root.pid) is None else _descend([row])


def _descend(rows: list[_table.Row]) -> list[ProcessId]:
    found: list[ProcessId] = []
    while rows:
        row = rows.pop()
        found.append(row.id)
        rows += [below for pid in _table.children(row.pid) or () if (below := _table.read_row(pid)) is not None]
    return found


def add_usage(members: Iterable[ProcessId]) -> Usage:
    """Add up what these processes use now."""
    rows = [row for one in members if (row := _table.read_row(one.pid)) is not None and row.id == one]
    return Usage(
        sum(row.memory_rss for row in rows),
        sum(row.cpu_seconds for row in rows),
        sum(_table.moved_bytes(row.pid) for row in rows),
    )


def find_largest(members: Iterable[ProcessId]) -> ProcessId | None:
    """Return which of these processes takes the most memory now: of a WebUI's tree, the WebUI itself."""
    rows = [row for one in members if (row := _table.read_row(one.pid)) is not None and row.id == one]
    return max(rows, key=lambda row: row.memory_rss).id if rows else None


def identify(pid: int) -> ProcessId | None:
    """Return who has this pid now, None when nobody has."""
    row = _table.read_row(pid)
    return None if row is None else row.id


def is_alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def has_children_besides(helpers: set[int]) -> bool:
    """Whether we have other children than `helpers`; True also where the system cannot tell."""
    ours = _table.children(os.getpid())
    return ours is None or bool(ours - helpers)


def spawn(argv: Sequence[str], env: Mapping[str, str], output: int | None) -> int:
    """Start a program in a session of its own, in our working directory. Raises OSError."""
    return _system.spawn(argv, env, output)


def terminate(members: Iterable[ProcessId]) -> None:
    """Ask processes to end."""
    for one in members:
        _system.send(one, _system.TERM)


def kill(members: Iterable[ProcessId]) -> None:
    """End processes, whatever they think of it."""
    for one in members:
        _system.send(one, _system.KILL)


def detach(argv: Sequence[str], *, keep: int, trouble: str) -> None:
    """Start a program that outlives us and our terminal, with one inherited descriptor; its stderr goes to a file."""
    _system.detach(argv, keep, trouble)


def run_hook(command: str, event: str) -> int | None:
    """Run the user's own shell command for one event, given as JSON in SDLAUNCHER_EVENT; None when that is impossible.

    Its pid is returned, nobody waits for it.
    """
    try:
        return _system.spawn(_system.shell(command), {**os.environ, "SDLAUNCHER_EVENT": event}, None)
    except OSError:
        return None
