"""What is examined and what is found: the words that the checks and the doctor share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import InstancePaths


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined. `plan` is None, and `plan_fault` says why, where none can be made.

    `drifted` are the webui-user files that differ from what configuring would write now.
    """

    files: InstancePaths
    settings: Settings
    checkout: Path
    webui: str
    hardware: Hardware
    plan: LaunchPlan | None = None
    plan_fault: SdLauncherError | None = None
    drifted: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something safe that --fix does: the message that says what, and the doing."""

    code: str
    facts: dict[str, object]
    apply: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table: the area, the verdict, and how to cure it without asking, if that is safe."""

    area: str
    verdict: Verdict
    remedy: Remedy | None = None

    @property
    def level(self) -> Level:
        """How bad it is."""
        return self.verdict.level

    def describe(self, language: str = "en") -> tuple[str, str]:
        """Render the evidence, and what to do about it."""
        text = SdLauncherError(self.verdict.code, **self.verdict.facts).describe(language)
        return text.sentence, text.hint


Check = Callable[[Patient], Iterable[Finding]]


def finding(area: str, code: str, level: Level, remedy: Remedy | None = None, /, **facts: object) -> Finding:
    """Make one finding of a message and its facts."""
    return Finding(area, Verdict(code, level, facts), remedy)
