"""Reading a log of any size as a stream, and saying what it means."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from sdlauncher.catalog.signatures import load_signatures
from sdlauncher.core.diagnosis import Finding, LogReader
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.supervise.tail import Stream

_BLOCK: Final = 1024**2
# PowerShell's `>` writes UTF-16 with a mark in front.
_WIDE: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def explain(blocks: Iterable[bytes]) -> tuple[Finding, ...]:
    """Explain a log given in blocks, the most decisive finding first; memory does not grow with the log."""
    reader = LogReader(load_signatures())
    for block in _narrow(blocks):
        reader.feed(block)
    return reader.finish()


def read_file(path: Path) -> Iterator[bytes]:
    """Read a log file in blocks. Raises SDL-LOG-READ."""
    try:
        with path.open("rb") as file:
            yield from read_stream(file)
    except OSError as error:
        raise SdLauncherError("SDL-LOG-READ", path=path, evidence=error) from error


def read_stream(file: BinaryIO) -> Iterator[bytes]:
    """Read an open file, or standard input, to its end in blocks."""
    while block := file.read(_BLOCK):
        yield block


def read_own(files: InstancePaths) -> Iterator[bytes]:
    """Read all that is kept of an instance's log, rotated files included. Raises SDL-LOG-NONE."""
    if not files.log.exists():
        raise SdLauncherError("SDL-LOG-NONE", instance=files.name, path=files.log)
    stream = Stream(files.log)
    position, end = stream.bounds()
    while position < end:
        block, position = stream.read(position, _BLOCK)
        if not block:
            return
        yield block


def _narrow(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Turn UTF-16 into UTF-8; everything else passes as it is."""
    iterator = iter(blocks)
    first = next(iterator, b"")
    encoding = _WIDE.get(first[:2])
    if encoding is None:
        yield first
        yield from iterator
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    yield decoder.decode(first[2:]).encode("utf-8", "replace")
    for block in iterator:
        yield decoder.decode(block).encode("utf-8", "replace")
