"""The place where an installation works: directory, recipe, sources, cures and log, and how commands run there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from sdlauncher.core.advisories import Cures
from sdlauncher.core.mirrors import Mirrors
from sdlauncher.core.recipe import Recipe
from sdlauncher.core.settings import Settings
from sdlauncher.machine.command import Completed, follow
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.machine.git import quiet_environment
from sdlauncher.machine.paths import Paths

if TYPE_CHECKING:  # most sites have no bundle, and never ask what hardware there is
    from sdlauncher.core.bundle import Manifest
    from sdlauncher.core.hardware import Hardware

STAMP: Final = ".sdlauncher.json"
_HALF_A_DAY = 12 * 3600.0


class Say(Protocol):
    """Writes one sentence of progress, the message `say.<name>`."""

    def __call__(self, name: str, /, **facts: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Site:
    """What every step of one installation knows."""

    paths: Paths
    settings: Settings
    hardware: Callable[[], Hardware]
    directory: Path
    recipe: Recipe
    mirrors: Mirrors
    cures: Cures
    log: Path
    say: Say
    ref: str | None = None
    offline: bool = False
    bundle: Manifest | None = None
    keep_open: list[int] = field(default_factory=list)

    @property
    def venv(self) -> Path:
        """The environment, where webui.sh looks for it."""
        return self.directory / "venv"

    @property
    def stamp(self) -> Path:
        """What we installed into the environment; it goes when the environment goes."""
        return self.venv / STAMP

    def read_stamp(self) -> dict[str, Any]:
        """Return what we installed; empty for an environment that is not there or not ours."""
        return read_json(self.stamp) or {}

    def add_to_stamp(self, **facts: object) -> None:
        """Record that something is whole. Raises SDL-FILE-WRITE."""
        write_json(self.stamp, {**self.read_stamp(), **facts})

    def follow(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = _HALF_A_DAY
    ) -> Completed:
        """Run a long command, its words in the log and its milestones told."""
        return follow(
            argv,
            log=self.log,
            on_line=self._tell,
            timeout=timeout,
            cwd=self.directory if self.directory.is_dir() else None,
            env=quiet_environment() if env is None else env,
            keep_open=self.keep_open,
        )

    def _tell(self, line: str) -> None:
        text = line.strip()
        # uv names the packages that take long by themselves; everything else is for the log.
        if text.startswith(("Downloading ", "Building ")):
            self.say("install-line", text=text)
