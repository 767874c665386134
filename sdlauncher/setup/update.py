"""Updating a checkout behind a gate: look, snapshot, apply, start, smoke; back to where it was if that fails."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdlauncher.core.snapshot import USERS_OWN, Change, Snapshot, compare
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.git import fetch_commit, git, list_changes, read_head
from sdlauncher.setup.environment import environment_steps, is_foreign
from sdlauncher.setup.install import alone
from sdlauncher.setup.site import Site
from sdlauncher.setup.snapshots import go_to, read_state, restore, stash, take_snapshot, unstash
from sdlauncher.setup.sources import repositories_step, resolve_ref, sources_of
from sdlauncher.setup.steps import perform

# Slower than this share of before is a regression, not the noise of one picture.
SLOW: Final = 0.6

# Starts the instance and makes one picture: what speaks against it (None: nothing), and its steps per second.
Gate = Callable[[], tuple[SdLauncherError | None, float | None]]


@dataclass(frozen=True, slots=True)
class Target:
    """What an update would go to: commit, the commits in between (newest first), and changed files of the user."""

    ref: str
    commit: str
    current: str
    subjects: tuple[str, ...]
    changed: tuple[str, ...]
    requirements_change: bool


@dataclass(frozen=True, slots=True)
class Updated:
    """How an update ended. `rolled_back` names why it was taken back; `stashed` are changes that no longer fit."""

    target: Target
    snapshot: Snapshot | None
    changes: tuple[Change, ...]
    stashed: tuple[str, ...] = ()
    rolled_back: SdLauncherError | None = None


def look(site: Site, ref: str | None) -> Target:
    """Find what an update would change, fetching the commit but touching no file.

    Without `ref` the branch's newest commit is meant. Raises SDL-UPDATE-NO-GIT, SDL-REF-UNKNOWN with near names,
    SDL-SOURCES-EXHAUSTED.
    """
    directory, program = site.directory, site.recipe.program
    head = read_head(directory)
    if head is None:
        raise SdLauncherError("SDL-UPDATE-NO-GIT", path=directory)
    wanted = ref or head.branch or program.branch
    answers: list[str] = []
    commit = None
    own = git(directory, "config", "remote.origin.url").stdout.strip()
    for source in dict.fromkeys((*sources_of(site, program, pinned=False), *([own] if own else []))):
        try:
            commit = resolve_ref(source, wanted)
            fetch_commit(directory, source, commit, follow=site.follow, tag="")
            git(directory, "config", "remote.origin.url", own or program.url)
            break
        except SdLauncherError as error:
            if error.code == "SDL-REF-UNKNOWN":
                near = _near_names(source, wanted)
                answers.append(f"{source}: no `{wanted}`" + (f"; near: {near}" if near else ""))
            else:
                answers.append(f"{source}: {error.facts.get('evidence', error)}")
            commit = None
    if commit is None:
        raise SdLauncherError("SDL-UPDATE-TARGET", ref=wanted, evidence="; ".join(answers))
    listed = git(directory, "log", "--format=%h %s", "--max-count=20", f"{head.commit}..{commit}")
    files = git(directory, "diff", "--name-only", head.commit, commit).stdout.splitlines()
    return Target(
        ref=wanted,
        commit=commit,
        current=head.commit,
        subjects=tuple(listed.stdout.splitlines()),
        changed=tuple(name for name in list_changes(directory) if name not in USERS_OWN),
        requirements_change=site.recipe.requirements in files,
    )


def update(
    site: Site, target: Target, *, gate: Gate | None, stop: Callable[[], object], speed: float | None = None
) -> Updated:
    """Go to the target, and back again if the gate says no; the user's changes are stashed and put back.

    `speed` is what the instance did before, in steps per second; `stop` ends what the gate started. A failed step is
    a reason to roll back; what is raised is that not even going back was possible.
    """
    if target.commit == target.current:
        return Updated(target, None, ())
    with alone(site):
        head = read_head(site.directory)
        snapshot = take_snapshot(site, f"before {target.ref}", speed=speed)
        stashed = stash(site.directory, target.changed, f"sdlauncher {snapshot.id}")
        failure: SdLauncherError | None
        try:
            go_to(site.directory, target.commit, branch=head.branch if head else None)
            _follow_up(site)
            failure = None
        except SdLauncherError as error:
            failure = error
    if failure is None and gate is not None:
        failure = _pass(site, gate, snapshot)
    stop()
    with alone(site):
        if failure is not None:
            site.say("update-rollback", reason=str(failure))
            restore(site, snapshot)
        fits = unstash(site.directory) if stashed else True
    changes = compare(snapshot, read_state(site, "after"))
    return Updated(target, snapshot, changes, () if fits else target.changed, failure)


def _follow_up(site: Site) -> None:
    """Bring what the new version needs: its pins of other repositories, its packages, and the proof."""
    foreign = is_foreign(site)
    perform(repositories_step(site, lenient=False), dry_run=False, say=site.say)
    if not foreign:
        for step in environment_steps(site):
            perform(step, dry_run=False, say=site.say)


def _pass(site: Site, gate: Gate, snapshot: Snapshot) -> SdLauncherError | None:
    site.say("update-gate")
    failure, speed = gate()
    if failure is None and snapshot.speed and speed is not None and speed < SLOW * snapshot.speed:
        # One slow picture can be chance (another program at work); two in a row are not.
        failure, again = gate()
        speed = max(speed, again or 0.0)
        if failure is None and speed < SLOW * snapshot.speed:
            return SdLauncherError("SDL-UPDATE-SLOW", before=f"{snapshot.speed:.2f}", after=f"{speed:.2f}")
    return failure


def _near_names(source: str, ref: str) -> str:
    done = git(None, "ls-remote", "--tags", "--heads", "--refs", str(Path(source)) if Path(source).is_dir() else source)
    names = [line.split("\t")[1].split("/", 2)[2] for line in done.stdout.splitlines() if "\t" in line]
    return ", ".join(difflib.get_close_matches(ref, names, n=3, cutoff=0.5))
