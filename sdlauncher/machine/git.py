"""Git repositories on disk: read without starting git where that is possible, and through git where it is not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import Completed, find, run
from sdlauncher.machine.files import write_bytes

# Runs a long command to its end while somebody watches its lines.
Follow = Callable[[Sequence[str]], Completed]

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# git must fail where it would ask for a password (a repository that is gone looks like a private one to GitHub), and
# speak English, because what it says is matched. LFS files of a WebUI are pictures of its README.
_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GCM_INTERACTIVE": "never", "LC_ALL": "C",
                 "GIT_LFS_SKIP_SMUDGE": "1"}  # fmt: skip


class Head(NamedTuple):
    """Where a repository stands; `branch` is None on a detached HEAD."""

    commit: str
    branch: str | None


def git(directory: Path | None, *words: str, timeout: float = 60) -> Completed:
    """Run git in `directory`, never asking for a password; a non-zero status is a value. `timeout` in seconds.

    Raises SDL-COMMAND-MISSING without git, SDL-COMMAND-TIMEOUT.
    """
    return run([*command_line(directory), *words], timeout=timeout, env=quiet_environment())


def quiet_environment() -> dict[str, str]:
    """Return our environment for a git that asks nothing and works where it is told to."""
    inherited = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
    return {**{name: value for name, value in os.environ.items() if name not in inherited}, **_QUIET}


def command_line(directory: Path | None) -> list[str]:
    """Return the beginning of a git command in `directory`. Raises SDL-COMMAND-MISSING without git."""
    program = find("git")
    if program is None:
        raise SdLauncherError("SDL-COMMAND-MISSING", program="git", evidence="it is not on PATH")
    if directory is None:
        return [str(program)]
    # A folder that another user owns (a mounted disk, a container) is the user's choice: they named it.
    return [str(program), "-C", str(directory), "-c", f"safe.directory={directory}"]


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


def fetch_commit(directory: Path, source: str, commit: str, *, follow: Follow, tag: str = "") -> None:
    """Bring one commit into the repository in `directory` (made if need be): whole from a local folder, else shallow.

    From a local folder the objects are linked rather than sent, which works from a partial copy too. Raises
    SDL-GIT-FAILED with git's own words.
    """
    if not (directory / ".git" / "HEAD").is_file():
        _must(git(None, "init", "-q", str(directory)), "make a repository in", directory)
    if Path(source).is_dir():
        _link_objects(Path(source), directory)
        if not has_commit(directory, commit):
            raise SdLauncherError("SDL-GIT-FAILED", action="find", place=commit[:12], evidence=f"it is not in {source}")
        if tag and (found := git(Path(source), "rev-parse", "--quiet", "--verify", f"refs/tags/{tag}")).ok:
            git(directory, "update-ref", f"refs/tags/{tag}", found.stdout.strip())
        return
    if has_commit(directory, commit):
        return
    _must(git(directory, "config", "remote.origin.url", source), "configure", directory)
    words = ["fetch", "--progress", "--depth", "1", "--no-tags", "--filter=blob:none", "origin"]
    if tag:
        follow([*command_line(directory), *words, f"+refs/tags/{tag}:refs/tags/{tag}"])
        if has_commit(directory, commit):
            return
    done = follow([*command_line(directory), *words, commit])
    if not done.ok or not has_commit(directory, commit):
        raise SdLauncherError("SDL-GIT-FAILED", action="fetch", place=source, evidence=last_words(done))


def check_out(directory: Path, commit: str, *, follow: Follow, branch: str = "", skip: Sequence[str] = ()) -> None:
    """Put a commit's files into the work tree, without those that match `skip`; on `branch` if one is named.

    Raises SDL-GIT-FAILED.
    """
    if skip:
        patterns = ["/*", *(f"!{pattern}" for pattern in skip)]
        _must(git(directory, "config", "core.sparseCheckout", "true"), "configure", directory)
        write_bytes(directory / ".git" / "info" / "sparse-checkout", "".join(f"{it}\n" for it in patterns).encode())
    where = ["-B", branch] if branch else ["--detach"]
    done = follow([*command_line(directory), "-c", "advice.detachedHead=false", "checkout", "--force", *where, commit])
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="check out", place=directory, evidence=last_words(done))


def set_origin(directory: Path, url: str, branch: str = "") -> None:
    """Name the repository that `git pull` and the WebUI's own updater will fetch from."""
    _must(git(directory, "config", "remote.origin.url", url), "configure", directory)
    git(directory, "config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    if branch:
        git(directory, "config", f"branch.{branch}.remote", "origin")
        git(directory, "config", f"branch.{branch}.merge", f"refs/heads/{branch}")


def has_commit(directory: Path, commit: str) -> bool:
    """Tell whether a commit is in the repository, without asking the network for it."""
    return git(directory, "rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}").ok


def clear_leftovers(directory: Path) -> None:
    """Remove the lock files that a killed git left; only for whoever knows that no git is at work there."""
    folder = directory / ".git"
    for leftover in [*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("objects/pack/tmp_*")]:
        leftover.unlink(missing_ok=True)


def _link_objects(source: Path, directory: Path) -> None:
    """Hard-link (else copy) a local repository's objects into ours, and keep its branches and tags."""
    origin = source / ".git" if (source / ".git").is_dir() else source
    # A repository without history says where it was cut off; what ours has whole already stays whole.
    cuts = (origin / "shallow").read_text(encoding="ascii").split() if (origin / "shallow").is_file() else []
    cuts = [cut for cut in cuts if not has_commit(directory, cut)]
    for objects in _object_folders(origin / "objects"):
        for file in objects.rglob("*"):
            if file.is_file() and file.parent.name != "info":
                target = directory / ".git" / "objects" / file.relative_to(objects)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    _link(file, target)
    if cuts:
        known = directory / ".git" / "shallow"
        old = known.read_text(encoding="ascii").split() if known.is_file() else []
        write_bytes(known, "".join(f"{cut}\n" for cut in dict.fromkeys((*old, *cuts))).encode())


def _object_folders(objects: Path) -> list[Path]:
    """Return where a repository has its objects: a clone made with --shared or --reference borrows those of others."""
    found, waiting = [], [objects]
    while waiting:
        folder = waiting.pop()
        if folder in found or not folder.is_dir():
            continue
        found.append(folder)
        borrowed = folder / "info" / "alternates"
        lines = borrowed.read_text(encoding="utf-8").splitlines() if borrowed.is_file() else []
        waiting += [(folder / line).resolve() for line in lines if line and not line.startswith("#")]
    return found


def _link(file: Path, target: Path) -> None:
    fresh = target.with_name(f"tmp_{target.name}")
    fresh.unlink(missing_ok=True)
    try:
        os.link(file, fresh)
    except OSError:
        import shutil

        shutil.copyfile(file, fresh)
    fresh.replace(target)


def _must(done: Completed, action: str, place: Path) -> None:
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action=action, place=place, evidence=last_words(done))
