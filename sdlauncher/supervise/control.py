"""The command line's side of supervision: start, stop and restart an instance, and read how it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from sdlauncher.core.process import ProcessId
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import process
from sdlauncher.machine.files import turn
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.supervise.record import Folder, bury, read_record, write_record
from sdlauncher.supervise.status import MARGIN, Status, listen, living_tree, read_status, spawn_daemon, status_of

if TYPE_CHECKING:
    from sdlauncher.supervise.spec import LaunchSpec

__all__ = ["Status", "failure", "hand_over", "read_status", "restart", "start", "stop", "wait_ready"]

Told = Generator[dict[str, Any] | None, None, None]
Listen = Callable[[Status], None]


def start(
    files: InstancePaths,
    spec: LaunchSpec,
    *,
    wait: float | None = None,
    until_ready: bool = True,
    on_progress: Listen | None = None,
) -> Status:
    """Start the instance under a detached supervisor and return its status; one that runs already is left alone.

    Waits until it answers, at most `wait` seconds (None: as long as it makes progress). Raises SDL-PORT-TAKEN before
    anything starts, SDL-START-FAILED with the decisive line of the log, SDL-START-TIMEOUT.
    """
    told: Told | None = None
    try:
        # One command at a time: between the look and the start of a supervisor nobody else may begin one.
        with turn(files.root / "command.lock"):
            now = read_status(files)
            if now.state == "stopping" and now.record.get("after") == "stopped":
                _wait_over(files, time.monotonic() + float(now.record.get("stop_timeout", 10.0)) + MARGIN)
                now = read_status(files)
            if now.is_up:
                if now.draining == "stopped":
                    _request(files, "start")
            else:
                hand_over(files, spec)
                told = listen(spawn_daemon(files, "start"))
                now = _first(files, told)
        if not until_ready:
            return now
        return _follow(files, now, told, wait, on_progress)
    except KeyboardInterrupt:
        if told is not None:
            # Whoever interrupts a start does not want what it would leave behind.
            stop(files, timeout=2.0)
        raise
    finally:
        if told is not None:
            told.close()


def hand_over(files: InstancePaths, spec: LaunchSpec) -> None:
    """Write what a supervisor will start, once its port is free. Raises SDL-PORT-TAKEN and SDL-FILE-WRITE."""
    from sdlauncher.machine.ports import require_free_port
    from sdlauncher.supervise.spec import write_spec

    require_free_port(spec.host, spec.port)
    try:
        files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.request.unlink(missing_ok=True)
        write_spec(str(files.launch), spec)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=files.launch, evidence=error) from error


def stop(
    files: InstancePaths,
    *,
    timeout: float | None = None,
    drain: bool = False,
    patience: float | None = None,
    on_progress: Listen | None = None,
) -> Status:
    """Stop the instance with everything it started; one that does not run is fine.

    `timeout` is the grace in seconds before it is killed; with `drain` the running job is finished first, for at most
    `patience` seconds. Raises SDL-STOP-FAILED when something is left that cannot be ended.
    """
    now = read_status(files)
    if not now.is_up:
        return now
    return _ask(files, now, "stop", timeout=timeout, drain=drain, patience=patience, on_progress=on_progress)


def restart(
    files: InstancePaths,
    spec: LaunchSpec,
    *,
    wait: float | None = None,
    timeout: float | None = None,
    drain: bool = False,
    patience: float | None = None,
    on_progress: Listen | None = None,
) -> Status:
    """Stop the instance and start it as `spec` says. Raises what `stop` and `start` raise."""
    stop(files, timeout=timeout, drain=drain, patience=patience, on_progress=on_progress)
    return start(files, spec, wait=wait, on_progress=on_progress)


def _first(files: InstancePaths, told: Told) -> Status:
    """Return what a new supervisor says first. Raises SDL-START-FAILED when it says nothing."""
    deadline = time.monotonic() + MARGIN
    while time.monotonic() < deadline:
        record = next(told, {"error": ""})
        if record is None:
            continue
        if "error" in record:
            raise _silent(files, str(record["error"]))
        return read_status(files) if "busy" in record else status_of(files, record)
    raise _silent(files, "")


def _follow(
    files: InstancePaths,
    status: Status,
    told: Told | None,
    wait: float | None,
    on_progress: Listen | None,
) -> Status:
    """Wait until the instance is ready, by what its supervisor tells us or else by its notes."""
    deadline = None if wait is None else time.monotonic() + wait
    before: Status | None = None
    while True:
        if on_progress is not None and status != before:
            on_progress(status)
            before = status
        if status.state in ("fatal", "stopped"):
            _wait_over(files, time.monotonic() + MARGIN)
            raise failure(files, status)
        if status.state == "running":
            return status
        if deadline is not None and time.monotonic() >= deadline:
            doing = status.doing or status.stage or status.state
            raise SdLauncherError("SDL-START-TIMEOUT", instance=files.name, seconds=f"{wait or 0:g}", evidence=doing)
        if told is None:
            time.sleep(0.05)
            status = read_status(files)
            continue
        try:
            record = next(told)
        except StopIteration:
            told = None
            status = read_status(files)
            continue
        status = status if record is None else status_of(files, record)


def failure(files: InstancePaths, status: Status) -> SdLauncherError:
    """Return the error that says why an instance is not up, with the decisive line of its log."""
    last = status.last_exit or {}
    evidence = last.get("evidence") or last.get("cause") or "the supervisor ended without a word"
    if last.get("cause") == "port-taken":
        return SdLauncherError("SDL-START-PORT", port=status.port, evidence=evidence)
    return SdLauncherError("SDL-START-FAILED", instance=files.name, evidence=evidence, log=files.log)


def _silent(files: InstancePaths, evidence: str) -> SdLauncherError:
    """Return the error of a supervisor that ended before it could say anything."""
    trouble = files.root / "supervisor.log"
    words = trouble.read_text(errors="replace").strip().splitlines() if trouble.exists() else []
    evidence = evidence or (words[-1] if words else "its supervisor ended without a word")
    return SdLauncherError("SDL-START-FAILED", instance=files.name, evidence=evidence, log=trouble)


def wait_ready(files: InstancePaths, wait: float | None = None, on_progress: Listen | None = None) -> Status:
    """Wait for a start that somebody else has begun; raises what `start` raises."""
    return _follow(files, read_status(files), None, wait, on_progress)


def _wait_over(files: InstancePaths, deadline: float, on_progress: Listen | None = None) -> Status | None:
    """Wait until the supervisor has left; None when it is still there at the deadline."""
    record = read_record(str(files.state))
    one = record.get("supervisor")
    held = process.hold(ProcessId(*one)) if isinstance(one, list) and len(one) == 2 else None
    if held is not None:
        try:
            while not process.wait_end(held, min(1.0, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    return None
                record = read_record(str(files.state))
                if record.get("state") in ("stopped", "fatal"):
                    # In the foreground the same process may have more to do when the supervising is over.
                    break
                if on_progress is not None:
                    on_progress(status_of(files, record))
        finally:
            process.let_go(held)
    return read_status(files, adopt=False)


def _request(files: InstancePaths, action: str, **how: Any) -> None:
    """Ask the supervisor for something. Where the disk takes no request, a stop is asked for by signal."""
    written = write_record(str(files.request), {"id": os.urandom(8).hex(), "action": action, **how})
    one = read_record(str(files.state)).get("supervisor")
    if not written and action == "stop" and isinstance(one, list):
        process.terminate([ProcessId(*one)])
    process.knock(str(files.root / "control"))


def _ask(
    files: InstancePaths,
    now: Status,
    action: str,
    *,
    timeout: float | None,
    drain: bool,
    patience: float | None,
    on_progress: Listen | None,
) -> Status:
    _request(files, action, drain=drain, timeout=timeout, patience=patience)
    grace = timeout if timeout is not None else float(now.record.get("stop_timeout", 10.0))
    waiting = float("inf") if drain and patience is None else grace + (patience or 0.0) + MARGIN
    done = _wait_over(files, time.monotonic() + waiting, on_progress)
    if done is None or done.is_up:
        done = _end_by_force(files)
    return done


def _end_by_force(files: InstancePaths) -> Status:
    """The supervisor does not react: end it, then what it looked after. Raises SDL-STOP-FAILED."""
    record = read_record(str(files.state))
    one = record.get("supervisor")
    if isinstance(one, list) and record.get("boot") == process.boot():
        process.kill([ProcessId(*one)])
    tree = living_tree(record)
    deadline = time.monotonic() + 5.0
    while tree and time.monotonic() < deadline:
        process.kill(tree)
        time.sleep(0.05)
        tree = living_tree(record)
    if tree:
        pids = ", ".join(str(one.pid) for one in tree)
        raise SdLauncherError("SDL-STOP-FAILED", instance=files.name, pids=pids)
    bury(Folder(str(files.root)), record, process.boot())
    return read_status(files, adopt=False)
