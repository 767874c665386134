"""Git repositories on disk: read without starting git where that is possible, and through git where it is not."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import Completed, find, run

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# git must fail where it would ask for a password (a repository that is gone looks like a private one to GitHub), and
# speak English, because what it says is matched. LFS files of a WebUI are pictures of its README.
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GCM_INTERACTIVE": "never", "LC_ALL": "C",
                 "GIT_LFS_SKIP_SMUDGE": "1"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Head:
    """Where a repository stands; `branch` is None on a detached HEAD."""

    commit: str
    branch: str | None


def git(directory: Path | None, *words: str, timeout: float = 60) -> Completed:
    """Run git in `directory`, never asking for a password; a non-zero status is a value. `timeout` in seconds.

    Raises SDL-COMMAND-MISSING without git, SDL-COMMAND-TIMEOUT.
    """
    program = find("git")
    if program is None:
        raise SdLauncherError("SDL-COMMAND-MISSING", program="git", evidence="it is not on PATH")
    place: Sequence[str] = ()
    if directory is not None:
        # A folder that another user owns (a mounted disk, a container) is the user's choice: they named it.
        place = ("-C", str(directory), "-c", f"safe.directory={directory}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    return run([program, *place, *words], timeout=timeout, env={**environment, **_QUIET})


def git_folder(directory: Path) -> Path | None:
    """Return the repository's folder: `.git`, or where a `.git` file of a worktree points; None if there is none."""
    dot_git = directory / ".git"
    if dot_git.is_dir():
        return dot_git
    try:
        text = dot_git.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return (directory / text.partition(":")[2].strip()).absolute() if text.startswith("gitdir:") else None


def read_head(directory: Path) -> Head | None:
    """Return the commit and branch that are checked out, from the files of .git alone; None where there is none yet."""
    folder = git_folder(directory)
    if folder is None:
        return None
    try:
        text = (folder / "HEAD").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if _COMMIT.fullmatch(text):
        return Head(text, None)
    name = text.removeprefix("ref:").strip()
    commit = _read_reference(folder, name)
    return Head(commit, name.removeprefix("refs/heads/")) if commit else None


def _read_reference(folder: Path, name: str) -> str | None:
    common = folder
    if (folder / "commondir").is_file():
        common = (folder / (folder / "commondir").read_text(encoding="utf-8").strip()).resolve()
    for root in (folder, common):
        loose = root / name
        if loose.is_file():
            text = loose.read_text(encoding="ascii", errors="replace").strip()
            return text if _COMMIT.fullmatch(text) else None
    packed = common / "packed-refs"
    if packed.is_file():
        for line in packed.read_text(encoding="utf-8", errors="replace").splitlines():
            commit, _, reference = line.partition(" ")
            if reference == name and _COMMIT.fullmatch(commit):
                return commit
    return None


def list_changes(directory: Path) -> tuple[str, ...]:
    """Return the tracked files that were changed by hand, as paths inside the repository. Raises SDL-GIT-FAILED."""
    done = git(directory, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=all")
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="read the state of", place=directory, evidence=last_words(done))
    return tuple(entry[3:] for entry in done.stdout.split("\0") if len(entry) > 3 and entry[2] == " ")


def last_words(done: Completed) -> str:
    """Return the line by which a failed git says what is wrong."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return (telling or lines or [f"exit status {done.returncode}"])[0]
