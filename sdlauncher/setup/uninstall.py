"""Taking a WebUI away: the program and its environment go, what the user made and brought stays."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdlauncher.core.snapshot import USERS_OWN
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.git import git, git_folder
from sdlauncher.setup.checkout import identify, mark_unfinished

_MINI: Final = ("launch.py", "webui.sh", "webui.bat", "interpreter.txt")
_FOLDERS: Final = ("venv", ".git", "repositories", "tmp", "__pycache__")
# Whatever a repository has put into these, they are where users keep what is theirs.
_THEIRS: Final = ("models", "outputs", "embeddings", "extensions", "styles", "log", "config_states")


@dataclass(frozen=True, slots=True)
class Removal:
    """What would go and what would stay, as paths in the checkout; `size` in bytes of what goes."""

    directory: Path
    remove: tuple[str, ...]
    keep: tuple[str, ...]
    size: int


def plan_removal(directory: Path) -> Removal:
    """List what uninstalling would remove and keep, by the top of each tree. Raises SDL-NOT-A-CHECKOUT."""
    if identify(directory) is None:
        raise SdLauncherError("SDL-NOT-A-CHECKOUT", path=directory, evidence="its files are those of no WebUI")
    doomed = _doomed(directory)
    roots = sorted({path.relative_to(directory).parts[0] for path in doomed})
    size = sum(_size(path) for path in doomed)
    kept = [entry.name for entry in sorted(directory.iterdir()) if not _all_goes(entry, doomed)]
    return Removal(directory, tuple(root for root in roots if root not in kept), tuple(kept), size)


def remove(directory: Path) -> Removal:
    """Uninstall, and return what went and what stays. Raises SDL-NOT-A-CHECKOUT and SDL-FILE-WRITE."""
    webui, planned = identify(directory), plan_removal(directory)
    # The files by which it is recognised go last: a removal that was interrupted can be repeated.
    doomed = sorted(_doomed(directory), key=lambda path: (path.name in ("launch.py", "webui.py"), str(path)))
    try:
        for path in doomed:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in doomed}, key=lambda it: len(it.parts), reverse=True):
            _prune(folder, directory)
        if directory.is_dir():
            # What stays is no WebUI any more, but a later installation may go there.
            mark_unfinished(directory, str(webui))
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=directory, evidence=error) from error
    return planned


def _doomed(directory: Path) -> set[Path]:
    doomed = {directory / name for name in _FOLDERS if (directory / name).exists()}
    if identify(directory) == "mini":
        names = list(_MINI)
    elif git_folder(directory) is not None:
        names = [name for name in git(directory, "ls-files", "-z").stdout.split("\0") if name]
    else:
        # A downloaded archive does not tell which files are its own: only what can be made again goes.
        names = []
    for name in names:
        if name not in USERS_OWN and name.split("/")[0] not in _THEIRS and (directory / name).exists():
            doomed.add(directory / name)
    for cache in directory.glob("*/**/__pycache__"):
        if cache.relative_to(directory).parts[0] not in (*_THEIRS, *_FOLDERS):
            doomed.add(cache)
    return doomed


def _all_goes(entry: Path, doomed: set[Path]) -> bool:
    if entry in doomed:
        return True
    if not entry.is_dir() or entry.is_symlink():
        return False
    return all(
        any(parent in doomed for parent in (path, *path.parents)) for path in entry.rglob("*") if not path.is_dir()
    )


def _prune(folder: Path, top: Path) -> None:
    while folder != top.parent and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for root, _, files in os.walk(path):
        total += sum(os.lstat(os.path.join(root, name)).st_size for name in files)  # noqa: PTH118  50 000 files
    return total
