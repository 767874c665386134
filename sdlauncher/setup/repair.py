"""Repairing an installation: what is wrong with it as far as installing can cure it, and the smallest cure for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sdlauncher.core.snapshot import USERS_OWN
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.git import clear_leftovers, git, list_changes, read_head
from sdlauncher.machine.python import find_torn, read_environment
from sdlauncher.setup.checkout import UNFINISHED
from sdlauncher.setup.environment import environment_steps, is_foreign
from sdlauncher.setup.install import alone
from sdlauncher.setup.packages import find_differences, install_exactly, read_wanted
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import bring, checkout_step, is_checked_out, read_pins, repositories_step
from sdlauncher.setup.steps import perform

_MOST_NAMES: Final = 6


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that is wrong, and what puts it right."""

    finding: Verdict
    cure: Callable[[], None]


def examine(site: Site) -> tuple[Repair, ...]:
    """Find what is wrong, the smallest cure first. Looks at files and asks git; changes nothing."""
    if not is_checked_out(site):
        return (_of("SDL-REPAIR-CHECKOUT", lambda: _install(site), path=site.directory),)
    found: list[Repair] = []
    found += _leftovers(site)
    found += _lost_files(site)
    found += _repositories(site)
    if not is_foreign(site):
        found += _environment(site)
    return tuple(found)


def repair(site: Site) -> tuple[Verdict, ...]:
    """Cure everything that was found and return it; what is fine is left alone.

    Never touches models, pictures, settings, extensions, or program files that were changed by hand. Raises what the
    cures raise.
    """
    with alone(site):
        done = []
        for each in examine(site):
            site.say("repair", text=_sentence(each.finding))
            each.cure()
            done.append(each.finding)
        return tuple(done)


def _leftovers(site: Site) -> list[Repair]:
    folders = [site.directory, *(site.directory / it.folder for it in read_pins(site))]
    stuck = [folder for folder in folders if (folder / ".git" / "index.lock").exists()]
    return [_of("SDL-REPAIR-LEFTOVER", partial(clear_leftovers, folder), path=folder) for folder in stuck]


def _lost_files(site: Site) -> list[Repair]:
    if read_head(site.directory) is None:
        return []
    lost = [name for name in git(site.directory, "ls-files", "--deleted", "-z").stdout.split("\0") if name]
    # A file that a full disk or a crash left empty holds nothing of anybody's.
    emptied = (name for name in list_changes(site.directory) if name not in USERS_OWN)
    lost += [name for name in emptied if (file := site.directory / name).is_file() and not file.stat().st_size]
    if not lost:
        return []

    def cure() -> None:
        for start in range(0, len(lost), 200):
            git(site.directory, "checkout", "--quiet", "--", *lost[start : start + 200], timeout=600)

    return [_of("SDL-REPAIR-FILES", cure, count=len(lost), names=_shortened(lost))]


def _repositories(site: Site) -> list[Repair]:
    wrong = []
    for repository in read_pins(site):
        head = read_head(site.directory / repository.folder)
        if head is None or head.commit != repository.commit:
            wrong.append(repository)

    def cure() -> None:
        for repository in wrong:
            bring(site, repository, site.directory / repository.folder)

    names = _shortened([repository.folder for repository in wrong])
    return [_of("SDL-REPAIR-REPOSITORIES", cure, names=names)] if wrong else []


def _environment(site: Site) -> list[Repair]:
    if read_environment(site.venv) is None or not site.stamp.exists():
        return [_of("SDL-REPAIR-ENVIRONMENT", lambda: _install(site), path=site.venv)]
    differing, wanted = find_differences(site), read_wanted(site)
    wrong = {name: version for name, (_, version) in differing.items()}
    found = []
    if differing:
        told = [f"{name} {there or '-'} -> {version}" for name, (there, version) in differing.items()]
        found.append(_of("SDL-REPAIR-PACKAGES", lambda: install_exactly(site, wrong), names=_shortened(told)))
    torn = {name: wanted[name] for name in find_torn(site.venv, wanted) if name not in wrong}
    if torn:
        found.append(_of("SDL-REPAIR-TORN", lambda: install_exactly(site, torn, again=True), names=_shortened([*torn])))
    unfinished = [step.name for step in environment_steps(site) if not step.is_done()]
    if unfinished:
        found.append(_of("SDL-REPAIR-STEPS", lambda: _install(site), names=", ".join(unfinished)))
    return found


def _install(site: Site) -> None:
    steps = [checkout_step(site), repositories_step(site, lenient=False), *environment_steps(site)]
    for step in steps:
        perform(step, dry_run=False, say=site.say)
    (site.directory / UNFINISHED).unlink(missing_ok=True)


def _of(code: str, cure: Callable[[], None], **facts: object) -> Repair:
    return Repair(Verdict(code, Level.ERROR, facts), cure)


def _shortened(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _sentence(finding: Verdict) -> str:
    return re.sub(r"\s+", " ", str(SdLauncherError(finding.code, **finding.facts)))
