"""Commands about models: add, list, and the folder that several WebUIs share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher.cli.options import command, option
from sdlauncher.cli.output import Report
from sdlauncher.cli.table import render_table

if TYPE_CHECKING:
    from sdlauncher.setup.models import Model

_KINDS = ("checkpoint", "lora", "vae", "embedding")


@click.group("model", help="Add, list and share models.")
def model_command() -> None:
    """Group of the commands about models."""


@command("add", help="Bring a model from a URL or a file; it is checked before it counts.")
@click.argument("source", metavar="URL|PATH")
@option("--sha256", metavar="HEX", help="What the file must be.")
@option("--kind", type=click.Choice(_KINDS), help="Where it belongs (default: by its content).")
@option("--name", metavar="FILE", help="What to call it.")
@option("--hub", metavar="URL", help="A mirror to take what lies on huggingface.co from.")
def add_command(
    *, instance: str, source: str, sha256: str | None, kind: str | None, name: str | None, hub: str | None
) -> Report:
    """Add a model."""
    from sdlauncher.core.mirrors import choose_mirrors
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings
    from sdlauncher.setup.install import read_mirrors
    from sdlauncher.setup.models import add_model, shared_folder

    paths = locate_paths()
    settings = read_settings(paths, instance)
    added = add_model(
        source,
        checkout_of(paths, settings),
        mirrors=choose_mirrors(read_mirrors(paths), models=(hub,) if hub else ()),
        shared=shared_folder(settings.flags),
        sha256=sha256,
        kind=kind,
        name=name,
        on_progress=_progress() if sys.stderr.isatty() else None,
    )
    data = {**_describe(added.model), "sha256": added.sha256, "resumed_from": added.resumed_from}
    return Report(data, lambda: _render([added.model]))


@command("list", help="List the models of an instance.")
def list_command(*, instance: str) -> Report:
    """List models with what their files hold."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings
    from sdlauncher.setup.models import list_models, shared_folder

    paths = locate_paths()
    settings = read_settings(paths, instance)
    found = list_models(checkout_of(paths, settings), shared_folder(settings.flags))
    return Report({"models": [_describe(model) for model in found]}, lambda: _render(found))


@command("dir", help="Take models from a folder that several WebUIs share.")
@click.argument("directory", metavar="DIR", required=False, type=click.Path(file_okay=False))
@option("--own", is_flag=True, help="Take them from the checkout's own folders again.")
def dir_command(*, instance: str, directory: str | None, own: bool) -> Report:
    """Set or show the shared folder."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import read_settings
    from sdlauncher.setup.models import share_models, shared_folder

    paths = locate_paths()
    settings = read_settings(paths, instance)
    if directory is None and not own:
        folder = shared_folder(settings.flags)
        return Report({"dir": str(folder) if folder else None}, lambda: str(folder or "-"))
    flags = share_models(paths.instance(instance), settings.webui_name, Path(directory) if directory else None)
    return Report({"dir": directory, "flags": list(flags)}, lambda: "\n".join(flags))


for _each in (add_command, list_command, dir_command):
    model_command.add_command(_each)


def _describe(model: Model) -> dict[str, Any]:
    return {
        "path": str(model.path),
        "name": model.path.name,
        "kind": model.kind,
        "family": model.family,
        "format": model.format,
        "size": model.size,
    }


def _render(models: Any) -> str:
    rows = [
        (
            model.path.name,
            " ".join(filter(None, (model.kind, model.family))),
            model.format,
            f"{model.size / 2**20:.0f} MiB",
        )
        for model in models
    ]
    return render_table(rows)


def _progress() -> Any:
    def show(done: int, total: int | None) -> None:
        share = f"{100 * done / total:5.1f} % of {total / 2**30:.2f} GiB" if total else f"{done / 2**20:.0f} MiB"
        click.echo(f"\r  {share}", nl=total is not None and done >= total, err=True)

    return show
