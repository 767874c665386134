"""The life of one supervised WebUI as a pure function: status and event in, next status and one action out.

The supervisor process holds nothing but this and the loop around it, and its memory counts (a dataclass import costs
1.6 MB): so the values here are named tuples, frozen and slotted all the same.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class State(str, Enum):
    """Where an instance is. A process tree exists exactly in the live states."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FATAL = "fatal"


LIVE = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
OVER = frozenset({State.STOPPED, State.FATAL})

# How long after SIGKILL to look again for what is still there (a process in uninterruptible sleep dies late).
KILL_AGAIN = 2.0


class After(str, Enum):
    """What follows once the tree that is being stopped has gone."""

    STOPPED = "stopped"
    RESTART = "restart"
    CRASH = "crash"


class Action(str, Enum):
    """What the loop has to do now. There is never more than one thing."""

    NOTHING = "nothing"
    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"
    LEAVE = "leave"


class Cause(NamedTuple):
    """Why a WebUI ended. `kind` is one of the words of core/crash.py; `evidence` the line or fact that shows it."""

    kind: str
    signal: str | None = None
    signature: str | None = None
    evidence: str = ""
    permanent: bool = False


class Policy(NamedTuple):
    """How patient to be and how often to try. Seconds, bytes where the name says so; 0 or None switches off."""

    start_silence: float = 900.0
    stop_timeout: float = 10.0
    restart_limit: int = 5
    restart_window: float = 600.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    hang_timeout: float = 120.0
    memory_limit_mib: int | None = None
    max_age: float | None = None
    log_size_mib: int = 16
    log_files: int = 5
    on_event: str | None = None


class Status(NamedTuple):
    """All that the state machine remembers. Times are on the monotonic clock of the loop."""

    state: State = State.STOPPED
    since: float = 0.0
    crashes: tuple[float, ...] = ()
    restarts: int = 0
    cause: Cause | None = None
    after: After | None = None
    deadline: float | None = None
    grace: float | None = None
    draining: After | None = None


class Start(NamedTuple):
    """The user wants it to run: everything is forgiven and counted anew."""


class Stop(NamedTuple):
    """The user wants it to stop; with `drain` after the running job, at most `patience` seconds later."""

    drain: bool = False
    grace: float | None = None
    patience: float | None = None


class Restart(NamedTuple):
    """The user wants a new process; what was counted is forgotten."""

    drain: bool = False
    grace: float | None = None
    patience: float | None = None


class Recycle(NamedTuple):
    """A ceiling (memory, age) was passed: restart when idle."""

    cause: Cause


class Idle(NamedTuple):
    """The WebUI has no job now."""


class Output(NamedTuple):
    """It wrote something or worked: it is not stuck."""


class Relaunched(NamedTuple):
    """It starts again by itself, as its own UI or API was asked to."""


class Ready(NamedTuple):
    """It answers."""


class Hung(NamedTuple):
    """It lives but does not answer, or its job stands still."""

    cause: Cause


class Exited(NamedTuple):
    """Its first process has gone. `chance` (0 to 1) spreads the back-off; `asked`: what its own UI or API was told."""

    cause: Cause
    chance: float = 0.5
    survivors: bool = False
    asked: After | None = None


class Gone(NamedTuple):
    """No process of the tree is left."""

    chance: float = 0.5


class SpawnFailed(NamedTuple):
    """There is nothing that could run."""

    cause: Cause


class Tick(NamedTuple):
    """Time has passed; only a deadline that is over does anything."""


Event = (
    Start | Stop | Restart | Recycle | Idle | Output | Relaunched | Ready | Hung | Exited | Gone | SpawnFailed | Tick
)
Step = tuple[Status, Action]


def transition(status: Status, event: Event, now: float, policy: Policy) -> Step:  # noqa: PLR0911  one per event
    """Return the next status and the one thing to do. An event that does not fit the state changes nothing."""
    state = status.state
    if isinstance(event, SpawnFailed) and state is State.STARTING:
        return _crashed(status, event.cause, 0.5, now, policy)
    if isinstance(event, Start):
        return _start(status, now, policy)
    if isinstance(event, (Stop, Restart)):
        return _asked(status, event, now, policy)
    if isinstance(event, Tick):
        return _deadline(status, now, policy)
    if state is State.STOPPING:
        return _gone(status, event.chance, now, policy) if isinstance(event, Gone) else (status, Action.NOTHING)
    if state in (State.STARTING, State.RUNNING):
        return _living(status, event, now, policy)
    return status, Action.NOTHING


def patience(crashes: int, chance: float, policy: Policy) -> float:
    """Return the seconds to wait before the next try: doubling with each crash, spread over its upper half."""
    full: float = min(policy.backoff_most, policy.backoff_first * 2.0 ** min(crashes - 1, 30))
    return full * (0.5 + 0.5 * chance)


def _start(status: Status, now: float, policy: Policy) -> Step:
    if status.state is State.STOPPING and status.after is not After.STOPPED:
        return status._replace(after=After.RESTART, crashes=()), Action.NOTHING
    if status.state is State.RUNNING and status.draining is not None:
        return status._replace(draining=None, deadline=None), Action.NOTHING
    if status.state in LIVE:
        return status, Action.NOTHING
    return _spawn(Status(cause=status.cause), now, policy)


def _asked(status: Status, event: Stop | Restart, now: float, policy: Policy) -> Step:
    after = After.STOPPED if isinstance(event, Stop) else After.RESTART
    if status.state in OVER:
        return (status, Action.LEAVE) if after is After.STOPPED else _spawn(Status(cause=status.cause), now, policy)
    if status.state is State.BACKOFF:
        if after is After.STOPPED:
            return _over(status, State.STOPPED, status.cause, now)
        return _spawn(Status(cause=status.cause), now, policy)
    if status.state is State.STOPPING:
        # What the user stopped stays stopped; a restart does not undo a stop that is under way.
        kept = After.STOPPED if After.STOPPED in (after, status.after) else After.RESTART
        return status._replace(after=kept, crashes=()), Action.NOTHING
    if event.drain and status.state is State.RUNNING:
        limit = None if event.patience is None else now + event.patience
        kept = After.STOPPED if status.draining is After.STOPPED else after
        return status._replace(draining=kept, grace=event.grace, deadline=limit), Action.NOTHING
    cause = Cause("stopped" if after is After.STOPPED else "restarted")
    return _terminate(status._replace(grace=event.grace), after, cause, now, policy)


def _living(status: Status, event: Event, now: float, policy: Policy) -> Step:  # noqa: PLR0911  one per event
    starting = status.state is State.STARTING
    if isinstance(event, Exited):
        # What was to be stopped stays stopped, whatever its own UI was told meanwhile.
        after = After.STOPPED if After.STOPPED in (status.draining, event.asked) else event.asked or status.draining
        if event.survivors:
            return _terminate(status, after or After.CRASH, event.cause, now, policy)
        if event.asked is After.RESTART and after is After.RESTART:
            return _spawn(status._replace(cause=event.cause), now, policy)
        return _ended(status._replace(after=after or After.CRASH, cause=event.cause), event.chance, now, policy)
    if isinstance(event, Output):
        return status._replace(deadline=now + policy.start_silence) if starting else status, Action.NOTHING
    if isinstance(event, Ready) and starting:
        return status._replace(state=State.RUNNING, since=now, deadline=None), Action.NOTHING
    if isinstance(event, Relaunched) and not starting:
        begun = Status(State.STARTING, now, status.crashes, status.restarts, status.cause)
        return begun._replace(deadline=now + policy.start_silence), Action.NOTHING
    if isinstance(event, Hung):
        return _terminate(status, status.draining or After.CRASH, event.cause, now, policy)
    if isinstance(event, Recycle) and not starting and status.draining is None:
        return status._replace(draining=After.RESTART, cause=event.cause), Action.NOTHING
    if isinstance(event, Idle) and status.draining is not None:
        return _drained(status, now, policy)
    return status, Action.NOTHING


def _deadline(status: Status, now: float, policy: Policy) -> Step:
    if status.deadline is None or now < status.deadline:
        return status, Action.NOTHING
    if status.state is State.BACKOFF:
        again = status._replace(restarts=status.restarts + 1)
        return _spawn(again, now, policy)
    if status.state is State.STOPPING:
        return status._replace(deadline=now + KILL_AGAIN), Action.KILL
    if status.state is State.STARTING:
        cause = Cause("never-ready", evidence=f"no output and no work for {policy.start_silence:g} s")
        return _terminate(status, After.CRASH, cause, now, policy)
    if status.state is State.RUNNING and status.draining is not None:
        return _drained(status, now, policy)
    return status._replace(deadline=None), Action.NOTHING


def _drained(status: Status, now: float, policy: Policy) -> Step:
    after = status.draining or After.STOPPED
    recycled = after is After.RESTART and status.cause is not None and status.cause.kind in ("memory", "age")
    cause = status.cause if recycled else Cause("stopped" if after is After.STOPPED else "restarted")
    assert cause is not None
    return _terminate(status, after, cause, now, policy)


def _terminate(status: Status, after: After, cause: Cause, now: float, policy: Policy) -> Step:
    grace = policy.stop_timeout if status.grace is None else status.grace
    stopping = status._replace(
        state=State.STOPPING, since=now, after=after, cause=cause, draining=None, grace=None, deadline=now + grace
    )
    return stopping, Action.TERMINATE


def _gone(status: Status, chance: float, now: float, policy: Policy) -> Step:
    return _ended(status, chance, now, policy)


def _ended(status: Status, chance: float, now: float, policy: Policy) -> Step:
    cause = status.cause or Cause("exited")
    if status.after is After.STOPPED:
        return _over(status, State.STOPPED, cause, now)
    if status.after is After.RESTART:
        return _spawn(status._replace(restarts=status.restarts + 1, crashes=()), now, policy)
    return _crashed(status, cause, chance, now, policy)


def _crashed(status: Status, cause: Cause, chance: float, now: float, policy: Policy) -> Step:
    recent = (*(at for at in status.crashes if at > now - policy.restart_window), now)
    fallen = status._replace(crashes=recent, cause=cause)
    if cause.permanent or len(recent) > policy.restart_limit:
        return _over(fallen, State.FATAL, cause, now)
    delay = patience(len(recent), chance, policy)
    if delay <= 0:
        return _spawn(fallen._replace(restarts=status.restarts + 1), now, policy)
    waiting = Status(State.BACKOFF, now, recent, status.restarts, cause, deadline=now + delay)
    return waiting, Action.NOTHING


def _spawn(status: Status, now: float, policy: Policy) -> Step:
    begun = Status(State.STARTING, now, status.crashes, status.restarts, status.cause)
    return begun._replace(deadline=now + policy.start_silence), Action.SPAWN


def _over(status: Status, state: State, cause: Cause | None, now: float) -> Step:
    return Status(state, now, status.crashes, status.restarts, cause), Action.LEAVE
