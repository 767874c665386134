"""One commit of a git repository as a small repository of its own: files without history, to keep or to carry."""

from __future__ import annotations

import shutil
from pathlib import Path

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import run
from sdlauncher.machine.git import command_line, git, last_words, quiet_environment


def pack_commit(repository: Path, commit: str, target: Path, *, tag: str = "") -> None:
    """Write a bare repository that holds just one commit (and its tag); `target` is whole or not there.

    Objects that a partial copy lacks are left out. Raises SDL-GIT-FAILED and SDL-FILE-WRITE.
    """
    fresh = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "objects" / "pack").mkdir(parents=True)
        (fresh / "refs").mkdir()
        names = _list_objects(repository, commit)
        references = ""
        if tag and (found := git(repository, "rev-parse", "--quiet", "--verify", f"refs/tags/{tag}")).ok:
            names.append(found.stdout.strip())
            references = f"{names[-1]} refs/tags/{tag}\n"
        _pack(repository, names, fresh / "objects" / "pack" / "pack")
        (fresh / "HEAD").write_text(f"{commit}\n", encoding="ascii")
        (fresh / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n", encoding="ascii")
        (fresh / "packed-refs").write_text(references, encoding="utf-8")
        # Says that the parents of the commit are meant not to be here.
        (fresh / "shallow").write_text(f"{commit}\n", encoding="ascii")
        shutil.rmtree(target, ignore_errors=True)
        fresh.replace(target)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _list_objects(repository: Path, commit: str) -> list[str]:
    words = ("rev-list", "--objects", "--no-object-names", "--missing=allow-any", "--max-count=1", commit)
    done = git(repository, *words, timeout=600)
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="list", place=repository, evidence=last_words(done))
    return done.stdout.split()


def _pack(repository: Path, names: list[str], target: Path) -> None:
    done = run(
        [*command_line(repository), "pack-objects", "--quiet", "--delta-base-offset", str(target)],
        timeout=1800,
        env=quiet_environment(),
        stdin="".join(f"{name}\n" for name in names),
    )
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="pack", place=repository, evidence=last_words(done))
