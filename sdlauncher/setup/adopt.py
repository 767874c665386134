"""Taking an existing checkout as it is: which WebUI it is, in what state, and remembering it for an instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sdlauncher.core.snapshot import USERS_OWN
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.git import list_changes, read_head
from sdlauncher.machine.paths import Paths, locate_typed
from sdlauncher.machine.python import Environment, read_environment
from sdlauncher.machine.settings import remember
from sdlauncher.setup.checkout import find_marks, identify, read_version

__all__ = ["Adopted", "adopt", "identify", "inspect"]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was found in a checkout. None: it does not tell (no .git, no venv); `changed` are files of the program."""

    webui: str
    directory: Path
    version: str | None
    commit: str | None
    branch: str | None
    changed: tuple[str, ...]
    extensions: tuple[str, ...]
    environment: Path | None
    python: str | None
    torch: str | None
    notes: tuple[Verdict, ...]


def adopt(paths: Paths, instance: str, directory: Path) -> Adopted:
    """Take the checkout in `directory` for the instance, changing nothing in it.

    Raises SDL-NOT-A-CHECKOUT with what was looked for, SDL-FILE-WRITE when it cannot be remembered.
    """
    found = inspect(directory)
    remember(paths.instance(instance), {"webui": found.webui, "dir": str(found.directory)})
    return found


def inspect(directory: Path) -> Adopted:
    """Read what a checkout is and in what state. Raises SDL-NOT-A-CHECKOUT with what was looked for."""
    directory = locate_typed(directory)
    marks = find_marks(directory)
    if marks is None:
        raise not_a_checkout(directory)
    notes: list[Verdict] = []
    head = read_head(directory)
    changed: tuple[str, ...] = ()
    # A checkout inside somebody's other repository (mini inside a home that is one) has no .git of its own.
    if head is not None:
        try:
            changed = tuple(name for name in list_changes(directory) if name not in USERS_OWN)
        except SdLauncherError as error:
            notes.append(Verdict(error.code, Level.WARNING, error.facts))
    elif marks.webui != "mini":
        notes.append(Verdict("SDL-ADOPT-NO-GIT", Level.WARNING, {"path": directory}))
    environment = _find_environment(directory)
    if environment is None and marks.webui != "mini":
        notes.append(Verdict("SDL-ADOPT-NO-VENV", Level.INFO, {"path": directory}))
    return Adopted(
        webui=marks.webui,
        directory=directory,
        version=read_version(directory, marks),
        commit=head.commit if head else None,
        branch=head.branch if head else None,
        changed=changed,
        extensions=_list_extensions(directory),
        environment=environment.root if environment else None,
        python=environment.version if environment else None,
        torch=environment.packages.get("torch") if environment else None,
        notes=tuple(notes),
    )


def _find_environment(directory: Path) -> Environment | None:
    for name in ("venv", ".venv"):
        if (found := read_environment(directory / name)) is not None:
            return found
    return None


def _list_extensions(directory: Path) -> tuple[str, ...]:
    folder = directory / "extensions"
    if not folder.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] not in "._"))


def not_a_checkout(directory: Path) -> SdLauncherError:
    """Return the error that says what a folder lacks to be a checkout, and where one is near it."""
    if not directory.exists():
        evidence = "it does not exist"
    elif not directory.is_dir():
        evidence = "it is a file"
    else:
        looked_for = ("launch.py", "webui.py", "modules/launch_utils.py")
        missing = [name for name in looked_for if not (directory / name).exists()]
        evidence = "it has no " + ", no ".join(missing) if missing else "its files are those of no WebUI in the catalog"
        near = [directory.parent, directory.parent.parent]
        near += sorted(entry for entry in directory.iterdir() if entry.is_dir())[:50]
        other = next((place for place in near if identify(place)), None)
        if other is not None:
            evidence += f", but {other} is a checkout"
    return SdLauncherError("SDL-NOT-A-CHECKOUT", path=directory, evidence=evidence)
