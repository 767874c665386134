"""Configuring a checkout: plan for it, and write our block into its webui-user files, or take it out again."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sdlauncher.catalog import load_webui
from sdlauncher.catalog.planning import load_dialect
from sdlauncher.core.assignments import read_yours
from sdlauncher.core.exposure import SECRET_FLAGS
from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.script import Script, find_block, put_block, render_block, take_out_block
from sdlauncher.core.settings import Settings
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.credentials import Credentials, ensure_credentials
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.templates import read_template
from sdlauncher.setup.planning import OWN_VARIABLES, decode, encode, plan_for, read_script

__all__ = ["BACKUP_SUFFIX", "FileChange", "Written", "configure", "plan_for", "undo"]

# What the file was before our block first came into it.
BACKUP_SUFFIX: Final = ".before-sdlauncher"

_SECRET: Final = re.compile(rf"((?:{'|'.join(SECRET_FLAGS)})[= ]+)[^\s\"']+")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One webui-user file before and after; `old` is None for a file that was not there."""

    path: Path
    old: bytes | None
    new: bytes | None

    @property
    def is_change(self) -> bool:
        """Whether the file differs from before."""
        return self.old != self.new

    @property
    def diff(self) -> str:
        """The unified difference, empty if nothing changes; a password in the user's own lines is masked."""
        before, after = (decode(data or b"").splitlines(keepends=True) for data in (self.old, self.new))
        lines = difflib.unified_diff(
            before,
            after,
            "/dev/null" if self.old is None else str(self.path),
            "/dev/null" if self.new is None else str(self.path),
        )
        text = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
        return _SECRET.sub(r"\1***", text)


@dataclass(frozen=True, slots=True)
class Written:
    """What a configuration changed, or would change.

    `refused` says why a script of the other system was left out. `made` are credentials that were made just now: this
    is the one chance to show them.
    """

    files: tuple[FileChange, ...]
    backups: tuple[Path, ...] = ()
    refused: Mapping[Path, SdLauncherError] = field(default_factory=dict)
    made: Credentials | None = None

    @property
    def changed(self) -> tuple[Path, ...]:
        """The files that differ from before."""
        return tuple(change.path for change in self.files if change.is_change)

    @property
    def diff(self) -> str:
        """The unified difference of all files."""
        return "".join(change.diff for change in self.files)


def configure(checkout: Path, plan: LaunchPlan, settings: Settings, *, dry_run: bool = False) -> Written:
    """Write our block into webui-user.sh and webui-user.bat; everything else in them stays byte for byte.

    Keeps what was there before the first time, and makes the credentials that the plan counts on. A plan that one
    system's shell cannot carry is refused there: for this system's own script it raises SDL-VALUE-BASH or
    SDL-VALUE-CMD. Raises SDL-CHECKOUT-ABSENT, SDL-SCRIPT-BLOCK, SDL-SCRIPT-ENCODING, SDL-FILE-READ and SDL-FILE-WRITE.
    """
    if not checkout.is_dir():
        raise SdLauncherError("SDL-CHECKOUT-ABSENT", path=checkout, webui=settings.webui_name)
    changes: list[FileChange] = []
    refused: dict[Path, SdLauncherError] = {}
    for path, script in _scripts(checkout, plan.webui):
        old = read_script(path)
        try:
            yours = read_yours(decode(old or b""), script.shell, OWN_VARIABLES, path.name, os.environ)
            block = render_block(plan, script, yours)
        except SdLauncherError as error:
            if (script.shell == "cmd") == (os.name == "nt"):
                raise
            refused[path] = error
            continue
        changes.append(FileChange(path, old, encode(put_block(decode(old or b""), block, script))))
    made = ensure_credentials(Path(plan.credentials)) if plan.credentials and not dry_run else None
    backups = []
    for change in changes:
        if dry_run or not change.is_change or change.new is None:
            continue
        if change.old is not None and not _has_block(change.old):
            backup = change.path.with_name(change.path.name + BACKUP_SUFFIX)
            write_bytes(backup, change.old)
            backups.append(backup)
        write_bytes(change.path, change.new, mode=0o755 if change.old is None and change.path.suffix == ".sh" else None)
    return Written(tuple(changes), tuple(backups), refused, made)


def undo(checkout: Path, webui: str, *, dry_run: bool = False) -> Written:
    """Take our block out again: files are then what they were before, and those that we made are gone.

    What the user changed since outside the block stays. Raises what `configure` raises.
    """
    changes: list[FileChange] = []
    for path, script in _scripts(checkout, webui):
        old = read_script(path)
        if old is None or not _has_block(old):
            continue
        backup = path.with_name(path.name + BACKUP_SUFFIX)
        kept = read_script(backup)
        rest = encode(take_out_block(decode(old)))
        # A last line without its end got one from us, so that the block could follow.
        if kept is not None and rest in (kept, kept + b"\n", kept + b"\r\n"):
            rest = kept
        new = None if kept is None and rest == encode(script.skeleton) else rest
        changes.append(FileChange(path, old, new))
        if dry_run:
            continue
        if new is None:
            path.unlink()
        else:
            write_bytes(path, new)
            backup.unlink(missing_ok=True)
    return Written(tuple(changes))


def _scripts(checkout: Path, webui: str) -> tuple[tuple[Path, Script], ...]:
    names = load_webui(webui).scripts
    dialect = load_dialect(webui)
    # Forks changed which of the two scripts starts the other; the checkout itself knows best.
    starts_webui = dialect.reversed_scripts
    entry = read_script(checkout / "webui.sh")
    if entry is not None and names.user_posix.encode() in entry:
        starts_webui = False
    own = (dialect.python_variable, dialect.venv_variable)
    return (
        (
            checkout / names.user_posix,
            Script("sh", read_template("webui-user.sh.in"), starts_webui, own),
        ),
        (
            checkout / names.user_windows,
            Script("cmd", read_template("webui-user.bat.in"), False, ("PYTHON", "VENV_DIR") if os.name == "nt" else ()),
        ),
    )


def _has_block(data: bytes) -> bool:
    start, end = find_block(decode(data))
    return start < end
