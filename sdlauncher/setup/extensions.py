"""Extensions of a checkout: added at a commit, pinned, switched off, removed; one that moved by itself is reported."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdlauncher.core.recipe import Repository
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, write_bytes, write_json
from sdlauncher.machine.git import git, list_changes, read_head
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import bring, resolve_ref, sources_of


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension. `drift`: "" as it was pinned, appeared, moved, changed (files by hand) or unpinned."""

    name: str
    url: str | None
    commit: str | None
    pinned: str | None
    enabled: bool
    drift: str


def list_extensions(checkout: Path, files: InstancePaths) -> tuple[Extension, ...]:
    """Return the extensions of a checkout with what became of them since they were pinned.

    Before the first pin nothing is drift: those are the user's own from before.
    """
    pins = _pins(files)
    off = set(_read_settings(checkout).get("disabled_extensions", ()))
    folder = checkout / "extensions"
    names = [entry.name for entry in sorted(folder.iterdir()) if _is_one(entry)] if folder.is_dir() else []
    found = []
    for name in names:
        head = read_head(folder / name)
        pin = pins.get(name, {}).get("commit")
        url = git(folder / name, "config", "remote.origin.url").stdout.strip() or None if head else None
        drift = _judge(folder / name, head.commit if head else None, pin, known=bool(pins))
        found.append(Extension(name, url, head.commit if head else None, pin, name not in off, drift))
    lost = [
        Extension(name, pin.get("url"), None, pin.get("commit"), True, "lost")
        for name, pin in pins.items()
        if name not in names
    ]
    return (*found, *lost)


def add_extension(site: Site, url: str, *, ref: str | None = None, name: str | None = None) -> Extension:
    """Bring an extension and pin it to the commit that came.

    An extension is a program that runs with all rights of the WebUI. Raises SDL-EXTENSION-EXISTS,
    SDL-EXTENSION-URL, SDL-REF-UNKNOWN and SDL-SOURCES-EXHAUSTED.
    """
    title = name or re.sub(r"\.git$", "", url.rstrip("/")).rsplit("/", 1)[-1]
    if not re.fullmatch(r"[\w.][\w.-]*", title):
        raise SdLauncherError("SDL-EXTENSION-URL", url=url)
    target = site.directory / "extensions" / title
    if target.exists():
        raise SdLauncherError("SDL-EXTENSION-EXISTS", name=title)
    waiting = site.directory / "extensions" / f".{title}.part"
    shutil.rmtree(waiting, ignore_errors=True)
    commit = _newest(site, url, ref)
    bring(site, Repository(folder=f"extensions/{title}", url=url, commit=commit), waiting)
    waiting.replace(target)
    _pin(_files(site), title, {"url": url, "commit": commit})
    return next(it for it in list_extensions(site.directory, _files(site)) if it.name == title)


def pin_extensions(checkout: Path, files: InstancePaths, names: tuple[str, ...]) -> tuple[Extension, ...]:
    """Take the extensions that are there (all without names) as they stand for what is meant to be there."""
    every = {it.name: it for it in list_extensions(checkout, files)}
    for name in names or tuple(every):
        if name not in every:
            raise SdLauncherError("SDL-EXTENSION-UNKNOWN", name=name, known=", ".join(every) or "-")
        found = every[name]
        _pin(files, name, {"url": found.url, "commit": found.commit} if found.commit else None)
    return list_extensions(checkout, files)


def switch_extension(checkout: Path, files: InstancePaths, name: str, *, enabled: bool) -> None:
    """Switch an extension on or off in the WebUI's settings, as its own page does; counts from the next start."""
    _require(checkout, name)
    settings = _read_settings(checkout)
    off = [it for it in settings.get("disabled_extensions", []) if it != name]
    settings["disabled_extensions"] = off if enabled else [*off, name]
    write_bytes(checkout / "config.json", json.dumps(settings, indent=4, ensure_ascii=False).encode())


def remove_extension(checkout: Path, files: InstancePaths, name: str) -> None:
    """Remove an extension's folder and its pin. Raises SDL-EXTENSION-CHANGED when files in it were changed by hand."""
    folder = _require(checkout, name)
    if read_head(folder) is None or (changed := list_changes(folder)):
        what = "it is no git clone" if read_head(folder) is None else ", ".join(changed[:5])
        raise SdLauncherError("SDL-EXTENSION-CHANGED", name=name, evidence=what, path=folder)
    shutil.rmtree(folder)
    _pin(files, name, None)


def _judge(folder: Path, commit: str | None, pin: str | None, *, known: bool) -> str:
    if pin is None:
        return "appeared" if known else "unpinned"
    if commit != pin:
        return "moved"
    return "changed" if list_changes(folder) else ""


def _newest(site: Site, url: str, ref: str | None) -> str:
    answers = []
    for source in sources_of(site, Repository(folder="", url=url, commit="")):
        try:
            return resolve_ref(source, ref or "HEAD")
        except SdLauncherError as error:
            if error.code == "SDL-REF-UNKNOWN":
                raise
            answers.append(f"{source}: {error.facts.get('evidence', error)}")
    raise SdLauncherError("SDL-SOURCES-EXHAUSTED", what=url, evidence="; ".join(answers))


def _require(checkout: Path, name: str) -> Path:
    folder = checkout / "extensions" / name
    if not _is_one(folder):
        known = [it.name for it in sorted((checkout / "extensions").glob("*")) if _is_one(it)]
        raise SdLauncherError("SDL-EXTENSION-UNKNOWN", name=name, known=", ".join(known) or "-")
    return folder


def _is_one(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith((".", "_"))


def _pins(files: InstancePaths) -> dict[str, dict[str, Any]]:
    return read_json(files.root / "extensions.json") or {}


def _pin(files: InstancePaths, name: str, pin: dict[str, Any] | None) -> None:
    pins = {key: value for key, value in _pins(files).items() if key != name}
    write_json(files.root / "extensions.json", {**pins, name: pin} if pin else pins)


def _read_settings(checkout: Path) -> dict[str, Any]:
    file = checkout / "config.json"
    settings = read_json(file)
    if settings is None and file.exists():
        # Writing over settings that we cannot read would lose them.
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence="it is no JSON object")
    return settings or {}


def _files(site: Site) -> InstancePaths:
    return site.paths.instance(site.settings.instance)
