"""The notes of an instance on disk: state.json, which its supervisor alone writes, requests, and events.jsonl."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from sdlauncher.core import jsontext

_EVENTS_MOST = 1 << 20


class Folder:
    """The files of one instance by name, for a process that does without pathlib (machine/paths.py owns the names)."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.launch = f"{root}/launch.json"
        self.state = f"{root}/state.json"
        self.request = f"{root}/request.json"
        self.lock = f"{root}/supervisor.lock"
        self.log = f"{root}/webui.log"
        self.events = f"{root}/events.jsonl"
        self.control = f"{root}/control"
        self.trouble = f"{root}/supervisor.log"


def stamp() -> str:
    """Return the wall clock as ISO 8601 in UTC, to the millisecond: for people and files, never for durations."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


def read_stamp(text: str) -> float | None:
    """Return the wall clock that a stamp tells, in seconds since 1970; None for what is no stamp."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def write_record(path: str, record: dict[str, Any]) -> bool:
    """Replace a record in one step, for its owner's eyes alone; False when the disk does not take it.

    Not synced: after a power cut nothing in it holds any more, and a start must not wait for a slow disk.
    """
    fresh = f"{path}.new"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(_encode(record))
        os.replace(fresh, path)  # noqa: PTH105
    except OSError:
        return False
    return True


def _encode(record: dict[str, Any]) -> bytes:
    """Return it as JSON; the lone surrogates of a path that is not UTF-8 are escaped, which is JSON's own way too."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")


def read_record(path: str) -> dict[str, Any]:
    """Return what the file says; an empty record when there is none or it is damaged."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            value = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def add_event(path: str, event: str, **facts: Any) -> str:
    """Append one line of history and return it; what the disk does not take is lost, the WebUI is not."""
    line = _encode({"at": stamp(), "event": event, **facts})
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line + b"\n")
            grown = os.fstat(descriptor).st_size > _EVENTS_MOST
        finally:
            os.close(descriptor)
        if grown:
            os.replace(path, f"{path}.1")  # noqa: PTH105
    except OSError:
        pass
    return line.decode()


def bury(folder: Folder, record: dict[str, Any], boot: str) -> None:
    """Correct a state that says that something runs when nothing does."""
    if record.get("state") in (None, "stopped", "fatal"):
        return
    same_boot = record.get("boot") == boot
    cause = "supervisor-died" if same_boot else "machine-restarted"
    last = {"cause": cause, "signal": None, "signature": None, "evidence": f"state was {record['state']}"}
    buried = {**record, "state": "stopped", "pid": None, "supervisor_pid": None, "root": None, "last_exit": last}
    write_record(folder.state, buried)
    add_event(folder.events, "stale-state", cause=cause)
