"""How an instance is, read from the notes of its supervisor and checked against the processes that really are there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import sdlauncher
from sdlauncher.core.process import ProcessId
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import process
from sdlauncher.machine.files import refuse_hidden
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.supervise import boot
from sdlauncher.supervise.record import Folder, bury, read_record

LIVE: Final = ("starting", "running", "stopping", "backoff")
MARGIN: Final = 15.0  # seconds beyond the grace in which a supervisor has to have finished


class Status(NamedTuple):
    """How an instance is, as `status --json` tells it. `pid` is the WebUI itself, not the script around it."""

    instance: str
    webui: str = ""
    dir: str = ""
    state: str = "stopped"
    pid: int | None = None
    supervisor_pid: int | None = None
    url: str = ""
    since: str = ""
    restarts: int = 0
    last_exit: Mapping[str, Any] | None = None
    memory_rss: int | None = None
    port: int | None = None
    model: str = "unknown"
    stage: str = ""
    doing: str = ""
    gpu: str | None = None
    draining: str | None = None
    retry_in: float | None = None
    record: Mapping[str, Any] = MappingProxyType({})

    @property
    def is_up(self) -> bool:
        """Whether a supervisor looks after it, in whatever state the WebUI is."""
        return self.state in LIVE

    def data(self) -> dict[str, Any]:
        """Return the fields that scripts may rely on."""
        names = (name for name in self._fields if name != "record")
        return {name: getattr(self, name) for name in names}


def read_status(files: InstancePaths, *, adopt: bool = True) -> Status:
    """Return how the instance is now.

    A WebUI whose supervisor has died gets a new one (unless `adopt` is False); a state that only an old file tells,
    after a power cut or a crash of both, is corrected. Raises SDL-FILE-ACCESS for the instance of another user.
    """
    record = read_record(str(files.state))
    if not record:
        refuse_hidden(files.state)
    if record.get("state") in LIVE and not _is_supervised(record):
        if adopt:
            record = _adopt(files, record)
        elif not living_tree(record):
            record = {**record, "state": "stopped", "pid": None, "supervisor_pid": None}
    return status_of(files, record)._replace(memory_rss=_memory(record))


def read_all(found: Iterable[InstancePaths]) -> tuple[Status, ...]:
    """Return how each instance is now; one that this user may not read is `unknown`."""
    return tuple(map(_read_if_allowed, found))


def _read_if_allowed(files: InstancePaths) -> Status:
    try:
        return read_status(files)
    except SdLauncherError as error:
        if error.code != "SDL-FILE-ACCESS":
            raise
        return Status(files.name, state="unknown")


def status_of(files: InstancePaths, record: Mapping[str, Any]) -> Status:
    """Return what a record says."""
    known = {name: record[name] for name in Status._fields if name in record and record[name] is not None}
    known["instance"] = files.name
    return Status(**known, record=record)


def _memory(record: Mapping[str, Any]) -> int | None:
    root = record.get("root")
    if record.get("state") not in ("starting", "running", "stopping") or not isinstance(root, list):
        return None
    there = process.find_descendants(ProcessId(*root))
    return process.add_usage(there).memory_rss if there else None


def _is_supervised(record: Mapping[str, Any]) -> bool:
    one = record.get("supervisor")
    return isinstance(one, list) and record.get("boot") == process.boot() and process.is_alive(ProcessId(*one))


def living_tree(record: Mapping[str, Any]) -> list[ProcessId]:
    """Return the processes that a record is about and that are still there."""
    root = record.get("root")
    if not isinstance(root, list) or record.get("boot") != process.boot():
        return []
    return process.Tree(ProcessId(*root), str(record.get("mark")), owned=False).members()


def _adopt(files: InstancePaths, record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a WebUI without a supervisor a new one; correct the record when there is nothing left to supervise."""
    if living_tree(record) and files.launch.exists():
        deadline = time.monotonic() + MARGIN
        told = listen(spawn_daemon(files, "adopt"))
        for record_or_none in told:
            if record_or_none is not None or time.monotonic() > deadline:
                break
        told.close()
    else:
        bury(Folder(str(files.root)), dict(record), process.boot())
    return read_record(str(files.state))


def spawn_daemon(files: InstancePaths, mode: str) -> int:
    """Start a supervisor that nobody can take down with a terminal; return the pipe it reports to."""
    reader, writer = os.pipe()
    package_root = str(Path(sdlauncher.__file__).parent.parent)
    try:
        process.detach(
            boot.argv(package_root, str(files.root), mode, process.give(writer)),
            keep=writer,
            trouble=str(files.root / "supervisor.log"),
        )
    finally:
        os.close(writer)
    return reader


def listen(reader: int) -> Generator[dict[str, Any] | None, None, None]:
    """Yield what a supervisor tells, record by record, until it is gone; None ten times a second meanwhile."""
    rest = b""
    try:
        while True:
            if not process.wait_readable(reader, 0.1):
                yield None
                continue
            piece = os.read(reader, 1 << 16)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield json.loads(line)
    finally:
        os.close(reader)
