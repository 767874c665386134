"""How a checkout is started: its own script, with the plan's words and a clean environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.lifecycle import Policy
from sdlauncher.core.quoting import join_words
from sdlauncher.core.readiness import Patterns
from sdlauncher.core.settings import Settings
from sdlauncher.core.webui import WebUi
from sdlauncher.errors import SdLauncherError
from sdlauncher.supervise.spec import LaunchSpec

# What a shell with another Python leaves behind and the WebUI's own venv must not inherit; webui.sh believes a stale
# VIRTUAL_ENV and then uses no venv at all. SD_WEBUI_RESTART and the like belong to the script that sets them.
_LEFTOVERS: Final = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_PYTHON_EXE", "CONDA_SHLVL",
    "CONDA_PROMPT_MODIFIER", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PYTHONUSERBASE", "SD_WEBUI_RESTART",
    "SD_WEBUI_RESTARTING", "SDLAUNCHER_COMMANDLINE_ARGS", "SDLAUNCHER_LAUNCH", "NOTIFY_SOCKET", "WATCHDOG_USEC",
    "WATCHDOG_PID",
)  # fmt: skip


def prepare(
    settings: Settings, plan: LaunchPlan, checkout: Path, webui: WebUi, *, credentials: str | None = None
) -> LaunchSpec:
    """Make the launch of a checkout's own script out of a plan; `credentials` is `user:password` of its API.

    Raises SDL-SCRIPT-MISSING when the checkout has no start script, SDL-COMMAND-MISSING without a shell.
    """
    windows = sys.platform == "win32"
    script = checkout / (webui.scripts.windows if windows else webui.scripts.posix)
    if not script.is_file():
        raise SdLauncherError("SDL-SCRIPT-MISSING", path=script)
    env = clean_environment(dict(os.environ))
    env |= {variable.name: variable.value for variable in plan.env}
    words_of_plan = join_words(plan.arguments)
    env |= {
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:replace",
        # What writes through `rich` (SD.Next) breaks its lines at 80 columns where there is no terminal: no pattern
        # finds what it looks for, and a request in its log looks like words of its own.
        "COLUMNS": "320",
        # A removed repository must fail at once instead of asking a terminal that is not there for a password.
        "GIT_TERMINAL_PROMPT": "0",
        "SDLAUNCHER_INSTANCE": settings.instance,
        # Our block in webui-user.* takes the first; a checkout that was never configured reads the second, unless
        # the user's own lines set it: what the user wrote wins.
        "SDLAUNCHER_COMMANDLINE_ARGS": words_of_plan,
        "COMMANDLINE_ARGS": words_of_plan,
    }
    if not windows and not (checkout / ".git").is_dir():
        # webui.sh takes a checkout without a .git directory (an archive, a worktree) for none and clones another.
        env |= {"install_dir": str(checkout.parent), "clone_dir": checkout.name}
    words = list(start_words(script, windows=windows))
    if credentials and plan.secret_argument:
        words += [plan.secret_argument, credentials]
    tls = any(flag.name == "--tls-certfile" for flag in plan.flags)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(plan.bind, plan.bind)  # noqa: S104
    return LaunchSpec(
        instance=settings.instance,
        webui=webui.name,
        checkout=str(checkout),
        argv=tuple(words),
        env=env,
        cwd=str(checkout),
        host=plan.bind,
        port=plan.port,
        url=f"{'https' if tls else 'http'}://{host}:{plan.port}",
        lines=Patterns(*(getattr(webui.log, name) for name in Patterns._fields)),
        restart_file=webui.restart_file,
        policy=Policy(**{name: getattr(settings, name) for name in Policy._fields}),
        gpu=None if plan.gpu is None else plan.gpu.uuid,
        authorization=_basic(credentials) if credentials else None,
    )


def clean_environment(inherited: dict[str, str]) -> dict[str, str]:
    """Return an environment without what other Pythons left in it, also in PATH."""
    bins = {
        str(Path(root) / folder)
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX")
        if (root := inherited.get(name))
        for folder in ("bin", "Scripts", "condabin")
    }
    kept = {name: value for name, value in inherited.items() if name not in _LEFTOVERS}
    if "PATH" in kept:
        kept["PATH"] = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if one not in bins)
    return kept


def start_words(script: Path, *, windows: bool) -> tuple[str, ...]:
    """Return the argument vector that runs a checkout's script. Raises SDL-COMMAND-MISSING without a shell."""
    if windows:
        return (os.environ.get("COMSPEC", "cmd.exe"), "/d", "/c", str(script))
    bash = shutil.which("bash")
    if bash is None:
        raise SdLauncherError("SDL-COMMAND-MISSING", program="bash", evidence="not on PATH")
    # webui.sh refuses to run as root without -f (a container is usually root).
    root = ("-f",) if sys.platform != "win32" and os.geteuid() == 0 else ()
    return (bash, str(script), *root)


def _basic(credentials: str) -> str:
    import base64

    first = credentials.split(",", maxsplit=1)[0]
    return "Basic " + base64.b64encode(first.encode()).decode()
