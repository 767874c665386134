"""What the command line hands to the supervisor: everything it needs to start one WebUI, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from sdlauncher.core import jsontext
from sdlauncher.core.lifecycle import Policy
from sdlauncher.core.readiness import Patterns


class LaunchSpec(NamedTuple):
    """How to start one instance. `env` is the whole environment of the child; `argv[0]` an absolute path."""

    instance: str
    webui: str
    checkout: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    host: str
    port: int
    url: str
    lines: Patterns
    restart_file: str
    policy: Policy
    gpu: str | None = None
    authorization: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **self._asdict(),
            "argv": list(self.argv),
            "env": dict(self.env),
            "lines": self.lines._asdict(),
            "policy": self.policy._asdict(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LaunchSpec:
        """Build it from JSON values; raises KeyError, TypeError or ValueError for what is none."""
        known = {name: values[name] for name in cls._fields if name in values}
        known["argv"] = tuple(values["argv"])
        known["lines"] = Patterns(**values["lines"])
        known["policy"] = Policy(**values["policy"])
        return cls(**known)


def read_spec(path: str) -> LaunchSpec | None:
    """Read the file; None when there is none or it holds no valid launch."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  the supervisor does without pathlib
            return LaunchSpec.from_json(jsontext.loads(file.read()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_spec(path: str, spec: LaunchSpec) -> None:
    """Write the file, readable by its owner only: it can hold credentials. Raises OSError."""
    fresh = f"{path}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(spec.to_json()).encode())
    os.replace(fresh, path)  # noqa: PTH105
