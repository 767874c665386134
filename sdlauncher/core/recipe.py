"""What a WebUI's checkout is made of: the marks it is recognised by, and the parts an installation puts together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VersionLine:
    """Where a checkout tells its version: a file and a regular expression with a group `version`."""

    file: str
    line: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How a checkout of one WebUI is told from the others: files it has, files it has not, lines its files say."""

    webui: str
    files: tuple[str, ...]
    without: tuple[str, ...] = ()
    says: Mapping[str, str] | None = None
    version: VersionLine | None = None
