"""Settings on disk: the user's config.toml, which we only read, and what an instance remembers, which we write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sdlauncher.core import toml
from sdlauncher.core.settings import TABLES, Layer, Settings, resolve
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, refuse_hidden, write_json
from sdlauncher.machine.paths import InstancePaths, Paths, locate_typed

# What `--webui`, `--dir` and the like change for good; everything else belongs to one command or to config.toml.
REMEMBERED: Final = (
    "webui",
    "dir",
    "port",
    "listen",
    "insecure",
    "model",
    "xformers",
    "gpu",
    "env",
    "flags",
    "without",
)


def read_settings(paths: Paths, instance: str, spoken: Mapping[str, Any] | None = None) -> Settings:
    """Merge what was said now, what the instance remembers and config.toml (its own table first).

    `spoken` holds the options of this command (command line or environment); None values were not said. Raises
    SDL-CONFIG-SYNTAX, SDL-CONFIG-KEY, SDL-CONFIG-VALUE with the file, and SDL-INSTANCE-NAME.
    """
    files = paths.instance(instance)
    config = read_config(paths)
    place = str(paths.config_file)
    own = config.get("instances", {}).get(instance, {})
    if not isinstance(own, dict):
        raise SdLauncherError(
            "SDL-CONFIG-VALUE", place=place, key=f"instances.{instance}", value=repr(own), expected="a table"
        )
    said = {key: value for key, value in (spoken or {}).items() if value is not None}
    return resolve(
        instance,
        [
            Layer("the command line", said),
            Layer(str(files.remembered), recall(files)),
            Layer(f"{place} [instances.{instance}]", own),
            Layer(place, {key: value for key, value in config.items() if key not in TABLES}),
        ],
    )


def read_config(paths: Paths) -> dict[str, Any]:
    """Parse config.toml; an absent file is an empty one. Raises SDL-CONFIG-SYNTAX and SDL-FILE-READ."""
    try:
        text = paths.config_file.read_text(encoding="utf-8-sig")
        return toml.loads(text)
    except FileNotFoundError:
        return {}
    except toml.TOMLDecodeError as error:
        raise SdLauncherError("SDL-CONFIG-SYNTAX", path=paths.config_file, evidence=error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SdLauncherError("SDL-FILE-READ", path=paths.config_file, evidence=error) from error


def recall(files: InstancePaths) -> dict[str, Any]:
    """Return what the instance remembers; nothing for a new one. Raises SDL-FILE-ACCESS for that of another user."""
    stored = read_json(files.remembered)
    if stored is None:
        refuse_hidden(files.remembered)
        return {}
    return {key: stored[key] for key in REMEMBERED if stored.get(key) is not None}


def remember(files: InstancePaths, changes: Mapping[str, Any]) -> None:
    """Keep the settings among `changes` that an instance remembers (None: not said, kept as it was)."""
    old = recall(files)
    new = {**old, **{key: changes[key] for key in REMEMBERED if changes.get(key) is not None}}
    if isinstance(new.get("dir"), (str, os.PathLike)):
        new["dir"] = str(locate_typed(new["dir"]))
    if new != old:
        write_json(files.remembered, new)


def checkout_of(paths: Paths, settings: Settings) -> Path:
    """Return the checkout's directory: the one that was named, else the usual place of its WebUI."""
    return locate_typed(settings.dir) if settings.dir else paths.checkout(settings.webui_name)
