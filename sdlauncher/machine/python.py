"""Python interpreters and virtual environments, read from their files where that is enough."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIST_INFO: Final = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment: its interpreter, that interpreter's version, and the packages in it by normalised name."""

    root: Path
    python: Path
    version: str
    packages: dict[str, str]


def environment_python(root: Path) -> Path:
    """Return where the interpreter of a virtual environment lies on this system or, if made there, on the other."""
    windows, posix = root / "Scripts" / "python.exe", root / "bin" / "python"
    return windows if windows.exists() else posix


def read_environment(root: Path) -> Environment | None:
    """Return what a virtual environment is, from its files; None if there is none or its interpreter is gone."""
    try:
        config = (root / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    python = environment_python(root)
    if not python.exists():
        return None
    keys = dict(_key_and_value(line) for line in config.splitlines() if "=" in line)
    version = keys.get("version_info") or keys.get("version") or ""
    return Environment(root, python, version, _packages(root))


def normalise(name: str) -> str:
    """Return a package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _key_and_value(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip().lower(), value.strip()


def _packages(root: Path) -> dict[str, str]:
    folders = [*root.glob("lib/python3*/site-packages"), *root.glob("Lib/site-packages")]
    found: dict[str, str] = {}
    for folder in folders:
        for entry in folder.iterdir():
            if match := _DIST_INFO.fullmatch(entry.name):
                found[normalise(match["name"])] = match["version"]
    return found
