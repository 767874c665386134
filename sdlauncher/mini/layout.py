"""The files of a Mini WebUI checkout, and how they are laid out in a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sdlauncher.mini import model

_SOURCE: Final = Path(__file__).parent / "checkout"
_MARK: Final = "interpreter.txt"
_PROGRAM: Final = ("webui.sh", "webui.bat", "launch.py")
_USER: Final = ("webui-user.sh", "webui-user.bat")
_FOLDERS: Final = ("models/Stable-diffusion", "models/VAE", "models/Lora", "embeddings", "extensions", "outputs", "tmp")


def lay_out(target: Path, *, python: Path, over: bool = False) -> None:
    """Write a Mini WebUI checkout into a directory, to be run by this Python interpreter.

    Doing it again refreshes the program and keeps the user's webui-user.* files, models and settings. `over` is for a
    directory that is known to be meant for it, whatever it holds.
    Raises FileExistsError if the directory holds something else, OSError if it cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    if not over and not (target / _MARK).is_file() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty and holds no Mini WebUI")
    for folder in _FOLDERS:
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in _PROGRAM:
        _copy(name, target)
    for name in _USER:
        if not (target / name).exists():
            _copy(name, target)
    weights = target / "models" / "Stable-diffusion" / f"{model.NAME}.safetensors"
    if not weights.exists():
        _write(weights, model.WEIGHTS.read_bytes())
    # Absolute but not resolved: a virtual environment's python is a link that must stay one.
    _write(target / _MARK, f"{Path(os.path.abspath(python))}\n".encode())  # noqa: PTH100


def _copy(name: str, target: Path) -> None:
    content = (_SOURCE / name).read_bytes()
    if name.endswith(".bat"):
        # cmd loses labels in files without carriage returns, and a clone may have taken them away.
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    _write(target / name, content)
    if name.endswith(".sh"):
        (target / name).chmod(0o755)


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step: a script that bash is reading must not change under it, nor half a model be kept."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
