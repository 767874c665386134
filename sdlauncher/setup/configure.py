"""Configuring a checkout: plan for it, and write our block into its webui-user files, or take it out again."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sdlauncher.catalog import load_webui
from sdlauncher.catalog.planning import load_dialect, load_tables
from sdlauncher.core.assignments import read_yours
from sdlauncher.core.exposure import SECRET_FLAGS
from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import Flag, LaunchPlan, Reason
from sdlauncher.core.plan import make_plan
from sdlauncher.core.script import Script, find_block, put_block, render_block, take_out_block
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.core.wishes import NOTHING_YOURS, Yours
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.credentials import Credentials, ensure_credentials
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.paths import Paths, locate_paths
from sdlauncher.machine.python import environment_python
from sdlauncher.machine.templates import read_template
from sdlauncher.setup.checkout_flags import check_flags

# What the file was before our block first came into it.
BACKUP_SUFFIX: Final = ".before-sdlauncher"

_SECRET: Final = re.compile(rf"((?:{'|'.join(SECRET_FLAGS)})[= ]+)[^\s\"']+")

# Variables that a plan may set; in a user's own lines they are that user's wishes.
_NAMES: Final = frozenset({
    "TORCH_COMMAND", "XFORMERS_PACKAGE", "TORCH_INDEX_URL", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "STABLE_DIFFUSION_REPO", "GIT_TERMINAL_PROMPT", "NO_PROXY",
    "no_proxy", "python_cmd", "venv_dir", "PYTHON", "VENV_DIR", "HF_ENDPOINT", "INDEX_URL", "LAUNCH_SCRIPT",
})  # fmt: skip


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
        before, after = (_decode(data or b"").splitlines(keepends=True) for data in (self.old, self.new))
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


def plan_for(
    hardware: Hardware,
    settings: Settings,
    *,
    checkout: Path | None = None,
    environment: Mapping[str, str] | None = None,
    paths: Paths | None = None,
    force: bool = False,
) -> LaunchPlan:
    """Plan for an instance on some hardware, with what the user's own lines in `checkout` say.

    With a checkout, its parsers have the last word: of our flags those that it would not take are left out, and one
    of the user's raises SDL-FLAGS-REFUSED unless `force`. `environment` is what the WebUI would inherit, by default
    ours. Raises what `make_plan` raises.
    """
    inherited = os.environ if environment is None else environment
    webui = load_webui(settings.webui_name)
    yours = NOTHING_YOURS
    if checkout is not None:
        yours = read_own_lines(checkout, settings.webui_name, hardware.host.system, inherited)
        settings = _name_python(settings, checkout, yours)
    files = (paths or locate_paths()).instance(settings.instance)
    # The WebUI splits its arguments as POSIX does, where a backslash would vanish.
    credentials = files.credentials.as_posix()
    tables = load_tables(settings.webui_name)
    plan = make_plan(hardware, settings, webui, tables, yours=yours, environment=inherited, credentials=credentials)
    if checkout is None:
        return plan
    return _fit_to_checkout(plan, checkout, force=force or "IGNORE_CMD_ARGS_ERRORS" in inherited)


def _name_python(settings: Settings, checkout: Path, yours: Yours) -> Settings:
    """Name the environment's own Python unless the user named one.

    webui.sh tries `python3.10` before it enters the environment, and gives up when that is a pyenv shim that fails.
    """
    python = environment_python(checkout / "venv")
    theirs = {"python_cmd", "PYTHON"}.intersection((*yours.env, *yours.opaque))
    if settings.python is not None or theirs or not python.exists():
        return settings
    return replace(settings, python=str(python), places={**settings.places, "python": str(checkout / "venv")})


def _fit_to_checkout(plan: LaunchPlan, checkout: Path, *, force: bool) -> LaunchPlan:
    answers = {check.flag: check for check in check_flags(plan.arguments, checkout=checkout, webui=plan.webui)}
    kept: list[Flag] = []
    left_out: list[Flag] = []
    warnings: list[Verdict] = []
    for flag in plan.flags:
        check = answers.get(flag.name) or next((answers[word] for word in flag.argv if word in answers), None)
        if check is None or not check.is_fatal:
            kept.append(flag)
        elif not flag.is_users:
            left_out.append(Flag(flag.text, Reason("SDL-FLAG-NOT-IN-CHECKOUT", {"flag": flag.name})))
        elif force:
            kept.append(flag)
            warnings.append(Verdict("SDL-FLAG-WOULD-FAIL", Level.WARNING, {"flag": flag.name}))
        else:
            remedy = check.suggestion or "-"
            raise SdLauncherError("SDL-FLAGS-REFUSED", flag=flag.name, webui=plan.webui, instead=remedy)
    if not left_out and not warnings:
        return plan
    return replace(plan, flags=tuple(kept), dropped=(*plan.dropped, *left_out), warnings=(*plan.warnings, *warnings))


def read_own_lines(checkout: Path, webui: str, system: str, environment: Mapping[str, str]) -> Yours:
    """Understand what the user's own lines of the checkout's script for `system` set.

    Raises SDL-FILE-READ, SDL-SCRIPT-ENCODING and SDL-SCRIPT-BLOCK.
    """
    scripts = load_webui(webui).scripts
    name = scripts.user_windows if system == "windows" else scripts.user_posix
    data = _read(checkout / name)
    if data is None:
        return NOTHING_YOURS
    shell = "cmd" if system == "windows" else "sh"
    return read_yours(_decode(data), shell, _NAMES, name, environment)


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
        old = _read(path)
        try:
            yours = read_yours(_decode(old or b""), script.shell, _NAMES, path.name, os.environ)
            block = render_block(plan, script, yours)
        except SdLauncherError as error:
            if (script.shell == "cmd") == (os.name == "nt"):
                raise
            refused[path] = error
            continue
        changes.append(FileChange(path, old, _encode(put_block(_decode(old or b""), block, script))))
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
        old = _read(path)
        if old is None or not _has_block(old):
            continue
        backup = path.with_name(path.name + BACKUP_SUFFIX)
        kept = _read(backup)
        rest = _encode(take_out_block(_decode(old)))
        # A last line without its end got one from us, so that the block could follow.
        if kept is not None and rest in (kept, kept + b"\n", kept + b"\r\n"):
            rest = kept
        new = None if kept is None and rest == _encode(script.skeleton) else rest
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
    entry = _read(checkout / "webui.sh")
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
    start, end = find_block(_decode(data))
    return start < end


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=path, evidence=error.strerror or str(error)) from error
    for mark, encoding in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")):
        if data.startswith(mark) or b"\0" in data:
            raise SdLauncherError("SDL-SCRIPT-ENCODING", path=path, encoding=encoding)
    return data


def _decode(data: bytes) -> str:
    """Read bytes as text that gives exactly these bytes back, whatever their encoding."""
    return data.decode("utf-8", errors="surrogateescape")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")
