"""Mini WebUIs to test: laid out in a directory, started as users start them, and gone afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from sdlauncher.mini import lay_out
from tests.conftest import free_port

READY = "Startup time:"
LOADED = "Model loaded in"


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout} s in vain for {what}"
        time.sleep(0.01)


@dataclass
class Running:
    """One started WebUI: its process, its log, its address."""

    process: subprocess.Popen[bytes]
    log_file: Path
    port: int
    scheme: str = "http"
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait_for_line(self, text: str, timeout: float = 30) -> str:
        def found() -> str | None:
            assert text in self.log or self.process.poll() is None, f"it ended without {text!r}:\n{self.log}"
            return self.log if text in self.log else None

        return str(wait_for(found, f"{text!r} in\n{self.log}", timeout))

    def wait_until_ended(self, timeout: float = 30) -> int:
        return self.process.wait(timeout)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=options.pop("timeout", 30), **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=options.pop("timeout", 60), **options)

    def accepts_connections(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def python_pid(self) -> int:
        """The process that serves: the started one, or the child of the script."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    def stop(self) -> None:
        self.session.close()
        if os.name == "nt":
            self.process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Checkout:
    """A Mini WebUI on disk, and what was started from it."""

    root: Path
    env: Mapping[str, str]
    started: list[Running] = field(default_factory=list)

    def start(
        self,
        *flags: str,
        misbehave: str = "",
        script: Sequence[str] | None = None,
        port: int | None = None,
        until: str | None = LOADED,
        model: bool = True,
        env: Mapping[str, str] | None = None,
        scheme: str = "http",
    ) -> Running:
        """Start it in a session of its own; without a port of its own it gets a free one.

        Without the model, which many tests do not need, it is there sooner.
        """
        number = port or free_port()
        arguments = list(flags)
        if not model:
            arguments.append("--skip-load-model-at-start")
            until = READY if until == LOADED else until
        if port != 0:
            arguments += ["--port", str(number)]
        log = self.root.parent / f"log{len(self.started)}.txt"
        environment = {**self.env, **(env or {})}
        if misbehave:
            environment["MINI_WEBUI_MISBEHAVE"] = misbehave
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*(script or (sys.executable, "-u", "launch.py")), *arguments],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(process, log, number, scheme)
        self.started.append(running)
        if until is not None:
            running.wait_for_line(until)
        if port == 0:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", running.log)
            assert found is not None
            running.port = int(found[1])
        return running

    def stop(self) -> None:
        for running in self.started:
            running.stop()


FOREIGN = ("COMMANDLINE_ARGS", "MINI_WEBUI_", "SD_WEBUI_", "VIRTUAL_ENV", "venv_dir", "python_cmd", "LAUNCH_SCRIPT")


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    root = tmp_path / "mini"
    lay_out(root, python=Path(sys.executable))
    made = Checkout(root, _clean_environment())
    yield made
    made.stop()


@pytest.fixture(scope="package")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One WebUI with its API for all tests that leave it as it was."""
    root = tmp_path_factory.mktemp("shared") / "mini"
    lay_out(root, python=Path(sys.executable))
    made = Checkout(root, _clean_environment())
    yield made.start("--api")
    made.stop()
