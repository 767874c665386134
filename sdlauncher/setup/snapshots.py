"""Snapshots of an installation: taken before a change, listed, and put back."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sdlauncher.core.snapshot import USERS_OWN, Change, Snapshot, Standing, compare
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.machine.git import git, last_words, read_head
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.machine.python import normalise, read_environment
from sdlauncher.setup.packages import install_exactly, uninstall
from sdlauncher.setup.site import Site

# In each repository this keeps the snapshot's commit from git's own tidying up.
_KEPT: Final = "refs/sdlauncher"


def read_state(site: Site, reason: str, *, speed: float | None = None) -> Snapshot:
    """Read what the installation is made of now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    environment = read_environment(site.venv)
    return Snapshot(
        id=now.strftime("%Y%m%d-%H%M%S-%f")[:-3],
        at=now.isoformat(timespec="seconds"),
        webui=site.recipe.webui,
        reason=reason,
        standings=tuple(_standings(site)),
        packages=environment.packages if environment else {},
        stamp=site.read_stamp(),
        speed=speed,
    )


def take_snapshot(site: Site, reason: str, *, speed: float | None = None) -> Snapshot:
    """Record the installation as it is, and keep its commits. Raises SDL-FILE-WRITE."""
    snapshot = read_state(site, reason, speed=speed)
    for standing in snapshot.standings:
        git(site.directory / standing.folder, "update-ref", f"{_KEPT}/{snapshot.id}", standing.commit)
    write_json(_folder(_files(site)) / f"{snapshot.id}.json", snapshot.as_json())
    return snapshot


def list_snapshots(files: InstancePaths) -> tuple[Snapshot, ...]:
    """Return the snapshots of an instance, the newest first; a file that is none is passed over."""
    folder = _folder(files)
    found = []
    for file in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else []:
        try:
            found.append(Snapshot.from_json(read_json(file) or {}))
        except (KeyError, TypeError):
            continue
    return tuple(found)


def find_snapshot(files: InstancePaths, name: str | None) -> Snapshot:
    """Return a snapshot by (the beginning of) its id, the newest without one. Raises SDL-SNAPSHOT-UNKNOWN."""
    every = list_snapshots(files)
    fitting = [snapshot for snapshot in every if name is None or snapshot.id.startswith(name)]
    if not fitting:
        known = ", ".join(snapshot.id for snapshot in every[:5]) or "-"
        raise SdLauncherError("SDL-SNAPSHOT-UNKNOWN", name=name or "-", known=known)
    return fitting[0]


def plan_restore(site: Site, snapshot: Snapshot) -> tuple[Change, ...]:
    """Return what putting a snapshot back would change."""
    return compare(read_state(site, "now"), snapshot)


def restore(site: Site, snapshot: Snapshot) -> tuple[Change, ...]:
    """Put the installation back to a snapshot and return what was changed.

    Repositories and packages that came after it are left out of the way (packages) or alone (extensions); models,
    pictures, settings and the user's own scripts are not touched. Raises SDL-RESTORE-COMMIT when a commit is gone,
    SDL-GIT-FAILED and SDL-STEP-FAILED.
    """
    changes = plan_restore(site, snapshot)
    places = {standing.folder: standing for standing in snapshot.standings}
    for change in changes:
        if change.what == "repository" and change.after is not None and change.before is not None:
            go_to(site.directory / change.name, change.after, branch=places[change.name].branch)
    # What comes from a repository no index has; it stays where its recipe put it.
    apart = {normalise(it.folder) for it in site.recipe.packages}
    packages = [change for change in changes if change.what == "package" and change.name not in apart]
    wanted = {change.name: change.after for change in packages if change.after is not None}
    surplus = [change.name for change in packages if change.after is None]
    if wanted:
        install_exactly(site, wanted)
    if surplus:
        uninstall(site, surplus)
    if snapshot.stamp:
        write_json(site.stamp, dict(snapshot.stamp))
    return changes


def go_to(repository: Path, commit: str, *, branch: str | None) -> None:
    """Check out a commit that the repository has, keeping the user's own files in it byte for byte.

    Changed files of the program are expected to have been stashed. Raises SDL-RESTORE-COMMIT, SDL-GIT-FAILED.
    """
    if not git(repository, "cat-file", "-e", f"{commit}^{{commit}}").ok:
        raise SdLauncherError("SDL-RESTORE-COMMIT", commit=commit[:12], path=repository)
    kept = {name: (repository / name).read_bytes() for name in USERS_OWN if (repository / name).is_file()}
    # `checkout --force` writes every tracked file, also those that are to stay: they are put back at once.
    where = ["-B", branch] if branch else ["--detach"]
    done = git(repository, "checkout", "--quiet", "--force", *where, commit, timeout=600)
    for name, content in kept.items():
        file = repository / name
        if not file.is_file() or file.read_bytes() != content:
            mode = file.stat().st_mode if file.is_file() else 0o755
            file.write_bytes(content)
            file.chmod(mode)
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="check out", place=repository, evidence=last_words(done))


def stash(repository: Path, changed: Sequence[str], name: str) -> bool:
    """Put the user's changes to program files aside under a name; their own scripts stay. Raises SDL-GIT-FAILED."""
    program = [file for file in changed if file not in USERS_OWN]
    if not program:
        return False
    done = git(
        repository, "-c", "user.name=sdlauncher", "-c", "user.email=sdlauncher@localhost",
        "stash", "push", "--quiet", "--message", name, "--", *program,
    )  # fmt: skip
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="stash changes in", place=repository, evidence=last_words(done))
    return True


def unstash(repository: Path) -> bool:
    """Put back what was stashed last; False if it does not fit any more, in which case it stays in the stash."""
    done = git(repository, "stash", "apply", "--quiet")
    if done.ok:
        git(repository, "stash", "drop", "--quiet")
        return True
    kept = {name: (repository / name).read_bytes() for name in USERS_OWN if (repository / name).is_file()}
    git(repository, "reset", "--quiet", "--hard")
    for name, content in kept.items():
        (repository / name).write_bytes(content)
    return False


def _standings(site: Site) -> list[Standing]:
    checkout = site.directory
    folders = [checkout]
    for parent in ("repositories", "extensions"):
        if (checkout / parent).is_dir():
            folders += sorted(entry for entry in (checkout / parent).iterdir() if (entry / ".git").exists())
    # Submodules lie where the checkout wants them.
    folders += [checkout / it.folder for it in site.recipe.repositories if (checkout / it.folder / ".git").exists()]
    found = []
    for folder in dict.fromkeys(folders):
        head = read_head(folder)
        if head is not None:
            url = git(folder, "config", "remote.origin.url").stdout.strip() or None
            found.append(Standing(folder.relative_to(checkout).as_posix(), head.commit, head.branch, url))
    return found


def _files(site: Site) -> InstancePaths:
    return site.paths.instance(site.settings.instance)


def _folder(files: InstancePaths) -> Path:
    return files.root / "snapshots"
