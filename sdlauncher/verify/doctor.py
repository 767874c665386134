"""Doctor: every check of an instance and its machine, side by side, each finding with its evidence and remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import InstancePaths

_WORST_FIRST: Final = (Level.ERROR, Level.WARNING, Level.INFO, Level.OK)


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


def examine(patient: Patient, checks: Sequence[tuple[str, Check]] | None = None) -> tuple[Finding, ...]:
    """Run all checks side by side and return what they found, in the order of the checks.

    A check that breaks is a finding itself and stops no other.
    """
    todo = list(checks if checks is not None else all_checks())
    with ThreadPoolExecutor(max_workers=max(1, len(todo)), thread_name_prefix="doctor") as pool:
        found = list(pool.map(lambda row: _run(row[0], row[1], patient), todo))
    return tuple(one for some in found for one in some)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level among findings; ok when there are none."""
    levels = {one.level for one in findings}
    return next((level for level in _WORST_FIRST if level in levels), Level.OK)


def all_checks() -> tuple[tuple[str, Check], ...]:
    """Return every check with its area, in the order of the report."""
    from sdlauncher.verify import examine_checkout, examine_environment, examine_machine

    return (*examine_machine.CHECKS, *examine_checkout.CHECKS, *examine_environment.CHECKS)


def _run(area: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        return list(check(patient))
    except SdLauncherError as error:
        return [Finding(area, Verdict(error.code, Level.ERROR, error.facts))]
    except Exception as error:  # noqa: BLE001  one broken check must not cost the others
        evidence = f"{type(error).__name__}: {error}"
        return [finding(area, "SDL-DOCTOR-BROKEN", Level.WARNING, area=area, evidence=evidence)]
