"""Faults of the machine: a full disk, a clock that jumps, and wear: a hundred starts leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from sdlauncher.supervise import control
from tests.supervise.conftest import Instance, wait_for


@pytest.fixture(scope="session")
def faults_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


@pytest.fixture
def faults(faults_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of switches that supervisors started from here obey."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("FAULTS", str(folder))
    monkeypatch.setenv("LD_PRELOAD", str(faults_library))
    return folder


def test_a_full_disk_stops_neither_the_webui_nor_its_supervisor(instance: Instance, faults: Path) -> None:
    first = instance.start(hang_timeout=1.0)
    (faults / "full").touch()
    os.kill(first.pid or 0, signal.SIGKILL)
    wait_for(lambda: instance.log().count("Model loaded") == 2)
    assert json.loads(instance.files.state.read_text())["pid"] == first.pid, "the disk was not full at all"
    (faults / "full").unlink()
    status = instance.wait_for_state("running", restarts=1)
    assert status.pid != first.pid
    instance.stop()
    assert instance.processes() == []


def test_a_stop_needs_no_disk(instance: Instance) -> None:
    instance.start()
    # What a full disk does to the request, without filling the disk of whoever asks.
    (instance.files.root / "request.json.new").mkdir()
    assert instance.stop().state == "stopped"
    assert instance.processes() == []


@pytest.mark.parametrize("jump", [-86400 * 365, 86400 * 365])
def test_a_clock_that_jumps_changes_no_patience(instance: Instance, faults: Path, jump: int) -> None:
    first = instance.start("exit=1,after=0.6", hang_timeout=0.8, max_age=3600.0, backoff_first=0.2)
    (faults / "clock").write_text(str(jump))
    status = instance.wait_for_state("running", restarts=1)
    assert status.last_exit is not None
    assert status.last_exit["cause"] == "exited"
    assert abs(int(status.since[:4]) - int(first.since[:4])) == 1, "the clock did not jump at all"
    assert instance.stop(timeout=1.0).state == "stopped"


def test_a_hundred_starts_leave_nothing_behind(instance: Instance) -> None:
    mine, born = _descriptors(), _children()
    spec = instance.spec()._replace(argv=("/bin/sleep", "600"))
    for _ in range(100):
        control.start(instance.files, spec, until_ready=False)
        instance.stop()
    assert instance.processes() == []
    assert instance.supervisors() == []
    assert _descriptors() == mine
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", instance.port))
    assert _children() <= born, "not even a zombie"


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_many_respawns_wear_nothing_out(instance: Instance) -> None:
    instance.start("exit=1,after=0.02", restart_limit=1000, until_ready=False)
    supervisor = wait_for(lambda: instance.status().restarts >= 3 and instance.status().supervisor_pid)
    fds = Path(f"/proc/{supervisor}/fd")

    def highest() -> int:
        return max(int(entry.name) for entry in fds.iterdir())

    early = max(highest() for _ in range(50))
    wait_for(lambda: instance.status().restarts >= 25, 30)
    assert max(highest() for _ in range(50)) <= early + 1
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    assert len(children) <= 1
    instance.stop()


def test_the_supervisor_knows_no_third_party_and_stays_small(instance: Instance) -> None:
    supervisor = instance.start(hang_timeout=5.0).supervisor_pid
    maps = Path(f"/proc/{supervisor}/maps").read_text()
    assert "site-packages" not in maps
    loaded = {Path(line.split()[-1]).name.split(".")[0] for line in maps.splitlines() if "lib-dynload" in line}
    assert loaded & {"_ssl", "_ctypes", "_asyncio", "_decimal", "_hashlib", "_lzma", "_bz2"} == set()
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{supervisor}/smaps_rollup").read_text().splitlines()[1:])
    private = sum(int(rollup[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
    assert private < 12 << 10


def test_at_rest_it_sleeps(instance: Instance) -> None:
    supervisor = instance.start().supervisor_pid

    def switches() -> int:
        text = Path(f"/proc/{supervisor}/status").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)

    before = [switches()]

    def calm() -> bool:
        before.append(switches())
        return before[-1] == before[-40] if len(before) > 40 else False

    wait_for(calm)
