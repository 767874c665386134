"""Making a bundle: everything that one installation needs, gathered where there is a network, in one file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdlauncher import __version__
from sdlauncher.catalog.planning import load_dialect
from sdlauncher.catalog.recipe import find_lock
from sdlauncher.core.bundle import GIT, MANIFEST, MODELS, PACKAGES, PYTHON, Manifest, Torch, Ware
from sdlauncher.core.hardware import GIB, Hardware
from sdlauncher.core.recipe import Repository, parse_hashes, parse_lock
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.archive import write_archive
from sdlauncher.machine.download import download, hash_file
from sdlauncher.machine.git import git
from sdlauncher.machine.git_pack import pack_commit
from sdlauncher.machine.paths import locate_typed
from sdlauncher.machine.uv import find_download
from sdlauncher.setup.packages import digest_of
from sdlauncher.setup.planning import plan_for
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import bring, kept_at
from sdlauncher.setup.torch_source import choose_torch_source, xformers_of
from sdlauncher.setup.wheelhouse import (
    PackageFile,
    Target,
    bring_files,
    built_by,
    read_builders,
    resolve,
    resolve_builders,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a bundle is to be for: the machine, and what goes in beside the installation itself."""

    hardware: Hardware
    python: str | None = None
    channel: str | None = None
    with_python: bool = False
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A bundle that was written; `size` in bytes."""

    file: Path
    manifest: Manifest
    size: int


def make_bundle(site: Site, wish: Wish, out: Path | None) -> Made:
    """Gather everything and write the bundle to `out`, by default named after what it is for, in this folder.

    What was fetched stays until the file is written, so that an interrupted run goes on. Raises SDL-BUNDLE-NO-LOCK,
    SDL-BUNDLE-CHANNEL, SDL-DISK-FULL and what fetching raises.
    """
    system = wish.hardware.host.system
    lock, python = _choose_lock(site, system, wish.python)
    torch, source = _choose_torch(site, wish, system)
    name = f"sdlauncher-{site.recipe.webui}-{site.recipe.version}-{system}-py{python}-{torch.channel}.tar"
    target = Target(system, python)
    stage = site.paths.cache / "bundling" / name.removesuffix(".tar")
    builders = [_pack(site, repository, stage) for repository in _repositories(site)]
    site.say("bundle-packages", python=python, system=system, torch=f"{torch.version} {torch.channel}")
    files = _find_packages(site, target, lock, torch, source)
    file = locate_typed(out or name)
    file = file / name if file.is_dir() else file
    size = sum(it.size for it in files)
    _require_room(stage, file.parent, size)
    site.say("bundle-files", count=len(files), gib=f"{size / GIB:.1f}")
    folder = stage / PACKAGES
    bring_files(files, folder)
    sources = [folder / file.package / file.name for file in files if file.is_source]
    builders += [read_builders(source) for source in sources]
    tools = resolve_builders(site, target, [it for it in builders if it], site.cures.build_constraints)
    bring_files(tools, folder)
    # What an interrupted run for something else has left is not for this one.
    for kind in (MODELS, PYTHON):
        shutil.rmtree(stage / kind, ignore_errors=True)
    wanted = {stage / PACKAGES / it.package / it.name: it.sha256 for it in (*files, *tools)}
    _add_models(site, wish.models, stage)
    if wish.with_python:
        _add_python(site, target, stage)
    manifest = Manifest(
        webui=site.recipe.webui,
        version=site.recipe.version,
        commit=site.recipe.program.commit,
        system=system,
        machine="x86_64",
        python=python,
        lock=digest_of(lock.read_text(encoding="utf-8"), torch.version, torch.channel),
        torch=torch,
        made_by=__version__,
        files=tuple(_wares(stage, wanted)),
    )
    site.say("bundle-write", path=file, gib=f"{manifest.size / GIB:.1f}")
    text = json.dumps(manifest.as_json(), indent=1)
    write_archive(file, (MANIFEST, text.encode()), [(ware.path, stage / ware.path) for ware in manifest.files])
    shutil.rmtree(stage, ignore_errors=True)
    return Made(file, manifest, file.stat().st_size)


def _choose_lock(site: Site, system: str, python: str | None) -> tuple[Path, str]:
    versions = (python,) if python else site.recipe.pythons
    for version in versions:
        if site.recipe.lock and (lock := find_lock(site.recipe, version, system)) is not None:
            return lock, version
    known = [it for it in site.recipe.pythons if site.recipe.lock and find_lock(site.recipe, it, system)]
    raise SdLauncherError(
        "SDL-BUNDLE-NO-LOCK",
        webui=site.recipe.webui,
        python=" or ".join(versions),
        system=system,
        known=", ".join(known) or "-",
    )


def _choose_torch(site: Site, wish: Wish, system: str) -> tuple[Torch, str]:
    """Return the torch for the wish, and the index that has it ("" for the package index)."""
    if wish.channel is None:
        planned = plan_for(wish.hardware, site.settings, environment={}, paths=site.paths).torch
        version, vision, extra, channel = planned.version, planned.torchvision, planned.xformers, planned.channel
    else:
        version, vision, extra, channel = _find_channel(site, wish.channel)
    version, vision = version.partition("+")[0], vision.partition("+")[0]
    source, label = choose_torch_source(site, version, channel, system)
    xformers = xformers_of(extra) if extra else ""
    return Torch(version, vision, xformers, channel, label), source if label else ""


def _find_channel(site: Site, channel: str) -> tuple[str, str, str, str]:
    dialect = load_dialect(site.recipe.webui)
    if channel == "cpu" and dialect.torch_cpu[0]:
        return (*dialect.torch_cpu, "", channel)
    for row in dialect.torch:
        if row.channel == channel:
            return row.version, row.torchvision, row.xformers, channel
    known = dict.fromkeys((*(row.channel for row in dialect.torch), *(("cpu",) if dialect.torch_cpu[0] else ())))
    raise SdLauncherError("SDL-BUNDLE-CHANNEL", webui=site.recipe.webui, channel=channel, known=", ".join(known))


def _repositories(site: Site) -> tuple[Repository, ...]:
    return (site.recipe.program, *site.recipe.repositories, *site.recipe.packages)


def _pack(site: Site, repository: Repository, stage: Path) -> tuple[str, ...]:
    """Put one commit of a repository into the bundle; return what it is built with if it is a package."""
    target = stage / GIT / f"{repository.commit}.git"
    if not (target / "HEAD").is_file():
        site.say("bundle-repository", what=repository.url)
        kept, clone = kept_at(site, repository), stage / "clones" / repository.commit
        if kept.is_dir():
            fresh = target.with_name(f".{target.name}.part")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(kept, fresh)
            fresh.replace(target)
        else:
            bring(site, repository, clone)
            pack_commit(clone, repository.commit, target, tag=repository.tag)
            shutil.rmtree(clone)
    if repository not in site.recipe.packages:
        return ()
    return built_by(git(target, "show", f"{repository.commit}:pyproject.toml").stdout)


def _find_packages(site: Site, target: Target, lock: Path, torch: Torch, source: str) -> tuple[PackageFile, ...]:
    text = lock.read_text(encoding="utf-8")
    pins = [f"{name}=={version}" for name, version in parse_lock(text).items()]
    locked = resolve(site, target, pins, hashes=parse_hashes(text), extra=["--no-deps"])
    wanted = [f"torch=={torch.version}{torch.label}"]
    wanted += [f"torchvision=={torch.torchvision}{torch.label}"] if torch.torchvision else []
    wanted += [torch.xformers] if torch.xformers else []
    words = ["--index", source, "--index-strategy", "unsafe-best-match"] if source else []
    beside = resolve(site, target, wanted, extra=words, files={"--overrides": pins})
    known = {file.package for file in locked}
    return (*locked, *(file for file in beside if file.package not in known))


def _require_room(stage: Path, target: Path, size: int) -> None:
    """Ask for room for the files themselves, and for the bundle that they are written into."""
    for folder in (stage, target):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SdLauncherError("SDL-FILE-WRITE", path=folder, evidence=error) from error
    shares = 2 if stage.stat().st_dev == target.stat().st_dev else 1
    for folder in (stage, target):
        need, free = shares * size / GIB, shutil.disk_usage(folder).free / GIB
        if free < need:
            raise SdLauncherError("SDL-DISK-FULL", path=folder, free=f"{free:.1f}", need=f"{need:.1f}")


def _add_models(site: Site, models: Sequence[str], stage: Path) -> None:
    from sdlauncher.setup.models import add_model

    for model in models:
        try:
            added = add_model(model, stage / "checkout", mirrors=site.mirrors).model.path
        except SdLauncherError as error:
            if error.code != "SDL-MODEL-EXISTS":
                raise
            continue
        (stage / MODELS).mkdir(parents=True, exist_ok=True)
        added.replace(stage / MODELS / added.name)


def _add_python(site: Site, target: Target, stage: Path) -> None:
    """Put the Python that uv would provide into the bundle. Raises SDL-PYTHON-MISSING."""
    known = find_download(target.python, target.system)
    answers = ["uv knows of none"]
    if known is not None:
        name, url = known
        rest = url.partition("/releases/download/")[2]
        places = [f"{source.rstrip('/')}/{rest}" for source in site.mirrors.pythons]
        # Where uv itself would go, unless the user named another place.
        places += [] if "pythons" in site.mirrors.chosen else [url]
        answers = []
        for place in places:
            try:
                download(place, stage / PYTHON / f"{name}.tar.gz")
                return
            except SdLauncherError as error:
                answers.append(f"{place}: {error.facts.get('evidence', error)}")
    raise SdLauncherError("SDL-PYTHON-MISSING", versions=target.python, evidence="; ".join(answers))


def _wares(stage: Path, wanted: Mapping[Path, str]) -> list[Ware]:
    files = [file for kind in (GIT, PACKAGES, PYTHON, MODELS) for file in sorted((stage / kind).rglob("*"))]
    return [
        # What was compared with its checksum when it came need not be read again.
        Ware(file.relative_to(stage).as_posix(), file.stat().st_size, wanted.get(file) or hash_file(file))
        for file in files
        if file.is_file() and (file in wanted or stage / PACKAGES not in file.parents)
    ]


def describe(made: Made) -> dict[str, Any]:
    """Return what a script wants to know of a bundle."""
    manifest = made.manifest
    return {
        "file": str(made.file),
        "bytes": made.size,
        "sha256": hash_file(made.file),
        "webui": manifest.webui,
        "version": manifest.version,
        "commit": manifest.commit,
        "system": manifest.system,
        "python": manifest.python,
        "torch": {"version": manifest.torch.version + manifest.torch.label, "channel": manifest.torch.channel},
        "files": len(manifest.files),
    }
