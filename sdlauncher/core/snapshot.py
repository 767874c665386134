"""The state of an installation as a value, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

# These belong to the user although the WebUI's repository brings them: no change of version may touch them, and what
# differs in them is no change of the program.
USERS_OWN: Final = ("webui-user.sh", "webui-user.bat", "webui-macos-env.sh", "styles.csv")


class Standing(NamedTuple):
    """Where a git repository stands; `folder` is relative to the checkout, `.` is the checkout itself."""

    folder: str
    commit: str
    branch: str | None = None
    url: str | None = None


class Snapshot(NamedTuple):
    """All that an update can change, as it was at `at` (ISO 8601, UTC). `speed` in steps per second, if known."""

    id: str
    at: str
    webui: str
    reason: str
    standings: tuple[Standing, ...]
    packages: Mapping[str, str]
    stamp: Mapping[str, Any] = MappingProxyType({})
    speed: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        standings = [it._asdict() for it in self.standings]
        return {**self._asdict(), "standings": standings, "stamp": dict(self.stamp)}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Snapshot:
        """Read it back. Raises KeyError and TypeError for what is no snapshot."""
        standings = tuple(Standing(**row) for row in table["standings"])
        return cls(**{**table, "standings": standings})


class Change(NamedTuple):
    """One thing that differs: `what` is repository or package; None: it is absent on that side."""

    what: str
    name: str
    before: str | None
    after: str | None


def compare(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Return what differs from `before` to `after`: repositories first, then packages, each by name."""
    stood, stand = ({it.folder: it.commit for it in snapshot.standings} for snapshot in (before, after))
    found: tuple[tuple[str, Mapping[str, str], Mapping[str, str]], ...] = (
        ("repository", stood, stand),
        ("package", before.packages, after.packages),
    )
    return tuple(
        Change(what, name, old.get(name), new.get(name))
        for what, old, new in found
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )
