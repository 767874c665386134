"""The command that shows what is installed, against what should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdlauncher.cli.install import open_named_site
from sdlauncher.cli.options import command
from sdlauncher.cli.output import Report
from sdlauncher.cli.table import render_table

if TYPE_CHECKING:
    from sdlauncher.setup.inventory import Inventory


@command("inspect", help="Show what is installed: commits, changes by hand, packages against the lock.")
def inspect_command(*, instance: str) -> Report:
    """Take an inventory."""
    from sdlauncher.setup.inventory import take_inventory

    found = take_inventory(open_named_site(instance))
    return Report(_describe(found), lambda: _render(found))


def _describe(found: Inventory) -> dict[str, Any]:
    program = found.program
    return {
        "webui": program.webui,
        "dir": str(program.directory),
        "version": program.version,
        "commit": program.commit,
        "branch": program.branch,
        "release": {"version": found.release, "commit": found.release_commit},
        "as_released": found.is_as_released,
        "changed": list(program.changed),
        "repositories": [{"folder": it.folder, "commit": it.commit, "pinned": it.pinned} for it in found.beside],
        "extensions": [
            {"name": it.name, "commit": it.commit, "enabled": it.enabled, "drift": it.drift} for it in found.extensions
        ],
        "python": program.python,
        "torch": program.torch,
        "channel": found.channel,
        "index": found.index,
        "lock": found.lock,
        "packages": found.packages,
        "differing": [{"name": name, "installed": there, "locked": wanted} for name, there, wanted in found.differing],
    }


def _render(found: Inventory) -> str:
    program = found.program
    at = program.commit or "-"
    rows = [
        ("webui", " ".join(filter(None, (program.webui, program.version)))),
        ("dir", str(program.directory)),
        ("commit", at[:12] + ("" if at == found.release_commit else f" (release {found.release_commit[:12]})")),
        ("changed", ", ".join(program.changed) or "-"),
        ("python", program.python or "-"),
        ("torch", " ".join(filter(None, (program.torch, found.channel))) or "-"),
        ("packages", f"{found.packages}, {len(found.differing)} differ from {found.lock or '-'}"),
    ]
    rows += [(it.folder.rsplit("/", 1)[-1], _moved(it.commit, it.pinned)) for it in found.beside]
    rows += [(it.name, " ".join(filter(None, ((it.commit or "-")[:12], it.drift)))) for it in found.extensions]
    rows += [(name, f"{there or '-'} -> {wanted}") for name, there, wanted in found.differing]
    return render_table(rows)


def _moved(commit: str | None, pinned: str) -> str:
    return pinned[:12] if commit == pinned else f"{(commit or '-')[:12]} -> {pinned[:12]}"
