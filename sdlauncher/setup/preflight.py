"""What an installation will need of the machine and the network, looked at before anything is fetched, all at once."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from sdlauncher.core.hardware import GIB
from sdlauncher.core.recipe import Repository
from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import find
from sdlauncher.machine.git import git, last_words
from sdlauncher.messages import choose_language
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import sources_of

_MEMORY_WISH: Final = 12 * GIB
_PATIENCE: Final = 15.0
_HOST_TROUBLE: Final = re.compile(r"Could not resolve host: \S+|Failed to connect to \S+")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was seen. `found` stands against the installation (errors) or may hinder the WebUI later (warnings).

    `indexes` are those of the package indexes that answer, `silent` what the others said.
    """

    found: tuple[Verdict, ...]
    indexes: tuple[str, ...]
    silent: Mapping[str, str]


def look_ahead(site: Site, *, wanted: tuple[Repository, ...], packages: bool) -> Outlook:
    """Look at everything at once.

    `wanted` are the repositories still to be fetched; `packages` tells whether Python packages are. Network questions
    are asked at the same time; each is given up after 15 s.
    """
    found: list[Verdict] = [*_machine(site, packages=packages)]
    silent: dict[str, str] = {}
    if site.offline:
        from sdlauncher.setup.offline import find_missing

        missing = find_missing(site, wanted, packages=packages)
        if missing:
            facts = {"names": "; ".join(missing), "webui": site.recipe.webui}
            found.append(Verdict("SDL-OFFLINE-MISSING", Level.ERROR, facts))
    else:
        found += _network(site, wanted, silent, packages=packages)
    indexes = tuple(index for index in site.mirrors.packages if index not in silent)
    return Outlook(tuple(found), indexes, silent)


def refuse(found: tuple[Verdict, ...]) -> None:
    """Raise SDL-PREFLIGHT with every error at once, if there is one."""
    errors = [SdLauncherError(verdict.code, **verdict.facts) for verdict in found if verdict.level is Level.ERROR]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        texts = [error.describe(choose_language(os.environ)) for error in errors]
        evidence = "; ".join(text.sentence for text in texts)
        remedy = "; ".join(dict.fromkeys(text.hint for text in texts))
        raise SdLauncherError("SDL-PREFLIGHT", count=len(errors), evidence=evidence, remedy=remedy)


def _machine(site: Site, *, packages: bool) -> list[Verdict]:
    found: list[Verdict] = []
    if find("git") is None:
        found.append(Verdict("SDL-GIT-MISSING", Level.ERROR))
    folder = _existing(site.directory)
    for place in dict.fromkeys((folder, _existing(site.paths.cache), _existing(site.log.parent))):
        if not place.is_dir():
            found.append(Verdict("SDL-FILE-WRITE", Level.ERROR, {"path": place, "evidence": "it is a file"}))
        elif not os.access(place, os.W_OK | os.X_OK):
            found.append(Verdict("SDL-FILE-WRITE", Level.ERROR, {"path": place, "evidence": "no permission to write"}))
    if packages:
        found += _disk(site, folder)
    memory = site.hardware().host.memory_total
    if memory < _MEMORY_WISH:
        found.append(Verdict("SDL-PRE-MEMORY", Level.WARNING, {"gib": f"{memory / GIB:.1f}"}))
    if sys.platform == "linux":
        missing = [name for name in site.recipe.libraries if not _loads(name)]
        if missing:
            found.append(Verdict("SDL-PRE-LIBRARY", Level.WARNING, {"names": ", ".join(missing)}))
    return found


def _disk(site: Site, folder: Path) -> list[Verdict]:
    # The downloads stay in the cache, a third of the whole; hard links make the environment out of them for nothing
    # where both lie on one disk.
    cache = _existing(site.paths.cache)
    need = site.recipe.disk_gib * GIB
    if cache.stat().st_dev == folder.stat().st_dev:
        shares = [(folder, need)]
    else:
        shares = [(folder, need * 0.65), (cache, need * 0.35)]
    return [
        Verdict("SDL-DISK-FULL", Level.ERROR, {"path": place, "free": f"{free:.1f}", "need": f"{share / GIB:.1f}"})
        for place, share in shares
        if (free := shutil.disk_usage(place).free / GIB) < share / GIB
    ]


def _network(site: Site, wanted: tuple[Repository, ...], silent: dict[str, str], *, packages: bool) -> list[Verdict]:
    found: list[Verdict] = []
    unreachable: dict[str, list[str]] = {}

    def ask_git(repository: Repository) -> None:
        answers = []
        for source in sources_of(site, repository):
            evidence = _git_answer(source)
            if evidence is None:
                return
            answers.append(f"{source}: {evidence}")
        what = repository.url.removesuffix(".git").rsplit("/", 1)[-1]
        unreachable.setdefault(_host_trouble(answers) or "; ".join(answers), []).append(what)

    def ask_index(index: str) -> None:
        from sdlauncher.machine.download import probe

        if not index.startswith("http"):
            return
        evidence = probe(f"{index.rstrip('/')}/pip/", timeout=_PATIENCE)
        # An index of one's own packages need not have pip; that it says so is an answer.
        if evidence is not None and (evidence != "HTTP 404" or index == site.mirrors.packages[0]):
            silent[index] = evidence

    questions: list[Callable[[], None]] = [partial(ask_git, repository) for repository in wanted]
    if packages:
        questions += [partial(ask_index, index) for index in site.mirrors.packages]
        questions += [partial(_ask_torch, site, found), partial(_ask_python, site, found)]
    threads = [threading.Thread(target=question, daemon=True) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if packages and all(index in silent for index in site.mirrors.packages):
        facts = {"index": ", ".join(silent), "evidence": "; ".join(dict.fromkeys(silent.values()))}
        found.append(Verdict("SDL-INDEX-UNREACHABLE", Level.ERROR, facts))
    for evidence, names in sorted(unreachable.items()):
        facts = {"what": ", ".join(sorted(names)), "evidence": evidence}
        found.append(Verdict("SDL-SOURCES-EXHAUSTED", Level.ERROR, facts))
    return found


def _ask_torch(site: Site, found: list[Verdict]) -> None:
    from sdlauncher.setup.planning import plan_for
    from sdlauncher.setup.torch_source import choose_torch_source

    if "torch" in site.read_stamp():
        return
    try:
        torch = plan_for(site.hardware(), site.settings).torch
        # What is chosen is said when it is installed.
        choose_torch_source(replace(site, say=_keep_quiet), torch.version.partition("+")[0], torch.channel)
    except SdLauncherError as error:
        found.append(Verdict(error.code, Level.ERROR, error.facts))


def _ask_python(site: Site, found: list[Verdict]) -> None:
    from sdlauncher.machine.download import probe
    from sdlauncher.setup.environment import find_interpreter

    try:
        if site.stamp.exists() or find_interpreter(site) is not None:
            return
    except SdLauncherError as error:
        found.append(Verdict(error.code, Level.ERROR, error.facts))
        return
    answers = {source: probe(source, timeout=_PATIENCE) for source in site.mirrors.pythons if source.startswith("http")}
    # Where nothing lies at the top it still is the right place.
    silent = {source: said for source, said in answers.items() if said is not None and not said.startswith("HTTP 4")}
    if answers and len(silent) == len(site.mirrors.pythons):
        evidence = "; ".join(f"{source}: {said}" for source, said in silent.items())
        facts = {"versions": " or ".join(site.recipe.pythons), "evidence": evidence}
        found.append(Verdict("SDL-PYTHON-MISSING", Level.ERROR, facts))


def _keep_quiet(_name: str, /, **_facts: object) -> None:
    """Say nothing."""


def _host_trouble(answers: list[str]) -> str | None:
    """Return the one trouble that all sources share, if it is their host's: said once instead of once a repository."""
    troubles = [_HOST_TROUBLE.search(answer) for answer in answers]
    named = {trouble[0] if trouble else "" for trouble in troubles}
    return named.pop() if len(named) == 1 and named != {""} else None


def _git_answer(source: str) -> str | None:
    if Path(source).is_dir():
        return None
    if source.startswith("/"):
        return "there is no such folder"
    try:
        done = git(None, "ls-remote", "--quiet", source, "HEAD", timeout=_PATIENCE)
    except SdLauncherError as error:
        return str(error)
    return None if done.ok else last_words(done)


def _existing(path: Path) -> Path:
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
