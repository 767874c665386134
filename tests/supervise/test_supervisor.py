"""What a supervised WebUI may do, and what comes of it: real processes, one fault each."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.supervise import control
from tests.supervise.conftest import Instance, wait_for


def test_started_ready_and_stopped(instance: Instance) -> None:
    status = instance.start()
    assert status.state == "running"
    assert status.url == f"http://127.0.0.1:{instance.port}"
    # The server, not the script around it.
    assert "webui.py" in Path(f"/proc/{status.pid}/cmdline").read_text()
    assert wait_for(lambda: instance.status().model == "loaded")
    assert (instance.status().memory_rss or 0) > 1 << 20
    stopped = instance.stop()
    assert (stopped.state, stopped.pid, stopped.supervisor_pid) == ("stopped", None, None)
    assert stopped.last_exit is not None
    assert stopped.last_exit["cause"] == "stopped"
    assert instance.processes() == []


def test_nothing_belongs_to_who_started_it(instance: Instance) -> None:
    instance.start()
    supervisor = instance.status().supervisor_pid
    assert os.getsid(supervisor or 0) != os.getsid(0)
    assert os.getsid(instance.status().pid or 0) not in (os.getsid(0), os.getsid(supervisor or 0))


def test_nothing_that_was_lent_to_the_command_stays_open(instance: Instance) -> None:
    """A pipeline or `make` would wait for ever for whoever still holds its pipe."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    instance.start()
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_stopping_what_does_not_run_is_fine(instance: Instance) -> None:
    assert instance.stop().state == "stopped"


def test_a_second_start_leaves_the_first_alone(instance: Instance) -> None:
    first = instance.start()
    second = instance.start()
    assert (second.pid, second.supervisor_pid) == (first.pid, first.supervisor_pid)
    assert len(instance.supervisors()) == 1


@pytest.mark.parametrize(
    "word",
    ["exit=0", "exit=1", *(f"signal={int(number)}" for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM))],
)
def test_an_end_that_nobody_asked_for_is_started_again(instance: Instance, word: str) -> None:
    instance.start(f"{word},after=0.2")
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    # Only what bash tells of its child reaches us, and of SIGTERM it tells nothing.
    told = {"signal=11": "SIGSEGV", "signal=9": "SIGKILL"}
    assert status.last_exit["signal"] == told.get(word)


def test_killing_the_python_below_the_script(instance: Instance) -> None:
    first = instance.start().pid or 0
    os.kill(first, signal.SIGKILL)
    status = instance.wait_for_state("running", restarts=1)
    assert status.pid not in (None, first)
    assert status.last_exit is not None
    assert (status.last_exit["cause"], status.last_exit["signal"]) == ("killed", "SIGKILL")


def test_killing_the_script_leaves_no_second_server(instance: Instance) -> None:
    server = instance.start().pid or 0
    script = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(script, signal.SIGKILL)
    status = instance.wait_for_state("running", restarts=1)
    assert status.pid != server
    assert not Path(f"/proc/{server}/cmdline").exists()
    assert len(instance.processes()) == 2


def test_too_many_crashes_end_it_with_the_cause(instance: Instance) -> None:
    with pytest.raises(SdLauncherError) as caught:
        instance.start("exit=3,at=launch", restart_limit=2)
    assert caught.value.code == "SDL-START-FAILED"
    status = instance.status()
    assert (status.state, status.restarts) == ("fatal", 2)
    assert instance.log().count("Launching Web UI") == 3
    assert instance.supervisors() == []


def test_back_off_is_told_and_waited(instance: Instance) -> None:
    instance.start("exit=1,at=launch", until_ready=False, backoff_first=30.0)
    status = instance.wait_for_state("backoff")
    assert 15.0 <= (status.retry_in or 0) <= 30.0
    assert instance.processes() == []
    assert instance.stop().state == "stopped"


def test_what_cannot_get_better_is_not_tried_again(instance: Instance) -> None:
    # The port is free when it is checked, and taken when the WebUI comes to it.
    instance.start("before=0.3", until_ready=False)
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", instance.port))
        thief.listen(1)
        status = instance.wait_for_state("fatal")
    assert status.last_exit is not None
    assert (status.last_exit["cause"], status.last_exit["signature"]) == ("port-taken", "port_busy")
    assert status.restarts == 0


def test_a_port_that_is_taken_is_said_before_anything_starts(instance: Instance) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", instance.port))
        owner.listen(1)
        with pytest.raises(SdLauncherError) as caught:
            instance.start()
    assert caught.value.code == "SDL-PORT-TAKEN"
    assert str(os.getpid()) in str(caught.value)
    assert not instance.files.log.exists()


def test_silence_during_the_start_is_stuck(instance: Instance) -> None:
    with pytest.raises(SdLauncherError):
        instance.start("never", start_silence=0.5, restart_limit=1, stop_timeout=1.0)
    status = instance.status()
    assert status.last_exit is not None
    assert (status.state, status.last_exit["cause"]) == ("fatal", "never-ready")


def test_a_start_that_is_only_slow_is_waited_for(instance: Instance) -> None:
    with pytest.raises(SdLauncherError) as caught:
        instance.start("before=2", wait=0.3)
    assert caught.value.code == "SDL-START-TIMEOUT"
    assert instance.status().state == "starting"
    assert instance.start().state == "running"


def test_ignoring_the_request_to_end_ends_in_a_kill(instance: Instance) -> None:
    instance.start("ignore-term")
    assert instance.stop(timeout=0.3).state == "stopped"
    assert instance.processes() == []
    assert "killed" in [event["event"] for event in instance.events()]


def test_what_detaches_itself_is_stopped_as_well(instance: Instance) -> None:
    instance.start("daemon")
    assert len(instance.processes()) == 3
    instance.stop()
    assert instance.processes() == []


def test_what_detaches_itself_does_not_survive_a_crash(instance: Instance) -> None:
    instance.start("daemon,exit=1,after=0.3")
    instance.wait_for_state("running", restarts=1)
    assert len(instance.processes()) <= 3


def test_a_restart_from_inside_is_honoured_and_not_counted(instance: Instance) -> None:
    first = instance.start()
    (instance.checkout / "again").touch()
    status = wait_for(lambda: (now := instance.status()).pid != first.pid and now.state == "running" and now)
    assert (status.restarts, status.last_exit) == (0, None)
    wait_for(
        lambda: (
            [event["to"] for event in instance.events() if event["event"] == "state"][-2:] == ["starting", "running"]
        )
    )


def test_a_stop_from_inside_is_honoured(instance: Instance) -> None:
    instance.start()
    (instance.checkout / "halt").touch()
    status = instance.wait_for_state("stopped")
    assert status.last_exit is not None
    assert (status.restarts, status.last_exit["cause"]) == (0, "stopped-by-api")
    wait_for(lambda: not instance.processes() and not instance.supervisors())
    assert instance.start().state == "running"


def test_a_script_that_restarts_for_ever_is_not_let_to(instance: Instance) -> None:
    with pytest.raises(SdLauncherError) as caught:
        instance.start("loop,at=launch", restart_limit=1)
    status = instance.status()
    assert status.last_exit is not None
    assert (status.state, status.last_exit["cause"]) == ("fatal", "restart-loop")
    assert "starts without being ready" in str(caught.value)


def test_closed_output_is_no_end(instance: Instance) -> None:
    instance.start("close-stdout")
    assert instance.status().state == "running"


def test_output_that_is_no_text_is_no_trouble(instance: Instance) -> None:
    instance.start("garbage")
    assert instance.status().state == "running"
    assert b"\xff\xfe\x00 caf\xe9" in instance.files.log.read_bytes()


def test_two_starts_at_once_make_one_instance(instance: Instance) -> None:
    spec = instance.spec("before=0.5")
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: control.start(instance.files, spec, wait=20).state, range(4)))
    assert states == ["running"] * 4
    assert len(instance.supervisors()) == 1
    assert instance.log().count("Launching Web UI") == 1


def test_the_supervisor_itself_is_stopped_in_good_order_by_a_signal(instance: Instance) -> None:
    supervisor = instance.start().supervisor_pid or 0
    os.kill(supervisor, signal.SIGTERM)
    wait_for(lambda: instance.status().state == "stopped")
    assert instance.processes() == []


def test_several_instances_of_one_checkout(make_instance: Callable[..., Instance]) -> None:
    one, two = make_instance("one"), make_instance("two")
    one.start()
    two.start()
    one.stop()
    assert two.status().state == "running"
    assert one.processes() == []


def test_what_is_kept_is_for_its_owner_alone(instance: Instance) -> None:
    instance.start()
    instance.stop()
    files = [file for file in instance.files.root.iterdir() if file.is_file()]
    assert {"state.json", "request.json", "launch.json", "events.jsonl", "webui.log"} <= {file.name for file in files}
    assert [file.name for file in files if file.stat().st_mode & 0o077] == []
