"""Installing a WebUI: ordered steps, each of which can tell whether it is done, so that any interrupted run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sdlauncher.core.hardware import Hardware
from sdlauncher.core.settings import Settings
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import Paths
from sdlauncher.machine.settings import checkout_of, remember
from sdlauncher.setup.checkout import identify, is_mini_laid_out, lay_out_mini, name_contents, require_mini


class Say(Protocol):
    """Writes one sentence of progress, the message `say.<name>`."""

    def __call__(self, name: str, /, **facts: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One part of an installation. `is_done` looks at the disk alone; `run` may be called again after any crash."""

    name: str
    is_done: Callable[[], bool]
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step went: done, already (there before) or planned (a dry run); `seconds` is what it took."""

    name: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation as it stands at the end."""

    webui: str
    checkout: Path
    steps: tuple[StepResult, ...]
    seconds: float

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return any(step.outcome != "already" for step in self.steps)


def install(
    paths: Paths,
    settings: Settings,
    hardware: Hardware | Callable[[], Hardware],
    *,
    ref: str | None = None,
    dry_run: bool = False,
    say: Say,
) -> Installed:
    """Install the WebUI that the settings mean, doing only what is not done yet, and remember it for the instance.

    `hardware` may be a function; it is called only when torch has to be chosen.
    `ref` is another tag, branch or commit than the recipe's. Raises SDL-DIR-NOT-EMPTY when something else lies in the
    checkout's place, SDL-CHECKOUT-OTHER when it is another WebUI, and the error of the step that failed.
    """
    began = time.monotonic()
    directory = checkout_of(paths, settings)
    webui = choose_webui(settings, directory)
    results = [_perform(step, dry_run=dry_run, say=say) for step in _list_steps(webui, directory)]
    if not dry_run:
        named = {"dir": str(directory)} if directory != paths.checkout(webui) else {}
        remember(paths.instance(settings.instance), {"webui": webui, **named})
    return Installed(webui, directory, tuple(results), time.monotonic() - began)


def choose_webui(settings: Settings, directory: Path) -> str:
    """Return the WebUI to install into `directory`: the one that was named, else the one that is there.

    Raises SDL-CHECKOUT-OTHER when another one is there, SDL-DIR-NOT-EMPTY when something else is.
    """
    there = identify(directory)
    wanted = settings.webui or there or settings.webui_name
    if there is not None and there != wanted:
        raise SdLauncherError("SDL-CHECKOUT-OTHER", path=directory, found=there, wanted=wanted)
    if there is None and directory.is_dir() and any(directory.iterdir()):
        raise SdLauncherError("SDL-DIR-NOT-EMPTY", path=directory, evidence=name_contents(directory))
    if there is None and directory.exists() and not directory.is_dir():
        raise SdLauncherError("SDL-DIR-NOT-EMPTY", path=directory, evidence="it is a file")
    return wanted


def _list_steps(webui: str, directory: Path) -> tuple[Step, ...]:
    if webui == "mini":
        require_mini()
        return (Step("checkout", lambda: is_mini_laid_out(directory), lambda: lay_out_mini(directory)),)
    raise SdLauncherError("SDL-INSTALL-NO-RECIPE", webui=webui)


def _perform(step: Step, *, dry_run: bool, say: Say) -> StepResult:
    began = time.monotonic()
    if step.is_done():
        return StepResult(step.name, "already", time.monotonic() - began)
    if dry_run:
        return StepResult(step.name, "planned", 0.0)
    say(f"install-{step.name}")
    step.run()
    return StepResult(step.name, "done", time.monotonic() - began)
