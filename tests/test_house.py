"""The house of the package: which floor may import which, and how large a room may grow."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import sdlauncher

PACKAGE = Path(sdlauncher.__file__).parent

# A package imports from its own floor's number downwards only; equal numbers must be the same package.
FLOORS = {
    "cli": 7,
    "share": 6,
    "setup": 5,
    "verify": 4,
    "supervise": 3,
    "machine": 2,
    "catalog": 2,
    "core": 1,
    "messages": 1,
    "errors": 1,
}
ALLOWED_BESIDE = {("catalog", "core"), ("errors", "messages"), ("core", "errors"), ("messages", "core")}
IMPURE = {"os", "sys", "io", "time", "random", "socket", "subprocess", "pathlib", "tempfile", "shutil", "threading"}


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            if node.module == "sdlauncher":
                names.update(f"sdlauncher.{alias.name}" for alias in node.names)
    return names


def _room(module: str) -> str:
    room = module.split(".")[1] if module.startswith("sdlauncher.") else ""
    return room if room in FLOORS or room == "mini" else ""


def _modules() -> list[tuple[Path, str]]:
    return [
        (file, file.relative_to(PACKAGE).with_suffix("").parts[0])
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.parent != PACKAGE or file.name == "errors.py"
    ]


def test_every_floor_imports_only_floors_below_it() -> None:
    wrong = []
    for file, room in _modules():
        if room == "mini":
            continue
        for target in {_room(name) for name in _imports(file)} - {"", room}:
            below = FLOORS.get(target, 0) < FLOORS[room]
            if not below and (room, target) not in ALLOWED_BESIDE:
                wrong.append(f"{file.relative_to(PACKAGE)} imports {target}")
    assert wrong == []


def test_mini_webui_knows_nothing_of_the_rest() -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in (PACKAGE / "mini").rglob("*.py")
        for name in _imports(file)
        if name.startswith("sdlauncher") and not name.startswith("sdlauncher.mini")
    ]
    assert wrong == []


def test_only_the_installer_and_nobody_else_knows_mini() -> None:
    knowing = {
        str(file.relative_to(PACKAGE))
        for file, room in _modules()
        if room != "mini" and any(name.startswith("sdlauncher.mini") for name in _imports(file))
    }
    assert knowing <= {"setup/checkout.py"}


def test_core_touches_neither_the_world_nor_third_parties() -> None:
    wrong = []
    for file in (PACKAGE / "core").glob("*.py"):
        for name in _imports(file):
            top = name.split(".")[0]
            if top in IMPURE - ({"sys"} if file.name == "toml.py" else set()):
                wrong.append(f"{file.name} imports {name}")
            if top not in sys.stdlib_module_names and top not in {"sdlauncher", "tomli", "tomllib"}:
                wrong.append(f"{file.name} imports {name}")
    assert wrong == []


def test_no_module_outgrows_its_room() -> None:
    long = {
        str(file.relative_to(PACKAGE)): lines
        for file in PACKAGE.rglob("*.py")
        if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert long == {}


def test_no_room_is_named_after_nothing() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [file for file in PACKAGE.rglob("*.py") if file.stem in nameless] == []
