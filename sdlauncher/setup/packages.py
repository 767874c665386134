"""Packages in a WebUI's environment: what a lock holds, how uv is told to install, and what it says when it fails."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sdlauncher.catalog.recipe import find_lock
from sdlauncher.core.mirrors import FROM_PACKAGES
from sdlauncher.core.recipe import choose_overrides, parse_lock
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_text, write_bytes
from sdlauncher.machine.python import environment_python, normalise, read_environment
from sdlauncher.machine.uv import uv_command, uv_environment
from sdlauncher.messages import choose_language
from sdlauncher.setup.site import Site

SYSTEM: Final = {"win32": "windows", "darwin": "darwin"}.get(sys.platform, "linux")


def machine_name() -> str:
    """Return this machine's architecture in one spelling: x86_64, arm64 …"""
    # What the module platform says, without importing it.
    if sys.platform == "win32":
        name = os.environ.get("PROCESSOR_ARCHITECTURE", "")
    else:
        name = os.uname().machine
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name.lower(), name.lower())


def uv_settings(site: Site) -> dict[str, str]:
    """Return the environment in which uv works for this site."""
    return uv_environment(site.paths.cache / "wheels", offline=site.offline)


def choose_lock(site: Site) -> Path | None:
    """Return the lock for this checkout: only the release that it was made for has one."""
    version = str(site.read_stamp().get("python", ""))
    lock = find_lock(site.recipe, ".".join(version.split(".")[:2]), SYSTEM) if site.recipe.lock else None
    if lock is None or machine_name() != "x86_64":
        return None
    try:
        asked = (site.directory / site.recipe.requirements).read_bytes()
    except OSError:
        return None
    # The first lines of a lock say for which requirements file it was made (line ends apart).
    digest = hashlib.sha256(asked.replace(b"\r\n", b"\n")).hexdigest()
    with lock.open(encoding="utf-8") as stream:
        return lock if digest in stream.readline() + stream.readline() else None


def install_exactly(site: Site, packages: Mapping[str, str], *, again: bool = False) -> None:
    """Bring single packages to given versions, and nothing else; `again` also those that seem to have them.

    Raises SDL-STEP-FAILED.
    """
    words = [*install_words(site), "--no-deps"]
    if again:
        words += [word for name in packages for word in ("--reinstall-package", name)]
    # Of the indexes that may have a torch only one: uv gives up at the first that is down.
    came_from = str(site.read_stamp().get("torch", {}).get("source", ""))
    for label in sorted({version.partition("+")[2] for version in packages.values() if "+" in version}):
        indexes = [f"{it.rstrip('/')}/{label}" for it in site.mirrors.torch if it != FROM_PACKAGES]
        words += ["--index", came_from if came_from.endswith(f"/{label}") or not indexes else indexes[0]]
    done = site.follow([*words, *(f"{name}=={version}" for name, version in packages.items())], env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "packages", done.stdout)


def uninstall(site: Site, names: Sequence[str]) -> None:
    """Take packages out of the environment. Raises SDL-STEP-FAILED."""
    words = [uv_command(), "pip", "uninstall", "--python", str(environment_python(site.venv)), *names]
    done = site.follow(words, env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "packages", done.stdout)


def install_words(site: Site) -> list[str]:
    """Return the beginning of a `uv pip install` into the environment, from the indexes that were chosen."""
    return [uv_command(), "pip", "install", "--python", str(environment_python(site.venv)), *index_words(site)]


def index_words(site: Site) -> list[str]:
    """Return how uv is told of the indexes; none unless some were chosen: the user's own uv configuration counts."""
    if "packages" not in site.mirrors.chosen:
        return []
    first, *others = site.mirrors.packages
    return ["--default-index", first, *(word for other in others for word in ("--index", other))]


def held_back(site: Site) -> list[str]:
    """Return the constraints for a resolution: the cures' own, and what was chosen for the GPU."""
    lines = list(site.cures.constraints)
    # That is not for the requirements to change.
    chosen = site.read_stamp().get("torch", {}).get("packages", {})
    lines += [f"{name}=={version}" for name, version in chosen.items()]
    return ["--constraints", str(_written(site, lines))] if lines else []


def unlocked(site: Site) -> list[str]:
    """Return how uv is told of the checkout's own requirements, where no lock fits them."""
    file = site.directory / site.recipe.requirements
    words = [*held_back(site), "--requirements", str(file)]
    instead = choose_overrides(site.recipe, read_text(file) or "")
    return [*words, "--overrides", str(_written(site, instead))] if instead else words


def foreseen(site: Site) -> list[str]:
    """Return the versions of the lock in place of what the packages to be installed ask for.

    The lock comes after them and has the last word: torch 2.13 asks for a newer setuptools than SD.Next pins.
    """
    lock = choose_lock(site)
    if lock is None:
        return []
    pinned = parse_lock(lock.read_text(encoding="utf-8"))
    return ["--overrides", str(_written(site, [f"{name}=={version}" for name, version in pinned.items()]))]


def _written(site: Site, lines: Sequence[str]) -> Path:
    file = site.paths.cache / "constraints" / f"{digest_of(*lines)}.txt"
    write_bytes(file, "".join(f"{line}\n" for line in lines).encode())
    return file


def read_packages(site: Site) -> dict[str, str]:
    """Return the versions of the packages in the environment."""
    environment = read_environment(site.venv)
    return environment.packages if environment else {}


def read_wanted(site: Site) -> dict[str, str]:
    """Return what should be installed, version by package: what the lock says, and the torch chosen for the GPU."""
    lock = choose_lock(site)
    wanted = parse_lock(lock.read_text(encoding="utf-8")) if lock is not None else {}
    return {**wanted, **site.read_stamp().get("torch", {}).get("packages", {})}


def find_differences(site: Site) -> dict[str, tuple[str | None, str]]:
    """Return what is installed (None: nothing) and what should be, by package, where the two are not the same.

    What should be is what `read_wanted` says.
    """
    installed = read_packages(site)
    found = {name: (installed.get(normalise(name)), version) for name, version in sorted(read_wanted(site).items())}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def step_failed(site: Site, step: str, output: str) -> SdLauncherError:
    """Name what made a step fail: the cause, where the catalog of signatures knows it, and the tool's own words."""
    from sdlauncher.catalog.signatures import load_signatures
    from sdlauncher.core.diagnosis import UNKNOWN, classify, first_decisive

    finding = first_decisive(classify(output.splitlines(), load_signatures()))
    if finding is None or finding.signature is UNKNOWN:
        return SdLauncherError("SDL-STEP-FAILED", step=step, evidence=last_words(output), log=site.log)
    language = choose_language(os.environ)
    return SdLauncherError(
        "SDL-STEP-FAILED-BECAUSE",
        step=step,
        evidence=last_words(output),
        cause=finding.cause(language),
        remedy=finding.remedy(language),
        log=site.log,
    )


def last_words(output: str) -> str:
    """Return what a failed tool says is wrong: from its last word of an error on, at most five lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marks = [index for index, line in enumerate(lines) if re.match(r"(error|fatal)\b|×|\w*Error:", line, re.IGNORECASE)]
    told = lines[marks[-1] :][:5] if marks else lines[-3:]
    return " ".join(told)[:600] or "it said nothing"


def digest_of(*texts: str) -> str:
    """Return a short name for texts, the same for the same texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]
