"""A WebUI's checkout as files: which WebUI a directory holds, which version, and how Mini WebUI's is laid out."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Final

from sdlauncher.catalog.recipe import load_marks
from sdlauncher.core.recipe import Marks
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import write_bytes

# Written before the first file of a checkout and removed after the last: what lies between is ours to go on with, and
# so is what uninstalling left. It holds the name of the WebUI.
UNFINISHED: Final = ".sdlauncher-unfinished"
# What Mini WebUI imports beyond the launcher's own dependencies (the extra `mini`).
_MINI_NEEDS: Final = ("starlette", "uvicorn", "numpy")
_READ_AT_MOST: Final = 256 * 1024


def identify(directory: Path) -> str | None:
    """Return the name of the WebUI whose checkout this directory is, or None. Reads a handful of small files."""
    marks = find_marks(directory)
    return marks.webui if marks else None


def find_marks(directory: Path) -> Marks | None:
    """Return the first marks of the catalog that fit the directory."""
    return next((marks for marks in load_marks() if _fits(directory, marks)), None)


def read_version(directory: Path, marks: Marks) -> str | None:
    """Return the version that the checkout's own files tell, None if they tell none."""
    if marks.webui == "mini":
        from sdlauncher.mini import VERSION

        return VERSION
    if marks.version is None:
        return None
    found = re.search(marks.version.line, _head_of(directory / marks.version.file), re.MULTILINE)
    return found["version"] if found else None


def require_mini() -> None:
    """Raise SDL-MINI-EXTRA unless the packages that Mini WebUI runs on can be imported here."""
    missing = [name for name in _MINI_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise SdLauncherError("SDL-MINI-EXTRA", packages=", ".join(missing), python=sys.executable)


def is_mini_laid_out(target: Path) -> bool:
    """Tell whether the directory holds Mini WebUI's files as this version writes them, for this interpreter."""
    import sdlauncher.mini

    source = Path(sdlauncher.mini.__file__).parent / "checkout"
    program = [entry for entry in source.iterdir() if entry.is_file() and not entry.name.startswith("webui-user.")]
    if _read(target / "interpreter.txt").decode(errors="replace").strip() != sys.executable:
        return False
    if not any((target / "models" / "Stable-diffusion").glob("*.safetensors")):
        return False
    user_files = all((target / name).is_file() for name in ("webui-user.sh", "webui-user.bat"))
    return user_files and all(_read(target / entry.name) == entry.read_bytes() for entry in program)


def mark_unfinished(directory: Path, webui: str) -> None:
    """Say that what is not there yet will be this WebUI. Raises SDL-FILE-WRITE."""
    write_bytes(directory / UNFINISHED, f"{webui}\n".encode())


def lay_out_mini(target: Path) -> None:
    """Write Mini WebUI's checkout for this interpreter. Raises SDL-MINI-EXTRA, SDL-CHECKOUT-OTHER, SDL-FILE-WRITE."""
    require_mini()
    from sdlauncher.mini import lay_out

    mark = target / UNFINISHED
    try:
        target.mkdir(parents=True, exist_ok=True)
        if not any(target.iterdir()):
            # What a full disk or a kill cuts off is then known as ours, and the next run goes on.
            mark_unfinished(target, "mini")
        lay_out(target, python=Path(sys.executable), over=mark.exists())
        mark.unlink(missing_ok=True)
    except FileExistsError as error:
        raise SdLauncherError("SDL-DIR-NOT-EMPTY", path=target, evidence=name_contents(target)) from error
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error


def name_contents(directory: Path) -> str:
    """Return the first few names in a directory, for a sentence that says what is in the way."""
    names = sorted(entry.name for entry in directory.iterdir())
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _fits(directory: Path, marks: Marks) -> bool:
    if not all((directory / name).exists() for name in marks.files):
        return False
    if any((directory / name).exists() for name in marks.without):
        return False
    says = marks.says or {}
    return all(re.search(line, _head_of(directory / name), re.MULTILINE) for name, line in says.items())


def _head_of(file: Path) -> str:
    return _read(file).decode(errors="replace")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_READ_AT_MOST)
    except OSError:
        return b""
