"""Files on disk: writes that are whole or not at all, and locks that the kernel releases."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdlauncher.core import jsontext
from sdlauncher.errors import SdLauncherError

if sys.platform == "win32":
    from sdlauncher.machine import _windows as _system
else:
    from sdlauncher.machine import _posix as _system


def write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Replace `path` with `data` in one step; a crash or a full disk leaves the old file as it was.

    `mode` sets the permissions, None keeps those of the old file (0644 for a new one). A symbolic link is followed,
    so that a user's linked file stays a link. Raises SDL-FILE-WRITE.
    """
    import tempfile  # costs more than most commands that only read

    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        kept = mode if mode is not None else (target.stat().st_mode & 0o7777 if target.exists() else 0o644)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(kept)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=path, evidence=error) from error


def write_json(path: Path, value: Any, *, mode: int | None = None) -> None:
    """Write `value` as JSON in one step. Raises SDL-FILE-WRITE."""
    # A path that is not UTF-8 has lone surrogates for us; they are escaped as JSON escapes them.
    text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"), mode=mode)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file of ours; None when there is no file or a crash left no valid object in it."""
    try:
        value = jsontext.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def refuse_hidden(path: Path) -> None:
    """Raise SDL-FILE-ACCESS for a file that this user may not read: what it holds is not absent but unknown."""
    try:
        if not path.is_dir():
            os.close(os.open(path, os.O_RDONLY))
    except PermissionError as error:
        raise SdLauncherError("SDL-FILE-ACCESS", path=path, evidence=error) from error
    except OSError:
        return


def read_text(path: Path) -> str | None:
    """Return a small text file of ours; None when there is none or it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@contextlib.contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock for the block, True if we got it, False if another process has it (never waits).

    The kernel releases it when the holder dies, however it dies; the file itself stays.
    """
    with hold(path) as descriptor:
        yield descriptor is not None


@contextlib.contextmanager
def hold(path: Path) -> Iterator[int | None]:
    """Hold an exclusive lock as `lock` does, giving its descriptor: a child that inherits it holds the lock as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor if _system.try_lock(descriptor) else None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def turn(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock for the block, waiting for whoever has it. Where nobody may write, nothing is held."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        _system.wait_lock(descriptor, shared=shared)
        yield
    finally:
        os.close(descriptor)
