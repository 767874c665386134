"""Models of a checkout: brought from a URL or a path and checked before they count, listed, shared between WebUIs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sdlauncher.core import toml
from sdlauncher.core.mirrors import HUB, Mirrors
from sdlauncher.core.weights import GLANCE, NoWeights, Weights, header_length, judge_weights
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.download import OnProgress, download, hash_file
from sdlauncher.machine.paths import InstancePaths, locate_typed
from sdlauncher.machine.settings import recall, remember

_ENDINGS: Final = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


@dataclass(frozen=True, slots=True)
class Model:
    """A model file: `kind` and `family` by its content, `size` in bytes."""

    path: Path
    size: int
    kind: str
    family: str
    format: str


@dataclass(frozen=True, slots=True)
class Added:
    """A model that was brought: `sha256` of the whole file, and what an earlier attempt had left of it."""

    model: Model
    sha256: str
    resumed_from: int


def add_model(
    source: str,
    checkout: Path,
    *,
    mirrors: Mirrors,
    shared: Path | None = None,
    sha256: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    on_progress: OnProgress | None = None,
) -> Added:
    """Bring a model from a URL or a local file into the folder for its kind.

    A file that is an HTML page, an LFS pointer, cut off or no model at all is not taken. A local file is linked where
    that is possible, else copied; it stays where it was. Raises SDL-WEIGHTS-… for a file that is no model,
    SDL-MODEL-EXISTS, SDL-MODEL-SOURCE, SDL-DOWNLOAD-… and SDL-FILE-WRITE.
    """
    target_name = name or _name_of(source)
    file = find_source(source)
    if file is None:
        place = _Place(checkout, shared, kind, target_name)
        return _fetch(source, place, mirrors=mirrors, sha256=sha256, on_progress=on_progress)
    weights = read_weights(file)
    if sha256 is not None and (found := hash_file(file)) != sha256.lower():
        raise SdLauncherError("SDL-DOWNLOAD-CHECKSUM", url=file, wanted=sha256.lower(), found=found)
    target = folder_for(checkout, kind or weights.kind, shared) / target_name
    _refuse_existing(target)
    _place(file, target)
    return Added(_model(target, weights), sha256.lower() if sha256 else hash_file(target), 0)


def find_source(source: str) -> Path | None:
    """Return the local file that is meant, None for a URL. Raises SDL-MODEL-SOURCE when it is neither."""
    if re.match(r"https?://", source):
        return None
    file = locate_typed(source)
    if not file.is_file():
        raise SdLauncherError("SDL-MODEL-SOURCE", source=source)
    return file


def list_models(checkout: Path, shared: Path | None = None) -> tuple[Model, ...]:
    """Return every model file of a checkout and of the folder that it shares, by path; reads only their headers."""
    found = []
    for file in _model_files(checkout, shared):
        try:
            found.append(_model(file, read_weights(file)))
        except SdLauncherError as error:
            found.append(Model(file, file.stat().st_size, error.code, "", ""))
    return tuple(found)


def share_models(files: InstancePaths, webui: str, directory: Path | None) -> tuple[str, ...]:
    """Make an instance take its models from a folder that several WebUIs use, or, with None, from its own again.

    Remembers the flags that say so and returns them; they count from the next start on.
    """
    known = _table()["flags"][webui]
    names = {flag for flags in _table()["flags"].values() for flag in flags.values()}
    old = [flag for flag in recall(files).get("flags", ()) if flag.split(" ")[0] not in names]
    new: list[str] = []
    if directory is not None:
        directory = locate_typed(directory)
        for folder in _table()["folders"].values():
            (directory / folder).mkdir(parents=True, exist_ok=True)
        # The WebUI splits its arguments as POSIX does, where a backslash would vanish.
        new = [
            shlex.join((flag, (directory / _table()["folders"].get(kind, "")).as_posix()))
            for kind, flag in known.items()
        ]
    remember(files, {"flags": [*old, *new]})
    return tuple(new)


def shared_folder(flags: tuple[str, ...]) -> Path | None:
    """Return the shared folder that an instance's flags point to."""
    every = _table()["flags"].values()
    for words in map(shlex.split, flags):
        if len(words) == 2 and words[0] in {known.get("all") for known in every}:
            return Path(words[1])
        if len(words) == 2 and words[0] in {known.get("checkpoint") for known in every}:
            return Path(words[1]).parent
    return None


def read_weights(file: Path) -> Weights:
    """Judge a model file by its header. Raises SDL-WEIGHTS-PAGE, -LFS, -CUT, -UNKNOWN and SDL-FILE-READ."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(GLANCE)
            length = header_length(head)
            if length is not None and 8 + length > len(head):
                head += stream.read(8 + length - len(head))
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
    judged = judge_weights(head, size)
    if isinstance(judged, NoWeights):
        raise _refusal(judged, file)
    return judged


def folder_for(checkout: Path, kind: str, shared: Path | None) -> Path:
    """Return where a model of a kind belongs; what is of unknown kind counts as a checkpoint."""
    kind = kind if kind in _table()["folders"] else "checkpoint"
    return shared / str(_table()["folders"][kind]) if shared else checkout / str(_table()["in_checkout"][kind])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a model is to lie, as far as that is known before its content is."""

    checkout: Path
    shared: Path | None
    kind: str | None
    name: str

    def target(self, kind: str) -> Path:
        """Return its path if its content is of `kind`."""
        return folder_for(self.checkout, self.kind or kind, self.shared) / self.name


def _fetch(url: str, place: _Place, *, mirrors: Mirrors, sha256: str | None, on_progress: OnProgress | None) -> Added:
    # The kind is known only when the file is there, so it arrives among the checkpoints and is moved from there.
    waiting = place.target("checkpoint")
    _refuse_existing(waiting)
    sources = [url]
    if url.startswith(f"{HUB}/"):
        sources = [source.rstrip("/") + url[len(HUB) :] for source in mirrors.models]
    fetched = None
    for index, source in enumerate(sources):
        try:
            # Under a name that no WebUI takes for a model, until it is known to be one.
            fetched = download(
                source, waiting.with_name(f"{place.name}.unchecked"), sha256=sha256, on_progress=on_progress
            )
            break
        except SdLauncherError as error:
            if error.code != "SDL-DOWNLOAD-FAILED" or index == len(sources) - 1:
                raise
    assert fetched is not None
    try:
        weights = read_weights(fetched.path)
        target = place.target(weights.kind)
        _refuse_existing(target)
    except SdLauncherError:
        fetched.path.unlink()
        raise
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched.path.replace(target)
    return Added(_model(target, weights), fetched.sha256, fetched.resumed_from)


def _place(file: Path, target: Path) -> None:
    fresh = target.with_name(f"{target.name}.unchecked")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        try:
            os.link(file, fresh)
        except OSError:
            shutil.copyfile(file, fresh)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error


def _name_of(source: str) -> str:
    name = Path(unquote(urlsplit(source).path)).name if "://" in source else Path(source).name
    # A name from a URL must stay a plain file name on every system.
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).lstrip(".") or "model"
    return name if name.lower().endswith(_ENDINGS) else f"{name}.safetensors"


def _model_files(checkout: Path, shared: Path | None) -> Iterator[Path]:
    folders = [checkout / folder for folder in _table()["in_checkout"].values()]
    if shared is not None:
        folders += [shared / folder for folder in _table()["folders"].values()]
    for folder in folders:
        if folder.is_dir():
            yield from sorted(it for it in folder.rglob("*") if it.is_file() and it.suffix.lower() in _ENDINGS)


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise SdLauncherError("SDL-MODEL-EXISTS", path=target)


def _refusal(judged: NoWeights, file: Path) -> SdLauncherError:
    # Spelt out, so that each code has its place where it is raised.
    codes = {it: it for it in ("SDL-WEIGHTS-PAGE", "SDL-WEIGHTS-LFS", "SDL-WEIGHTS-CUT", "SDL-WEIGHTS-UNKNOWN")}
    return SdLauncherError(codes[judged.code], path=file, evidence=judged.evidence)


def _model(path: Path, weights: Weights) -> Model:
    return Model(path, path.stat().st_size, weights.kind, weights.family, weights.format)


@cache
def _table() -> dict[str, Any]:
    import sdlauncher.catalog

    file = Path(sdlauncher.catalog.__file__).with_name("models.toml")
    return toml.loads(file.read_text(encoding="utf-8"))
