"""The launch contract: scripts, arguments, ready lines, ports, signals and exit codes, as in the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import requests

from sdlauncher.mini import lay_out
from tests.conftest import free_port
from tests.mini.conftest import READY, Checkout, wait_for

SCRIPT = ("./webui.sh", "-f")


def _in_order(log: str, *lines: str) -> None:
    places = [log.find(line) for line in lines]
    assert -1 not in places, f"{lines[places.index(-1)]!r} is missing in\n{log}"
    assert places == sorted(places), f"{list(zip(places, lines, strict=True))} in\n{log}"


def test_lines_come_in_the_recorded_order_with_the_page(checkout: Checkout) -> None:
    running = checkout.start("--api", script=SCRIPT)
    _in_order(
        running.log,
        "Launching launch.py...",
        "Python 3.",
        "Version: ",
        "Commit hash: ",
        f"Launching Web UI with arguments: -f --api --port {running.port}\n",
        "Loading weights [",
        f"Running on local URL:  http://127.0.0.1:{running.port}\n",
        "Startup time: ",
        "Applying attention optimization: ",
        "Model loaded in ",
    )


def test_lines_come_in_the_recorded_order_with_the_api_alone(checkout: Checkout) -> None:
    running = checkout.start("--api", "--nowebui")
    running.wait_for_line("Uvicorn running on")
    _in_order(
        running.log,
        "Launching API server with arguments: --api --nowebui",
        "Loading weights [",
        "Startup time: ",
        f"Uvicorn running on http://0.0.0.0:{running.port} (Press CTRL+C to quit)",
    )
    assert "Running on local URL" not in running.log
    assert running.get("/internal/ping").status_code == 404
    assert running.get("/sdapi/v1/options").status_code == 200
    assert running.get("/").status_code == 404


def test_root_is_refused_without_the_flag(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "id").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    running = checkout.start(script=("./webui.sh",), until=None, env={"PATH": path})
    assert running.wait_until_ended() == 1
    assert "ERROR: This script must not be launched as root, aborting..." in running.log


def test_extra_arguments_come_before_those_of_the_user_file(checkout: Checkout) -> None:
    (checkout.root / "webui-user.sh").write_text('export COMMANDLINE_ARGS="--api --api-log"\n')
    running = checkout.start("--loglevel", "INFO", script=SCRIPT)
    assert f"arguments: -f --loglevel INFO --port {running.port} --api --api-log\n" in running.log


def test_a_user_file_without_export_is_lost_as_in_the_real_one(checkout: Checkout) -> None:
    (checkout.root / "webui-user.sh").write_text('COMMANDLINE_ARGS="--api"\n')
    running = checkout.start(script=SCRIPT, model=False)
    assert running.get("/sdapi/v1/options").status_code == 404
    assert running.get("/sdapi/v1/loras").json() == []
    assert running.get("/docs").status_code == 200


def test_arguments_are_split_as_posix_words(checkout: Checkout, tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    (checkout.root / "webui-user.sh").write_text(f"""export COMMANDLINE_ARGS='--api --ckpt-dir "{folder}"'\n""")
    running = checkout.start(script=SCRIPT, model=False)
    assert running.get("/sdapi/v1/cmd-flags").json()["ckpt_dir"] == str(folder)


def test_python_is_a_child_that_outlives_a_killed_script(checkout: Checkout) -> None:
    running = checkout.start("--api", script=SCRIPT, model=False)
    child = running.python_pid()
    assert child != running.process.pid
    assert b"\x00-u\x00launch.py\x00-f\x00" in Path(f"/proc/{child}/cmdline").read_bytes()
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.wait_until_ended() == -signal.SIGTERM
    assert running.get("/docs").status_code == 200


def test_an_interrupt_of_the_group_ends_both_with_0(checkout: Checkout) -> None:
    running = checkout.start(script=SCRIPT, model=False)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.wait_until_ended() == 0
    assert not running.accepts_connections()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_script_exits_0_whatever_ended_python(checkout: Checkout, number: signal.Signals) -> None:
    running = checkout.start(script=SCRIPT, model=False)
    os.kill(running.python_pid(), number)
    assert running.wait_until_ended() == 0
    assert not running.accepts_connections()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, -15), (signal.SIGINT, 0), (signal.SIGHUP, -1)],
)
def test_a_signal_ends_python_at_once(checkout: Checkout, number: signal.Signals, code: int) -> None:
    running = checkout.start("--api", model=False)
    running.process.send_signal(number)
    assert running.wait_until_ended(5) == code
    assert not running.accepts_connections()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, 0)])
def test_a_signal_during_a_generation_ends_the_page_but_waits_in_the_api_alone(
    checkout: Checkout, number: signal.Signals, code: int
) -> None:
    import threading

    for flags, answered in ((("--api",), False), (("--api", "--nowebui"), True)):
        running = checkout.start(*flags, misbehave="seconds-per-picture=0.8", until=READY)
        answers: list[int] = []

        def ask(target: object = running, found: list[int] = answers) -> None:
            try:
                found.append(target.post("/sdapi/v1/txt2img", {"steps": 5, "width": 64, "height": 64}).status_code)  # type: ignore[attr-defined]
            except requests.ConnectionError:
                found.append(0)

        wait_for(running.accepts_connections, "the port")
        client = threading.Thread(target=ask)
        client.start()
        wait_for(lambda one=running: one.get("/sdapi/v1/progress").json()["state"]["sampling_step"] > 0, "a first step")
        running.process.send_signal(number)
        assert running.wait_until_ended() == code
        client.join()
        assert answers == ([200] if answered else [0])


def test_sigint_during_the_imports_is_a_keyboard_interrupt(checkout: Checkout) -> None:
    running = checkout.start(misbehave="slow-imports=30", until="Launching Web UI")
    running.process.send_signal(signal.SIGINT)
    assert running.wait_until_ended() == -signal.SIGINT
    assert "KeyboardInterrupt" in running.log


def test_a_given_port_that_is_busy_is_found_late(checkout: Checkout) -> None:
    first = checkout.start(model=False)
    second = checkout.start(port=first.port, until=None)
    assert second.wait_until_ended() == 1
    text = f"OSError: Cannot find empty port in range: {first.port}-{first.port}."
    _in_order(second.log, "Loading weights [", text)
    third = checkout.start("--nowebui", port=first.port, until=None, model=False)
    assert third.wait_until_ended() == 3
    assert "error while attempting to bind on address ('0.0.0.0'" in third.log


def test_without_a_port_the_next_free_one_is_taken(checkout: Checkout) -> None:
    start = {"GRADIO_SERVER_PORT": str(free_port())}
    first = checkout.start(port=0, env=start, model=False)
    second = checkout.start(port=0, env=start, model=False)
    assert second.port > first.port


def test_an_unknown_flag_is_rejected_late_and_a_bad_value_early(checkout: Checkout) -> None:
    unknown = checkout.start("--nosuch-flag", until=None)
    assert unknown.wait_until_ended() == 2
    _in_order(
        unknown.log, "Launching Web UI", "usage: launch.py", "launch.py: error: unrecognized arguments: --nosuch-flag"
    )
    bad = checkout.start("--precision", "zzz", until=None)
    assert bad.wait_until_ended() == 2
    assert "Launching Web UI" not in bad.log


def test_an_extension_may_declare_flags(checkout: Checkout) -> None:
    preload = checkout.root / "extensions" / "one" / "preload.py"
    preload.parent.mkdir()
    preload.write_text("def preload(parser):\n    parser.add_argument('--one-level', type=int, default=3)\n")
    broken = checkout.root / "extensions" / "two" / "preload.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError('broken')\n")
    running = checkout.start("--api", "--one-level", "7", model=False)
    assert running.get("/sdapi/v1/cmd-flags").json()["one_level"] == 7
    assert "Error running preload() for" in running.log


def test_no_checkpoint_costs_only_the_generations(checkout: Checkout, tmp_path: Path) -> None:
    models = tmp_path / "empty"
    running = checkout.start("--api", "--models-dir", str(models), until=READY)
    _in_order(
        running.log,
        "loading stable diffusion model: FileNotFoundError",
        f"No checkpoints found. When searching for checkpoints, looked at:\n - file {checkout.root}/model.ckpt\n"
        f" - directory {models}/Stable-diffusion",
        "Stable diffusion model failed to load",
        "Running on local URL:",
    )
    assert running.get("/sdapi/v1/sd-models").json() == []
    assert running.get("/sdapi/v1/options").json()["sd_model_checkpoint"] is None
    answer = running.post("/sdapi/v1/txt2img", {})
    assert (answer.status_code, answer.json()["error"]) == (500, "FileNotFoundError")
    assert answer.json()["errors"].startswith("No checkpoints found.")
    assert "*** API error: POST: http://127.0.0.1" in running.log


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<html>not found</html>" * 9, "HeaderTooLarge"),
        (b"", "HeaderTooSmall"),
        (None, "MetadataIncompleteBuffer"),
    ],
)
def test_a_broken_checkpoint_is_listed_and_fails_as_safetensors_does(
    checkout: Checkout, content: bytes | None, complaint: str
) -> None:
    (weights,) = (checkout.root / "models" / "Stable-diffusion").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-2] if content is None else content)
    running = checkout.start("--api", until=READY)
    assert f"Error while deserializing header: {complaint}" in running.log
    assert "Stable diffusion model failed to load" in running.log
    assert [one["model_name"] for one in running.get("/sdapi/v1/sd-models").json()] == [weights.stem]
    answer = running.post("/sdapi/v1/txt2img", {})
    assert answer.status_code == 500
    assert answer.json()["error"] == "SafetensorError"
    assert answer.json()["errors"] == f"Error while deserializing header: {complaint}"


def test_a_missing_ckpt_is_told_and_replaced(checkout: Checkout) -> None:
    running = checkout.start("--ckpt", "/no/such.safetensors", model=False)
    assert "Checkpoint in --ckpt argument not found (Possible it was moved to" in running.log


def test_a_corrupt_settings_file_is_moved_away(checkout: Checkout) -> None:
    (checkout.root / "config.json").write_text("{ no json")
    running = checkout.start("--api", model=False)
    assert f'The config file "{checkout.root}/config.json" is likely corrupted' in running.log
    assert 'It has been moved to the "tmp/config.json"' in running.log
    assert (checkout.root / "tmp" / "config.json").read_text() == "{ no json"
    assert running.get("/sdapi/v1/options").json()["samples_format"] == "png"


def test_restart_from_the_api_starts_python_again_under_the_same_script(checkout: Checkout) -> None:
    running = checkout.start("--api", "--api-server-stop", script=SCRIPT, model=False)
    first = running.python_pid()
    with pytest.raises(requests.ConnectionError):
        running.post("/sdapi/v1/server-restart")
    wait_for(lambda: running.log.count(READY) == 2, "the second start")
    assert running.python_pid() != first
    assert not (checkout.root / "tmp" / "restart").exists()
    assert running.get("/docs").status_code == 200


def test_stop_and_kill_from_the_api(checkout: Checkout) -> None:
    stopped = checkout.start("--api", "--api-server-stop", model=False)
    assert stopped.post("/sdapi/v1/server-restart").status_code == 501
    assert stopped.post("/sdapi/v1/server-stop").text == "Stopping."
    assert stopped.wait_until_ended() == 0
    assert f"Closing server running on port: {stopped.port}" in stopped.log
    killed = checkout.start("--api", "--api-server-stop", model=False)
    with pytest.raises(requests.ConnectionError):
        killed.post("/sdapi/v1/server-kill")
    assert killed.wait_until_ended() == 0


def test_laying_out_again_keeps_what_is_the_users(checkout: Checkout) -> None:
    root = checkout.root
    (root / "webui-user.sh").write_text("export COMMANDLINE_ARGS=--api\n")
    (root / "webui.sh").write_text("damaged")
    (root / "models" / "Stable-diffusion" / "mine.safetensors").write_bytes(b"mine")
    lay_out(root, python=Path(sys.executable))
    assert (root / "webui-user.sh").read_text() == "export COMMANDLINE_ARGS=--api\n"
    assert (root / "webui.sh").read_text().startswith("#!/usr/bin/env bash")
    assert (root / "models" / "Stable-diffusion" / "mine.safetensors").read_bytes() == b"mine"


def test_nothing_is_laid_out_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds no Mini WebUI"):
        lay_out(tmp_path, python=Path(sys.executable))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_python_without_mini_hands_over_to_the_one_it_was_laid_out_with(checkout: Checkout) -> None:
    venv.create(checkout.root / "venv", with_pip=False, symlinks=True)
    running = checkout.start("--api", script=SCRIPT, model=False)
    assert "Create and activate python venv" in running.log
    assert running.get("/docs").status_code == 200
    (checkout.root / "interpreter.txt").write_text("/no/such/python\n")
    lost = checkout.start(script=[str(checkout.root / "venv" / "bin" / "python"), "launch.py"], until=None)
    assert lost.wait_until_ended() == 1
    assert "and /no/such/python cannot give it: lay it out again." in lost.log


def test_the_batch_files_run_in_cmd(checkout: Checkout) -> None:
    """Python for Windows is not here; a batch file stands for it and shows what it is given."""
    (checkout.root / "fake.bat").write_bytes(
        b"@echo off\r\necho GOT %* -- %COMMANDLINE_ARGS% -- %SD_WEBUI_RESTART%\r\n"
    )
    user = (checkout.root / "webui-user.bat").read_bytes()
    assert b"\r\n" in user
    user = user.replace(b"set PYTHON=", b"set PYTHON=cmd /c fake.bat")
    (checkout.root / "webui-user.bat").write_bytes(
        user.replace(b"set COMMANDLINE_ARGS=", b"set COMMANDLINE_ARGS=--api")
    )
    done = subprocess.run(
        ["wine", "cmd", "/c", "webui-user.bat"],
        cwd=checkout.root,
        env={**os.environ, "WINEDEBUG": "-all"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert b"GOT launch.py -- --api -- tmp/restart" in b" ".join(done.stdout.split())
    assert b"Press" in done.stdout or b"any key" in done.stdout
