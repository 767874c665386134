"""User and password of an instance that others can reach: made, kept in a file that only its owner reads, read back."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import write_bytes

# The WebUI splits at `:` and `,`; quotes, spaces and percent signs do not survive bash and cmd as plain words.
_FORM: Final = re.compile(r"[^\s:,\"'%&|<>^()!`$\\;*?\x00-\x1f]+:[^\s:,\"'%&|<>^()!`$\\;*?\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One user and the password, which never shows in a representation."""

    user: str
    password: str = field(repr=False)

    @property
    def words(self) -> str:
        """The form that the WebUI takes: `user:password`."""
        return f"{self.user}:{self.password}"


def make_credentials() -> Credentials:
    """Make a user and a password of 119 bits from letters and digits, which no shell can mistake."""
    return Credentials("sd", "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20)))


def parse_credentials(words: str, flag: str) -> Credentials:
    """Read `user:password`. Raises SDL-CREDENTIALS-FORM, without the words, for what would not survive."""
    if not _FORM.fullmatch(words):
        raise SdLauncherError("SDL-CREDENTIALS-FORM", flag=flag)
    user, _, password = words.partition(":")
    return Credentials(user, password)


def read_credentials(file: Path) -> Credentials | None:
    """Return what `file` holds, None if there is no file. Raises SDL-FILE-READ and SDL-CREDENTIALS-FORM."""
    try:
        words = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
    return parse_credentials(words, str(file))


def write_credentials(file: Path, credentials: Credentials) -> None:
    """Keep credentials in `file`, readable by its owner alone. Raises SDL-FILE-WRITE."""
    write_bytes(file, f"{credentials.words}\n".encode(), mode=0o600)


def ensure_credentials(file: Path) -> Credentials | None:
    """Make credentials unless `file` holds some; return those that were made just now, to be shown this once.

    Raises SDL-FILE-READ, SDL-FILE-WRITE and SDL-CREDENTIALS-FORM.
    """
    if read_credentials(file) is not None:
        return None
    made = make_credentials()
    write_credentials(file, made)
    return made
