"""Other programs: the one wrapper over subprocess for commands that are run to their end.

What it wraps is imported when something is run: most that could run a program finds that it need not.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sdlauncher.errors import SdLauncherError


class Completed(NamedTuple):
    """How a command ended. `stdout` and `stderr` are decoded with replacement, never a UnicodeError."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it returned 0."""
        return self.returncode == 0


def find(program: str) -> Path | None:
    """Return the absolute path of `program` on PATH, or None. A match in the working directory does not count."""
    import shutil

    found = shutil.which(program)
    if found is None:
        return None
    path = Path(found).absolute()
    return None if path.parent == Path.cwd() and not Path(program).is_absolute() else path


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> Completed:
    """Run a command to its end and return how it ended; a non-zero status is a value.

    `timeout` in seconds. `env` is the whole environment, None for ours. Raises SDL-COMMAND-MISSING when the program
    is not there or may not be run, SDL-COMMAND-TIMEOUT when it takes longer (it is killed).
    """
    import subprocess

    words = tuple(os.fspath(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=None if env is None else dict(env),
            input=b"" if stdin is None else stdin.encode(),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise SdLauncherError("SDL-COMMAND-MISSING", program=words[0], evidence=error) from error
    except subprocess.TimeoutExpired as error:
        raise SdLauncherError("SDL-COMMAND-TIMEOUT", command=" ".join(words), seconds=f"{timeout:g}") from error
    return Completed(words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def follow(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    on_line: Callable[[str], None],
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> Completed:
    """Run a long command to its end, appending what it says to `log` and handing on every line as it comes.

    Both streams are read as one; the result holds the last 64 KiB in `stdout`. `keep_open` are descriptors that the
    command and its children keep (a lock that they thereby hold for as long as they live). `timeout` in seconds.
    Raises SDL-COMMAND-MISSING, SDL-COMMAND-TIMEOUT (the command is killed), SDL-FILE-WRITE when the log cannot be.
    """
    import subprocess

    words = tuple(os.fspath(word) for word in argv)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        record = log.open("ab")
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=log, evidence=error) from error
    with record:
        try:
            child = subprocess.Popen(
                words,
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=() if sys.platform == "win32" else tuple(keep_open),
            )
        except (FileNotFoundError, PermissionError) as error:
            raise SdLauncherError("SDL-COMMAND-MISSING", program=words[0], evidence=error) from error
        late = threading.Timer(timeout, child.kill)
        late.start()
        tail: list[bytes] = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                record.write(line)
                record.flush()
                tail.append(line)
                del tail[:-400]
                on_line(line.decode(errors="replace").rstrip())
            returncode = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            expired = not late.is_alive()
            late.cancel()
    if expired:
        raise SdLauncherError("SDL-COMMAND-TIMEOUT", command=" ".join(words), seconds=f"{timeout:g}")
    return Completed(words, returncode, b"".join(tail).decode(errors="replace"), "")
