"""The plan of a launch as values: flags, environment, torch and Python, each with the reason it was chosen for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from sdlauncher.core.hardware import Gpu
from sdlauncher.core.quoting import join_words
from sdlauncher.core.verdict import Verdict


class Reason(NamedTuple):
    """Why something was chosen: a code of `sdlauncher/messages`, so that it reads in the user's language."""

    code: str
    facts: Mapping[str, object] = MappingProxyType({})


# The reason of what the user's own webui-user file sets outside our block: shown, and never written a second time.
YOURS_IN_FILE: Final = "SDL-WHY-YOURS-FILE"
YOURS_IN_SETTINGS: Final = "SDL-WHY-YOURS"


class Flag(NamedTuple):
    """One WebUI argument as it is written: `--flag` or `--flag value` (POSIX-quoted), and why it is there."""

    text: str
    reason: Reason

    @property
    def argv(self) -> tuple[str, ...]:
        """The words that reach the WebUI's parser."""
        return tuple(shlex.split(self.text))

    @property
    def name(self) -> str:
        """The option alone, e.g. `--port`."""
        return self.argv[0].partition("=")[0]

    @property
    def is_users(self) -> bool:
        """Whether the user asked for it in so many words."""
        return self.reason.code in (YOURS_IN_FILE, YOURS_IN_SETTINGS)

    @classmethod
    def of(cls, *words: str, reason: Reason) -> Flag:
        """Build a flag from words, quoting them the way the WebUI splits them (shlex, on Windows too)."""
        return cls(join_words(words), reason)


class EnvVar(NamedTuple):
    """One environment variable of webui-user.*, and why."""

    name: str
    value: str
    reason: Reason


class Torch(NamedTuple):
    """The torch to install: `channel` names the wheel index (cu118, cpu, none, …), `command` follows `python -m`."""

    version: str
    channel: str
    command: str
    reason: Reason
    torchvision: str = ""
    xformers: str = ""


class PythonChoice(NamedTuple):
    """The Python the WebUI should run on, as `major.minor`."""

    version: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything chosen for one instance. `device` is cuda, cpu or unsupported.

    `dropped` says of each wish of the WebUI's original dialect that this fork does not take what took its place.
    `credentials` is the file that holds `user:password`, empty where nobody needs one; the words in it never become
    part of a plan. `secret_argument` is the flag that takes those words at the start, empty where none is needed.
    """

    webui: str
    device: str
    gpu: Gpu | None
    flags: tuple[Flag, ...]
    env: tuple[EnvVar, ...]
    torch: Torch
    python: PythonChoice
    warnings: tuple[Verdict, ...]
    port: int
    bind: str = "127.0.0.1"
    dropped: tuple[Flag, ...] = ()
    credentials: str = ""
    secret_argument: str = ""

    @property
    def written(self) -> tuple[Flag, ...]:
        """The flags that our block writes: all but those of the user's own lines."""
        return tuple(flag for flag in self.flags if flag.reason.code != YOURS_IN_FILE)

    @property
    def arguments(self) -> tuple[str, ...]:
        """All flags as the WebUI's argument vector."""
        return tuple(word for flag in self.flags for word in flag.argv)
