"""Commands of supervision: start, stop, restart, status, logs, list."""

from __future__ import annotations

import sys
from typing import Any

import click

from sdlauncher.cli.options import Number, command, dir_option, option, port_option, webui_option
from sdlauncher.cli.output import Report, say
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import InstancePaths, locate_paths

_wait_option = option("--wait/--no-wait", default=True, help="Wait until it answers (default), or return at once.")
_timeout_option = option("--timeout", type=Number(0), metavar="SECONDS", help="How long it may take to end by itself.")
_drain_option = option("--drain", is_flag=True, help="Let a running generation finish first.")


@command("start", short_help="Start the WebUI under its supervisor.")
@webui_option
@dir_option
@port_option
@option("--listen/--no-listen", default=None, help="Serve on all addresses, with a password.")
@option("--gpu", metavar="ID", help="The GPU: its index or UUID.")
@option("--on-event", metavar="CMD", help="Run this at every event, given as JSON in SDLAUNCHER_EVENT.")
@option("--foreground", is_flag=True, help="Stay, for containers and service managers.")
@_wait_option
@option("--force", is_flag=True, help="Start with flags that this checkout would refuse.")
@option("--within", type=Number(1), metavar="SECONDS", help="Wait no longer than this (default: no limit).")
def start_command(  # noqa: PLR0917
    instance: str,
    webui: str | None,
    directory: str | None,
    port: int | None,
    listen: bool | None,
    gpu: str | None,
    on_event: str | None,
    foreground: bool,
    wait: bool,
    within: float | None,
    force: bool,
) -> Report:
    """Start the WebUI under a supervisor that keeps it alive, and wait until it answers."""
    from sdlauncher.machine.settings import read_settings
    from sdlauncher.setup.run import start_instance

    paths = locate_paths()
    spoken = {"webui": webui, "dir": directory, "port": port, "listen": listen, "gpu": gpu, "on_event": on_event}
    settings = read_settings(paths, instance, spoken)
    status = start_instance(
        paths, settings, wait=within, until_ready=wait, foreground=foreground, force=force, spoken=spoken, say=say
    )
    # In the foreground stdout has carried the WebUI's log: nothing of ours belongs behind it.
    return Report(status.data()) if foreground else _report(status)


@command("stop", short_help="Stop it, with every process it started.")
@_timeout_option
@_drain_option
@option("--patience", type=Number(0), metavar="SECONDS", help="With --drain: wait no longer than this.")
def stop_command(instance: str, timeout: float | None, drain: bool, patience: float | None) -> Report:
    """Stop the WebUI with every process it started; one that does not run is fine."""
    from sdlauncher.supervise import control

    files = _files(instance)
    if not control.read_status(files).is_up:
        say("stopped-already", instance=instance)
    return _report(control.stop(files, timeout=timeout, drain=drain, patience=patience))


@command("restart", short_help="Stop and start it again.")
@_timeout_option
@_drain_option
@_wait_option
def restart_command(instance: str, timeout: float | None, drain: bool, wait: bool) -> Report:
    """Stop the WebUI and start it with the settings as they are now."""
    from sdlauncher.machine.settings import read_settings
    from sdlauncher.setup.run import start_instance
    from sdlauncher.supervise import control

    paths = locate_paths()
    settings = read_settings(paths, instance)
    control.stop(paths.instance(instance), timeout=timeout, drain=drain)
    return _report(start_instance(paths, settings, until_ready=wait, say=say))


@command("status", short_help="Show whether it runs, since when, and how it last ended.")
def status_command(instance: str) -> Report:
    """Show whether the WebUI runs, since when, and how it last ended; exit code 3 when it does not run."""
    from sdlauncher.supervise.status import read_status

    status = read_status(_files(instance))
    failure = None if status.is_up else SdLauncherError("SDL-NOT-RUNNING", instance=instance)
    return _report(status, failure)


@command("list", short_help="List all instances.")
def list_command(instance: str) -> Report:
    """List all instances that were ever set up."""
    from sdlauncher.cli.standing import render_standings
    from sdlauncher.supervise.status import read_all

    found = read_all(locate_paths().instances())
    return Report({"instances": [one.data() for one in found]}, lambda: render_standings(found))


@command("logs", short_help="Show or follow the WebUI's output.")
@option("-n", "--lines", type=click.IntRange(0), default=100, metavar="N", help="How many lines (default: 100).")
@option("-f", "--follow", "following", is_flag=True, help="Go on with what comes, across restarts.")
def logs_command(instance: str, lines: int, following: bool) -> Report:
    """Show the last lines of the WebUI's output, and with -f what comes after them."""
    from sdlauncher.supervise.tail import Stream, follow, plain, trim

    files = _files(instance)
    if not files.log.exists():
        raise SdLauncherError("SDL-NO-LOG", instance=instance, path=files.log)
    stream = Stream(files.log)
    last, position = stream.last_lines(lines)
    text = last.decode("utf-8", "replace")
    if not following:
        shown = plain(text).splitlines()
        return Report({"file": str(files.log), "lines": shown}, lambda: "\n".join(shown))
    shown_as = trim if sys.stdout.isatty() else plain
    sys.stdout.write(shown_as(text))
    sys.stdout.flush()
    for piece in follow(stream, position):
        sys.stdout.write(shown_as(piece.decode("utf-8", "replace")))
        sys.stdout.flush()
    return Report()


def _files(instance: str) -> InstancePaths:
    return locate_paths().instance(instance)


def _report(status: Any, failure: SdLauncherError | None = None) -> Report:
    def text() -> str:
        from sdlauncher.cli.standing import render_standing

        return render_standing(status)

    return Report(status.data(), text, failure)
