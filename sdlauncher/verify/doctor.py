"""Doctor: every check of an instance and its machine, side by side, each finding with its evidence and remedy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.verify.examine_checkout import CHECKS as CHECKOUT
from sdlauncher.verify.examine_environment import CHECKS as ENVIRONMENT
from sdlauncher.verify.examine_machine import CHECKS as MACHINE
from sdlauncher.verify.finding import Check, Finding, Patient, finding

ALL: Final = (*MACHINE, *CHECKOUT, *ENVIRONMENT)
_WORST_FIRST: Final = (Level.ERROR, Level.WARNING, Level.INFO, Level.OK)


def examine(patient: Patient, checks: Sequence[tuple[str, Check]] = ALL) -> tuple[Finding, ...]:
    """Run all checks side by side and return what they found, in the order of the checks.

    A check that breaks is a finding itself and stops no other.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(checks)), thread_name_prefix="doctor") as pool:
        found = list(pool.map(lambda row: _run(row[0], row[1], patient), checks))
    return tuple(one for some in found for one in some)


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level among findings; ok when there are none."""
    levels = {one.level for one in findings}
    return next((level for level in _WORST_FIRST if level in levels), Level.OK)


def _run(area: str, check: Check, patient: Patient) -> list[Finding]:
    try:
        return list(check(patient))
    except SdLauncherError as error:
        return [Finding(area, Verdict(error.code, Level.ERROR, error.facts))]
    except Exception as error:  # noqa: BLE001  one broken check must not cost the others
        evidence = f"{type(error).__name__}: {error}"
        return [finding(area, "SDL-DOCTOR-BROKEN", Level.WARNING, area=area, evidence=evidence)]
