"""Commands about what a WebUI is told: plan, configure and flags check."""

from __future__ import annotations

import click

from sdlauncher.cli.options import command, dir_option, option, port_option, webui_option
from sdlauncher.cli.output import Report


@command("plan", short_help="Show the flags, environment and torch for this GPU, with reasons.")
@webui_option
@dir_option
@option("--model", type=click.Choice(["auto", "sd15", "sdxl"]), help="The kind of checkpoint to make room for.")
@option("--gpu", metavar="GPU", help="A GPU's number, UUID or name; `cpu` for none.")
@option("--hardware", metavar="FILE", type=click.Path(), help="Plan for the machine that this JSON file describes.")
@option("--listen/--no-listen", default=None, help="Plan for being reached from other machines.")
@port_option
@option("--xformers/--no-xformers", default=None, help="Ask for xformers, or for anything but it.")
def plan_command(  # noqa: PLR0917
    instance: str,
    webui: str | None,
    directory: str | None,
    model: str | None,
    gpu: str | None,
    hardware: str | None,
    listen: bool | None,
    port: int | None,
    xformers: bool | None,
) -> Report:
    """Show the flags, environment, torch and Python that fit this machine's GPU, each with its reason.

    \b
    --hardware FILE describes another machine; missing keys take ordinary values:
      {"os": "linux", "memory_total_mib": 32000, "driver": {"version": "550.54.14"},
       "gpus": [{"name": "NVIDIA GeForce RTX 4090", "compute_capability": "8.9",
                 "memory_total_mib": 24564, "uuid": "GPU-..."}]}
    """
    from sdlauncher.cli.planned import show_plan
    from sdlauncher.setup.commands import plan_instance

    spoken = {"webui": webui, "dir": directory, "model": model, "gpu": gpu, "listen": listen, "port": port,
              "xformers": xformers}  # fmt: skip
    return show_plan(plan_instance(instance, spoken, hardware))


@command("configure", short_help="Write webui-user.sh and webui-user.bat.")
@webui_option
@dir_option
@port_option
@option("--listen/--no-listen", default=None, help="Serve other machines, with a password.")
@option("--insecure/--no-insecure", default=None, help="Serve other machines without a password.")
@option("--xformers/--no-xformers", default=None, help="Ask for xformers, or for anything but it.")
@option("--model", type=click.Choice(["auto", "sd15", "sdxl"]), help="The kind of checkpoint to make room for.")
@option("--gpu", metavar="GPU", help="A GPU's number, UUID or name; `cpu` for none.")
@option("--set", "to_set", multiple=True, metavar="FLAG[=V]", help="Add a flag of the WebUI.")
@option("--unset", "to_unset", multiple=True, metavar="FLAG", help="Leave a flag out, whoever wanted it.")
@option("--force", is_flag=True, help="Write flags that the WebUI would refuse.")
@option("--dry-run", is_flag=True, help="Show what would change and change nothing.")
@option("--undo", is_flag=True, help="Take sdlauncher's block out of the files again.")
def configure_command(  # noqa: PLR0917
    instance: str,
    webui: str | None,
    directory: str | None,
    port: int | None,
    listen: bool | None,
    insecure: bool | None,
    xformers: bool | None,
    model: str | None,
    gpu: str | None,
    to_set: tuple[str, ...],
    to_unset: tuple[str, ...],
    force: bool,
    dry_run: bool,
    undo: bool,
) -> Report:
    """Write webui-user.sh and webui-user.bat; show the difference and the reasons."""
    from sdlauncher.cli.planned import show_undone, show_written
    from sdlauncher.setup.commands import Change, configure_instance, undo_instance

    spoken = {"webui": webui, "dir": directory, "port": port, "listen": listen, "insecure": insecure,
              "xformers": xformers, "model": model, "gpu": gpu}  # fmt: skip
    if undo:
        return show_undone(undo_instance(instance, spoken, dry_run=dry_run))
    change = Change(to_set, to_unset, force=force, dry_run=dry_run)
    return show_written(configure_instance(instance, spoken, change))


@click.group("flags", short_help="Would a WebUI take these flags?")
def flags_command() -> None:
    """Ask what a WebUI's parsers would say, without starting it."""


@command(
    "flags check",
    short_help="Accepted, ignored, rejected or unknown?",
    context_settings={"ignore_unknown_options": True},
)
@webui_option
@dir_option
@click.argument("args", nargs=-1, type=click.UNPROCESSED, metavar="-- ARGS...")
def _check_command(instance: str, webui: str | None, directory: str | None, args: tuple[str, ...]) -> Report:
    """Say for each argument whether the WebUI would take it, and what does the same on this fork.

    With --dir (or an instance that has a checkout) the parsers of that very checkout and of its extensions are read.
    """
    from sdlauncher.cli.planned import show_checks
    from sdlauncher.setup.commands import check_instance

    return show_checks(*check_instance(instance, {"webui": webui, "dir": directory}, args))


flags_command.add_command(_check_command, "check")
