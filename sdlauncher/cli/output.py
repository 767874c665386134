"""How a command speaks: results on stdout (text or the JSON envelope), errors and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from sdlauncher import messages
from sdlauncher.errors import SdLauncherError

SCHEMA = "sdlauncher/1"


class Report(NamedTuple):
    """What a command found. `text` renders it for people; `failure` makes the command end with that error's code."""

    data: Mapping[str, Any] = MappingProxyType({})
    text: Callable[[], str] | None = None
    failure: SdLauncherError | None = None


def language() -> str:
    """The user's language, "en" or "zh"."""
    return messages.choose_language(os.environ)


def say(name: str, /, **facts: object) -> None:
    """Write one sentence of progress, the message `say.<name>`, to stderr; where nobody takes it, it is lost."""
    with contextlib.suppress(OSError):
        click.echo(messages.describe(f"say.{name}", facts, language()).sentence, err=True)


def emit(command: str, report: Report, *, as_json: bool) -> int:
    """Print a report and return the exit code it asks for."""
    failure = report.failure
    if as_json:
        _print(envelope(command, report.data, failure))
    else:
        if report.text is not None and (text := report.text()):
            _print(text)
        if failure is not None:
            _complain(failure)
    return 0 if failure is None else failure.exit_code


def fail(command: str, error: SdLauncherError, *, as_json: bool, plain: bool = False) -> int:
    """Print an error that ended a command, `plain` without colours, and return its exit code."""
    if as_json:
        try:
            _print(envelope(command, {}, error))
        except SdLauncherError as unwritten:
            _complain(unwritten, plain=plain)
    else:
        _complain(error, plain=plain)
    return error.exit_code


def envelope(command: str, data: Mapping[str, Any], error: SdLauncherError | None) -> str:
    """Render the versioned JSON object that every command prints with --json, also on failure."""
    problem = None
    if error is not None:
        said = error.describe(language())
        problem = {"code": error.code, "message": said.sentence, "hint": said.hint}
    body = {"schema": SCHEMA, "command": command, "ok": error is None, "data": data, "error": problem}
    on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None: it was closed before we began
    return json.dumps(body, ensure_ascii=False, indent=2 if on_terminal else None, default=str)


def _print(text: str) -> None:
    """Write a result to stdout. Raises SDL-OUTPUT where stdout cannot take it, for one on a full disk."""
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SdLauncherError("SDL-OUTPUT", evidence=error) from error


def _complain(error: SdLauncherError, *, plain: bool = False) -> None:
    said = error.describe(language())
    color = False if plain else None
    label, hint_label = ("错误", "提示") if language() == "zh" else ("error", "hint")
    # The exit code tells it as well, and must not become another one because stderr takes nothing.
    with contextlib.suppress(OSError):
        first = click.style(f"{label}: ", fg="red", bold=True) + f"{said.sentence}  [{error.code}]"
        click.echo(first, err=True, color=color)
        if said.hint:
            click.echo(click.style(f"{hint_label}: ", fg="cyan", bold=True) + said.hint, err=True, color=color)
