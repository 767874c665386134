"""The one queue before the one model, who stands in it, and what /progress tells about the job that is being done."""

from __future__ import annotations

import random
import string
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdlauncher.mini.model import Pixels


class QueueLock:
    """A lock that is handed over in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._held = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


class Tasks:
    """Which generations wait, which one is served and which were, each by the id that its client gave it."""

    def __init__(self) -> None:
        self.waiting: dict[str, None] = {}
        self.current: str | None = None
        self.finished: deque[str] = deque(maxlen=16)

    def add(self, task: str) -> None:
        """Put it in the queue."""
        self.waiting[task] = None

    def start(self, task: str) -> None:
        """Take it out of the queue. One that fails stays the current one until the next begins, as in the real one."""
        self.current = task
        self.waiting.pop(task, None)

    def finish(self, task: str) -> None:
        """Remember that it ended well."""
        self.current = None
        self.finished.append(task)


def invent_task(tab: str) -> str:
    """Give an id to a generation whose client gave it none."""
    letters = random.choices(string.ascii_uppercase + string.digits, k=7)  # noqa: S311  it protects nothing
    return f"task({tab}-{''.join(letters)})"


class Progress:
    """How far the running job is; its last values stay readable when nothing runs."""

    def __init__(self) -> None:
        self.interrupted = False
        self.skipped = False
        self.job = ""
        self.job_count = 0
        self.job_no = 0
        self.job_timestamp = "0"
        self.sampling_step = 0
        self.sampling_steps = 0
        self.preview: Callable[[], Pixels] | None = None
        self.preview_number = 0
        self.picture_start = 0.0  # on the monotonic clock
        self._start = 0.0

    @contextmanager
    def job_named(self, name: str) -> Iterator[None]:
        """Reset everything, and clear the job afterwards."""
        self.interrupted = self.skipped = False
        self.job, self.job_count, self.job_no = name, -1, 0
        self.job_timestamp = time.strftime("%Y%m%d%H%M%S")
        self.sampling_step, self.preview, self.preview_number, self._start = 0, None, 0, time.monotonic()
        try:
            yield
        finally:
            self.job, self.job_count = "", 0

    def start_picture(self) -> None:
        """Begin with a picture's first step."""
        self.sampling_step, self.picture_start = 0, time.monotonic()

    def show_step(self, step: int, steps: int, preview: Callable[[], Pixels]) -> None:
        """Tell that a step is done, and what there is to see."""
        self.sampling_step, self.sampling_steps, self.preview = step, steps, preview
        self.preview_number += 1

    def next_batch(self) -> None:
        """Count one batch as done."""
        self.job_no += 1
        self.sampling_step = 0

    def should_stop(self) -> bool:
        """Say whether the running picture is to be left as it is."""
        return self.interrupted or self.skipped

    def share(self) -> float:
        """Give how much of the job is done, from 0 to 1; 0 when nothing runs."""
        # A hundredth at the start, as the real one, which so avoids dividing by zero.
        return min(0.01 + self.steps_share(), 1.0) if self.job_count else 0.0

    def steps_share(self) -> float:
        """Give how many of the job's steps are done, from 0 to 1."""
        if self.job_count <= 0:
            return 0.0
        within = self.sampling_step / self.sampling_steps if self.sampling_steps > 0 else 0.0
        return min((self.job_no + within) / self.job_count, 1.0)

    def seconds_left(self, share: float) -> float:
        """Estimate the seconds until the job of which a share is done will be done; 0 when nothing runs."""
        elapsed = time.monotonic() - self._start
        return elapsed / share - elapsed if share else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Give the `state` of /progress."""
        return {
            "skipped": self.skipped,
            "interrupted": self.interrupted,
            "stopping_generation": False,
            "job": self.job,
            "job_count": self.job_count,
            "job_timestamp": self.job_timestamp,
            "job_no": self.job_no,
            "sampling_step": self.sampling_step,
            "sampling_steps": self.sampling_steps,
        }
