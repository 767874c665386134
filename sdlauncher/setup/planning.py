"""Planning for an instance: the tables, what the user's own lines say, and what the checkout's parsers would take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from sdlauncher.catalog import load_webui
from sdlauncher.catalog.planning import load_tables
from sdlauncher.core.environment import OWN_ENVIRONMENT
from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import Flag, LaunchPlan, Reason
from sdlauncher.core.plan import make_plan
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.core.wishes import NOTHING_YOURS, Yours
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import Paths, locate_paths

# Variables that a plan may set; in a user's own lines they are that user's wishes.
OWN_VARIABLES: Final = frozenset({
    "TORCH_COMMAND", "XFORMERS_PACKAGE", "TORCH_INDEX_URL", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "STABLE_DIFFUSION_REPO", "GIT_TERMINAL_PROMPT", "NO_PROXY",
    "no_proxy", "python_cmd", "venv_dir", "PYTHON", "VENV_DIR", "HF_ENDPOINT", "INDEX_URL", "LAUNCH_SCRIPT",
})  # fmt: skip


def plan_for(
    hardware: Hardware,
    settings: Settings,
    *,
    checkout: Path | None = None,
    environment: Mapping[str, str] | None = None,
    paths: Paths | None = None,
    force: bool = False,
) -> LaunchPlan:
    """Plan for an instance on some hardware, with what the user's own lines in `checkout` say.

    With a checkout, its parsers have the last word: of our flags those that it would not take are left out, and one
    of the user's raises SDL-FLAGS-REFUSED unless `force`. `environment` is what the WebUI would inherit, by default
    ours. Raises what `make_plan` raises.
    """
    inherited = os.environ if environment is None else environment
    webui = load_webui(settings.webui_name)
    yours = NOTHING_YOURS
    if checkout is not None:
        yours = read_own_lines(checkout, settings.webui_name, hardware.host.system, inherited)
        settings = _name_python(settings, checkout, yours)
    files = (paths or locate_paths()).instance(settings.instance)
    # The WebUI splits its arguments as POSIX does, where a backslash would vanish.
    credentials = files.credentials.as_posix()
    tables = load_tables(settings.webui_name)
    plan = make_plan(hardware, settings, webui, tables, yours=yours, environment=inherited, credentials=credentials)
    if checkout is None:
        return plan
    return _fit_to_checkout(plan, checkout, force=force or "IGNORE_CMD_ARGS_ERRORS" in inherited)


def _name_python(settings: Settings, checkout: Path, yours: Yours) -> Settings:
    """Name the environment's own Python unless the user named one.

    webui.sh tries `python3.10` before it enters the environment, and gives up when that is a pyenv shim that fails.
    """
    from sdlauncher.machine.python import environment_python

    python = environment_python(checkout / "venv")
    theirs = {"python_cmd", "PYTHON"}.intersection((*yours.env, *yours.opaque))
    if settings.python is not None or theirs or not python.exists():
        return settings
    return replace(settings, python=str(python), places={**settings.places, "python": OWN_ENVIRONMENT})


def _fit_to_checkout(plan: LaunchPlan, checkout: Path, *, force: bool) -> LaunchPlan:
    # Only a checkout needs them, and a plan should be quick.
    from sdlauncher.setup.checkout_flags import check_flags

    answers = {check.flag: check for check in check_flags(plan.arguments, checkout=checkout, webui=plan.webui)}
    kept: list[Flag] = []
    left_out: list[Flag] = []
    warnings: list[Verdict] = []
    for flag in plan.flags:
        check = answers.get(flag.name) or next((answers[word] for word in flag.argv if word in answers), None)
        if check is None or not check.is_fatal:
            kept.append(flag)
        elif not flag.is_users:
            left_out.append(Flag(flag.text, Reason("SDL-FLAG-NOT-IN-CHECKOUT", {"flag": flag.name})))
        elif force:
            kept.append(flag)
            warnings.append(Verdict("SDL-FLAG-WOULD-FAIL", Level.WARNING, {"flag": flag.name}))
        elif check.suggestion:
            raise SdLauncherError("SDL-FLAGS-REFUSED", flag=check.flag, webui=plan.webui, instead=check.suggestion)
        else:
            raise SdLauncherError("SDL-FLAGS-REFUSED-PLAIN", flag=check.flag, webui=plan.webui)
    if not left_out and not warnings:
        return plan
    return replace(plan, flags=tuple(kept), dropped=(*plan.dropped, *left_out), warnings=(*plan.warnings, *warnings))


def read_own_lines(checkout: Path, webui: str, system: str, environment: Mapping[str, str]) -> Yours:
    """Understand what the user's own lines of the checkout's script for `system` set.

    Raises SDL-FILE-READ, SDL-SCRIPT-ENCODING and SDL-SCRIPT-BLOCK.
    """
    scripts = load_webui(webui).scripts
    name = scripts.user_windows if system == "windows" else scripts.user_posix
    data = read_script(checkout / name)
    if data is None:
        return NOTHING_YOURS
    from sdlauncher.core.assignments import read_yours

    shell = "cmd" if system == "windows" else "sh"
    return read_yours(decode(data), shell, OWN_VARIABLES, name, environment)


def read_script(path: Path) -> bytes | None:
    """Return a script's bytes, None if there is no such file. Raises SDL-FILE-READ and SDL-SCRIPT-ENCODING."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=path, evidence=error) from error
    for mark, encoding in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if data.startswith(mark) or b"\0" in data:
            raise SdLauncherError("SDL-SCRIPT-ENCODING", path=path, encoding=encoding)
    return data


def decode(data: bytes) -> str:
    """Read bytes as text that gives exactly these bytes back, whatever their encoding."""
    return data.decode("utf-8", errors="surrogateescape")


def encode(text: str) -> bytes:
    """Give the bytes back that `decode` read."""
    return text.encode("utf-8", errors="surrogateescape")
