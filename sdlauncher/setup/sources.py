"""A WebUI's git repositories: fetched from the first source that has the pinned commit, each one resumable."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sdlauncher.core.mirrors import git_sources
from sdlauncher.core.recipe import Repository, follow_pins
from sdlauncher.core.snapshot import USERS_OWN
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.git import (
    check_out,
    clear_leftovers,
    fetch_commit,
    git,
    git_folder,
    last_words,
    read_head,
    set_origin,
)
from sdlauncher.setup.checkout import UNFINISHED, identify, mark_unfinished
from sdlauncher.setup.site import Site
from sdlauncher.setup.steps import Step

_KEPT: Final = ".kept-by-sdlauncher"
# What a network says that may well work a moment later.
_PASSING: Final = re.compile(
    r"early EOF|unexpected disconnect|timed out|Connection reset|Could not resolve host|Failed to connect"
    r"|returned error: 5\d\d|HTTP/2 stream|RPC failed|TLS connection|gnutls_handshake",
    re.IGNORECASE,
)
_WAITS: Final = (1.0, 4.0, 10.0)


def checkout_step(site: Site) -> Step:
    """Return the step that brings the WebUI itself."""
    return Step("checkout", lambda: is_checked_out(site), lambda: _bring_program(site))


def repositories_step(site: Site, *, lenient: bool) -> Step:
    """Return the step for the repositories beside it; `lenient` takes those of an adopted checkout as they are."""
    return Step(
        "repositories",
        lambda: not _missing(site, lenient=lenient),
        lambda: _bring_repositories(site, lenient=lenient),
    )


def is_checked_out(site: Site) -> bool:
    """Tell whether the WebUI's files are all there; a downloaded archive that was adopted counts."""
    if (site.directory / UNFINISHED).exists() or identify(site.directory) != site.recipe.webui:
        return False
    return git_folder(site.directory) is None or read_head(site.directory) is not None


def read_pins(site: Site) -> tuple[Repository, ...]:
    """Return the repositories that this very checkout asks for."""
    try:
        text = (site.directory / "modules" / "launch_utils.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    modules = [repository.folder for repository in site.recipe.repositories if repository.submodule]
    tree = git(site.directory, "ls-tree", "HEAD", "--", *modules).stdout if modules else ""
    return follow_pins(site.recipe, text, tree)


def resolve_ref(source: str, ref: str) -> str:
    """Return the commit that a tag, branch or commit means in a repository.

    Raises SDL-REF-UNKNOWN when it does not have it, SDL-GIT-FAILED when it cannot be asked.
    """
    if re.fullmatch(r"[0-9a-f]{40}", ref):
        return ref
    done = git(None, "ls-remote", source, ref, f"refs/tags/{ref}^{{}}")
    if not done.ok:
        raise SdLauncherError("SDL-GIT-FAILED", action="read", place=source, evidence=last_words(done))
    rows = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    # A tag object stands for the commit that it names, which ls-remote gives as `<tag>^{}`.
    best = sorted(rows, key=lambda row: (not row[1].endswith("^{}"), not row[1].startswith("refs/tags/")))
    if best:
        return best[0][0]
    if Path(source).is_dir() and (local := git(Path(source), "rev-parse", "--verify", f"{ref}^{{commit}}")).ok:
        return local.stdout.strip()
    raise SdLauncherError("SDL-REF-UNKNOWN", ref=ref, place=source)


def sources_of(site: Site, repository: Repository, *, pinned: bool = True) -> tuple[str, ...]:
    """Return where a repository may be fetched from, best first; without a network only what is on this machine.

    What is kept from earlier has only the pinned commit.
    """
    sources = git_sources(site.mirrors, repository.url, site.cures.repositories.get(repository.url, ()))
    kept = kept_at(site, repository)
    if pinned and kept.is_dir():
        sources = (str(kept), *sources)
    return tuple(source for source in sources if is_local(source)) if site.offline else sources


def kept_at(site: Site, repository: Repository) -> Path:
    """Return where this commit of a repository is kept for the next installation, or came to from a bundle."""
    return site.paths.cache / "git" / f"{repository.commit or '-'}.git"


def is_local(source: str) -> bool:
    """Tell whether a source is reached without a network: a folder, or what git takes for one."""
    return source.startswith("file://") or Path(source).is_dir()


def bring(site: Site, repository: Repository, target: Path, *, ref: str | None = None) -> str:
    """Fetch and check out one repository from the first source that gives it; return that source.

    Raises SDL-SOURCES-EXHAUSTED with what each source answered.
    """
    answers: list[str] = []
    known_wrong = False
    for source in sources_of(site, repository, pinned=ref is None):
        try:
            # Where one source has said that there is no such thing, the others are asked once.
            _attempt(site, repository, target, source, ref, waits=() if known_wrong else _WAITS)
        except SdLauncherError as error:
            known_wrong = known_wrong or error.code == "SDL-REF-UNKNOWN"
            answers.append(f"{source}: {error.facts.get('evidence', error)}")
            continue
        local = Path(source).is_dir()
        if not local and ref is None:
            _keep(site, repository, target)
        stand_in = site.cures.repositories.get(repository.url, (repository.url,))[0]
        set_origin(target, stand_in if local else source, repository.branch)
        if local or source != repository.url:
            site.say("install-source", what=_title(repository), source=source)
        return source
    raise SdLauncherError("SDL-SOURCES-EXHAUSTED", what=_title(repository), evidence="; ".join(answers))


def _keep(site: Site, repository: Repository, target: Path) -> None:
    """Keep what came over the network, so that the next installation on this machine needs none."""
    from sdlauncher.machine.git_pack import pack_commit

    with contextlib.suppress(SdLauncherError):
        pack_commit(target, repository.commit, kept_at(site, repository), tag=repository.tag)


def _attempt(
    site: Site, repository: Repository, target: Path, source: str, ref: str | None, *, waits: Sequence[float]
) -> None:
    for wait in (*waits, None):
        try:
            commit = resolve_ref(source, ref) if ref else repository.commit
            target.mkdir(parents=True, exist_ok=True)
            clear_leftovers(target)
            fetch_commit(target, source, commit, follow=site.follow, tag="" if ref else repository.tag)
            check_out(target, commit, follow=site.follow, branch=repository.branch, skip=repository.skip)
        except SdLauncherError as error:
            if wait is None or not _PASSING.search(str(error.facts.get("evidence", ""))):
                raise
            time.sleep(wait)
        except OSError as error:
            raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error
        else:
            return


def _bring_program(site: Site) -> None:
    directory = site.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=directory, evidence=error) from error
    for torn in directory.glob(f".{UNFINISHED}.*"):
        torn.unlink()
    mark_unfinished(directory, site.recipe.webui)
    with _kept_aside(directory):
        bring(site, site.recipe.program, directory, ref=site.ref)
    # Our own files in the checkout are no changes of the user's.
    exclude = directory / ".git" / "info" / "exclude"
    text = exclude.read_text(encoding="utf-8") if exclude.is_file() else ""
    if UNFINISHED not in text:
        write_bytes(exclude, f"{text}{UNFINISHED}\n".encode())
    for folder in site.recipe.folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    if identify(directory) != site.recipe.webui:
        found = identify(directory) or "-"
        raise SdLauncherError("SDL-CHECKOUT-OTHER", path=directory, found=found, wanted=site.recipe.webui)
    (directory / UNFINISHED).unlink()


@contextlib.contextmanager
def _kept_aside(directory: Path) -> Iterator[None]:
    """Keep the user's own scripts, which uninstalling has left, from those that the repository brings.

    Not where git has been before: there they are the repository's, perhaps torn by a kill.
    """
    import shutil  # an installation that has nothing to do does without it

    pairs = [(directory / name, directory / f".{name}{_KEPT}") for name in USERS_OWN]
    if not (directory / ".git").exists():
        for file, kept in pairs:
            if file.is_file():
                shutil.copy2(file, kept)
    yield
    # Only now: until the repository's files are all there, the next run would bring them again.
    for file, kept in pairs:
        if kept.is_file():
            kept.replace(file)


def _missing(site: Site, *, lenient: bool) -> list[Repository]:
    missing = []
    for repository in read_pins(site):
        head = read_head(site.directory / repository.folder)
        if head is None or (head.commit != repository.commit and not lenient):
            missing.append(repository)
    return missing


def _bring_repositories(site: Site, *, lenient: bool) -> None:
    failures: list[BaseException] = []

    def bring_one(repository: Repository) -> None:
        target = site.directory / repository.folder
        try:
            bring(site, repository, target)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)

    _side_by_side([partial(bring_one, repository) for repository in _missing(site, lenient=lenient)])
    if failures:
        raise failures[0]


def _side_by_side(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _title(repository: Repository) -> str:
    return repository.url.removesuffix(".git").rsplit("/", 1)[-1]
