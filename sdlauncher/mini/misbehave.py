"""Misbehaviour on request: the one switch, MINI_WEBUI_MISBEHAVE, that makes Mini WebUI fail as real ones fail."""

from __future__ import annotations

import difflib
import math
import os
import re
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "MINI_WEBUI_MISBEHAVE"
STAGES: Final = ("imports", "load", "ready", "generate")
PICTURES: Final = ("black", "flat", "noise", "nan-grey")
SIGNALS: Final = ("ABRT", "BUS", "FPE", "ILL", "KILL", "SEGV", "TERM")


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What to do wrong; every default means: nothing."""

    slow_imports: float = 0.0  # seconds of silence before anything is imported
    slow_load: float = 0.0  # seconds that the model takes to load
    slow_mount: float = 0.0  # seconds between the open port and the mounted API
    silent: bool = False  # print nothing until ready
    never_ready: bool = False  # open no port, print nothing more, run on
    load_fails: bool = False  # the model fails to load; the server comes up
    crash_at: str | None = None  # one of STAGES
    crash_with: int | str = 1  # exit code, or one of SIGNALS
    hang_after: float | None = None  # seconds after "Startup time:": accepts connections, answers none
    hang_at_generate: bool = False  # a generation never ends
    picture: str | None = None  # one of PICTURES
    wrong_size: bool = False  # pictures are 8 pixels smaller than asked
    nondeterministic: bool = False  # the same seed gives other pictures
    errors: int | None = None  # status that every generation answers
    oom: bool = False  # CUDA out of memory in the log and the answer
    no_gpu: bool = False  # behave like a CUDA build on a machine without a GPU
    grow: float = 0.0  # bytes per second of memory that is never freed
    flood: float = 0.0  # bytes of log after "Startup time:"
    http_before_ready_crash: bool = False  # HTTP between open port and mounted API kills the process
    seconds_per_picture: float = 0.0  # each picture takes at least this long
    ignore_term: bool = False  # SIGTERM and SIGINT do nothing
    grandchild: bool = False  # leave a detached process behind that holds no port


_SIZES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def parse_misbehaviour(text: str) -> Misbehaviour:
    """Read `name,name=value,...`.

    Raises ValueError with a sentence that names the bad part, and what was probably meant.
    """
    wanted: dict[str, object] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, has_value, value = part.partition("=")
        field = name.strip().replace("-", "_")
        if name != name.strip() or "_" in name or field not in Misbehaviour.__dataclass_fields__:
            raise ValueError(f"{VARIABLE}: no misbehaviour is called {name!r}{_suggest(name)}")
        if field in wanted:
            raise ValueError(f"{VARIABLE}: {name} is given twice")
        wanted[field] = _read_value(name, field, value if has_value else None)
    if "crash_with" in wanted and "crash_at" not in wanted:
        raise ValueError(f"{VARIABLE}: crash-with needs crash-at={'|'.join(STAGES)}")
    return Misbehaviour(**wanted)  # type: ignore[arg-type]


def read_misbehaviour() -> Misbehaviour:
    """Read the environment variable. Raises ValueError as parse_misbehaviour does."""
    return parse_misbehaviour(os.environ.get(VARIABLE, ""))


def _read_value(name: str, field: str, value: str | None) -> object:  # noqa: PLR0911 - one return for each kind
    kind = Misbehaviour.__dataclass_fields__[field].type
    if kind == "bool":
        if value is not None:
            raise ValueError(f"{VARIABLE}: {name} takes no value, but has {value!r}")
        return True
    if value is None:
        raise ValueError(f"{VARIABLE}: {name} needs a value, as in {name}={_example(field)}")
    if field == "crash_at":
        return _one_of(name, value, STAGES)
    if field == "picture":
        return _one_of(name, value, PICTURES)
    if field == "crash_with":
        return int(value) if re.fullmatch(r"\d{1,3}", value) else _one_of(name, value.removeprefix("SIG"), SIGNALS)
    if field == "errors":
        if not re.fullmatch(r"[45]\d\d", value):
            raise ValueError(f"{VARIABLE}: {name} needs a status from 400 to 599, but has {value!r}")
        return int(value)
    if field in ("grow", "flood"):
        return _read_bytes(name, value.removesuffix("/s") if field == "grow" else value, field)
    return _read_seconds(name, value)


def _read_seconds(name: str, value: str) -> float:
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86400:
        raise ValueError(f"{VARIABLE}: {name} needs seconds, as in {name}=2.5, but has {value!r}")
    return seconds


def _read_bytes(name: str, value: str, field: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(B|KB|MB|GB|)", value)
    if match is None:
        raise ValueError(f"{VARIABLE}: {name} needs an amount, as in {name}={_example(field)}, but has {value!r}")
    return float(match[1]) * _SIZES[match[2]]


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{VARIABLE}: {name} is one of {', '.join(choices)}, but has {value!r}")
    return value


def _suggest(name: str) -> str:
    known = [field.replace("_", "-") for field in Misbehaviour.__dataclass_fields__]
    close = difflib.get_close_matches(name.strip().replace("_", "-").lower(), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(known)}"


def _example(field: str) -> str:
    examples = {"crash_at": "ready", "crash_with": "SEGV", "picture": "black", "errors": "500", "grow": "10MB/s"}
    return examples.get(field, "200MB" if field == "flood" else "5")
