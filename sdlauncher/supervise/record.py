"""The supervisor's notes on disk: state.json, which it alone writes, and events.jsonl, the history of the instance."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sdlauncher.core.lifecycle import OVER, After, Cause, State
from sdlauncher.core.process import ProcessId

if TYPE_CHECKING:
    from sdlauncher.supervise.supervisor import Supervisor

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


def write_record(path: str, record: dict[str, Any]) -> bool:
    """Replace a record in one step, for its owner's eyes alone; False when the disk does not take it.

    Not synced: after a power cut nothing in it holds any more, and a start must not wait for a slow disk.
    """
    fresh = f"{path}.new"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(json.dumps(record, ensure_ascii=False).encode())
        os.replace(fresh, path)  # noqa: PTH105
    except OSError:
        return False
    return True


def read_record(path: str) -> dict[str, Any]:
    """Return what the file says; an empty record when there is none or it is damaged."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            value = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def add_event(path: str, event: str, **facts: Any) -> str:
    """Append one line of history and return it; what the disk does not take is lost, the WebUI is not."""
    line = json.dumps({"at": stamp(), "event": event, **facts}, ensure_ascii=False)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode() + b"\n")
            grown = os.fstat(descriptor).st_size > _EVENTS_MOST
        finally:
            os.close(descriptor)
        if grown:
            os.replace(path, f"{path}.1")  # noqa: PTH105
    except OSError:
        pass
    return line


class Recalled(NamedTuple):
    """What a supervisor needs of the record of the one before it."""

    root: ProcessId
    mark: str
    state: State
    after: After
    since: str
    restarts: int
    cause: Cause | None
    log_from: int
    answered: str | None


def describe(supervisor: Supervisor) -> dict[str, Any]:
    """Return all that the command line may know: the fields of `status --json` and what a take-over needs."""
    spec, status, tree = supervisor.spec, supervisor.status, supervisor.tree
    progress, cause, over = supervisor.log.progress, status.cause, status.state in OVER
    return {
        "instance": spec.instance,
        "webui": spec.webui,
        "dir": spec.checkout,
        "state": status.state.value,
        "pid": None if tree is None else (supervisor.server or tree.root).pid,
        "supervisor_pid": None if over else os.getpid(),
        "url": _reachable(progress.url) or spec.url,
        "host": spec.host,
        "port": spec.port,
        "since": supervisor.since,
        "restarts": status.restarts,
        "stage": progress.stage,
        "doing": progress.doing,
        "model": progress.model,
        "gpu": spec.gpu,
        "draining": None if status.draining is None else status.draining.value,
        "retry_in": round(status.deadline - status.since, 3)
        if status.state is State.BACKOFF and status.deadline
        else None,
        "last_exit": None if cause is None else {"cause": cause.kind, **cause._asdict(), "code": supervisor.exit_code},
        "after": None if status.after is None else status.after.value,
        "root": None if tree is None else list(tree.root),
        "mark": None if tree is None else tree.mark,
        "supervisor": None if supervisor.me is None else list(supervisor.me),
        "boot": supervisor.boot,
        "log_from": supervisor.log.first,
        "answered": supervisor.answered,
        "stop_timeout": spec.policy.stop_timeout,
    }


def _reachable(url: str | None) -> str | None:
    """Return an address that a browser here can open: 0.0.0.0 is where a server listens, nowhere to go."""
    return None if url is None else url.replace("//0.0.0.0", "//127.0.0.1").replace("//[::]", "//[::1]")


def recall(record: dict[str, Any]) -> Recalled | None:
    """Read a record back; None when it is damaged or names no process."""
    try:
        last = record.get("last_exit")
        return Recalled(
            ProcessId(*record["root"]),
            str(record["mark"]),
            State(record["state"]),
            After(record.get("after") or "stopped"),
            str(record["since"]),
            int(record["restarts"]),
            Cause(**{name: last[name] for name in Cause._fields}) if last else None,
            int(record["log_from"]),
            record.get("answered"),
        )
    except (KeyError, TypeError, ValueError):
        return None


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
