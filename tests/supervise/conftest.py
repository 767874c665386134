"""A WebUI of a few lines under our supervisor, watched from outside, and proof that nothing of it is left."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdlauncher.catalog import load_webui
from sdlauncher.core.lifecycle import Policy
from sdlauncher.core.readiness import Patterns
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.supervise import control
from sdlauncher.supervise.control import Status
from sdlauncher.supervise.spec import LaunchSpec
from tests.conftest import free_port

WEBUI = Path(__file__).with_name("webui.py")
# As the real webui.sh: Python is a child, its end is no end of the script's own making, tmp/restart starts it again.
SCRIPT = """\
#!/usr/bin/env bash
export SD_WEBUI_RESTART=tmp/restart
while true; do
    "{python}" -I -S -u "{webui}" "$@"
    [[ -f tmp/restart ]] || break
    rm tmp/restart
done
exit 0
"""


def wait_for(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Return what the condition says as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return said


class Instance:
    """One instance of the little WebUI, and every process that was ever started for it."""

    def __init__(self, folder: Path, name: str = "one") -> None:
        self.checkout = folder / "checkout"
        self.checkout.mkdir(exist_ok=True)
        (self.checkout / "webui.sh").write_text(SCRIPT.format(python=sys.executable, webui=WEBUI))
        self.files = InstancePaths(name, folder / "state" / name)
        self.port = free_port()
        self.badge = secrets.token_hex(8)

    def spec(self, fake: str = "", **policy: Any) -> LaunchSpec:
        log = load_webui("a1111").log
        env = {"PATH": os.environ["PATH"], "FAKE": fake, "SDLAUNCHER_TEST": self.badge}
        patient = {"backoff_first": 0.0, "stop_timeout": 5.0, "hang_timeout": 0.0, "start_silence": 20.0}
        return LaunchSpec(
            instance=self.files.name,
            webui="a1111",
            checkout=str(self.checkout),
            argv=("/bin/bash", str(self.checkout / "webui.sh"), str(self.port)),
            env=env,
            cwd=str(self.checkout),
            host="127.0.0.1",
            port=self.port,
            url=f"http://127.0.0.1:{self.port}",
            lines=Patterns(*(getattr(log, name) for name in Patterns._fields)),
            restart_file="tmp/restart",
            policy=Policy(**{**patient, **policy}),
        )

    def start(self, fake: str = "", *, wait: float = 20.0, until_ready: bool = True, **policy: Any) -> Status:
        return control.start(self.files, self.spec(fake, **policy), wait=wait, until_ready=until_ready)

    def stop(self, **how: Any) -> Status:
        return control.stop(self.files, **how)

    def status(self, *, adopt: bool = False) -> Status:
        return control.read_status(self.files, adopt=adopt)

    def wait_for_state(self, state: str, *, restarts: int = 0, seconds: float = 15.0) -> Status:
        def reached() -> Status | None:
            now = self.status()
            return now if now.state == state and now.restarts >= restarts else None

        return wait_for(reached, seconds)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files.events.read_text().splitlines()]

    def log(self) -> str:
        return self.files.log.read_text(errors="replace")

    def processes(self) -> list[int]:
        """Return the pids of all living processes that were started for this instance, however detached."""
        mark = f"SDLAUNCHER_TEST={self.badge}".encode()
        return [pid for pid in _pids() if mark in _read(pid, "environ").split(b"\0") and not _is_zombie(pid)]

    def supervisors(self) -> list[int]:
        root = str(self.files.root).encode()
        return [pid for pid in _pids() if root in _read(pid, "cmdline").split(b"\0") and not _is_zombie(pid)]

    def kill_supervisor(self) -> int:
        pid = self.status().supervisor_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # Its command line is empty before its files are closed: only a zombie (or nothing) has really gone.
        wait_for(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))
        return pid


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _is_zombie(pid: int) -> bool:
    return b") Z " in _read(pid, "stat")


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    made: list[Instance] = []

    def make(name: str = "one") -> Instance:
        made.append(Instance(tmp_path, name))
        return made[-1]

    yield make
    for one in made:
        one.stop(timeout=1.0)
        wait_for(lambda one=one: not one.supervisors())
        left = one.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert left == [], "processes were left behind"


@pytest.fixture
def instance(make_instance: Callable[..., Instance]) -> Instance:
    return make_instance()
