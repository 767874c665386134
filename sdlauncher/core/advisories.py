"""Known breaks and their cures as values: which of them concern an installation, and what they change in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


# Named tuples: an installation that has nothing to do pays for what it imports.
class Advisory(NamedTuple):
    """A break of the world around a WebUI. `signatures` are the ids under which `explain` knows its log lines.

    What it hits: an empty tuple is any. `before` is the first version of the WebUI that no longer needs the cure.
    The cure: `repositories` stand in for a URL, `constraints` and `build_constraints` hold packages back,
    `packages` are installed instead of a source that breaks, `environment` is for the WebUI's own start.
    """

    id: str
    signatures: tuple[str, ...]
    references: tuple[str, ...]
    webuis: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    before: str = ""
    repositories: Mapping[str, tuple[str, ...]] = _NOTHING
    constraints: tuple[str, ...] = ()
    build_constraints: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = _NOTHING


class Cures(NamedTuple):
    """All that the chosen advisories change, together."""

    applied: tuple[str, ...] = ()
    repositories: Mapping[str, tuple[str, ...]] = _NOTHING
    constraints: tuple[str, ...] = ()
    build_constraints: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = _NOTHING


def choose_advisories(
    advisories: Sequence[Advisory], *, webui: str, version: str, system: str, off: Sequence[str] = ()
) -> tuple[Advisory, ...]:
    """Return the advisories that hit this WebUI version on this system and were not switched off."""
    return tuple(
        advisory
        for advisory in advisories
        if advisory.id not in off
        and (not advisory.webuis or webui in advisory.webuis)
        and (not advisory.systems or system in advisory.systems)
        and (not advisory.before or not version or _numbers(version) < _numbers(advisory.before))
    )


def combine(advisories: Sequence[Advisory]) -> Cures:
    """Merge the cures of advisories; where two name the same thing, the first in the catalog's order wins."""
    repositories: dict[str, tuple[str, ...]] = {}
    environment: dict[str, str] = {}
    for advisory in reversed(advisories):
        repositories.update(advisory.repositories)
        environment.update(advisory.environment)
    return Cures(
        applied=tuple(advisory.id for advisory in advisories),
        repositories=repositories,
        constraints=_unique(advisory.constraints for advisory in advisories),
        build_constraints=_unique(advisory.build_constraints for advisory in advisories),
        packages=_unique(advisory.packages for advisory in advisories),
        environment=environment,
    )


def _unique(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for group in groups for item in group))


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.lstrip("v").replace("-", ".").split(".")
    numbers: list[int] = []
    for part in parts:
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
