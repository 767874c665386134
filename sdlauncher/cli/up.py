"""The one command from nothing to a checked picture: up."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher import messages
from sdlauncher.cli.options import command, dir_option, option, port_option, webui_option
from sdlauncher.cli.output import Report, language, say

if TYPE_CHECKING:
    from sdlauncher.setup.bring_up import BroughtUp
    from sdlauncher.verify.smoke import Smoke


@command("up", short_help="Install, configure, start and check: all of it.")
@webui_option
@dir_option
@port_option
@option("--listen/--no-listen", default=None, help="Serve on all addresses, with a password.")
@option("--prompt", metavar="TEXT", help="What the picture should show.")
@option("--out", type=click.Path(dir_okay=False), metavar="FILE", help="Where the picture goes (default: smoke.png).")
@option("--checkpoint", metavar="URL|PATH", help="Bring this model as well; it is checked before it counts.")
@option("--no-smoke", is_flag=True, help="End when it is ready, without making a picture.")
def up_command(
    instance: str, prompt: str | None, out: str | None, checkpoint: str | None, no_smoke: bool, **spoken: Any
) -> Report:
    """Install if missing, configure, start, wait until ready, and make a picture that is checked."""
    from sdlauncher.cli.verify import progress_bar
    from sdlauncher.machine.paths import locate_typed
    from sdlauncher.setup.bring_up import bring_up
    from sdlauncher.verify.smoke import SmokeRequest

    request = SmokeRequest() if prompt is None else SmokeRequest(prompt=prompt)
    picture = None if no_smoke else locate_typed(out or "smoke.png")
    spoken["dir"] = spoken.pop("directory")
    brought = bring_up(
        instance, spoken, request=request, picture=picture, checkpoint=checkpoint, say=say, on_progress=progress_bar()
    )
    failure = None if brought.smoke is None else brought.smoke.failure
    return Report(describe_up(brought), lambda: _text(brought), failure)


def describe_up(brought: BroughtUp) -> dict[str, Any]:
    """Give what was brought up as `up --json` shows it: the status, and the smoke test under `smoke`."""
    from sdlauncher.cli.verify import describe_smoke

    smoke = brought.smoke
    return {**brought.status.data(), "smoke": None if smoke is None else describe_smoke(smoke)}


def _text(brought: BroughtUp) -> str:
    from sdlauncher.catalog import load_webui

    status = brought.status
    lines = [_sentence("up-running", title=load_webui(status.webui).title, url=status.url)]
    if brought.smoke is not None and brought.smoke.file is not None:
        lines.append(_picture(brought.smoke))
    option_text = "" if status.instance == "default" else f" -i {status.instance}"
    lines.append(_sentence("up-stop", command=_program(), option=option_text))
    return "\n".join(lines)


def _picture(smoke: Smoke) -> str:
    return _sentence(
        "up-picture",
        file=smoke.file,
        width=smoke.width,
        height=smoke.height,
        passed=sum(check.ok for check in smoke.checks),
        checks=len(smoke.checks),
        seconds="-" if smoke.seconds is None else f"{smoke.seconds:.1f}",
        speed="-" if smoke.steps_per_second is None else f"{smoke.steps_per_second:.1f}",
    )


def _sentence(name: str, **facts: object) -> str:
    return messages.describe(f"say.{name}", facts, language()).sentence


def _program() -> str:
    """How this very command can be typed again: by name when PATH has it, else by its path."""
    here = Path(sys.argv[0])
    found = shutil.which("sdlauncher")
    if found and here.exists() and Path(found).resolve() == here.resolve():
        return "sdlauncher"
    if here.name == "__main__.py":
        return f"{Path(sys.executable).name} -m sdlauncher"
    return os.path.relpath(here) if here.exists() and here.is_relative_to(Path.cwd()) else str(here)
