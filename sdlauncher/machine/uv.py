"""uv, which makes environments, provides Pythons and installs packages: how it is called and where it keeps things."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from sdlauncher.machine.command import run
from sdlauncher.machine.python import Interpreter, ask_python

# What would make uv work on another environment than the one it is told, or run the user's own code in ours.
_FOREIGN: Final = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "UV_SYSTEM_PYTHON",
                   "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "__PYVENV_LAUNCHER__")  # fmt: skip


def uv_command() -> str:
    """Return the path of uv, which came with our own installation."""
    from uv import find_uv_bin

    return str(find_uv_bin())


def uv_environment(cache: Path, *, offline: bool = False) -> dict[str, str]:
    """Return the environment for uv: nothing of a Python that happens to be active, a cache of ours, patience.

    UV_CACHE_DIR, proxies and the user's own uv settings stay as they are.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment.setdefault("UV_CACHE_DIR", str(cache))
    environment.setdefault("UV_HTTP_TIMEOUT", "60")
    environment.setdefault("UV_HTTP_RETRIES", "5")
    environment["UV_NO_PROGRESS"] = "1"
    environment["NO_COLOR"] = "1"
    if offline:
        environment["UV_OFFLINE"] = "1"
    return environment


def find_provided_python(version: str, environment: dict[str, str]) -> Interpreter | None:
    """Return a Python of this version that uv has already provided or knows of; None without one. Downloads nothing."""
    done = run(
        [uv_command(), "python", "find", "--no-python-downloads", "--no-project", version], timeout=60, env=environment
    )
    return ask_python(Path(done.stdout.strip())) if done.ok and done.stdout.strip() else None


def find_download(version: str, system: str) -> tuple[str, str] | None:
    """Return name and URL of the Python that uv would fetch for a system (`linux`, `windows`) on x86_64.

    The list came with uv; nothing is asked of the network.
    """
    words = ["python", "list", version, "--only-downloads", "--all-platforms", "--output-format", "json"]
    done = run([uv_command(), *words], timeout=60)
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        return None
    for row in rows:
        fits = row.get("os") == system and row.get("arch") == "x86_64" and row.get("variant", "default") == "default"
        if fits and row.get("implementation") == "cpython" and row.get("libc") in ("gnu", "none") and row.get("url"):
            return str(row["key"]), str(row["url"])
    return None
