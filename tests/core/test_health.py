"""Verdicts on a WebUI, layer by layer, as tables: what was seen, and what it proves."""

from __future__ import annotations

from typing import Any

import pytest

from sdlauncher.core import health
from sdlauncher.core.health import Answer, Layer, ModelLog
from sdlauncher.errors import SdLauncherError

OPENAPI = {"paths": {"/sdapi/v1/txt2img": {}, "/docs": {}}}
BARE = {"paths": {"/internal/ping": {}, "/sdapi/v1/loras": {}}}
REFUSED = SdLauncherError("SDL-HTTP-TIMEOUT", url="u", seconds="10")


def got(status: int, json: Any = None, **more: Any) -> Answer:
    return Answer("/sdapi/v1/options", status, "application/json" if json is not None else "text/html", json, **more)


@pytest.mark.parametrize(
    ("state", "ok", "code"),
    [
        ("running", True, "SDL-PROCESS-UP"),
        ("starting", False, "SDL-STARTING"),
        ("stopping", False, "SDL-NOT-RUNNING"),
        ("stopped", False, "SDL-NOT-RUNNING"),
        ("backoff", False, "SDL-BACKOFF"),
        ("fatal", False, "SDL-GAVE-UP"),
    ],
)
def test_only_a_running_process_may_be_asked(state: str, ok: bool, code: str) -> None:
    layer = health.judge_process(state, {"instance": "a", "pid": 1, "seconds": "2", "evidence": "e"})
    assert (layer.ok, layer.code) == (ok, code)
    assert layer.detail


def test_a_stranger_on_the_port_is_named() -> None:
    assert health.judge_port("h", 1, 0.001, None).ok is True
    layer = health.judge_port("h", 1, 0.001, "nginx (pid 7)")
    assert (layer.ok, layer.code) == (False, "SDL-PORT-STRANGER") and "nginx (pid 7)" in layer.detail
    assert health.judge_port("h", 1, None, None).code == "SDL-PORT-CLOSED"


@pytest.mark.parametrize(
    ("openapi", "options", "ok", "code"),
    [
        (got(200, OPENAPI), got(200, {}), True, "SDL-API-MOUNTED"),
        (got(200, OPENAPI), got(401, {"detail": "Not authenticated"}), True, "SDL-API-MOUNTED"),
        (got(200, BARE), got(404, {"detail": "Not Found"}), False, "SDL-API-OFF"),
        (got(404, {"detail": "Not Found"}), got(200, {}), True, "SDL-API-ANSWERS"),  # a fork without openapi
        (got(404, {}), got(401, {}), True, "SDL-API-ANSWERS"),
        (got(404, {}), got(404, {}), False, "SDL-API-OFF"),
        (got(200, []), got(200, [1]), False, "SDL-API-STRANGE"),
        (got(200), got(200), False, "SDL-API-STRANGE"),  # an HTML page on every path
        (got(500), got(502), False, "SDL-SERVER-ERROR"),
        (Answer("/x", error=REFUSED), Answer("/x", error=REFUSED), False, "SDL-HTTP-TIMEOUT"),
        (got(302), got(302, location="https://login/"), False, "SDL-HTTP-REDIRECT"),
    ],
)
def test_the_api_is_proved_by_a_path_of_its_own(openapi: Answer, options: Answer, ok: bool, code: str) -> None:
    layer = health.judge_api(openapi, options)
    assert (layer.ok, layer.code) == (ok, code)


@pytest.mark.parametrize(
    ("options", "user", "ok", "code"),
    [
        (got(200, {}), "", True, "SDL-AUTH-NONE"),
        (got(200, {}), "u", True, "SDL-AUTH-ACCEPTED"),
        (got(401, {"detail": "Not authenticated"}), "", False, "SDL-AUTH-MISSING"),
        (got(401, {"detail": "Incorrect username or password"}), "u", False, "SDL-AUTH-WRONG"),
        (got(403), "", False, "SDL-AUTH-MISSING"),
        (got(500, {}), "", False, "SDL-SERVER-ERROR"),
        (got(200), "", False, "SDL-API-STRANGE"),
    ],
)
def test_a_missing_password_is_told_from_a_wrong_one_and_from_a_fault(
    options: Answer, user: str, ok: bool, code: str
) -> None:
    layer = health.judge_auth(options, user=user)
    assert (layer.ok, layer.code) == (ok, code)


@pytest.mark.parametrize(
    ("json", "ok", "code"),
    [
        ([{"title": "a [1]"}], True, "SDL-MODEL-PRESENT"),
        ([], False, "SDL-MODEL-NONE"),
        ({"detail": "x"}, False, "SDL-API-STRANGE"),
    ],
)
def test_a_model_has_to_be_listed(json: Any, ok: bool, code: str) -> None:
    layer = health.judge_model(got(200, json))
    assert (layer.ok, layer.code) == (ok, code)


@pytest.mark.parametrize(
    ("log", "made", "ok", "code"),
    [
        (ModelLog("loaded"), False, True, "SDL-MODEL-LOADED"),
        (ModelLog("loading", "Loading weights"), False, False, "SDL-MODEL-LOADING"),
        (ModelLog("loading", "Loading weights"), True, True, "SDL-MODEL-PAINTED"),
        (ModelLog("failed", "HeaderTooLarge", "safetensors_header"), False, False, "SDL-MODEL-CORRUPT"),
        (ModelLog("failed", "HeaderTooLarge", "safetensors_header"), True, False, "SDL-MODEL-CORRUPT"),
        (ModelLog("failed", "No checkpoints", "no_checkpoints"), False, False, "SDL-MODEL-NONE"),
        (ModelLog("failed", "KeyError"), False, False, "SDL-MODEL-FAILED"),
        (ModelLog(), False, None, "SDL-MODEL-UNKNOWN"),
        (None, False, None, "SDL-MODEL-UNKNOWN"),
        (None, True, True, "SDL-MODEL-PAINTED"),
    ],
)
def test_only_log_and_pictures_tell_whether_the_model_is_loaded(
    log: ModelLog | None, made: bool, ok: bool | None, code: str
) -> None:
    layer = health.judge_loaded(log, got(200, {"sd_model_checkpoint": "a"}), made_picture=made)
    assert (layer.ok, layer.code) == (ok, code)
    assert layer.describe("zh")[0]


def test_an_api_that_names_no_model_has_none_loaded() -> None:
    nothing = got(200, {"sd_model_checkpoint": None})
    assert health.judge_loaded(None, nothing, made_picture=False).code == "SDL-MODEL-NOT-LOADED"
    # A log at hand knows better: with --skip-load-model-at-start the first picture loads it.
    assert health.judge_loaded(ModelLog(), nothing, made_picture=False).ok is None


def test_a_model_that_the_options_do_not_name_is_the_only_one_listed() -> None:
    failed = ModelLog("failed", "HeaderTooLarge", "safetensors_header")
    nothing = got(200, {"sd_model_checkpoint": None})
    listed = health.only_model(got(200, [{"title": "bad.safetensors"}]))
    assert "bad.safetensors" in health.judge_loaded(failed, nothing, made_picture=False, listed=listed).detail
    assert health.only_model(got(200, [{"title": "a"}, {"title": "b"}])) == health.only_model(got(500)) == ""


def test_docs_may_be_missing_where_the_api_answers() -> None:
    missing = got(404, {"detail": "Not Found"})
    assert health.judge_docs(missing, has_api=True).ok is None
    assert health.judge_docs(missing, has_api=False).ok is False
    assert health.judge_docs(got(200), has_api=False).ok is True


def test_the_verdict_is_the_first_layer_that_fails_and_all_layers_are_told() -> None:
    found = health.complete([Layer("process", True, "SDL-PROCESS-FOREIGN"), health.judge_port("h", 1, None, None)])
    assert [layer.name for layer in found.layers] == list(health.LAYERS)
    assert found.verdict == "SDL-PORT-CLOSED" and not found.is_healthy
    assert found.failure is not None and found.failure.exit_code == 4
    assert {layer.code for layer in found.layers[2:]} == {"SDL-NOT-CHECKED"}
    assert health.complete([Layer("process", None, "SDL-PROCESS-FOREIGN")]).verdict == "healthy"
