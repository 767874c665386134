"""The checkpoints on disk: which there are, which one is meant, and loading it."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdlauncher.mini.log import complain, complain_with_traceback, say

if TYPE_CHECKING:
    from sdlauncher.mini.model import Model

_SUFFIXES = (".safetensors", ".ckpt")
_HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors library


class SafetensorError(Exception):
    """A file is no safetensors file; the text is that of the safetensors library."""


@dataclass(slots=True)
class Checkpoint:
    """A file that may hold a model; its hash is known once it was loaded."""

    path: Path
    name: str
    sha256: str | None = None

    @property
    def model_name(self) -> str:
        """The name without its suffix."""
        return self.name.rpartition(".")[0]

    @property
    def short_hash(self) -> str | None:
        """The first ten digits of the hash."""
        return self.sha256[:10] if self.sha256 else None

    @property
    def title(self) -> str:
        """What the API and the page call it."""
        return f"{self.name} [{self.short_hash}]" if self.sha256 else self.name

    def answers_to(self, name: object) -> bool:
        """Say whether it can be asked for by this name; a title counts before its hash is known, too."""
        if not isinstance(name, str):
            return False
        names = (self.title, self.name, self.model_name, self.path.stem, self.short_hash, self.sha256)
        return name in names or (self.sha256 is None and name.partition(" [")[0] == self.name)


class Checkpoints:
    """The checkpoints of an installation."""

    def __init__(self, *, folder: Path, extra_folder: Path | None, file: Path, file_is_default: bool) -> None:
        self._folder = folder
        self._extra_folder = extra_folder
        self._file = file
        self._file_is_default = file_is_default
        self.found: list[Checkpoint] = []

    def refresh(self) -> None:
        """Look at the disk again; hashes that are known stay known."""
        known = {checkpoint.path: checkpoint.sha256 for checkpoint in self.found}
        paths: dict[Path, str] = {}
        if self._file.is_file():
            paths[self._file] = self._file.name
        elif not self._file_is_default:
            complain(f"Checkpoint in --ckpt argument not found (Possible it was moved to {self._folder}: {self._file}")
        for folder in filter(None, (self._folder, self._extra_folder)):
            for path in sorted(folder.rglob("*"), key=lambda path: str(path).lower()):
                if path.suffix in _SUFFIXES and path.is_file():
                    paths.setdefault(path, path.relative_to(folder).as_posix())
        self.found = [Checkpoint(path, name, known.get(path)) for path, name in paths.items()]

    def find(self, name: object) -> Checkpoint | None:
        """Give the checkpoint of this name."""
        return next((checkpoint for checkpoint in self.found if checkpoint.answers_to(name)), None)

    def choose(self, name: str | None) -> Checkpoint:
        """Give the checkpoint of this name, or else the first. Raises FileNotFoundError if there is none."""
        if not self.found:
            looked = f"\n - file {self._file}\n - directory {self._folder}"
            if self._extra_folder:
                looked += f"\n - directory {self._extra_folder.absolute()}"
            raise FileNotFoundError(
                f"No checkpoints found. When searching for checkpoints, looked at:{looked}"
                "Can't run without a checkpoint. "
                "Find and place a .ckpt or .safetensors file into any of those locations."
            )
        # A --ckpt file comes first, so that it wins on a fresh start.
        wanted = self.find(name) if name else None
        if wanted is None and name:
            say(f"Checkpoint {name} not found; loading fallback {self.found[0].title}")
        return wanted or self.found[0]


def load_checkpoint(checkpoint: Checkpoint, before_load: Callable[[], None]) -> tuple[Model, dict[str, float]]:
    """Load a model; give it and what each part of the loading took in seconds.

    Raises SafetensorError for a file that is broken, RuntimeError for one that holds another kind of model.
    """
    start = time.monotonic()
    content = checkpoint.path.read_bytes()
    known, checkpoint.sha256 = checkpoint.sha256, hashlib.sha256(content).hexdigest()
    sound = _find_fault(content) is None
    if not known and not sound:
        say(f"Calculating sha256 for {checkpoint.path}: {checkpoint.sha256}")
    say(f"Loading weights [{checkpoint.short_hash}] from {checkpoint.path}")
    if checkpoint.path.suffix == ".ckpt":
        complain(f"*** Error verifying pickled file from {checkpoint.path}")
        raise AttributeError("'NoneType' object has no attribute 'pop'")
    fault = _find_fault(content)
    if fault is not None:
        raise SafetensorError(f"Error while deserializing header: {fault}")
    read = time.monotonic()
    before_load()
    from sdlauncher.mini.model import Model

    try:
        model = Model.load(checkpoint.path)
    except ValueError as error:
        raise RuntimeError(f"Error(s) in loading state_dict for Mini: {error}") from error
    return model, {"load weights from disk": read - start, "create model": time.monotonic() - read}


def read_metadata(checkpoint: Checkpoint) -> None:
    """Look into a file as the real one does when it lists checkpoints, and complain about a broken one."""
    if checkpoint.path.suffix != ".safetensors":
        return
    with checkpoint.path.open("rb") as file:
        start = file.read(10)
    if start[8:10] not in (b'{"', b"{'"):
        error = AssertionError(f"{checkpoint.path} is not a safetensors file")
        complain_with_traceback(f"reading metadata for {checkpoint.path}: AssertionError", error)


def _find_fault(content: bytes) -> str | None:
    """Name what the safetensors library would find wrong with a file's header, or give None."""
    if len(content) < 8:
        return "HeaderTooSmall"
    (length,) = struct.unpack("<Q", content[:8])
    if length > _HEADER_LIMIT:
        return "HeaderTooLarge"
    if length + 8 > len(content):
        return "InvalidHeaderLength"
    try:
        header: dict[str, Any] = json.loads(content[8 : 8 + length].decode())
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except UnicodeDecodeError:
        return "InvalidHeader"
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return "InvalidHeaderDeserialization"
    return None if 8 + length + max(ends, default=0) == len(content) else "MetadataIncompleteBuffer"
