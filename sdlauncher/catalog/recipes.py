"""The catalog's knowledge of checkouts: the marks by which each WebUI is recognised, read into values."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdlauncher.core import toml
from sdlauncher.core.recipe import Marks, VersionLine

_FOLDER = Path(__file__).parent


@cache
def load_marks() -> tuple[Marks, ...]:
    """Return the marks of every WebUI, in the order in which they are to be tried."""
    table = toml.loads((_FOLDER / "checkouts.toml").read_text(encoding="utf-8"))
    return tuple(
        Marks(
            webui=row["webui"],
            files=tuple(row["files"]),
            without=tuple(row.get("without", ())),
            says=row.get("says"),
            version=VersionLine(**row["version"]) if "version" in row else None,
        )
        for row in table["checkout"]
    )
