"""What all tests share: a home of their own, the installed command, and machines with NVIDIA GPUs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.nvml import NvidiaMachine, build_library

# Read once, when numpy is first imported. As many workers as cores: threads of their own only wait for one another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Nothing of the developer's own environment may change what a test sees.
FOREIGN = (
    "SDLAUNCHER_",
    "PYTHON",
    "COMMANDLINE_ARGS",
    "CUDA_",
    "LC_",
    "LANG",
    "http_proxy",
    "https_proxy",
    "all_proxy",
)


def free_port() -> int:
    """Find a port on the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's right to read everything for a while; whoever is not root has none."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command of ours ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The envelope, as a script would read it."""
        return json.loads(self.out)

    @property
    def data(self) -> dict[str, Any]:
        return self.json["data"]


@dataclass(frozen=True, slots=True)
class Cli:
    """Runs `sdlauncher` as a user would: its own process, its own home."""

    home: Path
    env: Mapping[str, str]

    def __call__(self, *words: object, env: Mapping[str, str] | None = None, timeout: float = 60) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "sdlauncher", *map(str, words)],
            env={**self.env, **(env or {})},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def clean_env() -> dict[str, str]:
    """This process's environment without anything that steers a WebUI or us."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty SDLAUNCHER_HOME, for this process and its children."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("SDLAUNCHER_HOME", str(folder))
    return folder


@pytest.fixture
def cli(home: Path, clean_env: dict[str, str]) -> Iterator[Cli]:
    """The command line, in a home of its own; whatever it still runs at the end is stopped."""
    run = Cli(home, {**clean_env, "SDLAUNCHER_HOME": str(home)})
    yield run
    for instance in (home / "state").glob("*/state.json"):
        run("stop", "-i", instance.parent.name, env={"SDLAUNCHER_STOP_TIMEOUT": "1"})


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvidia(nvml_library: Path, tmp_path: Path) -> Callable[[], NvidiaMachine]:
    """Makes machines with NVIDIA GPUs; give their `.env` to the command."""
    made = iter(range(1000))
    return lambda: NvidiaMachine(nvml_library, tmp_path / f"machine{next(made)}")
