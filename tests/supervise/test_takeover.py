"""The supervisor may die at any moment; the WebUI goes on, and the next command takes it over. So may its notes."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import process
from sdlauncher.machine.files import write_json
from sdlauncher.machine.paths import Paths
from sdlauncher.supervise.status import read_all
from tests.conftest import as_nobody
from tests.supervise.conftest import Instance, wait_for


def test_a_killed_supervisor_costs_neither_the_webui_nor_its_log(instance: Instance) -> None:
    before = instance.start("flood=1")
    instance.kill_supervisor()
    size = instance.files.log.stat().st_size
    os.kill(before.pid or 0, 0)
    after = instance.status(adopt=True)
    assert (after.state, after.pid, after.restarts) == ("running", before.pid, 0)
    assert after.supervisor_pid not in (None, before.supervisor_pid)
    assert instance.files.log.stat().st_size >= size
    assert instance.log().count("Launching Web UI") == 1


def test_what_is_another_users_hides_no_instance_of_ones_own() -> None:
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        state.chmod(0o755)
        paths = Paths(state, state, state, state)
        for instance, mode in (("hidden", 0o000), ("mine", 0o755)):
            write_json(paths.instance(instance).state, {"state": "stopped", "webui": "a1111"}, mode=0o644)
            paths.instance(instance).root.chmod(mode)
        with as_nobody():
            found = {one.instance: (one.state, one.webui) for one in read_all(paths.instances())}
    assert found == {"hidden": ("unknown", ""), "mine": ("stopped", "a1111")}


def test_start_takes_over_as_well(instance: Instance) -> None:
    before = instance.start()
    instance.kill_supervisor()
    after = instance.start()
    assert (after.state, after.pid) == ("running", before.pid)


def test_what_was_taken_over_is_kept_alive(instance: Instance) -> None:
    before = instance.start()
    instance.kill_supervisor()
    instance.status(adopt=True)
    os.kill(before.pid or 0, signal.SIGKILL)
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    assert status.last_exit["signal"] == "SIGKILL"


def test_what_was_taken_over_is_stopped_whole(instance: Instance) -> None:
    instance.start("daemon")
    instance.kill_supervisor()
    assert instance.stop().state == "stopped"
    assert instance.processes() == []


def test_killed_while_it_starts(instance: Instance) -> None:
    with pytest.raises(SdLauncherError):
        instance.start("before=3", wait=0.2)
    instance.kill_supervisor()
    assert instance.status(adopt=True).state == "starting"
    assert instance.start().state == "running"
    assert instance.log().count("Launching Web UI") == 1


def test_killed_while_it_stops(instance: Instance) -> None:
    instance.start("ignore-term")
    write_json(instance.files.request, {"id": "x", "action": "stop", "timeout": 60.0})
    process.knock(str(instance.files.root / "control"))
    instance.wait_for_state("stopping")
    instance.kill_supervisor()
    instance.status(adopt=True)
    wait_for(lambda: instance.status().state == "stopped")
    assert instance.processes() == []


def test_killed_while_it_waits_to_try_again(instance: Instance) -> None:
    instance.start("exit=1,at=launch", until_ready=False, backoff_first=60.0)
    instance.wait_for_state("backoff")
    instance.kill_supervisor()
    status = instance.status(adopt=True)
    assert (status.state, status.supervisor_pid) == ("stopped", None)
    assert status.last_exit is not None
    assert status.last_exit["cause"] == "supervisor-died"


def test_everything_killed_at_once(instance: Instance) -> None:
    instance.start()
    instance.kill_supervisor()
    for pid in instance.processes():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not instance.processes())
    assert instance.status(adopt=True).state == "stopped"
    assert instance.start().state == "running"


def test_the_script_dies_while_nobody_watches(instance: Instance) -> None:
    server = instance.start().pid or 0
    instance.kill_supervisor()
    script = next(pid for pid in instance.processes() if pid != server)
    os.kill(script, signal.SIGKILL)
    instance.status(adopt=True)
    status = instance.wait_for_state("running", restarts=1)
    assert status.pid != server
    assert len(instance.processes()) == 2


def test_killed_while_its_log_is_rotated(instance: Instance) -> None:
    """The rotation goes on beside it and keeps the lock; who takes over waits for it."""
    before = instance.start()
    instance.kill_supervisor()
    lock = os.open(instance.files.lock, os.O_RDWR)
    assert process.try_lock(lock)
    threading.Timer(0.5, os.close, (lock,)).start()
    after = instance.status(adopt=True)
    assert (after.state, after.pid) == ("running", before.pid)
    assert after.supervisor_pid in instance.supervisors()


def test_a_pid_that_belongs_to_somebody_else_now_is_left_alone(instance: Instance) -> None:
    """After a reboot or a wrap of the pids the notes name a stranger."""
    instance.start()
    instance.stop()
    record = json.loads(instance.files.state.read_text())
    stranger = os.getpid()
    record |= {"state": "running", "pid": stranger, "supervisor_pid": stranger}
    record |= {"root": [stranger, 1], "mark": "none", "supervisor": [stranger, 1]}
    instance.files.state.write_text(json.dumps(record))
    assert instance.status().state == "stopped"
    assert instance.stop().state == "stopped"
    assert instance.start().state == "running"


def test_notes_of_another_boot_are_stale(instance: Instance) -> None:
    instance.start()
    record = json.loads(instance.files.state.read_text())
    instance.stop()
    instance.files.state.write_text(json.dumps({**record, "boot": "another"}))
    status = instance.status(adopt=True)
    assert status.last_exit is not None
    assert (status.state, status.last_exit["cause"]) == ("stopped", "machine-restarted")


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\x00" * 100, b'{"state": "running", "root": "x"}', b"[" * 100_000]
)
def test_damaged_notes_stop_nothing(instance: Instance, damage: bytes) -> None:
    instance.start()
    instance.stop()
    for file in (instance.files.state, instance.files.request):
        file.write_bytes(damage)
    assert instance.status(adopt=True).state == "stopped"
    assert instance.start().state == "running"
    instance.files.request.write_bytes(damage)
    assert instance.stop().state == "stopped"


def test_a_supervisor_that_does_not_react_is_ended_by_force(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdlauncher.supervise.control.MARGIN", 0.5)
    supervisor = instance.start().supervisor_pid or 0
    os.kill(supervisor, signal.SIGSTOP)
    assert instance.stop(timeout=0.2).state == "stopped"
    assert instance.processes() == []
    assert instance.supervisors() == []
