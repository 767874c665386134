"""Health of servers that misbehave, at an address: each fault has its own verdict, in bounded time."""

from __future__ import annotations

import socket
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sdlauncher.core.health import Health
from sdlauncher.machine.webui import can_connect
from sdlauncher.verify import health
from sdlauncher.verify.health import check_health
from sdlauncher.verify.target import find_target
from tests.conftest import Cli
from tests.verify import hostile
from tests.verify.hostile import Behaviour, answer, answer_json, hostile_server, webui

UNAUTHORIZED = answer_json({"error": "HTTPException", "detail": "Not authenticated"}, 401)
HTML_500 = answer(500, b"<html><h1>Internal Server Error</h1></html>", "text/html")


@pytest.mark.parametrize(
    ("changed", "verdict", "layer"),
    [
        ({}, "healthy", ""),
        ({"docs": hostile.silent}, "SDL-HTTP-TIMEOUT", "liveness"),
        ({"docs": hostile.garbage}, "SDL-HTTP-GARBAGE", "liveness"),
        ({"docs": hostile.closed}, "SDL-HTTP-CLOSED", "liveness"),
        ({"docs": hostile.closed_early}, "SDL-HTTP-CLOSED", "liveness"),
        ({"docs": hostile.drip_body}, "SDL-HTTP-TIMEOUT", "liveness"),
        ({"docs": hostile.endless}, "SDL-HTTP-TOO-LARGE", "liveness"),
        ({"docs": hostile.redirect("https://elsewhere.example/docs")}, "SDL-HTTP-REDIRECT", "liveness"),
        ({"docs": HTML_500}, "SDL-SERVER-ERROR", "liveness"),
        ({"docs": hostile.not_found}, "healthy", ""),
        ({"docs": hostile.not_found, "openapi": hostile.not_found}, "healthy", ""),
        ({"openapi": hostile.not_found, "options": hostile.not_found}, "SDL-API-OFF", "api"),
        ({"openapi": answer(200, b"<html>", "text/html"), "options": answer(200, b"<html>", "text/html")},
         "SDL-API-STRANGE", "api"),
        ({"options": UNAUTHORIZED}, "SDL-AUTH-MISSING", "auth"),
        ({"options": HTML_500}, "SDL-SERVER-ERROR", "auth"),
        ({"options": answer(200, b"{")}, "SDL-HTTP-NOT-JSON", "auth"),
        ({"sd_models": answer_json([])}, "SDL-MODEL-NONE", "model"),
        ({"sd_models": hostile.silent}, "SDL-HTTP-TIMEOUT", "model"),
        ({"progress": hostile.garbage}, "healthy", ""),
        ({"progress": answer_json({"state": 5})}, "healthy", ""),
    ],
)  # fmt: skip
def test_each_fault_has_its_own_verdict(changed: dict[str, Behaviour], verdict: str, layer: str) -> None:
    with hostile_server(webui(**changed)) as server:
        found = check_health(find_target(url=server.url), patience=1.0)
        assert found.verdict == verdict
        assert (found.failing.name if found.failing else "") == layer
        assert server.sent < 256 * 2**20


def test_a_password_from_a_file_is_accepted_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def options(visit: hostile.Visit) -> None:
        right = visit.headers.get("authorization") == "Basic dTpw"
        (answer_json({}) if right else UNAUTHORIZED)(visit)

    file = tmp_path / "auth"
    with hostile_server(webui(options=options)) as server:
        file.write_text("u:p\n")
        assert check_health(find_target(url=server.url, auth_file=file)).verdict == "healthy"
        file.write_text("u:wrong,other:p")
        assert check_health(find_target(url=server.url, auth_file=file)).verdict == "SDL-AUTH-WRONG"
        monkeypatch.setenv("SDLAUNCHER_AUTH", "u:p")
        assert check_health(find_target(url=server.url)).verdict == "healthy"
        monkeypatch.delenv("SDLAUNCHER_AUTH")
        assert check_health(find_target(url=server.url.replace("//", "//u:p@"))).verdict == "healthy"


@pytest.mark.parametrize("password", ["p@s:s/w%", "密码"])
def test_a_password_of_any_letters_arrives(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    def options(visit: hostile.Visit) -> None:
        right = visit.headers.get("authorization") == "Basic " + b64encode(f"u:{password}".encode()).decode()
        (answer_json({}) if right else UNAUTHORIZED)(visit)

    with hostile_server(webui(options=options)) as server:
        url = server.url.replace("//", f"//u:{quote(password, safe='')}@")
        assert check_health(find_target(url=url)).verdict == "healthy"
        monkeypatch.setenv("SDLAUNCHER_AUTH", f"u:{password}")
        assert check_health(find_target(url=server.url)).verdict == "healthy"


def test_a_host_that_does_not_exist_is_not_called_a_closed_port(cli: Cli) -> None:
    ran = cli("health", "--url", "http://no-such-host.invalid:7860", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "SDL-HTTP-NAME")
    assert "no-such-host.invalid" in ran.json["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ("health", "--url", "ftp://u:s3cret@x"),
        ("health", "--url", "http://u:s3cret@x:99999"),
        ("install", "--webui", "a1111", "--git-mirror", "https://u:s3cret@x"),
    ],
)
def test_a_password_in_an_address_is_not_repeated(cli: Cli, words: tuple[str, ...]) -> None:
    ran = cli(*words, "--json")
    assert ran.code == 2
    assert "u:***@x" in ran.out
    assert "s3cret" not in ran.out + ran.err


def test_a_webui_under_a_subpath_is_found_there() -> None:
    routes = {f"/sd{path}": behaviour for path, behaviour in webui().items()}
    with hostile_server(routes) as server:
        assert check_health(find_target(url=f"{server.url}/sd/docs")).verdict == "healthy"
        assert check_health(find_target(url=server.url)).verdict == "SDL-DOCS-MISSING"


def test_waiting_ends_when_the_webui_comes_up_and_sends_nothing_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    looked = threading.Event()

    def connect(*arguments: Any, **options: Any) -> float | None:
        seconds = can_connect(*arguments, **options)
        looked.set()
        return seconds

    monkeypatch.setattr(health, "can_connect", connect)
    found: list[Health] = []
    waiter = threading.Thread(
        target=lambda: found.append(check_health(find_target(url=f"127.0.0.1:{port}"), wait=30)), daemon=True
    )
    waiter.start()
    assert looked.wait(20), "it has seen the closed port"
    with hostile_server(webui(), port=port) as server:
        opened = time.monotonic()
        waiter.join(40)
        assert found[0].verdict == "healthy"
        assert server.first_visit - opened > 1.0, "a WebUI that has just opened its port is left alone for a while"


def test_waiting_does_not_help_against_a_wrong_password() -> None:
    with hostile_server(webui(options=UNAUTHORIZED)) as server:
        assert check_health(find_target(url=server.url), wait=60).verdict == "SDL-AUTH-MISSING"


def test_the_command_ends_with_the_verdict(cli: Cli) -> None:
    with hostile_server(webui(sd_models=answer_json([]))) as server:
        ran = cli("health", "--url", server.url, "--json")
        assert (ran.code, ran.json["ok"], ran.json["error"]["code"]) == (4, False, "SDL-MODEL-NONE")
        assert ran.data["verdict"] == "SDL-MODEL-NONE"
        names = [layer["name"] for layer in ran.data["layers"]]
        assert names == ["process", "port", "liveness", "docs", "api", "auth", "model", "loaded", "picture"]
        assert set(ran.data["layers"][0]) == {"name", "ok", "code", "detail", "hint", "latency_ms"}
        server.routes = webui()
        ran = cli("health", "--url", server.url)
        assert ran.code == 0 and "healthy" in ran.out


def test_an_instance_that_never_ran_is_not_running(cli: Cli) -> None:
    ran = cli("health", "--json")
    assert (ran.code, ran.data["verdict"], ran.json["error"]["code"]) == (3, "SDL-NOT-RUNNING", "SDL-NOT-RUNNING")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://a b", "http://h:99999", "http://[::1"])
def test_what_is_no_address_is_said_before_anything_is_asked(cli: Cli, url: str) -> None:
    ran = cli("health", "--url", url, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "SDL-URL-BAD")
