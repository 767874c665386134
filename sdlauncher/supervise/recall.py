"""What a supervisor writes down about itself, and what the next one needs of it to take over.

Apart from the notes on disk (record.py), which every command reads: the words of the state machine cost 5 ms to load.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sdlauncher.core.lifecycle import OVER, After, Cause, State
from sdlauncher.core.process import ProcessId

if TYPE_CHECKING:
    from sdlauncher.supervise.supervisor import Supervisor


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
