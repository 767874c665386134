"""Hung, too large, too old, drained: what the supervisor asks of a WebUI that serves, and what it does about it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sdlauncher.supervise.control import Status
from sdlauncher.supervise.pulse import _read_job
from tests.supervise.conftest import Instance, wait_for


def test_deaf_and_idle_is_hung(instance: Instance) -> None:
    instance.start("deaf=0.3", hang_timeout=0.8)
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    assert status.last_exit["cause"] == "hung"
    assert "/internal/ping" in status.last_exit["evidence"]


def test_stopped_in_its_tracks_is_hung(instance: Instance) -> None:
    first = instance.start(hang_timeout=0.8, stop_timeout=0.5)
    os.kill(first.pid or 0, signal.SIGSTOP)
    status = instance.wait_for_state("running", restarts=1)
    assert status.pid != first.pid
    assert len(instance.processes()) == 2


def test_a_long_job_that_goes_on_is_not_hung(instance: Instance) -> None:
    job = instance.checkout / "job"
    job.write_text("1")
    pid = instance.start(hang_timeout=0.8).pid
    for step in range(2, 12):
        time.sleep(0.25)
        job.write_text(str(step))
    assert (instance.status().pid, instance.status().restarts) == (pid, 0)


def test_a_job_that_stands_still_while_nothing_computes_is_hung(instance: Instance) -> None:
    (instance.checkout / "job").write_text("7")
    instance.start(hang_timeout=0.8)
    status = instance.wait_for_state("starting", restarts=1)
    (instance.checkout / "job").unlink()
    assert status.last_exit is not None
    assert status.last_exit["cause"] == "hung"
    assert "step 7" in status.last_exit["evidence"]
    instance.wait_for_state("running")


def test_watching_can_be_switched_off(instance: Instance) -> None:
    pid = instance.start("deaf=0.1", hang_timeout=0.0).pid
    time.sleep(0.8)
    assert (instance.status().state, instance.status().pid) == ("running", pid)


def test_too_large_is_restarted_but_only_when_idle(instance: Instance) -> None:
    job = instance.checkout / "job"
    job.write_text("1")
    first = instance.start("grow=200", memory_limit_mib=100, hang_timeout=0.8)
    wait_for(lambda: instance.status().draining == "restart")
    for step in range(2, 5):
        time.sleep(0.25)
        job.write_text(str(step))
        assert instance.status().pid == first.pid
    job.unlink()
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    assert status.last_exit["cause"] == "memory"
    assert status.pid != first.pid


def test_too_old_is_restarted(instance: Instance) -> None:
    first = instance.start(max_age=0.5, hang_timeout=0.8)
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    assert (status.last_exit["cause"], status.pid != first.pid) == ("age", True)


def _stop_beside(instance: Instance, **how: object) -> list[Status]:
    done: list[Status] = []
    threading.Thread(target=lambda: done.append(instance.stop(**how))).start()
    wait_for(lambda: instance.status().draining == "stopped")
    return done


def test_stop_with_drain_lets_the_job_finish(instance: Instance) -> None:
    job = instance.checkout / "job"
    job.write_text("1")
    instance.start()
    done = _stop_beside(instance, drain=True)
    time.sleep(0.7)
    assert not done
    assert instance.status().state == "running"
    job.unlink()
    wait_for(lambda: done)
    assert done[0].state == "stopped"


def test_drain_has_an_end(instance: Instance) -> None:
    (instance.checkout / "job").write_text("1")
    instance.start()
    done = _stop_beside(instance, drain=True, patience=0.5)
    wait_for(lambda: done)
    assert done[0].state == "stopped"


def test_a_plain_stop_does_not_wait_for_a_drain(instance: Instance) -> None:
    (instance.checkout / "job").write_text("1")
    instance.start()
    _stop_beside(instance, drain=True)
    assert instance.stop().state == "stopped"


def test_start_takes_a_drain_back(instance: Instance) -> None:
    (instance.checkout / "job").write_text("1")
    pid = instance.start().pid
    done = _stop_beside(instance, drain=True)
    assert instance.start().pid == pid
    wait_for(lambda: instance.status().draining is None)
    assert instance.stop().state == "stopped"
    wait_for(lambda: done)


def test_events_are_history_and_run_the_hook(instance: Instance, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    instance.start(on_event=f'printf "%s\\n" "$SDLAUNCHER_EVENT" >> {seen}')
    instance.stop()
    changes = [(event["from"], event["to"]) for event in instance.events() if event["event"] == "state"]
    assert changes == [
        ("stopped", "starting"),
        ("starting", "running"),
        ("running", "stopping"),
        ("stopping", "stopped"),
    ]
    wait_for(lambda: sorted(seen.read_text().splitlines()) == sorted(instance.files.events.read_text().splitlines()))
    assert all(json.loads(line)["at"].endswith("Z") for line in seen.read_text().splitlines())


def test_a_hook_that_never_ends_delays_nothing(instance: Instance) -> None:
    instance.start("exit=1,after=0.3", on_event="sleep 2")
    instance.wait_for_state("running", restarts=1)
    assert instance.stop().state == "stopped"


def test_a_job_that_waits_for_the_network_and_says_so_is_not_hung(instance: Instance) -> None:
    (instance.checkout / "job").write_text("0")
    pid = instance.start("retry=0.2", hang_timeout=0.8).pid
    time.sleep(2.5)
    assert (instance.status().pid, instance.status().restarts) == (pid, 0)


def test_a_record_of_our_own_looks_is_no_sign_of_life(instance: Instance) -> None:
    (instance.checkout / "job").write_text("7")
    instance.start("access-log", hang_timeout=0.8)
    status = instance.wait_for_state("starting", restarts=1)
    (instance.checkout / "job").unlink()
    assert status.last_exit is not None
    assert "step 7" in status.last_exit["evidence"]
    instance.wait_for_state("running")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"state": 5}', b"[" * 60_000])
def test_an_answer_that_tells_nothing_of_a_job_is_none(body: bytes) -> None:
    assert _read_job(body) is None
