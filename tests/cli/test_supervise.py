"""The commands of supervision as a user types them, on Mini WebUI."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import Cli, free_port
from tests.supervise.conftest import wait_for


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def mini(cli: Cli, port: int) -> Cli:
    """A home in which Mini WebUI is installed, with a port of its own."""
    done = cli("install", "--webui", "mini")
    assert done.code == 0, done.err
    (cli.home / "config").mkdir(exist_ok=True)
    (cli.home / "config" / "config.toml").write_text(f"port = {port}\nbackoff_first = 0.0\n")
    return cli


def test_start_status_list_logs_restart_stop(mini: Cli, port: int) -> None:
    started = mini("start", "--webui", "mini", "--json")
    assert started.code == 0, started.err
    first = started.data
    assert (first["state"], first["url"], first["webui"]) == ("running", f"http://127.0.0.1:{port}", "mini")

    again = mini("start")
    assert again.code == 0
    assert "runs already" in again.err

    status = mini("status", "--json")
    assert status.code == 0
    wanted = {"instance", "webui", "dir", "state", "pid", "supervisor_pid", "url", "since", "restarts", "last_exit"}
    assert wanted | {"memory_rss"} <= set(status.data)
    assert status.data["pid"] == first["pid"]
    assert status.data["memory_rss"] > 10 << 20

    listed = mini("list", "--json").data["instances"]
    assert [(one["instance"], one["state"]) for one in listed] == [("default", "running")]

    lines = mini("logs", "-n", "50", "--json").data["lines"]
    assert any(line.startswith("Startup time: ") for line in lines)
    assert mini("logs", "-n", "1").out.count("\n") == 1

    restarted = mini("restart", "--json")
    assert restarted.code == 0
    assert restarted.data["pid"] != first["pid"]

    stopped = mini("stop", "--json")
    assert (stopped.code, stopped.data["state"]) == (0, "stopped")
    assert mini("stop").code == 0
    gone = mini("status", "--json")
    assert (gone.code, gone.json["error"]["code"]) == (3, "SDL-NOT-RUNNING")
    assert gone.data["last_exit"]["cause"] == "stopped"


def test_a_taken_port_is_named_with_its_owner_and_the_next_free_one(mini: Cli, port: int) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", port))
        owner.listen(1)
        refused = mini("start", "--webui", "mini")
    assert refused.code == 1
    assert f"port {port} is taken by" in refused.err
    assert f"pid {os.getpid()}" in refused.err
    assert "--port" in refused.err
    assert "[SDL-PORT-TAKEN]" in refused.err


def test_a_bad_flag_is_not_tried_again(mini: Cli) -> None:
    (mini.home / "config" / "config.toml").open("a").write('flags = ["--no-such-flag"]\n')
    refused = mini("start", "--webui", "mini", "--json")
    assert refused.code == 1
    assert "--no-such-flag" in refused.json["error"]["message"]
    assert mini("status", "--json").data["restarts"] == 0


def test_what_is_not_installed_is_said(cli: Cli) -> None:
    refused = cli("start", "--webui", "mini", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (5, "SDL-NOT-INSTALLED")


def test_a_folder_without_a_webui_is_not_started(cli: Cli) -> None:
    (cli.home / "photos").mkdir()
    ran = cli("start", "--dir", cli.home / "photos", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "SDL-NOT-A-CHECKOUT")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are text")
def test_a_home_whose_name_is_not_utf8_is_a_home(cli: Cli, port: int) -> None:
    env = {"SDLAUNCHER_HOME": os.fsdecode(os.fsencode(cli.home) + b"/\xff\xe4")}
    try:
        ran = cli("up", "--webui", "mini", "--port", port, "--no-smoke", "--json", env=env)
        assert (ran.code, ran.data["state"]) == (0, "running")
        assert cli("status", env=env).code == 0
    finally:
        assert cli("stop", env=env).code == 0
    assert cli("status", "--json", env=env).data["last_exit"]["cause"] == "stopped"


def test_a_start_waits_for_a_stop_that_is_under_way(mini: Cli) -> None:
    (mini.home / "config" / "config.toml").open("a").write("stop_timeout = 2\n")
    first = mini("start", "--webui", "mini", "--json", env={"MINI_WEBUI_MISBEHAVE": "ignore-term"})
    assert first.code == 0, first.err
    stopping = subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", "stop"], env=mini.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: mini("status", "--json").data["state"] == "stopping")
    again = mini("start", "--json")
    assert again.code == 0, again.out
    assert again.data["pid"] != first.data["pid"]
    assert stopping.wait(20) == 0


def test_logs_of_nothing(cli: Cli) -> None:
    assert cli("logs", "--json").json["error"]["code"] == "SDL-NO-LOG"


def test_following_the_log_across_a_restart(mini: Cli) -> None:
    assert mini("start", "--webui", "mini").code == 0
    follower = subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", "logs", "-f", "-n", "0"], env=mini.env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert mini("restart").code == 0
        seen: list[str] = []
        assert follower.stdout is not None
        reader = threading.Thread(target=lambda: seen.extend(iter(follower.stdout.readline, "")))  # type: ignore[union-attr]
        reader.start()
        wait_for(lambda: any("Startup time" in line for line in seen))
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130
        reader.join(10)
        follower.stdout.close()  # type: ignore[union-attr]


def test_an_interrupted_start_leaves_nothing_running(mini: Cli) -> None:
    env = {**mini.env, "MINI_WEBUI_MISBEHAVE": "slow-imports=30"}
    start = subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", "start", "--webui", "mini"], env=env, stderr=subprocess.PIPE
    )
    wait_for(lambda: mini("status", "--json").data["state"] == "starting")
    start.send_signal(signal.SIGINT)
    _, err = start.communicate(timeout=20)
    assert start.returncode == 130
    assert b"interrupted" in err
    assert mini("status", "--json").data["state"] == "stopped"


class Service:
    """`start --foreground` as a service manager runs it."""

    def __init__(self, env: Mapping[str, str], folder: Path, *, beat: float = 0.5) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(20)
        env = {**env, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": str(int(beat * 2e6))}
        words = [sys.executable, "-m", "sdlauncher", "start", "--webui", "mini", "--foreground"]
        self.process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.told: list[str] = []

    def wait_for_word(self, word: str) -> None:
        while word not in self.told:
            self.told += self.manager.recv(4096).decode().splitlines()

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=20)
        self.manager.close()
        return self.process.returncode, out.decode()


@pytest.fixture
def service(mini: Cli, tmp_path: Path) -> Iterator[Service]:
    one = Service(mini.env, tmp_path)
    yield one
    if one.process.poll() is None:
        one.end(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_for_a_service_manager(service: Service, mini: Cli, number: int) -> None:
    service.wait_for_word("READY=1")
    service.wait_for_word("WATCHDOG=1")
    assert mini("status", "--json").data["supervisor_pid"] == service.process.pid
    code, out = service.end(number)
    assert code == 0
    assert "Startup time: " in out
    assert mini("status", "--json").data["state"] == "stopped"


def test_in_the_foreground_it_is_kept_alive_as_well(service: Service, mini: Cli) -> None:
    service.wait_for_word("READY=1")
    os.kill(mini("status", "--json").data["pid"], signal.SIGKILL)
    wait_for(lambda: (now := mini("status", "--json").data)["restarts"] == 1 and now["state"] == "running")
    code, out = service.end(signal.SIGTERM)
    assert code == 0
    assert out.count("Startup time: ") == 2


def test_who_does_not_read_what_is_told_stops_nothing(mini: Cli, tmp_path: Path) -> None:
    """A service manager that sleeps and an output that nobody empties: the supervisor goes on."""
    (mini.home / "config" / "config.toml").open("a").write("stop_timeout = 2\n")
    service = Service({**mini.env, "MINI_WEBUI_MISBEHAVE": "flood=2MB"}, tmp_path, beat=0.02)
    service.wait_for_word("READY=1")
    time.sleep(1.0)
    assert mini("stop").code == 0
    assert service.end(signal.SIGTERM)[0] == 0


def test_in_the_foreground_giving_up_is_a_failure(mini: Cli) -> None:
    env = {"MINI_WEBUI_MISBEHAVE": "crash-at=imports"}
    (mini.home / "config" / "config.toml").open("a").write("restart_limit = 1\n")
    ended = mini("start", "--webui", "mini", "--foreground", env=env)
    assert ended.code == 1
    assert "SDL-START-FAILED" in ended.err


def test_events_are_kept(mini: Cli) -> None:
    mini("start", "--webui", "mini")
    mini("stop")
    file = mini.home / "state" / "default" / "events.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["to"] for event in events if event["event"] == "state"] == [
        "starting",
        "running",
        "stopping",
        "stopped",
    ]
    assert time.strptime(events[0]["at"][:19], "%Y-%m-%dT%H:%M:%S")
