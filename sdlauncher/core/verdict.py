"""The answer of any check: a code, how bad it is, and the facts its sentence needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Level(str, Enum):
    """How much a finding matters, best first."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding. Sentence and remedy are those that `sdlauncher/messages` holds for `code`."""

    code: str
    level: Level
    facts: Mapping[str, object] = field(default_factory=dict)
