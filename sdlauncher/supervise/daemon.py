"""The supervisor's process: takes the instance's lock, or leaves at once when another supervisor has it.

It runs as `python -I -S`, so that neither the user's environment nor a third-party package can reach it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from sdlauncher.machine import process
from sdlauncher.supervise.record import Folder, add_event, read_record, write_record
from sdlauncher.supervise.spec import read_spec
from sdlauncher.supervise.supervisor import Supervisor, Tell

BUSY = 3
NOTHING_LEFT = 4

# What `python -c` runs: our package is found where the command line found it, whatever that Python has installed.
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from sdlauncher.supervise.daemon import main; main(sys.argv[2:])"


def argv(package_root: str, root: str, mode: str, descriptor: int | None) -> list[str]:
    """Return the command that runs a supervisor for the instance in `root`; `mode` is start or adopt."""
    told = "-" if descriptor is None else str(descriptor)
    # Elsewhere the process table comes from psutil, which lives in site-packages.
    alone = ["-I", "-S"] if sys.platform == "linux" else ["-I"]
    return [sys.executable, *alone, "-c", BOOT, package_root, root, mode, told]


def main(words: list[str]) -> None:
    """Run until the instance is over; what is told goes to a pipe as long as somebody reads it."""
    root, mode, told = words
    code = supervise(root, mode, tell=_Teller(None if told == "-" else process.take_inherited(int(told))))
    # Nothing is left to do, and finalising the interpreter would only delay who waits for us.
    os._exit(code)


def supervise(
    root: str,
    mode: str,
    *,
    tell: Tell,
    copy_to: int | None = None,
    beat: float = 0.0,
    on_beat: Callable[[], None] | None = None,
) -> int:
    """Supervise the instance in `root`; return the exit code.

    In the foreground the log is copied to the descriptor `copy_to`, and `on_beat` is called every `beat` seconds.
    """
    os.umask(0o077)
    folder = Folder(root)
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not process.try_lock(lock):
            tell({"busy": True})
            return BUSY
        spec = read_spec(folder.launch)
        if spec is None:
            tell({"error": f"{folder.launch} holds no launch"})
            return NOTHING_LEFT
        try:
            os.chdir(spec.cwd)
        except OSError as error:
            tell({"error": f"{spec.cwd}: {error.strerror}"})
            return NOTHING_LEFT
        supervisor = Supervisor(folder, spec, tell=tell)
        supervisor.beat, supervisor.on_beat = beat, on_beat
        if copy_to is not None:
            supervisor.log.pass_on(copy_to)
        record = read_record(folder.state)
        if not supervisor.take_over(record):
            bury(folder, record)
            if mode != "start":
                tell({"gone": True})
                return NOTHING_LEFT
            supervisor.begin()
        return supervisor.run()
    finally:
        os.close(lock)


def bury(folder: Folder, record: dict[str, Any]) -> None:
    """Correct a state that says that something runs when nothing does."""
    if record.get("state") in (None, "stopped", "fatal"):
        return
    same_boot = record.get("boot") == process.boot()
    cause = "supervisor-died" if same_boot else "machine-restarted"
    last = {"cause": cause, "signal": None, "signature": None, "evidence": f"state was {record['state']}"}
    buried = {**record, "state": "stopped", "pid": None, "supervisor_pid": None, "root": None, "last_exit": last}
    write_record(folder.state, buried)
    add_event(folder.events, "stale-state", cause=cause)


class _Teller:
    """Writes every new record to the pipe of the command that waits; stops when it is full or nobody reads."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            process.never_wait(descriptor)

    def __call__(self, record: dict[str, Any]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(record).encode() + b"\n")
        except BlockingIOError:
            return
        except OSError:
            os.close(self._descriptor)
            self._descriptor = None
