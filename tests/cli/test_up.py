"""`up` as a person runs it: from nothing to a checked picture, again, interrupted, and with what goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image

from tests.conftest import Cli, free_port
from tests.setup.test_models import write_model


@pytest.fixture
def port() -> int:
    return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_for(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_from_nothing_to_a_checked_picture_and_back(cli: Cli, port: int) -> None:
    ran = cli("up", "--webui", "mini", "--port", port, "--json")
    assert ran.code == 0, ran.err
    smoke = ran.data["smoke"]
    assert ran.data["state"] == "running"
    assert ran.data["url"] == f"http://127.0.0.1:{port}"
    assert smoke["verdict"] == "ok"
    assert all(check["ok"] for check in smoke["checks"])
    assert smoke["file"] == str(cli.home / "smoke.png")
    with Image.open(smoke["file"]) as picture:
        assert picture.size == (smoke["width"], smoke["height"])
        assert "Steps:" in picture.info["parameters"]
    assert requests.get(f"http://127.0.0.1:{port}/docs", timeout=5).status_code == 200

    # Again: the very same process goes on serving.
    again = cli("up", "--json")
    assert (again.code, again.data["pid"]) == (0, ran.data["pid"])

    # Another port is what the instance should have now, so it is started again there.
    other = free_port()
    moved = cli("up", "--port", other, "--no-smoke", "--json")
    assert (moved.code, moved.data["url"], moved.data["smoke"]) == (0, f"http://127.0.0.1:{other}", None)
    assert _is_free(port)

    assert cli("stop").code == 0
    assert not psutil.pid_exists(moved.data["pid"])
    assert _is_free(other)


def test_without_a_gpu_and_without_a_word_it_takes_mini_webui(cli: Cli, port: int) -> None:
    ran = cli("up", "--port", port, "--no-smoke", "--json")
    assert ran.code == 0, ran.err
    assert ran.data["webui"] == "mini"
    assert "no NVIDIA GPU" in ran.err


def test_a_model_is_brought_along_and_one_that_is_there_stays(cli: Cli, port: int) -> None:
    ran = cli("up", "--webui", "mini", "--port", port, "--checkpoint", "/no/such.safetensors", "--json")
    assert ran.json["error"]["code"] == "SDL-MODEL-SOURCE"
    assert not (cli.home / "data").exists(), "said before anything was installed"
    mine = write_model(cli.home / "zeta.safetensors", "model.diffusion_model.a")
    for _ in range(2):
        assert cli("up", "--webui", "mini", "--port", port, "--checkpoint", mine, "--no-smoke").code == 0
    assert (cli.home / "data" / "mini" / "models" / "Stable-diffusion" / "zeta.safetensors").exists()


def test_people_are_told_address_picture_and_how_to_stop(cli: Cli, port: int) -> None:
    ran = cli(
        "up", "--webui", "mini", "--port", port, "--prompt", "a red star on a blue background", "--out", "star.png"
    )
    assert ran.code == 0, ran.err
    assert f"http://127.0.0.1:{port}" in ran.out
    assert str(cli.home / "star.png") in ran.out
    assert "stop it:" in ran.out
    with Image.open(cli.home / "star.png") as picture:
        assert picture.info["parameters"].startswith("a red star on a blue background")


def test_a_taken_port_is_said_before_anything_starts(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = cli("up", "--webui", "mini", "--port", port, "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "SDL-PORT-TAKEN"
    assert str(os.getpid()) in ran.json["error"]["message"]
    assert "--port" in ran.json["error"]["hint"]
    assert cli("status", "--json").json["data"].get("pid") is None
    assert f"--port {port}" not in (cli.home / "data" / "mini" / "webui-user.sh").read_text(), "and is not remembered"


@pytest.mark.parametrize("words", [("up",), ("install",), ("start",), ("plan",)])
def test_an_unknown_webui_is_answered_with_the_nearest_name(cli: Cli, words: tuple[str, ...]) -> None:
    ran = cli(*words, "--webui", "fogre", "--json")
    assert ran.json["error"]["code"] == "SDL-WEBUI-UNKNOWN"
    assert "forge" in ran.json["error"]["message"] + ran.json["error"]["hint"]


def test_a_folder_that_holds_something_else_is_left_alone(cli: Cli) -> None:
    folder = cli.home / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_bytes(b"x")
    ran = cli("up", "--webui", "mini", "--dir", folder, "--json")
    assert ran.code != 0
    assert ran.json["error"]["code"].startswith("SDL-")
    assert sorted(item.name for item in folder.iterdir()) == ["holiday.jpg"]


def test_a_folder_that_cannot_be_written_is_one_sentence(cli: Cli) -> None:
    (cli.home / "file").write_bytes(b"")
    ran = cli("up", "--webui", "mini", "--dir", cli.home / "file" / "webui", "--json")
    assert ran.code != 0
    assert ran.json["error"]["code"] != "SDL-INTERNAL"


def test_a_bad_picture_makes_it_fail_with_the_cause_and_the_cure(cli: Cli, port: int) -> None:
    ran = cli("up", "--webui", "mini", "--port", port, "--json", env={"MINI_WEBUI_MISBEHAVE": "picture=black"})
    assert ran.code == 1
    assert ran.data["state"] == "running"
    assert ran.data["smoke"]["verdict"] == ran.json["error"]["code"]
    assert "--no-half-vae" in ran.json["error"]["hint"]


def test_ctrl_c_during_the_start_leaves_nothing_running(cli: Cli, port: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", "up", "--webui", "mini", "--port", str(port)],
        env={**cli.env, "MINI_WEBUI_MISBEHAVE": "slow-load=30,never-ready"},
        cwd=cli.home,
        stderr=subprocess.PIPE,
    ) as run:
        log = cli.home / "state" / "default" / "webui.log"
        _wait_for(lambda: log.exists() and b"Launching Web UI" in log.read_bytes())
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=30)
    assert run.returncode == 130
    assert b"Traceback" not in err
    assert _is_free(port)
    assert cli("status", "--json").data["state"] == "stopped"
    assert not [it for it in psutil.process_iter(["cmdline"]) if str(cli.home) in " ".join(it.info["cmdline"] or [])]


def test_killed_with_9_it_is_back_and_healthy_without_a_hand(cli: Cli, port: int) -> None:
    pid = cli("up", "--webui", "mini", "--port", port, "--no-smoke", "--json").data["pid"]
    os.kill(pid, signal.SIGKILL)
    ran = cli("health", "--wait", "20", "--json")
    assert ran.code == 0, ran.out
    status = cli("status", "--json").data
    assert status["pid"] != pid
    assert status["restarts"] == 1
    assert status["last_exit"]["signal"] == "SIGKILL"


def test_a_checkout_of_ones_own_is_recognised_and_used(cli: Cli, port: int, tmp_path: Path) -> None:
    assert cli("install", "--webui", "mini", "--dir", tmp_path / "my webui 图").code == 0
    ran = cli("up", "-i", "mine", "--dir", tmp_path / "my webui 图", "--port", port, "--json")
    assert ran.code == 0, ran.err
    assert (ran.data["webui"], ran.data["dir"]) == ("mini", str(tmp_path / "my webui 图"))
