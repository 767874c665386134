"""Commands about the checkout and its environment: install and adopt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher import messages
from sdlauncher.cli.options import command, dir_option, mirror_options, option, webui_option
from sdlauncher.cli.output import Report, language, say

if TYPE_CHECKING:
    from sdlauncher.core.hardware import Hardware
    from sdlauncher.core.mirrors import Mirrors
    from sdlauncher.core.verdict import Verdict
    from sdlauncher.machine.paths import Paths
    from sdlauncher.setup.adopt import Adopted
    from sdlauncher.setup.install import Installed
    from sdlauncher.setup.site import Site


@command("install", help="Install a WebUI, or go on where an interrupted installation stopped.")
@webui_option
@dir_option
@option("--ref", metavar="REF", help="Another tag, branch or commit than the tested release.")
@option("--offline", is_flag=True, help="Open no network connection: take everything from caches and local copies.")
@option("--bundle", metavar="FILE", type=click.Path(), help="Take everything from what `sdlauncher bundle` made.")
@mirror_options
@option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def install_command(
    *,
    instance: str,
    webui: str | None,
    directory: str | None,
    ref: str | None,
    offline: bool,
    bundle: str | None,
    dry_run: bool,
    **sources: Any,
) -> Report:
    """Install, and say how long each step took."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import read_settings
    from sdlauncher.setup.install import install, use_hub

    paths = locate_paths()
    settings = read_settings(paths, instance, {"webui": webui, "dir": directory})
    done = install(
        paths,
        settings,
        _detect_hardware,
        ref=ref,
        dry_run=dry_run,
        say=say,
        offline=offline,
        mirrors=read_sources(paths, **sources),
        bundle=Path(bundle) if bundle else None,
    )
    if sources["hub"] and not dry_run:
        use_hub(paths, settings, sources["hub"], say)
    return Report(_describe_installed(done), lambda: _render_installed(done))


@command("adopt", help="Take an existing checkout as it is, and say what it is.")
@click.argument("directory", metavar="DIR", type=click.Path())
def adopt_command(*, instance: str, directory: str) -> Report:
    """Adopt, and say what was found."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.setup.adopt import adopt

    found = adopt(locate_paths(), instance, Path(directory))
    return Report(_describe_adopted(found), lambda: _render_adopted(found))


def read_sources(
    paths: Paths,
    *,
    git_mirror: tuple[str, ...],
    indexes: tuple[str, ...],
    torch_index: tuple[str, ...],
    hub: str | None,
) -> Mirrors:
    """Return the sources of config.toml, with those of the command line (`mirror_options`) before them."""
    from sdlauncher.core.mirrors import choose_mirrors
    from sdlauncher.setup.install import read_mirrors

    models = (hub,) if hub else ()
    return choose_mirrors(read_mirrors(paths), git=git_mirror, packages=indexes, torch=torch_index, models=models)


def open_named_site(instance: str, **sources: Any) -> Site:
    """Return the place where the instance's WebUI is installed; `sources` are those of `mirror_options`.

    Raises SDL-NOT-INSTALLED when none is, SDL-INSTALL-NO-RECIPE for one that is not installed by recipe.
    """
    from dataclasses import replace

    from sdlauncher.catalog import load_webui
    from sdlauncher.errors import SdLauncherError
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings
    from sdlauncher.setup.checkout import identify
    from sdlauncher.setup.install import open_site

    paths = locate_paths()
    settings = read_settings(paths, instance)
    checkout = checkout_of(paths, settings)
    found = identify(checkout)
    if found is None:
        raise SdLauncherError("SDL-NOT-INSTALLED", webui=load_webui(settings.webui_name).title, path=checkout)
    mirrors = read_sources(paths, **sources) if sources else None
    return open_site(paths, replace(settings, webui=found), _detect_hardware, say=say, mirrors=mirrors)


def _detect_hardware() -> Hardware:
    # A function, so that "nothing to do" does not pay for asking the driver.
    from sdlauncher.machine.gpu import detect_hardware

    return detect_hardware()


def _describe_installed(done: Installed) -> dict[str, Any]:
    return {
        "webui": done.webui,
        "dir": str(done.checkout),
        "changed": done.changed,
        "advisories": list(done.advisories),
        "seconds": round(done.seconds, 3),
        "steps": [
            {"name": step.name, "outcome": step.outcome, "seconds": round(step.seconds, 3)} for step in done.steps
        ],
    }


def _render_installed(done: Installed) -> str:
    lines = [f"{step.name:<14} {_outcome(step.outcome):<8} {step.seconds:8.1f} s" for step in done.steps]
    return "\n".join([*lines, f"{done.webui}: {done.checkout}"])


def _outcome(word: str) -> str:
    chinese = {"done": "完成", "already": "已就绪", "planned": "将执行"}
    return chinese[word] if language() == "zh" else word


def _describe_adopted(found: Adopted) -> dict[str, Any]:
    return {
        "webui": found.webui,
        "dir": str(found.directory),
        "version": found.version,
        "commit": found.commit,
        "branch": found.branch,
        "changed": list(found.changed),
        "extensions": list(found.extensions),
        "environment": str(found.environment) if found.environment else None,
        "python": found.python,
        "torch": found.torch,
        "notes": [_describe_note(note) for note in found.notes],
    }


def _render_adopted(found: Adopted) -> str:
    rows = [
        ("webui", " ".join(filter(None, (found.webui, found.version)))),
        ("dir", str(found.directory)),
        ("commit", " ".join(filter(None, (found.commit, found.branch and f"({found.branch})"))) or "-"),
        ("changed", ", ".join(found.changed) or "-"),
        ("extensions", ", ".join(found.extensions) or "-"),
        ("python", found.python or "-"),
        ("torch", found.torch or "-"),
    ]
    notes = [f"{note['message']}\n  {note['hint']}" for note in map(_describe_note, found.notes)]
    return "\n".join([*(f"{name:<11} {value}" for name, value in rows), *notes])


def _describe_note(note: Verdict) -> dict[str, str]:
    said = messages.describe(note.code, note.facts, language())
    return {"code": note.code, "level": note.level.value, "message": said.sentence, "hint": said.hint}
