"""The plan of a launch as values: flags, environment, torch and Python, each with the reason it was chosen for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from sdlauncher.core.hardware import Gpu
from sdlauncher.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Flag:
    """One WebUI argument as it is written: `--flag` or `--flag value` (POSIX-quoted), and why it is there."""

    text: str
    reason: str

    @property
    def argv(self) -> tuple[str, ...]:
        """The words that reach the WebUI's parser."""
        return tuple(shlex.split(self.text))

    @property
    def name(self) -> str:
        """The option alone, e.g. `--port`."""
        return self.argv[0].partition("=")[0]

    @classmethod
    def of(cls, *words: str, reason: str) -> Flag:
        """Build a flag from words, quoting them the way the WebUI splits them (shlex, on Windows too)."""
        return cls(shlex.join(words), reason)


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One environment variable of webui-user.*, and why."""

    name: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Torch:
    """The torch to install: `channel` names the wheel index (cu118 … cu130, cpu), `command` follows `python -m`."""

    version: str
    channel: str
    command: str
    reason: str
    torchvision: str = ""
    xformers: str = ""


@dataclass(frozen=True, slots=True)
class PythonChoice:
    """The Python the WebUI should run on, as `major.minor`."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """Everything chosen for one instance. `device` is cuda, cpu or unsupported."""

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

    @property
    def arguments(self) -> tuple[str, ...]:
        """All flags as the WebUI's argument vector."""
        return tuple(word for flag in self.flags for word in flag.argv)
