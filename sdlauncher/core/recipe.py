"""What a WebUI's checkout is made of: the marks it is recognised by, and the parts an installation puts together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

_PIN: Final = re.compile(r"""environ\.get\(['"](\w+?)_(?:COMMIT_)?HASH['"], ['"]([0-9a-f]{40})['"]\)""")


@dataclass(frozen=True, slots=True)
class VersionLine:
    """Where a checkout tells its version: a file and a regular expression with a group `version`."""

    file: str
    line: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How a checkout of one WebUI is told from the others: files it has, files it has not, lines its files say."""

    webui: str
    files: tuple[str, ...]
    without: tuple[str, ...] = ()
    says: Mapping[str, str] | None = None
    version: VersionLine | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository at a pinned commit. `skip` are sparse-checkout patterns of what no WebUI ever reads."""

    folder: str
    url: str
    commit: str
    variable: str = ""
    branch: str = ""
    tag: str = ""
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one release of a WebUI is installed: Pythons best first, `proof` the modules that must import.

    `origin` is the folder that the recipe was read from; its locks lie beside it.
    """

    webui: str
    version: str
    program: Repository
    repositories: tuple[Repository, ...]
    pythons: tuple[str, ...]
    lock: str
    requirements: str
    proof: tuple[str, ...]
    disk_gib: float
    folders: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    origin: str = ""


def lock_name(recipe: Recipe, python: str, system: str) -> str:
    """Return the name of the lock of a recipe for a Python (`3.10`) and a system (`linux`, `windows`)."""
    return f"{recipe.lock}-py{python.replace('.', '')}-{system}.txt"


def parse_lock(text: str) -> dict[str, str]:
    """Return the packages of a lock by normalised name; comments and hashes are passed over."""
    pinned: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, rest = line.partition("==")
        if separator and not line.startswith((" ", "#")):
            pinned[name.strip().lower()] = rest.split(" ")[0].rstrip("\\").strip()
    return pinned


def follow_pins(recipe: Recipe, launch_utils: str) -> tuple[Repository, ...]:
    """Return the recipe's repositories with the commits that the checkout's own modules/launch_utils.py asks for.

    Another release than the recipe's may pin others; what its text does not tell stays as the recipe has it.
    """
    asked = dict(_PIN.findall(launch_utils))
    return tuple(
        replace(repository, commit=asked.get(repository.variable, repository.commit))
        for repository in recipe.repositories
    )
