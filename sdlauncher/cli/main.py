"""The entry point: finds the command by name and imports only its module."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
from typing import Any, Final, NoReturn, TextIO

import click

from sdlauncher import __version__

# name -> (module, what it does). Help is listed from here, so that no command pays for another's imports.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": ("up", "Install, configure, start and check: all of it, ending with a picture."),
    "gpu": ("machine", "Show the NVIDIA driver and GPUs, or why they cannot be seen."),
    "plan": ("setup", "Show the flags, environment and torch for this GPU, with reasons."),
    "configure": ("setup", "Write webui-user.sh and webui-user.bat."),
    "flags": ("setup", "Ask whether a WebUI would take some flags."),
    "install": ("install", "Install a WebUI, or go on where an interrupted installation stopped."),
    "bundle": ("bundle", "Gather an installation into one file, for a machine without a network."),
    "update": ("change", "Go to a newer version, and back by itself if it makes no picture."),
    "rollback": ("change", "Put the installation back to a snapshot."),
    "snapshot": ("change", "Take and list snapshots of an installation."),
    "repair": ("change", "Put right what installing can put right."),
    "uninstall": ("change", "Remove the program; models, pictures and settings stay."),
    "extension": ("extension", "Add, pin and watch extensions."),
    "model": ("model", "Add, list and share models."),
    "inspect": ("inspect", "Show what is installed: commits, changes by hand, packages against the lock."),
    "adopt": ("install", "Take an existing checkout as an instance."),
    "start": ("supervise", "Start the WebUI under its supervisor."),
    "stop": ("supervise", "Stop it, with every process it started."),
    "restart": ("supervise", "Stop and start it again."),
    "status": ("supervise", "Show whether it runs, since when, and how it last ended."),
    "logs": ("supervise", "Show or follow the WebUI's output."),
    "list": ("supervise", "List all instances."),
    "health": ("verify", "Check process, port, /docs, API and model, layer by layer."),
    "smoke": ("verify", "Make one picture and judge it."),
    "bench": ("examine", "Measure steps per second, and compare with the last time."),
    "doctor": ("examine", "Examine everything that could be wrong, with the remedy for each."),
    "explain": ("verify", "Read a log and name the cause and the remedy."),
}


_COMMON: Final = ("--json", "-v", "--verbose", "--no-color")


class LazyGroup(click.Group):
    """A group that imports a command's module when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        import importlib

        module = importlib.import_module(f"sdlauncher.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from sdlauncher.core.settings import suggest

            hint = suggest(args[0], COMMANDS)
            raise click.UsageError(f"no such command `{args[0]}`; did you mean: {hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Install, configure, start, keep alive and verify a Stable Diffusion WebUI.",
)
@click.version_option(__version__, prog_name="sdlauncher")
def cli() -> None:
    """Group of all commands."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code: the only place that exits."""
    code = run(sys.argv[1:] if arguments is None else arguments)
    if threading.active_count() == 1:
        # Taking the interpreter apart is a sixth of a short command's time, and the system frees everything at once.
        atexit._run_exitfuncs()
        _flush(sys.stderr)
        # Where nobody takes it, that was said already; the interpreter would make an exit code of its own of it.
        os._exit(code if _flush(sys.stdout) else code or 1)
    sys.exit(code)


def _flush(stream: TextIO | None) -> bool:
    """Write out what is left; False where nobody takes it."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        return False
    return True


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; whatever goes wrong is said in one sentence."""
    # cmd.exe and old consoles are not UTF-8; a sentence with a character they lack must not become a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = _move_common(arguments)
    name = next((word for word in arguments if not word.startswith("-")), "sdlauncher")
    head = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in head or _is_set("SDLAUNCHER_JSON")
    # What ends a command is said when click has left its context, and with it the wish for no colours.
    plain = "--no-color" in head or _is_set("SDLAUNCHER_NO_COLOR") or bool(os.environ.get("NO_COLOR"))
    try:
        result: Any = cli.main(args=arguments, prog_name="sdlauncher", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except BaseException as error:  # noqa: BLE001  the one place where every end of a command becomes a sentence
        return _explain(error, name, as_json=as_json, plain=plain)
    return result if isinstance(result, int) else 0


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0")


def _move_common(arguments: list[str]) -> list[str]:
    """Take options that every command has also in front of it: `sdlauncher --json status`."""
    count = next((i for i, word in enumerate(arguments) if word not in _COMMON), len(arguments))
    moved, rest = arguments[:count], arguments[count:]
    if not rest:
        return []  # nothing that could take them: what is asked for is help
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *moved, *rest[end:]]


def _explain(error: BaseException, command: str, *, as_json: bool, plain: bool) -> int:
    """Turn whatever ended a command into one sentence and an exit code; a defect keeps its traceback under -v."""
    from sdlauncher.cli.output import fail
    from sdlauncher.errors import SdLauncherError

    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case BrokenPipeError():
            # The reader (`| head`) has gone: what it wanted it has. Keep Python from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case SystemExit():
            # click's own answer to a reader that has gone while the command still ran (`logs -f | head`).
            return 1
        case SdLauncherError():
            said = error
        case OSError(errno=errno.ENOSPC, filename=None):
            # Of our own files every write is looked after: this was stdout, for the text of click's.
            said = SdLauncherError("SDL-OUTPUT", evidence=error)
        case click.ClickException():
            said = SdLauncherError("SDL-USAGE", evidence=error.format_message(), command=_usage_name(error))
        case KeyboardInterrupt() | click.Abort() | EOFError():
            said = SdLauncherError("SDL-INTERRUPTED")
        case OSError(filename=str() as path):
            # Whose file that is and what may be done with it is the machine's affair, and no defect of ours.
            _show_traceback(error)
            said = SdLauncherError("SDL-FILE-ACCESS", path=path, evidence=error)
        case _:
            _show_traceback(error)
            said = SdLauncherError("SDL-INTERNAL", evidence=f"{type(error).__name__}: {error}")
    return fail(command, said, as_json=as_json, plain=plain)


def _show_traceback(error: BaseException) -> None:
    if os.environ.get("SDLAUNCHER_VERBOSE"):
        import traceback

        traceback.print_exception(error)


def _usage_name(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if isinstance(context, click.Context) else "sdlauncher"
