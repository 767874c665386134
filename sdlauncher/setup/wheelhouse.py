"""The files of packages: which ones a lock and a torch mean for some machine, and bringing them into a folder."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from sdlauncher.core import toml
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import run
from sdlauncher.machine.download import download, hash_file
from sdlauncher.machine.python import normalise
from sdlauncher.machine.uv import uv_command
from sdlauncher.setup.packages import index_words, last_words, uv_settings
from sdlauncher.setup.site import Site

# How uv names the oldest system of each kind that the wheels are to run on.
_PLATFORMS: Final = {"linux": "x86_64-manylinux_2_28", "windows": "x86_64-pc-windows-msvc"}
# What builds a package that says nothing about it (PEP 517).
_BUILT_BY: Final = ("setuptools", "wheel")
_AT_A_TIME: Final = 4


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One wheel or source: `source` is its URL or path; `size` in bytes, 0 where the index does not tell."""

    package: str
    name: str
    source: str
    sha256: str
    size: int

    @property
    def is_source(self) -> bool:
        """Whether it has to be built."""
        return not self.name.endswith(".whl")


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that packages are meant for."""

    system: str
    python: str


def resolve(
    site: Site,
    target: Target,
    pins: Sequence[str],
    *,
    hashes: Mapping[str, frozenset[str]] | None = None,
    extra: Sequence[str] = (),
    files: Mapping[str, Sequence[str]] | None = None,
) -> tuple[PackageFile, ...]:
    """Ask uv which files `pins` come to on the target. With `hashes` only those, else the wheels of each package.

    `files` are further inputs by uv's option (`--overrides`, `--constraints`). Raises SDL-STEP-FAILED.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        words = [uv_command(), "pip", "compile", "wanted.in", "--quiet", "--no-header", "--no-annotate"]
        words += ["--python-version", target.python, "--python-platform", _PLATFORMS[target.system]]
        words += ["--format", "pylock.toml", "--output-file", "pylock.toml", *index_words(site), *extra]
        (place / "wanted.in").write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
        for index, (name, lines) in enumerate((files or {}).items()):
            (place / f"{index}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            words += [name, f"{index}.txt"]
        done = run(words, timeout=600, cwd=place, env=uv_settings(site))
        if not done.ok:
            raise SdLauncherError("SDL-STEP-FAILED", step="bundle", evidence=last_words(done.stderr), log=site.log)
        packages = toml.loads((place / "pylock.toml").read_text(encoding="utf-8")).get("packages", [])
        found: list[PackageFile] = []
        for package in packages:
            name = normalise(package["name"])
            offered = [_file(name, row, place) for row in (*package.get("wheels", ()), *_sources(package))]
            if hashes is not None:
                found += [file for file in offered if file.sha256 in hashes.get(name, ())]
            else:
                wheels = [file for file in offered if not file.is_source]
                found += wheels or offered
        return tuple(found)


def resolve_builders(
    site: Site, target: Target, wanted: Iterable[tuple[str, ...]], constraints: Sequence[str]
) -> tuple[PackageFile, ...]:
    """Return the files of what builds packages: each tuple of requirements is resolved by itself."""
    found: list[PackageFile] = []
    for requires in dict.fromkeys(wanted):
        # The cure of a build that the newest tools break is for the builds in the bundle too.
        found += resolve(site, target, requires, files={"--constraints": constraints} if constraints else None)
    return tuple(found)


def bring_files(files: Sequence[PackageFile], folder: Path) -> None:
    """Download (or link) the files into `folder`/<package>/, several at a time; what is there already stays.

    Raises SDL-DOWNLOAD-… and SDL-FILE-WRITE.
    """
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for _ in pool.map(lambda file: _bring(file, folder / file.package / file.name), files):
            pass


def built_by(pyproject: str) -> tuple[str, ...]:
    """Return what a package is built with, from the text of its pyproject.toml; empty text says nothing."""
    try:
        system = toml.loads(pyproject).get("build-system", {})
    except toml.TOMLDecodeError:
        return _BUILT_BY
    requires = system.get("requires", _BUILT_BY)
    # A backend of setuptools asks for wheel by itself, in versions before 70.
    return tuple(dict.fromkeys((*requires, *_BUILT_BY)))


def read_builders(source: Path) -> tuple[str, ...]:
    """Return what a source archive is built with."""
    if not source.name.endswith((".tar.gz", ".tgz")):
        return _BUILT_BY
    with tarfile.open(source) as archive:
        entry = next((it for it in archive if it.name.count("/") == 1 and it.name.endswith("/pyproject.toml")), None)
        stream = archive.extractfile(entry) if entry is not None else None
        return built_by(stream.read().decode("utf-8", errors="replace") if stream is not None else "")


def _bring(file: PackageFile, target: Path) -> None:
    if target.is_file() and hash_file(target) == file.sha256:
        return
    if file.source.startswith(("http://", "https://")):
        download(file.source, target, sha256=file.sha256 or None)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.source, target)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error
    if file.sha256 and (found := hash_file(target)) != file.sha256:
        target.unlink()
        raise SdLauncherError("SDL-DOWNLOAD-CHECKSUM", url=file.source, wanted=file.sha256, found=found)


def _sources(package: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return (package["sdist"],) if "sdist" in package else ()


def _file(package: str, row: Mapping[str, Any], place: Path) -> PackageFile:
    source = str(row.get("url") or (place / str(row["path"])).resolve())
    if source.startswith("file:"):
        source = url2pathname(urlsplit(source).path)
    name = str(row.get("name") or unquote(urlsplit(source).path).rsplit("/", 1)[-1])
    sha256 = str(row.get("hashes", {}).get("sha256", ""))
    return PackageFile(package, Path(name).name, source, sha256, int(row.get("size", 0)))
