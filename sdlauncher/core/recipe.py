"""What a WebUI's checkout is made of: the marks it is recognised by, and the parts an installation puts together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_LINK: Final = re.compile(r"^160000 commit ([0-9a-f]{40})\t(.+)$", re.MULTILINE)
_PIN: Final = re.compile(r"""environ\.get\(['"](\w+?)_(?:COMMIT_)?HASH['"], ['"]([0-9a-f]{40})['"]\)""")


class VersionLine(NamedTuple):
    """Where a checkout tells its version: a file and a regular expression with a group `version`."""

    file: str
    line: str


class Marks(NamedTuple):
    """How a checkout of one WebUI is told from the others: files it has, files it has not, lines its files say."""

    webui: str
    files: tuple[str, ...]
    without: tuple[str, ...] = ()
    says: Mapping[str, str] | None = None
    version: VersionLine | None = None


class Repository(NamedTuple):
    """A git repository at a pinned commit. `skip` are sparse-checkout patterns of what no WebUI ever reads.

    The pin of a `submodule` is what the checkout's own tree says.
    """

    folder: str
    url: str
    commit: str
    variable: str = ""
    branch: str = ""
    tag: str = ""
    skip: tuple[str, ...] = ()
    submodule: bool = False


class Recipe(NamedTuple):
    """How one release of a WebUI is installed: Pythons best first, `proof` the modules that must import.

    `packages` are Python packages that come from a repository at a commit rather than from the index; their `folder`
    is the package's name. `extra` are packages that no requirements file names, `override` requirements that stand in
    for what other packages ask for; a lock has both in it. `drop` are words of requirements that `extra` stands in for,
    `requirements_variable` is the one by which the WebUI's own check is told of another requirements file. `origin` is
    the folder that the recipe was read from; its locks lie beside it.
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
    packages: tuple[Repository, ...] = ()
    extra: tuple[str, ...] = ()
    override: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    requirements_variable: str = ""
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


def parse_hashes(text: str) -> dict[str, frozenset[str]]:
    """Return the SHA-256 of the files that a lock allows, by normalised name of the package."""
    found: dict[str, frozenset[str]] = {}
    for block in re.split(r"\n(?=[^\s#])", text):
        name, separator, rest = block.partition("==")
        if separator:
            found[name.strip().lower()] = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
    return found


def choose_overrides(recipe: Recipe, requirements: str) -> tuple[str, ...]:
    """Return the recipe's overrides, each as the checkout's own requirements file has it if that names the package."""
    own = {name_of(line): line.split(" #")[0].strip() for line in requirements.splitlines() if line[:1].isalnum()}
    return tuple(own.get(name_of(line), line) for line in recipe.override)


def restate(recipe: Recipe, requirements: str) -> str:
    """Return a checkout's requirements as its own check at each start can find them met by what we installed."""
    lines = [line for line in requirements.splitlines() if line[:1].isalnum()]
    kept = [line for line in lines if not any(word in line for word in recipe.drop)]
    instead = [line for line in recipe.extra if "==" in line] if len(kept) < len(lines) else []
    return "".join(f"{line}\n" for line in [*kept, *instead])


def name_of(requirement: str) -> str:
    """Return the normalised name of the package that a requirement is about."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def follow_pins(recipe: Recipe, launch_utils: str, tree: str = "") -> tuple[Repository, ...]:
    """Return the recipe's repositories with the commits that the checkout itself asks for.

    It asks in its modules/launch_utils.py and, for submodules, in its `tree` as `git ls-tree` prints it. Another
    release than the recipe's may pin others; what neither tells stays as the recipe has it.
    """
    asked = dict(_PIN.findall(launch_utils))
    links = {folder: commit for commit, folder in _LINK.findall(tree)}
    return tuple(
        repository._replace(
            commit=links.get(repository.folder, repository.commit)
            if repository.submodule
            else asked.get(repository.variable, repository.commit),
        )
        for repository in recipe.repositories
    )
