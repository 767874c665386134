"""Health and smoke of instances that misbehave as real WebUIs do: Mini WebUI, started by the command line."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import locate_paths
from sdlauncher.verify.health import name_cause
from sdlauncher.verify.target import find_target
from tests.conftest import Cli, Ran, free_port

Start = Callable[..., Ran]


@pytest.fixture
def start(cli: Cli) -> Start:
    """Bring up a Mini WebUI that misbehaves as told, on a free port, without a picture."""

    def run(misbehaviour: str = "", *words: object, command: str = "up") -> Ran:
        port = free_port()
        smoke = ("--no-smoke",) if command == "up" else ()
        words = (command, "--webui", "mini", "--port", port, *smoke, *words, "--json")
        return cli(*words, env={"MINI_WEBUI_MISBEHAVE": misbehaviour})

    return run


def test_a_good_one_is_healthy_and_its_last_picture_is_known(cli: Cli, start: Start) -> None:
    assert start().code == 0
    before = cli("health", "--wait", 20, "--json")
    assert before.data["verdict"] == "healthy"
    assert {layer["name"]: layer["code"] for layer in before.data["layers"]}["picture"] == "SDL-PICTURE-NONE"
    smoke = cli("smoke", "--out", "owl.png", "--json")
    assert (smoke.code, smoke.data["verdict"]) == (0, "ok")
    assert {check["name"] for check in smoke.data["checks"]} >= {
        "answer",
        "size",
        "picture",
        "seed",
        "repeat",
        "memory",
    }
    after = {layer["name"]: layer for layer in cli("health", "--json").data["layers"]}
    assert after["picture"]["code"] == "SDL-PICTURE-AGE" and after["loaded"]["code"] == "SDL-MODEL-LOADED"
    assert all(layer["ok"] for layer in after.values())


def test_a_model_that_loads_slowly_is_waited_for(cli: Cli, start: Start) -> None:
    assert start("slow-load=3").code == 0
    now = cli("health", "--json")
    assert (now.code, now.data["verdict"]) == (4, "SDL-MODEL-LOADING")
    assert cli("health", "--wait", 30, "--json").data["verdict"] == "healthy"


def test_a_model_that_cannot_be_loaded_is_unhealthy_although_docs_answer(cli: Cli, start: Start) -> None:
    start("load-fails")
    ran = cli("health", "--wait", 5, "--json")
    layers = {layer["name"]: layer for layer in ran.data["layers"]}
    assert ran.code == 4 and layers["docs"]["ok"] is True and layers["loaded"]["ok"] is False
    assert ran.data["verdict"].startswith("SDL-MODEL-")
    assert cli("explain", "--json").data["findings"][0]["severity"] == "error"


def test_no_pictures_from_a_webui_whose_model_failed_are_the_models_fault(
    cli: Cli, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SD.Next answers so: 200 with an empty list."""
    start("load-fails")
    assert cli("health", "--wait", 5, "--json").code == 4
    monkeypatch.setenv("SDLAUNCHER_HOME", str(cli.home))
    nothing = SdLauncherError("SDL-SMOKE-EMPTY", path="/sdapi/v1/txt2img")
    assert name_cause(find_target(locate_paths().instance("default")), nothing).code.startswith("SDL-MODEL-")


def test_a_start_is_not_disturbed_by_a_check(cli: Cli, start: Start) -> None:
    """An HTTP request in the window before `Startup time:` ends the WebUI; health must not send one."""
    ended: list[Ran] = []
    starter = threading.Thread(target=lambda: ended.append(start("slow-mount=2,http-before-ready-crash")), daemon=True)
    starter.start()
    seen = set()
    while starter.is_alive():
        seen.add(cli("health", "--json").data["verdict"])
    assert ended[0].code == 0, ended[0].out
    assert "SDL-STARTING" in seen
    assert cli("health", "--wait", 20, "--json").data["verdict"] == "healthy"
    assert cli("status", "--json").data["restarts"] == 0


def test_an_instance_that_was_stopped_is_not_running(cli: Cli, start: Start) -> None:
    start()
    cli("stop")
    ran = cli("health", "--json")
    assert (ran.code, ran.data["verdict"]) == (3, "SDL-NOT-RUNNING")
    assert cli("smoke").code == 3


def test_a_model_that_was_added_while_it_runs_is_found(cli: Cli, start: Start) -> None:
    cli("install", "--webui", "mini")
    folder = cli.home / "data" / "mini" / "models" / "Stable-diffusion"
    models = list(folder.glob("*.safetensors"))
    for model in models:
        model.rename(cli.home / model.name)
    assert start(command="start").code == 0
    assert cli("smoke", "--json").data["verdict"] == "SDL-SMOKE-NO-MODEL"
    for model in models:
        assert cli("model", "add", cli.home / model.name, "--kind", "checkpoint").code == 0
    assert cli("smoke", "--json").data["verdict"] == "ok"


def test_a_model_that_fails_to_load_is_the_answer_of_smoke(cli: Cli, start: Start) -> None:
    assert start("slow-load=3,load-fails").code == 0
    assert cli("health", "--json").data["verdict"] == "SDL-MODEL-LOADING"
    smoke = cli("smoke", "--json").data
    assert smoke["verdict"].startswith("SDL-MODEL-"), "what the log says of the model, not a second try"
    assert smoke["verdict"] == cli("health", "--json").data["verdict"]


def test_a_webui_that_is_killed_while_it_paints_is_named_as_the_cause(cli: Cli, start: Start) -> None:
    assert start("crash-at=generate,crash-with=KILL").code == 0
    smoke = cli("smoke", "--json")
    assert (smoke.code, smoke.data["verdict"]) == (1, "SDL-SMOKE-ENDED")
    assert "Killed" in smoke.json["error"]["message"] or "SIGKILL" in smoke.json["error"]["message"]
