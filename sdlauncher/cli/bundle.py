"""The command that gathers an installation into one file, for a machine without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sdlauncher.cli.install import read_sources
from sdlauncher.cli.options import command, mirror_options, option, webui_option
from sdlauncher.cli.output import Report, say


@command("bundle", help="Gather everything that installing needs into one file, for `install --offline --bundle FILE`.")
@webui_option
@option("--out", metavar="FILE", type=click.Path(), help="What to write (default: named after what it is for, here).")
@option("--hardware", metavar="FILE", type=click.Path(), help="For the machine described in FILE (default: this one).")
@option("--platform", type=click.Choice(("linux", "windows")), help="For another system than that machine's.")
@option(
    "--channel", metavar="NAME", help="The torch to take, e.g. cu121 or cpu (default: what is planned for its GPU)."
)
@option("--python", metavar="3.N", help="For another Python than the best one.")
@option("--with-python", is_flag=True, help="With that Python itself.")
@option("--model", "models", multiple=True, metavar="URL|PATH", help="With a model; can be given more than once.")
@mirror_options
def bundle_command(
    *,
    instance: str,
    webui: str | None,
    out: str | None,
    hardware: str | None,
    platform: str | None,
    channel: str | None,
    python: str | None,
    with_python: bool,
    models: tuple[str, ...],
    **sources: Any,
) -> Report:
    """Make a bundle."""
    from sdlauncher.machine.described import read_hardware
    from sdlauncher.machine.gpu import detect_hardware
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import read_settings
    from sdlauncher.setup.bundle import Wish, describe, make_bundle
    from sdlauncher.setup.install import open_site

    paths = locate_paths()
    settings = read_settings(paths, instance, {"webui": webui})
    machine = read_hardware(Path(hardware)) if hardware else detect_hardware()
    if platform:
        machine = machine._replace(host=machine.host._replace(system=platform))
    wish = Wish(machine, python=python, channel=channel, with_python=with_python, models=models)
    site = open_site(paths, settings, machine, say=say, mirrors=read_sources(paths, **sources))
    made = make_bundle(site, wish, Path(out) if out else None)
    return Report(describe(made), lambda: f"{made.file}  {made.size / 2**30:.2f} GiB")
