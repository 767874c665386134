"""The supervisor's grip on one launch: its tree, a descriptor on each process that tells of its end, what is left."""

from __future__ import annotations

from sdlauncher.core.process import ProcessId
from sdlauncher.machine import process
from sdlauncher.machine.process import Tree, Waker


class Grip:
    """Holds the tree of one launch. Of our own children the system tells us; the others are watched one by one."""

    def __init__(self, waker: Waker, tree: Tree) -> None:
        self.tree = tree
        self._waker = waker
        self._held: dict[int, ProcessId] = {}
        if not tree.owned:
            self.watch()

    def watch(self) -> list[ProcessId]:
        """Watch every process that is there now for its end, and return them all."""
        members = self.tree.members()
        known = set(self._held.values())
        for member in members:
            if member not in known and (descriptor := process.hold(member)) is not None:
                self._held[descriptor] = member
                self._waker.watch(descriptor)
        return members

    def notice(self, ready: set[int]) -> bool:
        """Forget the processes that ended; whether the first one is among them."""
        first = False
        for descriptor in ready & set(self._held):
            first = self._held[descriptor] == self.tree.root or first
            self._let_go(descriptor)
        return first

    def survivors(self, helpers: set[int]) -> list[ProcessId]:
        """Return who is left. Quick when nobody is: all orphans of the tree become our children."""
        if self.tree.owned and not process.has_children_besides(helpers):
            return []
        return self.tree.members()

    def release(self) -> None:
        """Let go of everything."""
        for descriptor in list(self._held):
            self._let_go(descriptor)

    def _let_go(self, descriptor: int) -> None:
        self._waker.forget(descriptor)
        process.let_go(descriptor)
        del self._held[descriptor]
