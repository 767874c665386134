"""Decision tables: rows of conditions with what to choose and why; the first row that holds wins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sdlauncher.core.hardware import GIB, Driver, Gpu, Host


# Named tuples and not dataclasses: small types cost a seventh that way, and every `plan` pays for them.
class Situation(NamedTuple):
    """What the conditions of a row are held against; `tier` in GiB, None where the memory is not known."""

    host: Host
    driver: Driver | None
    gpu: Gpu
    tier: int | None
    model: str


class Conditions(NamedTuple):
    """When a row applies. An absent condition always holds."""

    capability_least: tuple[int, int] | None = None
    capability_most: tuple[int, int] | None = None
    capability: tuple[tuple[int, int], ...] = ()
    tier_most: int | None = None
    name: str = ""
    model: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    architecture: tuple[str, ...] = ()
    driver_least: Mapping[str, str] | None = None

    def hold(self, situation: Situation, *, whatever_driver: bool = False) -> bool:
        """Tell whether the row applies; `whatever_driver` leaves the driver out of the question."""
        return self._fit_gpu(situation) and self._fit_host(situation, whatever_driver=whatever_driver)

    def _fit_gpu(self, situation: Situation) -> bool:
        capability = situation.gpu.compute_capability
        tier = situation.tier
        return (
            (self.capability_least is None or capability >= self.capability_least)
            and (self.capability_most is None or capability <= self.capability_most)
            and (not self.capability or capability in self.capability)
            and (self.tier_most is None or (tier is not None and tier <= self.tier_most))
            and (not self.name or re.search(self.name, situation.gpu.name, re.IGNORECASE) is not None)
        )

    def _fit_host(self, situation: Situation, *, whatever_driver: bool) -> bool:
        host = situation.host
        if self.driver_least is not None and host.system not in self.driver_least:
            return False
        least = (self.driver_least or {}).get(host.system)
        return (
            (not self.model or situation.model in self.model)
            and (not self.system or host.system in self.system)
            and (not self.architecture or host.architecture in self.architecture)
            and (whatever_driver or least is None or _is_new_enough(situation.driver, least))
        )


class Rule(NamedTuple):
    """One row: flags to write when the conditions hold, and the message that says why."""

    when: Conditions
    flags: tuple[str, ...]
    because: str


class TorchRule(NamedTuple):
    """One row of a torch table."""

    when: Conditions
    version: str
    torchvision: str
    channel: str
    because: str
    xformers: str = ""


Row = TypeVar("Row", Rule, TorchRule)

_CONDITIONS: Final = frozenset(Conditions._fields)


def choose(rows: Sequence[Row], situation: Situation, *, whatever_driver: bool = False) -> Row | None:
    """Return the first row whose conditions hold, None if there is none."""
    return next((row for row in rows if row.when.hold(situation, whatever_driver=whatever_driver)), None)


def choose_tier(memory_total: int | None, tiers: Sequence[tuple[float, int]], *, down: int = 0) -> int | None:
    """Return the memory tier (GiB) for `memory_total` bytes, `down` tiers lower where the need is doubled."""
    if memory_total is None:
        return None
    reached = [tier for start, tier in tiers if memory_total >= start * GIB]
    return reached[max(0, len(reached) - 1 - down)]


def read_rule(row: Mapping[str, Any]) -> Rule:
    """Make a rule of a table row of the catalog."""
    return Rule(read_conditions(row), tuple(row.get("flags", ())), row["because"])


def read_torch_rule(row: Mapping[str, Any]) -> TorchRule:
    """Make a torch rule of a table row of the catalog."""
    chosen = {key: value for key, value in row.items() if key not in _CONDITIONS}
    return TorchRule(read_conditions(row), **chosen)


def read_conditions(row: Mapping[str, Any]) -> Conditions:
    """Make conditions of those keys of a table row that are conditions."""
    values: dict[str, Any] = {key: value for key, value in row.items() if key in _CONDITIONS}
    for key in ("capability_least", "capability_most"):
        if key in values:
            values[key] = read_capability(values[key])
    for key in ("model", "system", "architecture"):
        if key in values:
            values[key] = tuple(values[key])
    if "capability" in values:
        values["capability"] = tuple(read_capability(text) for text in values["capability"])
    return Conditions(**values)


def read_capability(text: str) -> tuple[int, int]:
    """Read `8.9` as (8, 9). Raises ValueError for anything else."""
    major, minor = text.split(".")
    return int(major), int(minor)


def _is_new_enough(driver: Driver | None, least: str) -> bool:
    return driver is None or driver.release == () or driver.release >= Driver(least).release
