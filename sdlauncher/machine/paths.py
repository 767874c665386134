"""Where files live: settings, state, downloads and checkouts, all of them under SDLAUNCHER_HOME if that is set."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from sdlauncher.errors import SdLauncherError

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


# Named tuples and not dataclasses: every command makes these, and a dataclass costs it a millisecond.
class InstancePaths(NamedTuple):
    """The files of one instance. The supervisor alone writes `state`, the command line alone writes `request`."""

    name: str
    root: Path

    @property
    def is_known(self) -> bool:
        """Whether it remembers anything; what is another user's is taken to."""
        try:
            return self.remembered.exists() or self.state.exists()
        except PermissionError:
            return True

    @property
    def remembered(self) -> Path:
        """What the instance remembers from the command line: WebUI, checkout, port, GPU."""
        return self.root / "instance.json"

    @property
    def launch(self) -> Path:
        """How to start it, as the command line hands it to the supervisor (0600: it can hold credentials)."""
        return self.root / "launch.json"

    @property
    def credentials(self) -> Path:
        """User and password (0600), where the WebUI can be reached from other machines."""
        return self.root / "credentials"

    @property
    def state(self) -> Path:
        """What the supervisor last said."""
        return self.root / "state.json"

    @property
    def request(self) -> Path:
        """What the command line asks of the supervisor."""
        return self.root / "request.json"

    @property
    def lock(self) -> Path:
        """Held by the living supervisor."""
        return self.root / "supervisor.lock"

    @property
    def log(self) -> Path:
        """The WebUI's own output."""
        return self.root / "webui.log"

    @property
    def events(self) -> Path:
        """The history of the instance, one JSON object a line."""
        return self.root / "events.jsonl"


class Paths(NamedTuple):
    """The folders of this user."""

    config: Path
    state: Path
    cache: Path
    data: Path

    @property
    def config_file(self) -> Path:
        """The user's own settings, which only the user writes."""
        return self.config / "config.toml"

    def instance(self, name: str) -> InstancePaths:
        """Return the files of one instance. Raises SDL-INSTANCE-NAME for a name that is no plain folder name."""
        if not _INSTANCE.fullmatch(name):
            raise SdLauncherError("SDL-INSTANCE-NAME", name=name)
        return InstancePaths(name, self.state / name)

    def instances(self) -> tuple[InstancePaths, ...]:
        """Return every instance that ever remembered something, by name."""
        if not self.state.is_dir():
            return ()
        names = sorted(entry.name for entry in self.state.iterdir() if _INSTANCE.fullmatch(entry.name))
        return tuple(instance for instance in map(self.instance, names) if instance.is_known)

    def checkout(self, webui: str) -> Path:
        """Return where a WebUI is installed unless `--dir` says otherwise."""
        return self.data / webui


def locate_typed(path: str | Path) -> Path:
    """Return the whole path of what somebody typed. Raises SDL-PATH-HOME for `~nobody` and SDL-FOLDER-GONE."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise SdLauncherError("SDL-PATH-HOME", path=path) from error
    except FileNotFoundError as error:
        raise SdLauncherError("SDL-FOLDER-GONE") from error


def locate_paths() -> Paths:
    """Find the folders, from SDLAUNCHER_HOME or the platform's conventions (platformdirs). Creates nothing."""
    if home := os.environ.get("SDLAUNCHER_HOME"):
        root = locate_typed(home)
        return Paths(root / "config", root / "state", root / "cache", root / "data")
    import platformdirs

    dirs = platformdirs.PlatformDirs("sdlauncher", appauthor=False)
    return Paths(dirs.user_config_path, dirs.user_state_path, dirs.user_cache_path, dirs.user_data_path)
