"""What we know about each WebUI, as data: one TOML file per WebUI, read into values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sdlauncher.core import toml
from sdlauncher.core.settings import suggest
from sdlauncher.core.webui import LogLines, Scripts, WebUi
from sdlauncher.errors import SdLauncherError

_FOLDER = Path(__file__).parent
NAMES = ("a1111", "forge", "reforge", "forge-classic", "forge-neo", "sdnext", "mini")


@cache
def read_table(name: str) -> dict[str, Any]:
    """Return the raw catalog file of a WebUI. Raises SDL-WEBUI-UNKNOWN with the nearest name."""
    if name not in NAMES:
        raise SdLauncherError("SDL-WEBUI-UNKNOWN", name=name, suggestion=suggest(name, NAMES))
    return toml.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def load_webui(name: str) -> WebUi:
    """Return one WebUI. Raises SDL-WEBUI-UNKNOWN."""
    table = read_table(name)
    return WebUi(name=name, scripts=Scripts(**table["scripts"]), log=LogLines(**table["log"]), **table["webui"])
