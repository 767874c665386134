"""What is installed, as it stands now: commits, changes by hand, and packages against the lock."""

from __future__ import annotations

from dataclasses import dataclass

from sdlauncher.machine.git import read_head
from sdlauncher.setup.adopt import Adopted, inspect
from sdlauncher.setup.extensions import Extension, list_extensions
from sdlauncher.setup.packages import choose_lock, find_differences, read_packages
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import read_pins


@dataclass(frozen=True, slots=True)
class Beside:
    """A repository beside the program: where it stands (None: it is not there) and where it should."""

    folder: str
    commit: str | None
    pinned: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """An installation. `lock` is None where no lock fits the checkout; `differing` are (package, there, should be)."""

    program: Adopted
    release: str
    release_commit: str
    beside: tuple[Beside, ...]
    extensions: tuple[Extension, ...]
    lock: str | None
    packages: int
    differing: tuple[tuple[str, str | None, str], ...]
    channel: str | None
    index: str | None

    @property
    def is_as_released(self) -> bool:
        """Whether it is what the recipe and the lock say, with nothing changed by hand."""
        moved = any(it.commit != it.pinned for it in self.beside)
        return self.program.commit == self.release_commit and not (self.program.changed or moved or self.differing)


def take_inventory(site: Site) -> Inventory:
    """Read what is installed; looks at files and asks git, changes nothing. Raises SDL-NOT-A-CHECKOUT."""
    stamp = site.read_stamp()
    lock = choose_lock(site)
    beside = []
    for repository in read_pins(site):
        head = read_head(site.directory / repository.folder)
        beside.append(Beside(repository.folder, head.commit if head else None, repository.commit))
    return Inventory(
        program=inspect(site.directory),
        release=site.recipe.version,
        release_commit=site.recipe.program.commit,
        beside=tuple(beside),
        extensions=list_extensions(site.directory, site.paths.instance(site.settings.instance)),
        lock=lock.name if lock is not None else None,
        packages=len(read_packages(site)),
        differing=tuple((name, there, wanted) for name, (there, wanted) in find_differences(site).items()),
        channel=stamp.get("torch", {}).get("channel"),
        index=stamp.get("index"),
    )
