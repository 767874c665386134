"""Commands that change an installation: update, rollback and snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sdlauncher import messages
from sdlauncher.cli.install import open_named_site
from sdlauncher.cli.options import command, mirror_options, option
from sdlauncher.cli.output import Report, language
from sdlauncher.cli.table import render_table
from sdlauncher.errors import SdLauncherError

if TYPE_CHECKING:
    from sdlauncher.core.snapshot import Change, Snapshot
    from sdlauncher.setup.update import Target, Updated


@command("update", help="Go to a newer version, and back by itself if that one does not make a picture.")
@option("--to", "ref", metavar="REF", help="A tag, branch or commit (default: the newest of its branch).")
@option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@option("--no-check", is_flag=True, help="Do not make pictures before and after.")
@mirror_options
def update_command(*, instance: str, ref: str | None, dry_run: bool, no_check: bool, **sources: Any) -> Report:
    """Look, then update through the gate."""
    from sdlauncher.setup.update import Updated, look

    site = open_named_site(instance, **sources)
    target = look(site, ref)
    if dry_run:
        done = Updated(target, None, ())
    else:
        from sdlauncher.setup.gate import update_through_gate

        done = update_through_gate(site, target, check=not no_check)
    failure = None
    if done.rolled_back is not None:
        text = done.rolled_back.describe(language())
        failure = SdLauncherError("SDL-UPDATE-ROLLED-BACK", ref=target.ref, reason=text.sentence, hint=text.hint)
    return Report(_describe_update(done), lambda: _render_update(done), failure)


@command("rollback", help="Put the installation back to a snapshot (default: the newest).")
@click.argument("snapshot", metavar="[ID]", required=False)
@option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def rollback_command(*, instance: str, snapshot: str | None, dry_run: bool) -> Report:
    """Restore a snapshot; the state before it becomes one as well."""
    from sdlauncher.setup.gate import go_back
    from sdlauncher.setup.snapshots import find_snapshot, plan_restore

    site = open_named_site(instance)
    chosen = find_snapshot(site.paths.instance(instance), snapshot)
    changes = plan_restore(site, chosen) if dry_run else go_back(site, chosen)
    data = {"snapshot": chosen.id, "dry_run": dry_run, "changes": [_describe_change(it) for it in changes]}
    nothing = messages.describe("say.rollback-nothing", {"id": chosen.id}, language()).sentence
    return Report(data, lambda: _render_changes(changes) if changes else nothing)


@click.group("snapshot", help="Take and list snapshots of an installation.")
def snapshot_command() -> None:
    """Group of the commands about snapshots."""


@command("list", help="List the snapshots of an instance, the newest first.")
def snapshot_list_command(*, instance: str) -> Report:
    """List snapshots."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.setup.snapshots import list_snapshots

    found = list_snapshots(locate_paths().instance(instance))
    return Report(
        {"snapshots": [_describe_snapshot(it) for it in found]},
        lambda: render_table([(it.id, it.at, it.standings[0].commit[:12], it.reason) for it in found]),
    )


@command("take", help="Record the installation as it is.")
def snapshot_take_command(*, instance: str) -> Report:
    """Take a snapshot."""
    from sdlauncher.setup.snapshots import take_snapshot

    taken = take_snapshot(open_named_site(instance), "by hand")
    return Report(_describe_snapshot(taken), lambda: taken.id)


@command("repair", help="Put right what installing can put right, the smallest cure first.")
@option("--dry-run", is_flag=True, help="Say what is wrong, and change nothing.")
def repair_command(*, instance: str, dry_run: bool) -> Report:
    """Examine, and cure."""
    from sdlauncher.setup.repair import examine, repair

    site = open_named_site(instance)
    found = tuple(it.finding for it in examine(site)) if dry_run else repair(site)
    texts = [SdLauncherError(it.code, **it.facts).describe(language()) for it in found]
    data = [
        {"code": it.code, "message": text.sentence, "cure": text.hint} for it, text in zip(found, texts, strict=True)
    ]
    return Report(
        {"dry_run": dry_run, "findings": data},
        lambda: (
            "\n".join(f"{it.sentence}; {it.hint}" for it in texts)
            or messages.describe("say.repair-nothing", {}, language()).sentence
        ),
    )


@command("uninstall", help="Remove the program and its environment; models, pictures and settings stay.")
@option("--yes", is_flag=True, help="Do it; without this it only lists what would go.")
def uninstall_command(*, instance: str, yes: bool) -> Report:
    """List, and with --yes remove."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings
    from sdlauncher.setup.uninstall import plan_removal, remove
    from sdlauncher.supervise import control

    paths = locate_paths()
    checkout = checkout_of(paths, read_settings(paths, instance))
    if yes:
        control.stop(paths.instance(instance))
    planned = remove(checkout) if yes else plan_removal(checkout)
    gib = f"{planned.size / 2**30:.2f}"
    failure = None if yes else SdLauncherError("SDL-UNINSTALL-ASK", count=len(planned.remove), gib=gib)
    data = {
        "dir": str(planned.directory),
        "removed": yes,
        "remove": list(planned.remove),
        "keep": list(planned.keep),
        "bytes": planned.size,
    }
    rows = [("-", name) for name in planned.remove] + [("keep", name) for name in planned.keep]
    return Report(data, lambda: render_table(rows), failure)


snapshot_command.add_command(snapshot_list_command)
snapshot_command.add_command(snapshot_take_command)


def _describe_target(target: Target) -> dict[str, Any]:
    return {
        "ref": target.ref,
        "from": target.current,
        "to": target.commit,
        "commits": list(target.subjects),
        "changed_by_hand": list(target.changed),
        "requirements_change": target.requirements_change,
    }


def _describe_update(done: Updated) -> dict[str, Any]:
    return {
        **_describe_target(done.target),
        "snapshot": done.snapshot.id if done.snapshot else None,
        "changes": [_describe_change(it) for it in done.changes],
        "stashed": list(done.stashed),
        "rolled_back": done.rolled_back.code if done.rolled_back else None,
    }


def _render_update(done: Updated) -> str:
    target = done.target
    lines = [f"{target.current[:12]} -> {target.commit[:12]} ({target.ref})", *(f"  {it}" for it in target.subjects)]
    if target.changed:
        lines.append("changed by hand: " + ", ".join(target.changed))
    if done.stashed:
        lines.append("kept in git stash, because they no longer fit: " + ", ".join(done.stashed))
    return "\n".join([*lines, _render_changes(done.changes)]).rstrip()


def _describe_change(change: Change) -> dict[str, Any]:
    return {"what": change.what, "name": change.name, "from": change.before, "to": change.after}


def _render_changes(changes: tuple[Change, ...]) -> str:
    def short(value: str | None) -> str:
        return "-" if value is None else value[:12]

    return render_table([(it.what, it.name, short(it.before), "->", short(it.after)) for it in changes])


def _describe_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.id,
        "at": snapshot.at,
        "webui": snapshot.webui,
        "reason": snapshot.reason,
        "commit": snapshot.standings[0].commit if snapshot.standings else None,
        "packages": len(snapshot.packages),
        "speed": snapshot.speed,
    }
