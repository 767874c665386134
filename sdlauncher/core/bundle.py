"""What a bundle is: everything one installation needs, for a machine without a network, and whom it is good for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

SCHEMA: Final = "sdlauncher-bundle/1"
MANIFEST: Final = "manifest.json"
# Where the kinds of files lie in a bundle.
GIT: Final = "git"
PACKAGES: Final = "simple"
PYTHON: Final = "python"
MODELS: Final = "models"


@dataclass(frozen=True, slots=True)
class Ware:
    """One file of a bundle: `path` inside it, with slashes; `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Torch:
    """The torch in a bundle. `label` is what its wheels carry (`+cu121`), empty for those of the package index."""

    version: str
    torchvision: str
    xformers: str
    channel: str
    label: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds and whom it was made for; `python` is a minor version, `lock` the lock's digest."""

    webui: str
    version: str
    commit: str
    system: str
    machine: str
    python: str
    lock: str
    torch: Torch
    made_by: str
    files: tuple[Ware, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(ware.size for ware in self.files)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the bundle."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """Read it. Raises ValueError, KeyError or TypeError, whose text says what is wrong."""
        if value.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {value.get('schema')!r}, not {SCHEMA!r}")
        files = tuple(Ware(**row) for row in value["files"])
        for ware in files:
            if not all(part not in ("", ".", "..") for part in ware.path.split("/")) or set(ware.path) & set("\\:"):
                raise ValueError(f"it names the path {ware.path!r}")
        texts = ("webui", "version", "commit", "system", "machine", "python", "lock", "made_by")
        return cls(**{key: str(value[key]) for key in texts}, torch=Torch(**value["torch"]), files=files)


def find_mismatch(manifest: Manifest, *, webui: str, commit: str, system: str, machine: str) -> str | None:
    """Return in a few words why a bundle is not for this installation, None if it is."""
    if manifest.webui != webui:
        return f"it holds {manifest.webui}, not {webui}"
    if (manifest.system, manifest.machine) != (system, machine):
        return f"it was made for {manifest.system} on {manifest.machine}, and this is {system} on {machine}"
    if manifest.commit != commit:
        held = f"{webui} {manifest.version} at {manifest.commit[:12]}"
        return f"it holds {held}, and this version of sdlauncher installs {commit[:12]}"
    return None


def find_torch_mismatch(manifest: Manifest, *, version: str, channel: str) -> str | None:
    """Return in a few words why the torch of a bundle is not what this machine's plan asks for, None if it is.

    A torch for CUDA computes on a CPU as well, so that one bundle serves machines with and without a GPU.
    """
    held, wanted = manifest.torch.version.partition("+")[0], version.partition("+")[0]
    if held == wanted and channel in (manifest.torch.channel, "cpu"):
        return None
    return f"its torch is {held} for {manifest.torch.channel}, and this machine needs {wanted} for {channel}"
