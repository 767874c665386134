"""Ordered steps that can tell whether they are done, run in lanes side by side where they do not need each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sdlauncher.setup.site import Say


class Step(NamedTuple):
    """One part of an installation. `is_done` looks at the disk alone; `run` may be called again after any crash."""

    name: str
    is_done: Callable[[], bool]
    run: Callable[[], None]


class StepResult(NamedTuple):
    """How a step went: done, already (there before) or planned (a dry run); `seconds` is what it took."""

    name: str
    outcome: str
    seconds: float


def perform(step: Step, *, dry_run: bool, say: Say) -> StepResult:
    """Do one step unless it is done."""
    began = time.monotonic()
    if step.is_done():
        return StepResult(step.name, "already", time.monotonic() - began)
    if dry_run:
        return StepResult(step.name, "planned", 0.0)
    say(f"install-{step.name}")
    step.run()
    return StepResult(step.name, "done", time.monotonic() - began)


def perform_lanes(lanes: Sequence[Sequence[Step]], *, dry_run: bool, say: Say) -> list[StepResult]:
    """Do the steps of each lane in order, the lanes at the same time; the first failure is raised when all have ended.

    A lane whose neighbour failed ends after the step that it is at, so that nothing is left running.
    """
    if dry_run or all(step.is_done() for lane in lanes for step in lane):
        return [perform(step, dry_run=dry_run, say=say) for lane in lanes for step in lane]
    results: dict[str, StepResult] = {}
    failures: list[BaseException] = []

    def walk(lane: Sequence[Step]) -> None:
        try:
            for step in lane:
                if failures:
                    return
                results[step.name] = perform(step, dry_run=False, say=say)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=walk, args=(lane,), daemon=True) for lane in lanes[1:]]
    for thread in threads:
        thread.start()
    walk(lanes[0])
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[step.name] for lane in lanes for step in lane]
