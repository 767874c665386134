"""The supervisor's ear on the log: at once while the WebUI starts, once a second while it serves."""

from __future__ import annotations

import errno
import os
import signal
import sys

from sdlauncher.core.readiness import Patterns, Progress, Watcher, is_speech
from sdlauncher.machine import process
from sdlauncher.supervise.logs import LogReader, open_log

LAZY = 1.0
_BLIND = 0.05  # seconds between two looks where the system cannot tell of writes
_COPY_MOST = 1 << 20
_PIPE_BUF = 4096
_PIECES = 16  # of 256 KiB each, before the loop looks at something else


class LogWatch:
    """Reads what the WebUI writes, tells how far it is, and keeps the file bounded."""

    def __init__(self, path: str, patterns: Patterns, waker: process.Waker, *, size: int, keep: int) -> None:
        self.path = path
        self.first = 0
        self.copy: Copy | None = None
        self.rotator: int | None = None
        self.spoke = False
        self._size = size
        self._keep = keep
        self._watcher = Watcher(patterns)
        self._reader = LogReader(path)
        self._waker = waker
        self._armed = False
        self._written = False
        self._behind = False
        self._looked = 0.0
        self._can_rotate = sys.platform == "linux"

    @property
    def progress(self) -> Progress:
        """How far the WebUI is by its own words."""
        return self._watcher.progress

    def begin(self) -> int:
        """Make ready for a new process; return the open file that it writes to. Raises OSError."""
        self._watcher.restart()
        self._reader.reload()
        if not self._can_rotate and self._reader.live_bytes() > self._size:
            from sdlauncher.supervise.rotation import start_afresh

            start_afresh(self.path, keep=self._keep)
            self._reader.reload()
        output = open_log(self.path)
        self.first = self._reader.end()
        self._reader.go_to(self.first)
        return output

    def resume(self, first: int) -> None:
        """Read again all that a process wrote since it was started, to know how far it is."""
        self.first = first
        self._reader.go_to(first)
        while self._reader.is_behind() and (text := self._reader.read()) is not None:
            self._watcher.feed(text)

    def hear(self, signals: set[int]) -> None:
        """Note whether the wake-up was about new output."""
        if process.WRITTEN in signals:
            self._armed, self._written = False, True

    def pass_on(self, descriptor: int) -> None:
        """Copy everything that is read from now on to an open file."""
        self.copy = Copy(descriptor, self._waker)

    def look(self, now: float, *, serving: bool, all_of_it: bool = False) -> tuple[bool, list[str]]:
        """Read what is new; return whether there was any, and the names of the lines that tell something.

        `spoke` then tells whether any of it was more than an echo of requests.
        """
        self.spoke = False
        if self.copy is not None:
            self.copy.flush()
        if self.rotator is not None or (serving and not all_of_it and now < self._looked + LAZY and not self._behind):
            return False, []
        if serving and not all_of_it and not self._written and not self._behind and self._armed:
            return False, []
        self._written, self._looked = False, now
        names: list[str] = []
        heard = False
        pieces = 0
        while self._reader.is_behind() and (all_of_it or pieces < _PIECES):
            text = self._reader.read()
            pieces, heard = pieces + 1, True
            self.spoke = self.spoke or is_speech(text)
            if self.copy is not None:
                self.copy.add(text)
            names += self._watcher.feed(text)
        self._behind = self._reader.is_behind()
        self._bound()
        return heard, names

    def arm(self, *, serving: bool) -> None:
        """Ask to be woken by the next output; what came just before that is not missed."""
        if self._armed or (serving and self._written):
            return
        self._armed = self._waker.watch_output()
        self._behind = self._behind or self._reader.is_behind()

    def due(self, now: float, *, serving: bool) -> float | None:
        """When to look again without being woken, None for not before a write."""
        if self.rotator is not None:
            return None
        if self._behind:
            return now
        if self._written:
            return self._looked + LAZY
        return None if self._armed else now + (LAZY if serving else _BLIND)

    def tail(self) -> list[str]:
        """Return the last lines of the running process."""
        return self._reader.tail(self.first)

    def rotated(self, wait_status: int) -> None:
        """Learn how the rotation ended that ran beside us."""
        self.rotator = None
        code, _ = process.decode(wait_status)
        self._can_rotate = code in (0, errno.ENOSPC)
        self._reader.reload()
        self._behind = True

    def _bound(self) -> None:
        """Rotate in a process of our own: it loads what we do not want to keep, and copying must not delay us."""
        layout, upto = self._reader.layout, self._reader.position
        if not self._can_rotate or upto - layout.removed - layout.start < self._size:
            return
        pid = process.fork()
        if pid:
            self.rotator = pid
            return
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            from sdlauncher.supervise.rotation import rotate

            rotate(self.path, upto=upto, size=self._size, keep=self._keep)
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code & 0xFF)


class Copy:
    """Passes the log on to a terminal or a pipe that may stand still: what it does not take now waits for a while."""

    def __init__(self, descriptor: int, waker: process.Waker) -> None:
        self._descriptor: int | None = descriptor
        self._waker = waker
        self._rest = b""
        self._waits = False

    def add(self, text: str) -> None:
        """Pass on as much as can be taken without waiting."""
        if self._descriptor is not None:
            # The file has all of it; who reads too slowly misses the oldest.
            self._rest = (self._rest + text.encode("utf-8", "replace"))[-_COPY_MOST:]
            self.flush()

    def flush(self) -> None:
        """Pass on what waits, in pieces that a pipe with any room takes whole."""
        try:
            while self._rest and self._descriptor is not None and process.takes_output(self._descriptor):
                self._rest = self._rest[os.write(self._descriptor, self._rest[:_PIPE_BUF]) :]
        except OSError:
            # Whoever read has gone.
            self._waker.forget(self._descriptor or 0)
            self._descriptor, self._rest, self._waits = None, b"", False
        if self._descriptor is not None and bool(self._rest) != self._waits:
            self._waits = bool(self._rest)
            if self._waits:
                self._waker.watch(self._descriptor, writing=True)
            else:
                self._waker.forget(self._descriptor)
