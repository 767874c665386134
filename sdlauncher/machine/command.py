"""Other programs: the one wrapper over subprocess for commands that are run to their end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdlauncher.errors import SdLauncherError


@dataclass(frozen=True, slots=True)
class Completed:
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
        raise SdLauncherError("SDL-COMMAND-MISSING", program=words[0], evidence=error.strerror or str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise SdLauncherError("SDL-COMMAND-TIMEOUT", command=" ".join(words), seconds=f"{timeout:g}") from error
    return Completed(words, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
