"""The WebUI's log: it writes straight into the file, so the log needs nobody alive but the WebUI itself.

One stream of bytes, counted from its first byte ever. The file holds the end of it; rotation moves the older part into
`webui.log.N` without the WebUI noticing (supervise/rotation.py). `webui.log.json` says which part lies where.
"""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from sdlauncher.core import jsontext

PIECE = 1 << 18


class Segment(NamedTuple):
    """One rotated file: the bytes `first` to `end` of the stream."""

    number: int
    first: int
    end: int


class Layout(NamedTuple):
    """Where the stream lies: byte `removed + offset` of the stream is byte `offset` of the file, from `start` on."""

    removed: int = 0
    start: int = 0
    number: int = 1
    segments: tuple[Segment, ...] = ()
    pending: int = 0

    @property
    def first(self) -> int:
        """The oldest byte that is still kept."""
        return self.segments[0].first if self.segments else self.removed + self.start


def open_log(path: str) -> int:
    """Open the log for a WebUI to write to: appending, so that no two writers overwrite each other. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)


def read_at(file: int, size: int, offset: int) -> bytes:
    """Read from an open file of our own at an offset (pread is not everywhere)."""
    os.lseek(file, offset, os.SEEK_SET)
    return os.read(file, size)


def read_layout(path: str) -> Layout:
    """Return where the stream lies; an untouched file when nothing was rotated yet."""
    try:
        with open(f"{path}.json", "rb") as file:  # noqa: PTH123
            value: dict[str, Any] = jsontext.loads(file.read())
        segments = tuple(Segment(*one) for one in value["segments"])
        return Layout(value["removed"], value["start"], value["number"], segments, value.get("pending", 0))
    except (OSError, ValueError, KeyError, TypeError):
        return Layout()


def write_layout(path: str, layout: Layout) -> None:
    """Replace the note of where the stream lies, in one step. Raises OSError."""
    fresh = f"{path}.json.new"
    with open(fresh, "w", encoding="ascii") as file:  # noqa: PTH123
        json.dump(layout._asdict(), file)
    os.replace(fresh, f"{path}.json")  # noqa: PTH105


class LogReader:
    """Reads the live file as it grows, whole lines only; for the supervisor, which also rotates it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self._rest = b""
        self.position = 0
        self.reload()

    def reload(self) -> None:
        """Learn where the stream lies now, after a rotation."""
        self.layout = read_layout(self._path)

    def go_to(self, position: int) -> None:
        """Continue at a byte of the stream (or at the oldest that the live file still holds)."""
        self.position = max(position, self.layout.removed + self.layout.start)
        self._rest = b""

    def end(self) -> int:
        """Return where the stream ends now."""
        return self.layout.removed + (os.fstat(file).st_size if (file := self._open()) is not None else 0)

    def is_behind(self) -> bool:
        """Whether there is output that was not read yet."""
        return self.end() != self.position

    def live_bytes(self) -> int:
        """Return how much the live file holds that is in no rotated file."""
        return self.end() - self.layout.removed - self.layout.start

    def read(self) -> str:
        """Return the complete lines of the next piece, "" when there is none yet."""
        file = self._open()
        if file is None:
            return ""
        size = os.fstat(file).st_size
        if self.layout.removed + size < self.position:
            # Somebody emptied the file behind our back: go on with what is there.
            self.go_to(0)
        piece = read_at(file, PIECE, self.position - self.layout.removed)
        if not piece:
            return ""
        self.position += len(piece)
        whole, newline, rest = (self._rest + piece).rpartition(b"\n")
        # A line without an end (a progress bar) must not grow in memory for ever.
        self._rest = rest[-PIECE:]
        return (whole + newline).decode("utf-8", "replace")

    def tail(self, first: int, most: int = 1 << 16) -> list[str]:
        """Return the last lines of the live file from the stream's byte `first` on, at most `most` bytes of them."""
        file = self._open()
        if file is None:
            return []
        end = os.fstat(file).st_size
        begin = max(end - most, first - self.layout.removed, self.layout.start)
        text = read_at(file, max(0, end - begin), begin).decode("utf-8", "replace")
        return [line for line in text.replace("\r", "\n").split("\n") if line.strip()]

    def _open(self) -> int | None:
        try:
            here = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return self._file
        if self._file is not None:
            mine = os.fstat(self._file)
            if (mine.st_dev, mine.st_ino) == (here.st_dev, here.st_ino):
                return self._file
            os.close(self._file)
            self.go_to(0)
        self._file = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        return self._file
