"""The supervisor's loop: sleeps in one wait, turns what happened into events, does what the state machine answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from sdlauncher.core.crash import Ending, find_cause
from sdlauncher.core.lifecycle import (
    LIVE,
    OVER,
    Action,
    After,
    Cause,
    Event,
    Exited,
    Gone,
    Hung,
    Output,
    Relaunched,
    Restart,
    SpawnFailed,
    Start,
    State,
    Status,
    Stop,
    Tick,
    transition,
)
from sdlauncher.core.process import ProcessId
from sdlauncher.machine import process
from sdlauncher.machine.process import MARK, Tree
from sdlauncher.supervise.grip import Grip
from sdlauncher.supervise.pulse import Pulse
from sdlauncher.supervise.recall import describe, recall
from sdlauncher.supervise.record import Folder, add_event, read_record, stamp, write_record
from sdlauncher.supervise.spec import LaunchSpec, read_spec
from sdlauncher.supervise.watch import LogWatch

Tell = Callable[[dict[str, Any]], None]
Spawn = Callable[[LaunchSpec, str, int], int]

_ASKING_TO_STOP = frozenset({1, 2, 15})  # SIGHUP, SIGINT, SIGTERM

_WRITE_AGAIN = 1.0  # seconds until the notes are tried again on a disk that did not take them


def spawn_script(spec: LaunchSpec, mark: str, output: int) -> int:
    """Start the checkout's own script: the usual way to begin. Returns the pid; raises OSError."""
    return process.spawn(spec.argv, {**spec.env, MARK: mark}, output)


class Supervisor:
    """Keeps one instance alive. `spawn` is the seam for other ways to begin; `tell` hears every new record."""

    def __init__(self, folder: Folder, spec: LaunchSpec, *, tell: Tell, spawn: Spawn = spawn_script) -> None:
        self.folder = folder
        self.spec = spec
        self.status = Status()
        self.server: ProcessId | None = None
        self.since = stamp()
        self.exit_code: int | None = None
        self.answered: str | None = None
        self.me = process.identify(os.getpid())
        self.boot = process.boot()
        self.on_beat: Callable[[], None] | None = None
        self.beat = 0.0
        self._tell = tell
        self._spawn = spawn
        self._waker = process.Waker(folder.control, folder.root, tuple(_ASKING_TO_STOP))
        policy = spec.policy
        self.log = LogWatch(
            folder.log, spec.lines, self._waker, size=policy.log_size_mib << 20, keep=policy.log_files - 1
        )
        self._pulse = Pulse(self._waker, spec)
        self._grip: Grip | None = None
        self._helpers: set[int] = set()
        self._oom_kills = 0
        self._beats_at: float | None = None
        self._unwritten = False
        self._relaunches = 0

    @property
    def tree(self) -> Tree | None:
        """The processes of the running launch."""
        return None if self._grip is None else self._grip.tree

    def begin(self) -> None:
        """Start the WebUI because the user asked for it."""
        self._step(Start())

    def take_over(self, record: dict[str, Any]) -> bool:
        """Go on with a WebUI whose supervisor died; False when none of it is left."""
        if record.get("boot") != self.boot or record.get("state") not in set(LIVE):
            return False
        known = recall(record)
        if known is None or not (tree := Tree(known.root, known.mark, owned=False)).members():
            return False
        self._grip = Grip(self._waker, tree)
        now = time.monotonic()
        self.since, self.answered = known.since, known.answered
        self.status = Status(known.state, now, restarts=known.restarts, cause=known.cause, deadline=now)
        self.log.resume(known.log_from)
        if known.state is State.STOPPING:
            self.status = self.status._replace(after=known.after)
        elif self.log.progress.stage == "started":
            self.status = self.status._replace(state=State.RUNNING, deadline=None)
            self._find_server()
        else:
            self.status = self.status._replace(state=State.STARTING, deadline=now + self.spec.policy.start_silence)
        self._event("taken-over", pid=tree.root.pid, state=self.status.state.value)
        self._note()
        if not process.is_alive(tree.root) and self.status.state is not State.STOPPING:
            self._ended(tree, None)
        return True

    def run(self) -> int:
        """Live until the instance is stopped or given up; return 0 or 1."""
        self._beats_at = time.monotonic() if self.on_beat and self.beat else None
        self._obey()
        while self.status.state not in OVER:
            if self._grip is not None:
                self.log.arm(serving=self._serves)
            signals, ready = self._waker.wait(self._patience())
            self._hear(signals, ready)
        self._note()
        # Nobody whom we leave behind may look as if it still ran: a zombie has its pid until it is collected.
        process.reap()
        return 1 if self.status.state is State.FATAL else 0

    @property
    def _serves(self) -> bool:
        return self.status.state is State.RUNNING

    def _patience(self) -> float | None:
        now = time.monotonic()
        times = [self.status.deadline, self._pulse.due, self._beats_at]
        if self._grip is not None:
            times.append(self.log.due(now, serving=self._serves))
        if self._unwritten:
            times.append(now + _WRITE_AGAIN)
        known = [at for at in times if at is not None]
        return max(0.0, min(known) - now) if known else None

    def _hear(self, signals: set[int], ready: set[int]) -> None:
        """Turn everything that happened into events, the output before the exit that followed it."""
        now = time.monotonic()
        self.log.hear(signals)
        asks = self._pulse.due is not None and now >= self._pulse.due
        # Before any request, all of the log: a restart that the WebUI's own UI asked for is only seen there.
        self._read(now, all_of_it=asks)
        self._reap(ready)
        if _ASKING_TO_STOP & signals:
            self._step(Stop())
        if 0 in signals:
            self._obey()
        if self._grip is not None:
            for event in self._pulse.advance(now, ready, self.status, self.log.progress, self._grip.tree):
                self._step(event)
        now = time.monotonic()
        if self.status.deadline is not None and now >= self.status.deadline:
            self._expire()
        if self._beats_at is not None and now >= self._beats_at and self.on_beat is not None:
            self._beats_at = now + self.beat
            self.on_beat()
        if self._unwritten:
            self._note()

    def _read(self, now: float, *, all_of_it: bool = False) -> None:
        before = self.log.progress
        heard, names = self.log.look(now, serving=self._serves, all_of_it=all_of_it)
        if self.log.rotator is not None:
            self._helpers.add(self.log.rotator)
        if not heard:
            return
        if self.log.spoke:
            self._pulse.hear(now)
        after = self.log.progress
        if self.status.state is State.STARTING:
            self._relaunches += names.count("launching")
            self._step(self._loops() or Output())
        elif self._serves and ("launching" in names or after.stage == "listening"):
            self._pulse.restart()
            self.server = None
            self._step(Relaunched())
        if after.model != before.model and after.model in ("loaded", "failed"):
            self._event(f"model-{after.model}")
        if after != before:
            self._unwritten = True

    def _loops(self) -> Event | None:
        """A restart file that nobody removes makes the script start the WebUI again and again, whatever it dies of."""
        if self._relaunches <= self.spec.policy.restart_limit + 1:
            return None
        file = f"{self.spec.checkout}/{self.spec.restart_file}"
        try:
            os.unlink(file)  # noqa: PTH108
        except OSError:
            file = "a restart file that came and went"
        return Hung(Cause("restart-loop", evidence=f"{self._relaunches} starts without being ready: {file}"))

    def _expire(self) -> None:
        """A deadline is over. A start that writes nothing but works (downloads, computes) is not stuck."""
        if self.status.state is State.STARTING and self.tree is not None and self._pulse.worked(self.tree):
            self._step(Output())
        else:
            self._step(Tick())

    def _step(self, event: Event) -> None:
        before = self.status
        self.status, action = transition(before, event, time.monotonic(), self.spec.policy)
        if action is Action.TERMINATE and self._grip is not None:
            # First the deed, then the notes about it: who waits for it waits for less.
            process.terminate(self._grip.watch())
        if self.status.state is not before.state:
            self.since = stamp()
            if self._serves:
                self._relaunches = 0
                self._find_server()
            if action is not Action.SPAWN:
                self._changed(before)
        elif self.status.draining is not before.draining:
            self._pulse.hurry()
            self._event("draining", then=self.status.draining.value if self.status.draining else "nothing")
            self._note()
        if action is Action.SPAWN:
            self._launch(before)
        elif action is Action.TERMINATE:
            self._check_gone()
        elif action is Action.KILL and self._grip is not None:
            members = self._grip.watch()
            self._event("killed", pids=[member.pid for member in members])
            process.kill(members)
            self._check_gone()

    def _launch(self, before: Status) -> None:
        """Start the next process first and write about it afterwards."""
        self._release()
        self._pulse.restart()
        self.server, self._relaunches = None, 0
        mark = os.urandom(16).hex()
        failed: OSError | None = None
        try:
            output = self.log.begin()
            try:
                pid = self._spawn(self.spec, mark, output)
                self._grip = Grip(self._waker, Tree(process.identify(pid) or ProcessId(pid, 0), mark, owned=True))
            finally:
                os.close(output)
        except OSError as error:
            failed = error
        self._oom_kills = process.count_oom_kills()
        self._changed(before)
        if failed is not None:
            full = failed.errno == 28
            evidence = f"{failed.filename or self.spec.argv[0]}: {failed.strerror}"
            cause = Cause("disk-full" if full else "cannot-start", None, "no_space" if full else None, evidence)
            self._step(SpawnFailed(cause._replace(permanent=not full)))

    def _reap(self, ready: set[int]) -> None:
        ended, _ = process.reap()
        if self.log.rotator in ended and self.log.rotator is not None:
            self.log.rotated(ended[self.log.rotator])
        self._helpers -= set(ended)
        if self._grip is None:
            return
        first = self._grip.notice(ready)
        root = self._grip.tree.root.pid
        if self.status.state is State.STOPPING:
            self._check_gone()
        elif root in ended or first:
            self._ended(self._grip.tree, ended.get(root))

    def _ended(self, tree: Tree, wait_status: int | None) -> None:
        """The first process has gone: why, and is anything left of it?"""
        self._read(time.monotonic(), all_of_it=True)
        code, signal = (None, None) if wait_status is None else process.decode(wait_status)
        self.exit_code = code
        again = code == 0 and self._serves and os.path.exists(f"{self.spec.checkout}/{self.spec.restart_file}")  # noqa: PTH110
        oom_kills = process.count_oom_kills() - self._oom_kills
        ending = Ending(code, signal, self._serves, oom_kills, process.free_bytes(self.folder.root))
        cause = find_cause(ending, self.log.tail())
        asked = After.RESTART if again else After.STOPPED if cause.kind == "stopped-by-api" else None
        survivors = self._grip is not None and bool(self._grip.survivors(self._helpers))
        if not survivors:
            self._release()
        ended = Exited(cause, _chance(), survivors, asked)
        self._step(ended)
        self._event("ended", asked=asked is not None, code=code, **cause._asdict())

    def _check_gone(self) -> None:
        if self._grip is not None and self.status.state is State.STOPPING:
            ended, _ = process.reap()
            self._helpers -= set(ended)
            if not self._grip.survivors(self._helpers):
                self._release()
                self._step(Gone(_chance()))
            else:
                self._grip.watch()

    def _release(self) -> None:
        if self._grip is not None:
            self._grip.release()
            self._grip = None

    def _obey(self) -> None:
        """Do what the request file asks, once."""
        request = read_record(self.folder.request)
        identity = str(request.get("id", ""))
        if not identity or identity == self.answered:
            return
        self.answered = identity
        drain, grace, most = bool(request.get("drain")), request.get("timeout"), request.get("patience")
        self._event("asked", action=request.get("action"), drain=drain)
        if request.get("action") == "start":
            self._step(Start())
        elif request.get("action") == "stop":
            self._step(Stop(drain, grace, most))
        elif request.get("action") == "restart":
            self.spec = read_spec(self.folder.launch) or self.spec
            self._step(Restart(drain, grace, most))

    def _changed(self, before: Status) -> None:
        status = self.status
        facts: dict[str, Any] = {"from": before.state.value, "to": status.state.value}
        if status.cause is not None and status.state not in (State.RUNNING, State.STARTING):
            facts |= {"cause": status.cause.kind, "signal": status.cause.signal, "evidence": status.cause.evidence}
        self._event("state", **facts)
        self._note()

    def _find_server(self) -> None:
        """The WebUI itself is not its script. (Who has the port would take 30 ms to read from /proc/net.)"""
        if self._grip is not None:
            self.server = process.find_largest(self._grip.tree.members())

    def _event(self, event: str, **facts: Any) -> None:
        line = add_event(self.folder.events, event, **facts)
        if self.spec.policy.on_event and (pid := process.run_hook(self.spec.policy.on_event, line)):
            self._helpers.add(pid)

    def _note(self) -> None:
        record = describe(self)
        self._unwritten = not write_record(self.folder.state, record)
        self._tell(record)


def _chance() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65535
