"""Python interpreters and virtual environments, read from their files where that is enough."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import find, run

_DIST_INFO: Final = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")


class Environment(NamedTuple):
    """A virtual environment: its interpreter, that interpreter's version, and the packages in it by normalised name."""

    root: Path
    python: Path
    version: str
    packages: dict[str, str]


def environment_python(root: Path) -> Path:
    """Return where the interpreter of a virtual environment lies on this system or, if made there, on the other."""
    windows, posix = root / "Scripts" / "python.exe", root / "bin" / "python"
    return windows if windows.exists() else posix


def read_environment(root: Path) -> Environment | None:
    """Return what a virtual environment is, from its files; None if there is none or its interpreter is gone."""
    try:
        config = (root / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    python = environment_python(root)
    if not python.exists():
        return None
    keys = dict(_key_and_value(line) for line in config.splitlines() if "=" in line)
    version = keys.get("version_info") or keys.get("version") or ""
    return Environment(root, python, version, _packages(root))


def normalise(name: str) -> str:
    """Return a package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _key_and_value(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip().lower(), value.strip()


def site_packages(root: Path) -> tuple[Path, ...]:
    """Return the folders of an environment that hold its packages: one, as a rule, and none where it is broken."""
    return (*root.glob("lib/python3*/site-packages"), *root.glob("Lib/site-packages"))


def _packages(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in site_packages(root):
        # Half of the time of an installation with nothing to do went into making paths of them.
        for entry in os.listdir(folder):  # noqa: PTH208
            if entry.endswith(".dist-info") and (match := _DIST_INFO.fullmatch(entry)):
                found[normalise(match["name"])] = match["version"]
    return found


def find_torn(root: Path, names: Iterable[str]) -> list[str]:
    """Return which of these packages lack files, or have shorter ones, than was recorded when they were installed."""
    wanted = {normalise(name): name for name in names}
    torn = []
    for folder in site_packages(root):
        for entry in folder.iterdir():
            match = _DIST_INFO.fullmatch(entry.name)
            name = wanted.get(normalise(match["name"])) if match else None
            if name is not None and not _is_whole(folder, entry / "RECORD"):
                torn.append(name)
    return sorted(torn)


def _is_whole(folder: Path, record: Path) -> bool:
    import csv

    try:
        text = record.read_text(encoding="utf-8")
        rows = csv.reader(text.splitlines())
        return all(os.stat(f"{folder}/{row[0]}").st_size >= int(row[2]) for row in rows if len(row) > 2 and row[2])  # noqa: PTH116
    except (OSError, ValueError):
        return False


class Interpreter(NamedTuple):
    """A Python that was run and answered: its real executable and version."""

    executable: Path
    version: str

    @property
    def minor(self) -> str:
        """The version as a WebUI asks for it, e.g. `3.10`."""
        return ".".join(self.version.split(".")[:2])


# Asks for the real program: a launcher in between (a shim, the Windows Store's stub) answers with what it starts, or
# not at all. 64 bit, because torch has no other wheels; venv, because Debian splits it off.
_QUESTION: Final = (
    "import sys, venv; assert sys.maxsize > 2**32; "
    "print(getattr(sys, '_base_executable', sys.executable), '.'.join(map(str, sys.version_info[:3])))"
)


def find_python(versions: Sequence[str], named: str | None = None) -> Interpreter | None:
    """Return the first interpreter of one of these versions (`3.10`), best first, that really runs; None without one.

    `named` is the one the user wants, of whatever version. Raises SDL-PYTHON-NAMED when that one does not run. Looks
    on PATH, among those of uv and pyenv, and where the system and conda keep theirs; shims that fail are passed over.
    """
    if named is not None:
        path = Path(named).expanduser()
        found = path if path.is_absolute() else find(named)
        answer = ask_python(found) if found else None
        if answer is None:
            raise SdLauncherError("SDL-PYTHON-NAMED", python=named)
        return answer
    for version in versions:
        for candidate in _candidates(version):
            answer = ask_python(candidate)
            if answer is not None and answer.minor == version:
                return answer
    return None


def ask_python(program: Path) -> Interpreter | None:
    """Run an interpreter to learn what it is; None if it does not answer as a usable 64-bit Python does."""
    if not program.is_file():
        return None
    try:
        done = run([program, "-I", "-c", _QUESTION], timeout=20)
    except SdLauncherError:
        return None
    executable, _, version = done.stdout.strip().rpartition(" ")
    return Interpreter(Path(executable), version) if done.ok and executable else None


def _candidates(version: str) -> Iterator[Path]:
    if ".".join(map(str, sys.version_info[:2])) == version:
        yield Path(sys.executable)
    name = f"python{version}" + (".exe" if sys.platform == "win32" else "")
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if entry and (program := Path(entry) / name).is_file():
            yield program
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    roots = [pyenv, home / ".local/share/uv/python", home / "miniconda3/envs", home / "anaconda3/envs", Path("/opt")]
    for root in roots:
        for pattern in (f"{version}*", f"cpython-{version}*", f"*python*{version}*"):
            for folder in sorted(root.glob(pattern), reverse=True):
                yield from (program for program in (folder / "bin" / name, folder / "python.exe") if program.is_file())
    if sys.platform == "win32":
        short = version.replace(".", "")
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Programs" / "Python" / f"Python{short}" / "python.exe"
        yield local
        yield Path(f"C:/Python{short}/python.exe")
