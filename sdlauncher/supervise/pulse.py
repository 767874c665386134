"""What the supervisor asks a WebUI over HTTP, when, and what the answers mean: ready, alive, hung, idle, too large.

HTTP only after the log says that the start is over: earlier it can kill AUTOMATIC1111.
"""

from __future__ import annotations

import time
from typing import Any

from sdlauncher.core import jsontext
from sdlauncher.core.lifecycle import Cause, Event, Hung, Idle, Ready, Recycle, State, Status
from sdlauncher.core.process import Usage
from sdlauncher.core.readiness import Progress
from sdlauncher.machine.ping import Ping
from sdlauncher.machine.process import Tree, Waker, add_usage
from sdlauncher.supervise.spec import LaunchSpec

_ALIVE = "/internal/ping"
_PROGRESS = "/sdapi/v1/progress?skip_current_image=true"
_PENDING = "/internal/pending-tasks"
_SOON = 0.05
_DRAIN_EVERY = 0.5
_AT_MOST = 30.0
# A deaf WebUI that computes (a huge model, a long compilation) gets this many times the patience of an idle one.
_BUSY_FACTOR = 5
_BUSY_SHARE = 0.05
_MOVED = 1 << 20


class Pulse:
    """Feels whether the WebUI lives, one request at a time; `due` is when it wants to be asked again."""

    def __init__(self, waker: Waker, spec: LaunchSpec) -> None:
        self._waker = waker
        self._spec = spec
        self._ping: Ping | None = None
        self._port = spec.port
        self.restart()

    def restart(self) -> None:
        """A new process begins: nothing is known."""
        self._drop()
        now = time.monotonic()
        self.due: float | None = None
        self._path = _ALIVE
        self._limit = 0.0
        self._tries = 0
        self._begun = now
        self._heard_at: float | None = None
        self._cpu_at_silence = 0.0
        self._no_api = False
        self._job: tuple[Any, ...] = ()
        self._job_since = now
        self._job_usage = Usage(0, 0.0, 0)
        self._worked_cpu = (0.0, 0)

    def hear(self, now: float) -> None:
        """Learn that the WebUI has just written something of its own: whatever its job is, it does not stand still."""
        self._job_since = now

    def hurry(self) -> None:
        """Ask at the next wake-up."""
        self.due = time.monotonic()

    def interval(self) -> float | None:
        """Seconds between two looks at a WebUI that runs; None when nothing wants to be watched."""
        policy = self._spec.policy
        if policy.hang_timeout:
            return min(_AT_MOST, max(0.25, policy.hang_timeout / 4))
        return _AT_MOST if policy.memory_limit_mib or policy.max_age else None

    def advance(self, now: float, ready: set[int], status: Status, progress: Progress, tree: Tree) -> list[Event]:
        """Carry the request in flight forward, begin the next one when it is due, and return what came of it."""
        if progress.url is not None and (told := progress.url.rstrip("/").rpartition(":")[2]).isdigit():
            # Where it really listens: the user's own flags may name another port than the plan.
            self._port = int(told)
        events: list[Event] = []
        if self._ping is not None:
            self._carry(now, ready)
        if self._ping is not None and self._ping.answer is not None:
            ping, self._ping = self._ping, None
            events = self._answered(ping, now, status, tree)
        if status.state not in (State.STARTING, State.RUNNING):
            self._drop()
            self.due = None
        elif self._ping is None:
            if status.state is State.STARTING:
                if progress.stage == "started" and (self.due is None or now >= self.due) and not events:
                    self._ask(_ALIVE, now)
            elif self.due is None:
                self._schedule(now, status)
            elif now >= self.due and not events:
                self._ask(_PROGRESS if status.draining and not self._no_api else _ALIVE, now)
        return events

    def worked(self, tree: Tree) -> bool:
        """Whether the tree computed or moved data since this was asked last."""
        usage = add_usage(tree.members())
        cpu, moved = self._worked_cpu
        self._worked_cpu = (usage.cpu_seconds, usage.moved_bytes)
        return usage.cpu_seconds > cpu + 1.0 or usage.moved_bytes > moved + _MOVED

    def _answered(self, ping: Ping, now: float, status: Status, tree: Tree) -> list[Event]:
        self._waker.forget(ping.descriptor)
        if status.state is State.STARTING:
            if ping.answer:
                self._heard_at = now
                self._schedule(now, status)
                return [Ready()]
            self._tries += 1
            self.due = now + min(1.0, _SOON * self._tries)
            return []
        if self._path == _ALIVE:
            return self._alive(ping, now, status, tree)
        return self._job_seen(ping, now, status, tree)

    def _alive(self, ping: Ping, now: float, status: Status, tree: Tree) -> list[Event]:
        usage = add_usage(tree.members())
        policy = self._spec.policy
        self._schedule(now, status)
        if not ping.answer:
            silent = now - (self._heard_at or self._begun)
            computed = (usage.cpu_seconds - self._cpu_at_silence) / max(silent, 0.001) > _BUSY_SHARE
            patience = policy.hang_timeout * (_BUSY_FACTOR if computed else 1)
            if policy.hang_timeout and silent >= patience:
                return [Hung(Cause("hung", evidence=f"no answer to {_ALIVE} for {silent:.0f} s"))]
            return []
        self._heard_at, self._cpu_at_silence = now, usage.cpu_seconds
        limit = policy.memory_limit_mib
        if limit and usage.memory_rss > limit << 20:
            return [Recycle(Cause("memory", evidence=f"{usage.memory_rss >> 20} MiB of {limit} MiB allowed"))]
        if policy.max_age and now - status.since >= policy.max_age:
            return [Recycle(Cause("age", evidence=f"ran for {now - status.since:.0f} s"))]
        if policy.hang_timeout and not self._no_api and status.draining is None:
            self._ask(_PROGRESS, now)
        elif status.draining is not None:
            self._ask(_PENDING, now)
        return []

    def _job_seen(self, ping: Ping, now: float, status: Status, tree: Tree) -> list[Event]:
        self._schedule(now, status)
        if self._path == _PROGRESS and ping.answer in (401, 403, 404, 405):
            self._no_api = True
            if status.draining is not None:
                self._ask(_PENDING, now)
            return []
        job = _read_job(ping.body) if ping.answer == 200 else None
        if status.draining is not None:
            return [Idle()] if job == () or ping.answer == 404 else []
        if job is None:
            return []
        still = now - self._job_since
        is_late = still >= self._spec.policy.hang_timeout
        if job != self._job or job == () or (is_late and self._has_worked(tree, still)):
            self._job, self._job_since, self._job_usage = job, now, add_usage(tree.members())
            return []
        if is_late:
            return [Hung(Cause("hung", evidence=f"job {job[0]!r} stood still at step {job[1]} for {still:.0f} s"))]
        return []

    def _has_worked(self, tree: Tree, seconds: float) -> bool:
        """Whether the tree computed since its job moved on, or moved data (a model that a job downloads)."""
        usage, before = add_usage(tree.members()), self._job_usage
        computed = (usage.cpu_seconds - before.cpu_seconds) / max(seconds, 0.001)
        return computed >= _BUSY_SHARE or usage.moved_bytes > before.moved_bytes + _MOVED

    def _schedule(self, now: float, status: Status) -> None:
        pause = _DRAIN_EVERY if status.draining is not None else self.interval()
        self.due = None if pause is None else now + pause

    def _ask(self, path: str, now: float) -> None:
        spec = self._spec
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(spec.host, spec.host)  # noqa: S104
        self._path = path
        self._ping = Ping(host, self._port, path, authorization=spec.authorization, tls=spec.url.startswith("https:"))
        self._limit = now + max(0.5, min(10.0, (spec.policy.hang_timeout or 10.0) / 2))
        self.due = self._limit
        if self._ping.answer is None:
            self._waker.watch(self._ping.descriptor, writing=True)
        else:
            self.due = now

    def _carry(self, now: float, ready: set[int]) -> None:
        ping = self._ping
        assert ping is not None
        if ping.answer is not None:
            return
        if ping.descriptor in ready:
            was_connected = ping.connected
            ping.advance()
            if ping.answer is None and ping.connected and not was_connected:
                self._waker.forget(ping.descriptor)
                self._waker.watch(ping.descriptor, writing=False)
        elif now >= self._limit:
            ping.close()

    def _drop(self) -> None:
        if self._ping is not None:
            self._waker.forget(self._ping.descriptor)
            self._ping.close()
            self._ping = None


def _read_job(body: bytes) -> tuple[Any, ...] | None:
    """Return what the WebUI works on and how far it is, () when it has no job, None when the answer tells nothing."""
    try:
        value = jsontext.loads(body)
        if "size" in value:
            return () if value["size"] == 0 else ("tasks", value["size"])
        state = value["state"]
        if not state["job"] and not state["job_count"]:
            return ()
        return (state["job"], state["sampling_step"], state["job_no"], round(value["progress"], 4))
    except (ValueError, KeyError, TypeError):
        return None
