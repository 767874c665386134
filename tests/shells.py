"""The real shells: bash, and cmd under wine, each run once for many cases."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# A prefix takes ten seconds to make, so it is kept between runs; it holds nothing but wine's own files.
_PREFIX = (
    Path(tempfile.gettempdir()) / f"sdlauncher-tests-wine-{os.getuid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
)
# A shell that inherits them would not see what the file itself sets.
_STEERING = ("SDLAUNCHER_", "COMMANDLINE_ARGS", "CUDA_", "TORCH_", "XFORMERS_", "PYTORCH_", "STABLE_", "python_cmd")


def run_bash(script: str, folder: Path, env: Mapping[str, str] | None = None) -> bytes:
    """Run a bash script in `folder` and return what it printed."""
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=_environment(env), capture_output=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def run_cmd(lines: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> bytes:
    """Run batch lines with cmd in `folder` and return what they printed."""
    assert shutil.which("wine"), "these tests run webui-user.bat in a real cmd: install wine (apt install wine)"
    main = folder / "run-by-test.bat"
    main.write_bytes("\r\n".join(["@echo off", *lines, ""]).encode())
    wine = {"WINEPREFIX": str(_PREFIX), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml=", "DISPLAY": ""}
    done = subprocess.run(
        ["wine", "cmd", "/c", main.name],
        cwd=folder,
        env=_environment({**wine, **(env or {})}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=110,
        check=False,
    )
    return done.stdout


def stop_wine() -> None:
    """End wine's server, which would outlive the tests by some seconds."""
    if shutil.which("wineserver") and _PREFIX.exists():
        subprocess.run(["wineserver", "-k"], env=_environment({"WINEPREFIX": str(_PREFIX)}), timeout=30, check=False)


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_STEERING)}
    return {**kept, **(more or {})}
