"""What the user wants of an instance, every value with the place it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from sdlauncher.errors import SdLauncherError

DEFAULT_WEBUI: Final = "a1111"
MODEL_CLASSES: Final = ("auto", "sd15", "sdxl")


class Layer(NamedTuple):
    """One source of settings; `place` is what the user is told, e.g. the command line or a file."""

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """The wishes of one instance. A field that nobody set keeps its default; `places` names the others' sources."""

    instance: str = "default"
    webui: str | None = None
    dir: str | None = None
    port: int | None = None
    listen: bool = False
    insecure: bool = False
    model: str = "auto"
    xformers: bool | None = None
    gpu: str | None = None
    flags: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None
    advisories_off: tuple[str, ...] = ()
    start_silence: float = 900.0
    stop_timeout: float = 10.0
    restart_limit: int = 5
    restart_window: float = 600.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    hang_timeout: float = 120.0
    memory_limit_mib: int | None = None
    max_age: float | None = None
    on_event: str | None = None
    log_size_mib: int = 16
    log_files: int = 5
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def webui_name(self) -> str:
        """The WebUI that is meant where nobody named one."""
        return self.webui or DEFAULT_WEBUI


# What each setting may be.
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "webui": (str,), "dir": (str,), "port": (int,), "listen": (bool,), "insecure": (bool,), "model": (str,),
    "xformers": (bool,), "gpu": (str,), "flags": (list, tuple), "without": (list, tuple), "env": (dict,),
    "python": (str,), "advisories_off": (list, tuple), "start_silence": (int, float), "stop_timeout": (int, float),
    "restart_limit": (int,), "restart_window": (int, float), "backoff_first": (int, float),
    "backoff_most": (int, float), "hang_timeout": (int, float), "memory_limit_mib": (int,), "max_age": (int, float),
    "on_event": (str,), "log_size_mib": (int,), "log_files": (int,),
}  # fmt: skip
_LEAST: Final[Mapping[str, float]] = {
    "port": 1, "start_silence": 1, "stop_timeout": 0, "restart_limit": 0, "restart_window": 1, "backoff_first": 0,
    "backoff_most": 0, "hang_timeout": 0, "memory_limit_mib": 64, "max_age": 1, "log_size_mib": 1, "log_files": 1,
}  # fmt: skip
_MOST: Final[Mapping[str, float]] = {"port": 65535}
_MOST_OF_ANY: Final = 1e9  # thirty years: what the system's own waits and timers still take
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {"model": MODEL_CLASSES}
_NAMES: Final[Mapping[tuple[type, ...], str]] = {
    (str,): "a text", (int,): "a whole number", (int, float): "a number", (bool,): "true or false",
    (list, tuple): "a list of texts", (dict,): "a table of texts",
}  # fmt: skip

# Keys of config.toml that are tables of their own, read by the wing that they concern.
TABLES: Final = ("instances", "mirrors")


def resolve(instance: str, layers: Sequence[Layer]) -> Settings:
    """Merge layers, the first that names a setting wins.

    Raises SDL-CONFIG-KEY for a setting that does not exist and SDL-CONFIG-VALUE for one that has the wrong type or
    lies out of range, both with the place.
    """
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            checked = _check(layer.place, key, value)
            if key not in values:
                values[key], places[key] = checked, layer.place
    return Settings(instance=instance, places=places, **values)


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return the choice that `word` was probably meant to be, or all of them joined by commas."""
    import difflib  # costs more than most commands have to suggest

    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return close[0] if close else ", ".join(known)


def _check(place: str, key: str, value: object) -> object:
    if key not in _TYPES:
        raise SdLauncherError("SDL-CONFIG-KEY", place=place, key=key, suggestion=suggest(key, _TYPES))
    kinds = _TYPES[key]
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    if fits and isinstance(value, (list, tuple)):
        fits = all(isinstance(item, str) for item in value)
    if fits and isinstance(value, dict):
        fits = all(isinstance(item, str) for item in value.values())
    if not fits:
        raise SdLauncherError("SDL-CONFIG-VALUE", place=place, key=key, value=repr(value), expected=_NAMES[kinds])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        least, most = _LEAST[key], _MOST.get(key, _MOST_OF_ANY)
        if not least <= value <= most:  # false for nan as well
            wanted = f"between {least:g} and {most:.15g}"
            raise SdLauncherError("SDL-CONFIG-VALUE", place=place, key=key, value=repr(value), expected=wanted)
    if key in _WORDS and value not in _WORDS[key]:
        wanted = "one of " + ", ".join(_WORDS[key])
        raise SdLauncherError("SDL-CONFIG-VALUE", place=place, key=key, value=repr(value), expected=wanted)
    return tuple(value) if isinstance(value, list) else value


assert set(_TYPES) == {item.name for item in fields(Settings)} - {"instance", "places"}
