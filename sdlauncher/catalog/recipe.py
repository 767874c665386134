"""The catalog's knowledge of installations: marks of checkouts, recipes, locks and advisories, read into values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sdlauncher.core import toml
from sdlauncher.core.advisories import Advisory
from sdlauncher.core.recipe import Marks, Recipe, Repository, VersionLine, lock_name, name_of
from sdlauncher.errors import SdLauncherError

_FOLDER = Path(__file__).parent


@cache
def load_marks() -> tuple[Marks, ...]:
    """Return the marks of every WebUI, in the order in which they are to be tried."""
    return tuple(
        Marks(
            webui=row["webui"],
            files=tuple(row["files"]),
            without=tuple(row.get("without", ())),
            says=row.get("says"),
            version=VersionLine(**row["version"]) if "version" in row else None,
        )
        for row in _read(_FOLDER / "checkouts.toml")["checkout"]
    )


@cache
def load_recipe(webui: str, own: Path | None = None) -> Recipe | None:
    """Return how a WebUI is installed; None for one that is not installed by steps (mini) or has no recipe.

    A file of the same name in `own`, the user's folder, takes the place of ours. Raises SDL-RECIPE-BAD.
    """
    files = [folder / f"{webui}.toml" for folder in (own, _FOLDER / "recipes") if folder is not None]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    try:
        return _recipe(webui, _read(file), file.parent)
    except (toml.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise SdLauncherError("SDL-RECIPE-BAD", path=file, evidence=f"{type(error).__name__}: {error}") from error


def _recipe(webui: str, table: dict[str, Any], origin: Path) -> Recipe:
    apart = {name_of(name) for name in table.get("locked", {}).get("left_out", ())}
    return Recipe(
        webui=webui,
        version=table["version"],
        program=_repository(table["program"]),
        repositories=tuple(_repository(row) for row in table.get("repository", ())),
        pythons=tuple(table["pythons"]),
        lock=table.get("lock", ""),
        requirements=table["requirements"],
        proof=tuple(table["proof"]),
        disk_gib=table["disk_gib"],
        folders=tuple(table.get("folders", ())),
        libraries=tuple(table.get("libraries", ())),
        packages=tuple(_repository(row) for row in table.get("package", ())),
        extra=tuple(line for line in table.get("locked", {}).get("extra", ()) if name_of(line) not in apart),
        override=tuple(table.get("locked", {}).get("override", ())),
        drop=tuple(table.get("locked", {}).get("drop", ())),
        requirements_variable=table.get("requirements_variable", ""),
        origin=str(origin),
    )


def find_lock(recipe: Recipe, python: str, system: str) -> Path | None:
    """Return the lock of a recipe for a Python and a system; None if none was made for that pair."""
    beside = Path(recipe.origin)
    folder = _FOLDER / "locks" if beside == _FOLDER / "recipes" else beside / "locks"
    file = folder / lock_name(recipe, python, system)
    return file if file.is_file() else None


@cache
def load_advisories() -> tuple[Advisory, ...]:
    """Return every known break, in the order in which their cures take precedence."""
    return tuple(_advisory(row) for row in _read(_FOLDER / "advisories.toml")["advisory"])


@cache
def describe_advisories() -> dict[str, dict[str, str]]:
    """Return what each advisory says, by id and language."""
    rows = _read(_FOLDER / "advisories.toml")["advisory"]
    return {row["id"]: {"en": row["en"], "zh": row["zh"]} for row in rows}


def _advisory(row: dict[str, Any]) -> Advisory:
    lists = ("signatures", "references", "webuis", "systems", "constraints", "build_constraints", "packages")
    return Advisory(
        id=row["id"],
        before=row.get("before", ""),
        repositories={url: tuple(others) for url, others in row.get("repositories", {}).items()},
        environment=row.get("environment", {}),
        **{key: tuple(row.get(key, ())) for key in lists},
    )


def _repository(row: dict[str, Any]) -> Repository:
    return Repository(**{**row, "skip": tuple(row.get("skip", ()))})


def _read(file: Path) -> dict[str, Any]:
    return toml.loads(file.read_text(encoding="utf-8"))
