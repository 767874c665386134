"""The settings of the WebUI: 329 names with their defaults, what config.json says, and what the API changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sdlauncher.mini.log import complain

_OPTIONS = Path(__file__).parent / "data" / "options.json"


def read_option_table() -> dict[str, dict[str, Any]]:
    """Give each setting's `type` (or None) and `default`."""
    table: dict[str, dict[str, Any]] = json.loads(_OPTIONS.read_text("utf-8"))
    return table


class Settings:
    """Settings by name, kept in a JSON file."""

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self.path = path
        self._frozen = frozen
        self._values = {name: entry["default"] for name, entry in read_option_table().items()}
        self._known = frozenset(self._values)

    def load(self) -> None:
        """Read the file if there is one; move a corrupt one to tmp/config.json and say so."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
            if not isinstance(found, dict):
                raise TypeError("not an object")
        except FileNotFoundError:
            return
        except (ValueError, TypeError, OSError):
            moved = Path("tmp", "config.json")
            moved.parent.mkdir(exist_ok=True)
            complain(
                f'*** The config file "{self.path}" is likely corrupted\n'
                f'*** It has been moved to the "{moved.as_posix()}"\n*** Starting with default settings.'
            )
            shutil.move(self.path, moved)
            return
        self._values |= found

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def require(self, name: str) -> None:
        """Raise KeyError if no setting has this name."""
        if name not in self._known:
            raise KeyError(name)

    def set(self, name: str, value: Any) -> None:
        """Change one setting. Raises KeyError for an unknown name, AssertionError if settings are frozen."""
        if self._values.get(name, _MISSING) == value:
            return
        self.require(name)
        if self._frozen:
            raise AssertionError("changing settings is disabled")
        self._values[name] = value

    def note(self, name: str, value: Any) -> None:
        """Change what the program itself knows, such as the loaded checkpoint."""
        self._values[name] = value

    def save(self) -> None:
        """Write the file."""
        self.path.write_text(json.dumps(self._values, indent=4, ensure_ascii=False), "utf-8")

    def as_dict(self) -> dict[str, Any]:
        """Give all settings, unknown ones from the file included."""
        return dict(self._values)


_MISSING = object()
