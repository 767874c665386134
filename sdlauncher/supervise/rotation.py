"""Rotating a log under the hands of its writer: the old part is copied out, then cut off the front of the file.

The WebUI keeps its descriptor and notices nothing. Linux can take blocks off the front of a file (ext4, xfs) or turn
them into a hole (btrfs, tmpfs and most others). Elsewhere the log is only rotated when the WebUI is started.
Blocks end anywhere in a line, so what the rotated file already has of the last block is blanked in the live one: no
line is torn, lost or doubled, in whichever file one looks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

from sdlauncher.machine.process import wait_lock
from sdlauncher.supervise.logs import Layout, Segment, read_at, read_layout, write_layout

_KEEP_SIZE, _PUNCH_HOLE, _COLLAPSE_RANGE = 1, 2, 8
_BLOCK = 1 << 16  # a multiple of every usual block size
_SPAN = 1 << 20
_SECTOR = 512


def rotate(path: str, *, upto: int, size: int, keep: int) -> None:
    """Move what lies before byte `upto` of the stream into rotated files of about `size` bytes, keeping `keep` of them.

    Raises OSError: EOPNOTSUPP where the file system can neither collapse nor punch.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait_lock(lock, shared=False)
        layout = repair(path)
        while True:
            moved = _rotate_once(path, layout, upto, size, keep)
            if moved == layout:
                return
            layout = moved
    finally:
        os.close(lock)


def start_afresh(path: str, *, keep: int) -> None:
    """Begin a new live file by renaming the old one, for a log that nobody writes to. Raises OSError."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait_lock(lock, shared=False)
        layout = repair(path)
        end = layout.removed + os.stat(path).st_size  # noqa: PTH116
        segment = Segment(layout.number, layout.removed + layout.start, end)
        if layout.start == 0:
            os.replace(path, f"{path}.{segment.number}")  # noqa: PTH105
        else:
            _copy(path, f"{path}.{segment.number}", layout.start, end - layout.removed)
            os.unlink(path)  # noqa: PTH108
        write_layout(path, _drop(path, Layout(end, 0, layout.number + 1, (*layout.segments, segment)), keep))
    finally:
        os.close(lock)


def repair(path: str) -> Layout:
    """Return the layout, finishing or undoing a rotation during which somebody was killed. Needs the lock."""
    layout = read_layout(path)
    if not layout.pending:
        return layout
    name = f"{path}.{layout.number}"
    copied, front = _head(name, 0), _head(path, layout.start)
    if copied and front[: len(copied)] != copied:
        # The front is not there any more: it was cut off, or became a hole.
        layout = _finished(layout, layout.pending, collapsed=front[:_SECTOR].strip(b"\0") != b"")
    else:
        # Nothing was cut off yet: the copy goes, and nothing is lost.
        if copied:
            os.unlink(name)  # noqa: PTH108
        layout = layout._replace(pending=0)
    write_layout(path, layout)
    return layout


def _rotate_once(path: str, layout: Layout, upto: int, size: int, keep: int) -> Layout:
    most = min(upto - layout.removed, layout.start + size)
    if most - layout.start < size:
        return layout
    end = _line_end(path, layout.start, most)
    blocks = end // _BLOCK * _BLOCK
    if blocks <= layout.start:
        return layout
    name = f"{path}.{layout.number}"
    if keep:
        _copy(path, name, layout.start, end)
    write_layout(path, layout._replace(pending=end))
    collapsed = _cut(path, blocks)
    if collapsed is None:
        write_layout(path, layout)
        if keep:
            os.unlink(name)  # noqa: PTH108
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
    layout = _finished(layout, end, collapsed=collapsed)
    _blank(path, layout.start - (end - blocks), layout.start)
    layout = _drop(path, layout, keep)
    write_layout(path, layout)
    return layout


def _finished(layout: Layout, end: int, *, collapsed: bool) -> Layout:
    blocks = end // _BLOCK * _BLOCK if collapsed else 0
    segment = Segment(layout.number, layout.removed + layout.start, layout.removed + end)
    return Layout(layout.removed + blocks, end - blocks, layout.number + 1, (*layout.segments, segment))


def _drop(path: str, layout: Layout, keep: int) -> Layout:
    kept = layout.segments[-keep:] if keep else ()
    for segment in layout.segments[: len(layout.segments) - len(kept)]:
        try:
            os.unlink(f"{path}.{segment.number}")  # noqa: PTH108
        except FileNotFoundError:
            continue
    return layout._replace(segments=kept)


def _cut(path: str, blocks: int) -> bool | None:
    """Cut the front off: True when the file got shorter, False when it has a hole there now, None when neither went."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    file = os.open(path, os.O_RDWR)
    try:
        for mode, collapsed in ((_COLLAPSE_RANGE, True), (_PUNCH_HOLE | _KEEP_SIZE, False)):
            if libc is not None and libc.fallocate(file, mode, ctypes.c_long(0), ctypes.c_long(blocks)) == 0:
                return collapsed
        return None
    finally:
        os.close(file)


def _blank(path: str, begin: int, end: int) -> None:
    if end > begin:
        file = os.open(path, os.O_WRONLY)
        try:
            os.lseek(file, begin, os.SEEK_SET)
            os.write(file, b" " * (end - begin - 1) + b"\n")
        finally:
            os.close(file)


def _line_end(path: str, begin: int, most: int) -> int:
    """Return the end of the last whole line before `most`; `most` itself when a line is longer than a megabyte."""
    file = os.open(path, os.O_RDONLY)
    try:
        first = max(begin, most - _SPAN)
        found = read_at(file, most - first, first).rfind(b"\n")
        return first + found + 1 if found >= 0 else most
    finally:
        os.close(file)


def _copy(source: str, target: str, begin: int, end: int) -> None:
    read = os.open(source, os.O_RDONLY)
    try:
        write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            at = begin
            while at < end:
                piece = read_at(read, min(_SPAN, end - at), at)
                if not piece:
                    raise OSError(errno.EIO, "the log ended early", source)
                at += len(piece)
                while piece:
                    piece = piece[os.write(write, piece) :]
        finally:
            os.close(write)
    except OSError:
        os.unlink(target)  # noqa: PTH108
        raise
    finally:
        os.close(read)


def _head(path: str, begin: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return read_at(file, _SPAN, begin)
    finally:
        os.close(file)
