"""What an installation without a network would lack: asked of caches and local copies before anything is begun."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sdlauncher.catalog.recipe import find_lock
from sdlauncher.core.recipe import Repository, parse_lock
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import run
from sdlauncher.machine.git import has_commit
from sdlauncher.machine.python import Interpreter
from sdlauncher.machine.uv import uv_command
from sdlauncher.setup.environment import find_interpreter
from sdlauncher.setup.packages import SYSTEM, index_words, read_packages, uv_settings
from sdlauncher.setup.planning import plan_for
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import sources_of
from sdlauncher.setup.torch_source import choose_torch_source

_AT_A_TIME: Final = 4


def find_missing(site: Site, wanted: tuple[Repository, ...], *, packages: bool) -> tuple[str, ...]:
    """Return everything that neither a bundle, a mirror on this machine nor a cache has, in the words of a list."""
    missing = [_title(repository) for repository in wanted if not _is_here(site, repository)]
    if not packages:
        return tuple(missing)
    python = find_interpreter(site)
    if python is None:
        versions = (site.bundle.python,) if site.bundle is not None else site.recipe.pythons
        return (*missing, "Python " + " or ".join(versions))
    return (*missing, *_missing_torch(site, python), *_missing_packages(site, python))


def _is_here(site: Site, repository: Repository) -> bool:
    for source in sources_of(site, repository):
        folder = Path(source.removeprefix("file://"))
        if site.ref is not None or (folder.is_dir() and has_commit(folder, repository.commit)):
            return True
    return False


def _missing_torch(site: Site, python: Interpreter) -> list[str]:
    torch = plan_for(site.hardware(), site.settings).torch
    version = torch.version.partition("+")[0]
    if read_packages(site).get("torch", "").partition("+")[0] == version:
        return []
    source, label = choose_torch_source(site, version, torch.channel)
    wanted = f"torch=={version}{label}"
    return [] if _resolves(site, python, [wanted], ["--index", source] if label else []) else [wanted]


def _missing_packages(site: Site, python: Interpreter) -> list[str]:
    lock = find_lock(site.recipe, python.minor, SYSTEM) if site.recipe.lock else None
    if lock is None:
        return []
    pinned = parse_lock(lock.read_text(encoding="utf-8"))
    installed = read_packages(site)
    pins = [f"{name}=={version}" for name, version in pinned.items() if installed.get(name) != version]
    if not pins or _resolves(site, python, pins):
        return []
    # uv names only the first that it lacks.
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        answers = pool.map(lambda pin: _resolves(site, python, [pin]), pins)
        return [pin for pin, there in zip(pins, answers, strict=True) if not there]


def _resolves(site: Site, python: Interpreter, pins: list[str], extra: list[str] | None = None) -> bool:
    words = [uv_command(), "pip", "compile", "--quiet", "--no-deps", "--no-header", "--python", str(python.executable)]
    try:
        done = run(
            [*words, *index_words(site), *(extra or []), "-"],
            timeout=120,
            env=uv_settings(site),
            stdin="".join(f"{pin}\n" for pin in pins),
        )
    except SdLauncherError:
        return False
    return done.ok


def _title(repository: Repository) -> str:
    return f"{repository.url} at {repository.commit[:12]}"
