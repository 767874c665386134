"""Options and the command decorator that all commands share; every option has its twin in the environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sdlauncher.cli.output import Report, emit

Function = TypeVar("Function", bound=Callable[..., Any])


class Number(click.FloatRange):
    """A number within finite bounds; `nan`, which is below no bound and would pass every other check, is none."""

    def __init__(self, least: float, most: float = 1e8) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if number != number:  # noqa: PLR0124  only nan is unlike itself
            self.fail(f"{value} is no number.", param, ctx)
        return number


def option(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    """Declare a click option with its environment twin: --gpu-id is SDLAUNCHER_GPU_ID."""
    long = next(name for name in names if name.startswith("--")).partition("/")[0]
    attributes.setdefault("envvar", "SDLAUNCHER_" + long[2:].upper().replace("-", "_"))
    attributes.setdefault("show_envvar", False)
    return click.option(*names, **attributes)


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Report]], click.Command]:
    """Make a click command of a function that returns a `Report`; adds --instance, --json, -v and --no-color.

    The function receives `instance` and its own options; what it returns is printed, and its exit code returned.
    """

    def decorate(function: Callable[..., Report]) -> click.Command:
        @functools.wraps(function)
        def call(*, as_json: bool, verbose: bool, no_color: bool, **options: Any) -> int:
            if verbose:
                os.environ["SDLAUNCHER_VERBOSE"] = "1"
            if no_color or os.environ.get("NO_COLOR"):
                click.get_current_context().color = False
            return emit(name, function(**options), as_json=as_json)

        wrapped: Callable[..., int] = call
        for add in (
            option("--no-color", is_flag=True, help="No colours, also on a terminal."),
            option("-v", "--verbose", is_flag=True, help="Say more, with tracebacks for defects."),
            option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text."),
            option("-i", "--instance", default="default", metavar="NAME", help="Which instance (default: default)."),
        ):
            wrapped = add(wrapped)
        make: Callable[[Callable[..., int]], click.Command] = click.command(name, cls=click.Command, **attributes)
        return make(wrapped)

    return decorate


webui_option = option(
    "--webui", metavar="NAME", help="a1111, forge, reforge, forge-classic, forge-neo, sdnext or mini."
)
dir_option = option("--dir", "directory", metavar="DIR", type=click.Path(), help="The WebUI's checkout.")
port_option = option("--port", type=click.IntRange(1, 65535), metavar="PORT", help="The port it serves on.")


def mirror_options(function: Function) -> Function:
    """Add the options that name other sources; they come before those of `[mirrors]` in config.toml."""
    for add in (
        option("--hub", metavar="URL", help="A mirror of huggingface.co, also for the WebUI itself."),
        option(
            "--torch-index", multiple=True, metavar="URL", help="Where the wheels of torch are, by channel below it."
        ),
        option(
            "--index", "indexes", multiple=True, metavar="URL", help="A package index; can be given more than once."
        ),
        option("--git-mirror", multiple=True, metavar="URL=PLACE", help="Another place for URLs that begin so."),
    ):
        function = add(function)
    return function
