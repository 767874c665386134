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
    Output,
    Ready,
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
from sdlauncher.core.readiness import Watcher
from sdlauncher.machine import process
from sdlauncher.machine.process import MARK, Tree
from sdlauncher.supervise.logs import LogReader, open_log
from sdlauncher.supervise.pulse import Pulse
from sdlauncher.supervise.record import Folder, add_event, read_record, stamp, write_record
from sdlauncher.supervise.spec import LaunchSpec, read_spec

Tell = Callable[[dict[str, Any]], None]
Spawn = Callable[[LaunchSpec, str, int], int]

_STOPPING_SIGNALS = frozenset({1, 2, 15})
_LAZY = 1.0  # seconds between two looks at the log of a WebUI that runs and talks
_PIECES = 16  # of 256 KiB each, before the loop looks at something else
_BLIND = 0.05  # seconds between two looks at the log where the system cannot tell of writes


def spawn_script(spec: LaunchSpec, mark: str, output: int) -> int:
    """Start the checkout's own script: the usual way to begin. Returns the pid; raises OSError."""
    return process.spawn(spec.argv, {**spec.env, MARK: mark}, output)


class Supervisor:
    """Keeps one instance alive. `spawn` is the seam for other ways to begin; `tell` hears every new record."""

    def __init__(
        self,
        folder: Folder,
        spec: LaunchSpec,
        *,
        tell: Tell,
        spawn: Spawn = spawn_script,
        copy_to: int | None = None,
        beat: float = 0.0,
        on_beat: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.status = Status()
        self.tree: Tree | None = None
        self._tell = tell
        self._spawn = spawn
        self._copy_to = copy_to
        self._beat, self._on_beat = beat, on_beat
        self._next_beat = time.monotonic() + beat if beat and on_beat else None
        self._watcher = Watcher(spec.lines)
        self._log = LogReader(folder.log)
        self._log_from = self._log.end()
        self._waker = process.Waker(folder.control, folder.root, tuple(_STOPPING_SIGNALS))
        self._pulse = Pulse(self._waker, spec)
        self._since = stamp()
        self._server: ProcessId | None = None
        self._held: dict[int, ProcessId] = {}
        self._helpers: set[int] = set()
        self._answered: str | None = None
        self._settled = True
        self._armed = False
        self._written = False
        self._behind = False
        self._looked = 0.0
        self._exit: int | None = None
        self._oom_kills = process.count_oom_kills()
        self._me = process.identify(os.getpid())
        self._boot = process.boot()

    def begin(self) -> None:
        """Start the WebUI because the user asked for it."""
        self._step(Start())

    def take_over(self, record: dict[str, Any]) -> bool:
        """Go on with a WebUI whose supervisor died; False when none of it is left."""
        root = record.get("root")
        if record.get("boot") != self._boot or not isinstance(root, list) or record.get("state") not in set(LIVE):
            return False
        tree = Tree(ProcessId(*root), str(record.get("mark")), owned=False)
        if not tree.members():
            return False
        self.tree = tree
        self._log_from = int(record.get("log_from", 0))
        self._log.go_to(self._log_from)
        now = time.monotonic()
        self.status = Status(State(record["state"]), now, (), int(record.get("restarts", 0)), deadline=now)
        stopping = self.status.state is State.STOPPING
        if stopping:
            self.status = self.status._replace(after=_after(record), deadline=now)
        else:
            self.status = self.status._replace(state=State.STARTING, deadline=now + self.spec.policy.start_silence)
        self._since = str(record.get("since") or stamp())
        self.status = self.status._replace(cause=_recall_cause(record))
        self._hold(tree)
        self._event("taken-over", pid=tree.root.pid)
        self._settled = False
        while self._read_log():
            pass
        if self._watcher.progress.stage == "started" and not stopping:
            self.status = self.status._replace(state=State.RUNNING, deadline=None)
            self._find_server()
        self._settled = True
        self._note()
        return True

    def run(self) -> int:
        """Live until the instance is stopped or given up; return 0 or 1."""
        self._obey()
        while self.status.state not in OVER:
            self._arm()
            signals, ready = self._waker.wait(self._patience())
            self._hear(signals, ready)
        self._note()
        return 1 if self.status.state is State.FATAL else 0

    def _hear(self, signals: set[int], ready: set[int]) -> None:
        """Turn everything that happened into events, the output before the exit that followed it."""
        now = time.monotonic()
        if process.WRITTEN in signals:
            self._armed, self._written = False, True
        self._look(now)
        self._reap(ready)
        if _STOPPING_SIGNALS & signals:
            self._step(Stop())
        if 0 in signals:
            self._obey()
        if self.tree is not None:
            for event in self._pulse.advance(now, ready, self.status, self._watcher.progress, self.tree):
                self._step(event)
        if self.status.deadline is not None and time.monotonic() >= self.status.deadline:
            self._expire()
        if self._next_beat is not None and now >= self._next_beat and self._on_beat is not None:
            self._next_beat = now + self._beat
            self._on_beat()

    def _look(self, now: float) -> None:
        """Read new output: at once while it starts, at most once a second when it only serves and talks."""
        if self.status.state is State.RUNNING and now < self._looked + _LAZY and not self._behind:
            return
        if self._written or self._behind or self.status.state is not State.RUNNING:
            self._written, self._looked = False, now
            self._behind = self._read_some()

    def _arm(self) -> None:
        """Ask to be woken by the next output; what came just before that was asked is not missed."""
        if self._armed or self.tree is None or (self._written and self.status.state is State.RUNNING):
            return
        self._armed = self._waker.watch_output()
        self._behind = self._behind or self._log.is_behind()

    def _patience(self) -> float | None:
        now = time.monotonic()
        times = [self.status.deadline, self._pulse.due, self._next_beat]
        if self._behind:
            times.append(now)
        elif self._written:
            times.append(self._looked + _LAZY)
        elif not self._armed and self.tree is not None:
            times.append(now + (_LAZY if self.status.state is State.RUNNING else _BLIND))
        known = [at for at in times if at is not None]
        return max(0.0, min(known) - now) if known else None

    def _expire(self) -> None:
        """A deadline is over. A start that writes nothing but works (downloads, computes) is not stuck."""
        if self.status.state is State.STARTING and self.tree is not None and self._pulse.worked(self.tree):
            self._step(Output())
        else:
            self._step(Tick())

    def _step(self, event: Event) -> None:
        before = self.status
        self.status, action = transition(before, event, time.monotonic(), self.spec.policy)
        if self.status.state is not before.state:
            self._since = stamp()
            self._changed(before, event)
        if action is Action.SPAWN:
            self._launch()
        elif action is Action.TERMINATE and self.tree is not None:
            self._hold(self.tree)
            process.terminate(self._held_or_members())
            self._check_gone()
        elif action is Action.KILL and self.tree is not None:
            members = self.tree.members()
            self._event("killed", pids=[member.pid for member in members])
            process.kill(members)
            self._hold(self.tree)
            self._check_gone()
        elif self.status.draining is not before.draining:
            self._pulse.hurry()
            self._note()

    def _launch(self) -> None:
        mark = os.urandom(16).hex()
        self._release()
        self._watcher.restart()
        self._pulse.restart()
        self._server = None
        self._exit = None
        self._oom_kills = process.count_oom_kills()
        try:
            output = open_log(self.folder.log)
        except OSError as error:
            self._fail(error)
            return
        self._log.reload()
        self._log_from = self._log.end()
        self._log.go_to(self._log_from)
        try:
            pid = self._spawn(self.spec, mark, output)
        except OSError as error:
            self._fail(error)
            return
        finally:
            os.close(output)
        root = process.identify(pid) or ProcessId(pid, 0)
        self.tree = Tree(root, mark, owned=True)
        self._note()

    def _fail(self, error: OSError) -> None:
        full = error.errno == 28
        kind, text = ("disk-full", "no_space") if full else ("cannot-start", None)
        evidence = f"{error.filename or self.spec.argv[0]}: {error.strerror}"
        self._step(SpawnFailed(Cause(kind, None, text, evidence, permanent=not full)))

    def _read_some(self) -> bool:
        """Read a bounded part of what is new; True when there is more."""
        return all(self._read_log() for _ in range(_PIECES))

    def _read_log(self) -> bool:
        text = self._log.read()
        if not text:
            return self._log.is_behind()
        if self._copy_to is not None and self._settled:
            self._copy(text)
        before = self._watcher.progress
        names = self._watcher.feed(text)
        if self.status.state is State.STARTING:
            self._step(Output())
        elif self.status.state is State.RUNNING and (
            "launching" in names or self._watcher.progress.stage == "listening"
        ):
            self._pulse.restart()
            self._step(Relaunched())
        after = self._watcher.progress
        if self._settled and after.model != before.model and after.model in ("loaded", "failed"):
            self._event(f"model-{after.model}")
        if after != before:
            self._note()
        return True

    def _copy(self, text: str) -> None:
        try:
            os.write(self._copy_to or 1, text.encode("utf-8", "replace"))
        except OSError:
            # Whoever read our output has gone; the file has it all.
            self._copy_to = None

    def _reap(self, ready: set[int]) -> None:
        ended, _ = process.reap()
        for pid in ended:
            self._helpers.discard(pid)
        tree = self.tree
        if tree is None:
            return
        for descriptor in ready & set(self._held):
            self._waker.forget(descriptor)
            os.close(descriptor)
            gone = self._held.pop(descriptor)
            if gone == tree.root:
                ended.setdefault(gone.pid, -1)
        if tree.root.pid in ended and self.status.state in (State.STARTING, State.RUNNING):
            self._ended(tree, ended[tree.root.pid])
        elif self.status.state is State.STOPPING:
            self._check_gone()

    def _ended(self, tree: Tree, wait_status: int) -> None:
        """The first process has gone: why, and is anything left of it?"""
        while self._read_log():
            pass
        code, signal = (None, None) if wait_status == -1 else process.decode(wait_status)
        asked = os.path.exists(f"{self.spec.checkout}/{self.spec.restart_file}")  # noqa: PTH110
        ending = Ending(
            code,
            signal,
            self.status.state is State.RUNNING,
            process.count_oom_kills() - self._oom_kills,
            _free(self.folder.root),
        )
        cause = find_cause(ending, self._log.tail(self._log_from))
        survivors = self._survivors(tree)
        self._exit = code
        if not survivors:
            self._release()
        self._step(Exited(cause, _chance(), bool(survivors), asked and code == 0))

    def _survivors(self, tree: Tree) -> list[ProcessId]:
        if tree.owned and not process.has_children(self._helpers):
            return []
        return tree.members()

    def _check_gone(self) -> None:
        if self.tree is None or self.status.state is not State.STOPPING:
            return
        if self._held and not self.tree.owned:
            return
        process.reap()
        if not self._survivors(self.tree):
            self._release()
            self._step(Gone(_chance()))
        elif not self._held:
            self._hold(self.tree)

    def _hold(self, tree: Tree) -> None:
        """Watch every process of the tree for its end."""
        known = set(self._held.values())
        for member in tree.members():
            if member not in known and (descriptor := process.hold(member)) is not None:
                self._held[descriptor] = member
                self._waker.watch(descriptor)

    def _held_or_members(self) -> list[ProcessId]:
        return list(self._held.values())

    def _release(self) -> None:
        for descriptor in self._held:
            self._waker.forget(descriptor)
            os.close(descriptor)
        self._held.clear()
        self.tree = None

    def _obey(self) -> None:
        """Do what the request file asks, once."""
        request = read_record(self.folder.request)
        identity = str(request.get("id", ""))
        if not identity or identity == self._answered:
            return
        self._answered = identity
        drain, grace, most = bool(request.get("drain")), request.get("timeout"), request.get("patience")
        self._event("asked", action=request.get("action"))
        if request.get("action") == "stop":
            self._step(Stop(drain, grace, most))
        elif request.get("action") == "restart":
            self.spec = read_spec(self.folder.launch) or self.spec
            self._step(Restart(drain, grace, most))
        self._note()

    def _changed(self, before: Status, event: Event) -> None:
        status = self.status
        if isinstance(event, Ready):
            self._find_server()
        facts: dict[str, Any] = {"from": before.state.value, "to": status.state.value}
        if status.cause is not None and not isinstance(event, (Start, Ready)):
            facts |= {"cause": status.cause.kind, "signal": status.cause.signal, "evidence": status.cause.evidence}
        self._event("state", **facts)
        self._note()

    def _find_server(self) -> None:
        """The WebUI itself is not its script: it is who listens on the port."""
        if self.tree is not None:
            self._server = process.find_listener(self.tree.members(), self.spec.port) or self.tree.root

    def _event(self, event: str, **facts: Any) -> None:
        line = add_event(self.folder.events, event, **facts)
        if self.spec.policy.on_event and (pid := process.run_hook(self.spec.policy.on_event, line)):
            self._helpers.add(pid)

    def _note(self) -> None:
        if not self._settled:
            return
        record = self.describe()
        write_record(self.folder.state, record)
        self._tell(record)

    def describe(self) -> dict[str, Any]:
        """Return all that the command line may know: the fields of `status --json` and what a take-over needs."""
        status, tree, progress = self.status, self.tree, self._watcher.progress
        cause = status.cause
        return {
            "instance": self.spec.instance,
            "webui": self.spec.webui,
            "dir": self.spec.checkout,
            "state": status.state.value,
            "pid": None if tree is None else (self._server or tree.root).pid,
            "supervisor_pid": os.getpid() if status.state not in OVER else None,
            "url": progress.url or self.spec.url,
            "host": self.spec.host,
            "port": self.spec.port,
            "since": self._since,
            "restarts": status.restarts,
            "stage": progress.stage,
            "doing": progress.doing,
            "model": progress.model,
            "gpu": self.spec.gpu,
            "draining": None if status.draining is None else status.draining.value,
            "retry_in": None if status.state is not State.BACKOFF else round((status.deadline or 0) - status.since, 3),
            "last_exit": None if cause is None else {**cause._asdict(), "cause": cause.kind, "code": self._exit},
            "after": None if status.after is None else status.after.value,
            "root": None if tree is None else list(tree.root),
            "mark": None if tree is None else tree.mark,
            "supervisor": None if self._me is None else list(self._me),
            "boot": self._boot,
            "log_from": self._log_from,
            "answered": self._answered,
        }


def _recall_cause(record: dict[str, Any]) -> Cause | None:
    last = record.get("last_exit")
    if not isinstance(last, dict):
        return None
    return Cause(**{name: last[name] for name in Cause._fields if name in last})


def _after(record: dict[str, Any]) -> After:
    try:
        return After(record.get("after"))
    except ValueError:
        return After.STOPPED


def _chance() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65535


def _free(path: str) -> int | None:
    try:
        room = os.statvfs(path)
    except (OSError, AttributeError):
        return None
    return room.f_bavail * room.f_frsize
