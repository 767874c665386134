"""Reading the WebUI's log for people: its last lines and what comes after them, across rotations and restarts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sdlauncher.machine.files import turn
from sdlauncher.supervise.logs import PIECE, Layout, read_layout

_EVERY = 0.1
_CURSOR = re.compile(r"\x1b\[[0-9;]*[A-HJKSTf]")
# `rich` fills each line up to its width, which would be lines of nothing on a terminal that is narrower.
_FILLING = re.compile(r" +(?=\r?\n)")


class Stream:
    """The whole log as one stream of bytes: the rotated files, oldest first, then the live one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def bounds(self) -> tuple[int, int]:
        """Return the first byte that is still kept and the end."""
        with self._still() as layout:
            return layout.first, layout.removed + self._size()

    def read(self, position: int, most: int = PIECE) -> tuple[bytes, int]:
        """Return bytes from `position` on (or from the oldest kept) and the position after them."""
        with self._still() as layout:
            position = max(position, layout.first)
            for segment in layout.segments:
                if segment.first <= position < segment.end:
                    source, offset = Path(f"{self._path}.{segment.number}"), position - segment.first
                    most = min(most, segment.end - position)
                    break
            else:
                position = max(position, layout.removed + layout.start)
                source, offset = self._path, position - layout.removed
            try:
                with source.open("rb") as file:
                    file.seek(offset)
                    piece = file.read(most)
            except FileNotFoundError:
                return b"", position
            return piece, position + len(piece)

    def last_lines(self, count: int) -> tuple[bytes, int]:
        """Return the last complete lines (and a last one without an end), and the position after them."""
        first, end = self.bounds()
        begin, found = end, b""
        while begin > first and found.count(b"\n") <= count:
            before = max(first, begin - PIECE)
            pieces, at = [], before
            while at < begin:
                piece, after = self.read(at, begin - at)
                if not piece:
                    break
                pieces.append(piece)
                at = after
            found, begin = b"".join(pieces) + found, before
        lines = found.splitlines(keepends=True)
        return b"".join(lines[-count:] if count else []), end

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def _still(self) -> Iterator[Layout]:
        """Hold off rotation for the block."""
        with turn(Path(f"{self._path}.lock"), shared=True):
            yield read_layout(str(self._path))


def follow(stream: Stream, position: int, *, until: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
    """Yield what is written from `position` on, waiting for more until `until` says that nothing will come."""
    while True:
        over = until()
        piece, position = stream.read(position)
        if piece:
            yield piece
        elif over:
            return
        else:
            time.sleep(_EVERY)


def trim(text: str) -> str:
    """Return text without the blanks at the ends of its lines."""
    return _FILLING.sub("", text)


def plain(text: str) -> str:
    """Return text for a file or a pipe: of a progress bar that was redrawn in its line, the last picture of it."""
    lines = trim(_CURSOR.sub("", text)).split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
