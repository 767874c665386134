"""The supervisor's process: takes the instance's lock, or leaves at once when another supervisor has it.

It runs as `python -I -S`, so that neither the user's environment nor a third-party package can reach it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from sdlauncher.core.process import ProcessId
from sdlauncher.machine import process
from sdlauncher.supervise.record import Folder, bury, read_record
from sdlauncher.supervise.spec import read_spec
from sdlauncher.supervise.supervisor import Supervisor, Tell

BUSY = 3
NOTHING_LEFT = 4
_ROTATION = 5.0  # seconds that a rotation may take at most


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
        if not _take(lock, folder):
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
            bury(folder, record, process.boot())
            if mode != "start":
                tell({"gone": True})
                return NOTHING_LEFT
            supervisor.begin()
        return supervisor.run()
    finally:
        os.close(lock)


def _take(lock: int, folder: Folder) -> bool:
    """Take the instance's lock; False when a living supervisor has it.

    One that was killed while its log was being rotated leaves the lock to the rotation, for as long as that takes.
    """
    deadline = time.monotonic() + _ROTATION
    while not process.try_lock(lock):
        one = read_record(folder.state).get("supervisor")
        dead = isinstance(one, list) and not process.is_alive(ProcessId(*one))
        if not dead or time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


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
