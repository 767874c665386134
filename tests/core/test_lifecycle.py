"""The state machine: every sequence of events up to a length, held against what must never happen; and its numbers."""

from __future__ import annotations

from copy import copy

import pytest

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
    Idle,
    Output,
    Policy,
    Ready,
    Recycle,
    Relaunched,
    Restart,
    SpawnFailed,
    Start,
    State,
    Status,
    Stop,
    Tick,
    patience,
    transition,
)

POLICY = Policy(restart_limit=2, restart_window=100.0, backoff_first=1.0, backoff_most=8.0, start_silence=30.0)
CRASH = Cause("crashed", "SIGSEGV")
HOPELESS = Cause("bad-flag", permanent=True)
LATER = 1000.0

# What the world can say. The loop says `Exited` and `Gone` only of a tree that is there, and never of one that is not.
EVENTS: dict[str, Event] = {
    "start": Start(),
    "stop": Stop(),
    "drain": Stop(drain=True, patience=5.0),
    "restart": Restart(),
    "ready": Ready(),
    "relaunched": Relaunched(),
    "output": Output(),
    "crash": Exited(CRASH),
    "hopeless": Exited(HOPELESS),
    "orphans": Exited(CRASH, survivors=True),
    "asked": Exited(CRASH, asked=After.RESTART),
    "told": Exited(Cause("stopped-by-api"), asked=After.STOPPED),
    "gone": Gone(),
    "hung": Hung(Cause("hung")),
    "large": Recycle(Cause("memory")),
    "idle": Idle(),
    "later": Tick(),
}


class World:
    """Does what the machine says and counts the trees that this leaves."""

    def __init__(self) -> None:
        self.status = Status()
        self.now = 0.0
        self.trees = 0
        self.left = False
        self.first_alive = False
        self.user_wants = False

    def says(self, name: str) -> None:
        event = EVENTS[name]
        self.now += LATER if name == "later" else 0.25
        if name in ("start", "restart") and self.status.after is not After.STOPPED:
            self.user_wants = True
        if name in ("stop", "drain", "told"):
            self.user_wants = False
        if isinstance(event, Exited):
            self.first_alive = False
            if not event.survivors:
                self.trees -= 1
        if isinstance(event, Gone):
            self.first_alive = False
            self.trees -= 1
        self.status, action = transition(self.status, event, self.now, POLICY)
        if action is Action.SPAWN:
            self.trees += 1
            self.first_alive = True
        if action is Action.LEAVE:
            self.left = True

    def can_say(self, name: str) -> bool:
        if self.left:
            return False
        if name in ("crash", "hopeless", "orphans", "asked", "told"):
            return self.trees > 0 and self.first_alive and self.status.state is not State.STOPPING
        if name == "gone":
            return self.status.state is State.STOPPING
        return True


def test_no_sequence_of_events_breaks_a_promise() -> None:
    seen: set[tuple[State, State]] = set()
    world = World()
    world.says("start")
    _explore(world, ("start",), 4, seen)
    needed = {(State.STARTING, State.RUNNING), (State.RUNNING, State.BACKOFF), (State.BACKOFF, State.STARTING)}
    needed |= {(State.RUNNING, State.STARTING), (State.STOPPING, State.BACKOFF), (State.RUNNING, State.FATAL)}
    assert needed <= seen


def _explore(before: World, story: tuple[str, ...], depth: int, seen: set[tuple[State, State]]) -> None:
    for name in EVENTS:
        if not before.can_say(name):
            continue
        world = copy(before)
        world.says(name)
        told, status = (*story, name), world.status
        seen.add((before.status.state, status.state))
        assert world.trees in (0, 1), (told, "two trees, or a tree that ended twice")
        assert (world.trees == 1) == (status.state in LIVE), (told, status)
        assert world.left == (status.state in OVER), (told, status)
        assert (status.state is State.STOPPING) == (status.after is not None), (told, status)
        waits = status.state in (State.STARTING, State.STOPPING, State.BACKOFF)
        assert not waits or status.deadline is not None, (told, "waits for ever")
        assert status.state is not State.STOPPED or not world.user_wants, (told, "stopped although nobody asked")
        if depth > 1:
            _explore(world, told, depth - 1, seen)


def test_what_the_user_stopped_stays_stopped() -> None:
    """After a stop no event but a start of the user's brings a process back."""
    for before in (("output",), ("ready",), ("ready", "large"), ("ready", "hung"), ("crash",), ("orphans",)):
        world = World()
        for name in ("start", *before, "stop"):
            world.says(name)
        _never_again(world, (*before, "stop"), 4)


def _never_again(before: World, story: tuple[str, ...], depth: int) -> None:
    for name in EVENTS.keys() - {"start", "restart"}:
        if before.can_say(name):
            world = copy(before)
            world.says(name)
            assert world.trees <= before.trees, (*story, name)
            if depth > 1:
                _never_again(world, (*story, name), depth - 1)


def _run(*events: tuple[float, Event], policy: Policy = POLICY) -> tuple[Status, Action]:
    status, action = Status(), Action.NOTHING
    for now, event in events:
        status, action = transition(status, event, now, policy)
    return status, action


def test_a_crash_is_tried_again_after_a_pause_that_doubles() -> None:
    status, _ = _run((0, Start()), (1, Exited(CRASH, chance=1.0)))
    assert (status.state, status.deadline) == (State.BACKOFF, 2.0)
    status, action = transition(status, Tick(), 2.0, POLICY)
    assert (status.state, status.restarts, action) == (State.STARTING, 1, Action.SPAWN)
    status, _ = transition(status, Exited(CRASH, chance=1.0), 3.0, POLICY)
    assert (status.state, status.deadline) == (State.BACKOFF, 5.0)


@pytest.mark.parametrize(
    ("crashes", "chance", "seconds"), [(1, 0, 0.5), (1, 1, 1), (2, 1, 2), (3, 0, 2), (4, 1, 8), (5, 1, 8), (99, 1, 8)]
)
def test_patience_doubles_up_to_its_limit_and_is_spread(crashes: int, chance: float, seconds: float) -> None:
    assert patience(crashes, chance, POLICY) == seconds


def test_no_back_off_means_at_once() -> None:
    status, action = _run((0, Start()), (1, Ready()), (2, Exited(CRASH)), policy=POLICY._replace(backoff_first=0.0))
    assert (status.state, action, status.restarts) == (State.STARTING, Action.SPAWN, 1)


def test_one_crash_more_than_the_limit_within_the_window_is_the_end() -> None:
    calm = POLICY._replace(backoff_first=0.0)
    status, action = _run((0, Start()), (1, Exited(CRASH)), (2, Exited(CRASH)), (3, Exited(CRASH)), policy=calm)
    assert (status.state, action, status.cause) == (State.FATAL, Action.LEAVE, CRASH)


def test_crashes_outside_the_window_are_forgotten() -> None:
    calm = POLICY._replace(backoff_first=0.0)
    status, _ = _run((0, Start()), (1, Exited(CRASH)), (2, Exited(CRASH)), (103, Exited(CRASH)), policy=calm)
    assert status.state is State.STARTING
    assert status.crashes == (103.0,)


def test_a_limit_of_none_at_all_means_never_again() -> None:
    status, _ = _run((0, Start()), (1, Exited(CRASH)), policy=POLICY._replace(restart_limit=0))
    assert status.state is State.FATAL


def test_what_cannot_get_better_is_not_tried_again() -> None:
    status, action = _run((0, Start()), (1, Exited(HOPELESS)))
    assert (status.state, action, status.cause) == (State.FATAL, Action.LEAVE, HOPELESS)


def test_a_restart_that_the_webui_asked_for_is_no_crash() -> None:
    status, action = _run((0, Start()), (1, Ready()), (2, Exited(CRASH, asked=After.RESTART)))
    assert (status.state, action, status.crashes, status.restarts) == (State.STARTING, Action.SPAWN, (), 0)
    status, _ = _run((0, Start()), (1, Ready()), (2, Relaunched()), (3, Ready()))
    assert (status.state, status.crashes, status.restarts) == (State.RUNNING, (), 0)


def test_a_stop_that_the_webui_was_told_is_no_crash() -> None:
    status, action = _run((0, Start()), (1, Ready()), (2, Exited(CRASH, asked=After.STOPPED)))
    assert (status.state, action, status.crashes, status.restarts) == (State.STOPPED, Action.LEAVE, (), 0)


def test_a_restart_from_inside_does_not_undo_a_stop_that_drains() -> None:
    for asked in (None, After.RESTART, After.STOPPED):
        draining = ((0, Start()), (1, Ready()), (2, Stop(drain=True)))
        status, action = _run(*draining, (3, Exited(CRASH, asked=asked)))
        assert (status.state, action) == (State.STOPPED, Action.LEAVE)
        status, action = _run(*draining, (3, Exited(CRASH, survivors=True, asked=asked)))
        assert (status.state, status.after) == (State.STOPPING, After.STOPPED)


def test_a_start_by_hand_forgives_everything() -> None:
    status, _ = _run((0, Start()), (1, Exited(CRASH)), (2, Start()))
    assert (status.state, status.crashes, status.restarts) == (State.STARTING, (), 0)


def test_silence_is_patience_lost_but_output_renews_it() -> None:
    status, _ = _run((0, Start()), (29, Output()), (31, Tick()))
    assert (status.state, status.deadline) == (State.STARTING, 59.0)
    status, action = transition(status, Tick(), 59.0, POLICY)
    assert (status.state, status.after, action) == (State.STOPPING, After.CRASH, Action.TERMINATE)
    assert status.cause is not None
    assert status.cause.kind == "never-ready"


def test_what_ignores_the_request_to_end_is_killed_again_and_again() -> None:
    status, action = _run((0, Start()), (1, Stop(grace=3.0)))
    assert (action, status.deadline) == (Action.TERMINATE, 4.0)
    status, action = transition(status, Tick(), 3.9, POLICY)
    assert action is Action.NOTHING
    status, action = transition(status, Tick(), 4.0, POLICY)
    assert action is Action.KILL
    status, action = transition(status, Tick(), 6.0, POLICY)
    assert action is Action.KILL
    status, action = transition(status, Gone(), 6.1, POLICY)
    assert (status.state, action) == (State.STOPPED, Action.LEAVE)


def test_draining_waits_for_idle_or_for_the_end_of_patience() -> None:
    status, action = _run((0, Start()), (1, Ready()), (2, Stop(drain=True, patience=10.0)))
    assert (status.state, status.draining, action) == (State.RUNNING, After.STOPPED, Action.NOTHING)
    idle, action = transition(status, Idle(), 3.0, POLICY)
    assert (idle.state, idle.after, action) == (State.STOPPING, After.STOPPED, Action.TERMINATE)
    impatient, action = transition(status, Tick(), 12.0, POLICY)
    assert (impatient.state, action) == (State.STOPPING, Action.TERMINATE)
    crashed, _ = transition(status, Exited(CRASH), 4.0, POLICY)
    assert crashed.state is State.STOPPED, "it was to be stopped anyway"


def test_a_start_by_hand_takes_a_draining_stop_back() -> None:
    status, action = _run((0, Start()), (1, Ready()), (2, Stop(drain=True, patience=5.0)), (3, Start()))
    assert (status.state, status.draining, status.deadline, action) == (State.RUNNING, None, None, Action.NOTHING)


def test_a_ceiling_restarts_when_idle_and_is_no_crash() -> None:
    status, _ = _run((0, Start()), (1, Ready()), (2, Recycle(Cause("memory", evidence="9 of 8 MiB"))), (3, Idle()))
    assert (status.state, status.after) == (State.STOPPING, After.RESTART)
    status, action = transition(status, Gone(), 4.0, POLICY)
    assert (status.state, action, status.restarts, status.crashes) == (State.STARTING, Action.SPAWN, 1, ())
    assert status.cause is not None
    assert status.cause.kind == "memory"


def test_a_launch_that_cannot_even_begin() -> None:
    status, action = _run((0, Start()), (1, SpawnFailed(Cause("cannot-start", permanent=True))))
    assert (status.state, action) == (State.FATAL, Action.LEAVE)
    status, action = _run((0, Start()), (1, SpawnFailed(Cause("disk-full"))))
    assert status.state is State.BACKOFF
