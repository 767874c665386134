"""The answer of any check: a code, how bad it is, and the facts its sentence needs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class Level(str, Enum):
    """How much a finding matters, best first."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Verdict(NamedTuple):
    """One finding. Sentence and remedy are those that `sdlauncher/messages` holds for `code`."""

    code: str
    level: Level
    facts: Mapping[str, object] = MappingProxyType({})
