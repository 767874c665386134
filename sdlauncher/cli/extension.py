"""Commands about extensions: list, add, pin, enable, disable and remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher.cli.install import open_named_site
from sdlauncher.cli.options import command, option
from sdlauncher.cli.output import Report
from sdlauncher.cli.table import render_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdlauncher.machine.paths import InstancePaths
    from sdlauncher.setup.extensions import Extension


@click.group("extension", help="Add, pin and watch extensions.")
def extension_command() -> None:
    """Group of the commands about extensions."""


@command("list", help="List extensions, and what became of them since they were pinned.")
def list_command(*, instance: str) -> Report:
    """List extensions with their drift."""
    from sdlauncher.setup.extensions import list_extensions

    return _report(list_extensions(*_place(instance)))


@command("add", help="Bring an extension at a commit, and pin it.")
@click.argument("url", metavar="URL")
@option("--ref", metavar="REF", help="A tag, branch or commit (default: the newest).")
@option("--name", metavar="NAME", help="The name of its folder.")
def add_command(*, instance: str, url: str, ref: str | None, name: str | None) -> Report:
    """Add an extension."""
    from sdlauncher.setup.extensions import add_extension

    return _report([add_extension(open_named_site(instance), url, ref=ref, name=name)])


@command("pin", help="Take the extensions as they stand for what is meant to be there.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
def pin_command(*, instance: str, names: tuple[str, ...]) -> Report:
    """Pin extensions."""
    from sdlauncher.setup.extensions import pin_extensions

    return _report(pin_extensions(*_place(instance), names))


@command("enable", help="Switch an extension on again.")
@click.argument("name", metavar="NAME")
def enable_command(*, instance: str, name: str) -> Report:
    """Enable an extension."""
    return _switch(instance, name, enabled=True)


@command("disable", help="Switch an extension off; its files stay.")
@click.argument("name", metavar="NAME")
def disable_command(*, instance: str, name: str) -> Report:
    """Disable an extension."""
    return _switch(instance, name, enabled=False)


@command("remove", help="Remove an extension, unless there is work in it that is nowhere else.")
@click.argument("name", metavar="NAME")
def remove_command(*, instance: str, name: str) -> Report:
    """Remove an extension."""
    from sdlauncher.setup.extensions import list_extensions, remove_extension

    place = _place(instance)
    remove_extension(*place, name)
    return _report(list_extensions(*place))


for _each in (list_command, add_command, pin_command, enable_command, disable_command, remove_command):
    extension_command.add_command(_each)


def _place(instance: str) -> tuple[Path, InstancePaths]:
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings

    paths = locate_paths()
    return checkout_of(paths, read_settings(paths, instance)), paths.instance(instance)


def _switch(instance: str, name: str, *, enabled: bool) -> Report:
    from sdlauncher.setup.extensions import list_extensions, switch_extension

    place = _place(instance)
    switch_extension(*place, name, enabled=enabled)
    return _report(list_extensions(*place))


def _report(found: Iterable[Extension]) -> Report:
    every = tuple(found)
    data = [_describe(it) for it in every]
    rows = [
        (it.name, (it.commit or "-")[:12], "on" if it.enabled else "off", it.drift or "pinned", it.url or "-")
        for it in every
    ]
    return Report({"extensions": data}, lambda: render_table(rows))


def _describe(it: Extension) -> dict[str, Any]:
    return {
        "name": it.name,
        "url": it.url,
        "commit": it.commit,
        "pinned": it.pinned,
        "enabled": it.enabled,
        "drift": it.drift or None,
    }
