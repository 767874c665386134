"""The files of templates/, wherever they are: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

import sdlauncher
from sdlauncher.errors import SdLauncherError

_PACKAGE = Path(sdlauncher.__file__).parent


def read_template(name: str) -> str:
    """Return the text of a template, lines ended by \\n. Raises SDL-FILE-READ if the installation lacks it."""
    folders = (_PACKAGE / "templates", _PACKAGE.parent / "templates")
    file = next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
