"""Calls to a WebUI: each ends in time with a verdict, whatever the server does, and reads no more than it may."""

from __future__ import annotations

import ssl
import subprocess
import time
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.webui import Client, Endpoint, can_connect
from tests.verify import hostile
from tests.verify.hostile import Behaviour, HostileServer, answer, answer_json, hostile_server

PATIENCE = 0.6


def call(server: HostileServer, *, seconds: float = PATIENCE, **endpoint: object) -> object:
    return Client(Endpoint(server.url, **endpoint)).call("GET", "/x", seconds=seconds)  # type: ignore[arg-type]


def verdict(server: HostileServer, **endpoint: object) -> str:
    with pytest.raises(SdLauncherError) as raised:
        call(server, **endpoint)
    assert raised.value.describe("en").sentence and raised.value.describe("zh").hint
    return raised.value.code


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (hostile.silent, "SDL-HTTP-TIMEOUT"),
        (hostile.drip_headers, "SDL-HTTP-TIMEOUT"),
        (hostile.drip_body, "SDL-HTTP-TIMEOUT"),
        (hostile.garbage, "SDL-HTTP-GARBAGE"),
        (hostile.closed, "SDL-HTTP-CLOSED"),
        (hostile.closed_early, "SDL-HTTP-CLOSED"),
    ],
)
def test_what_a_server_does_wrong_has_a_name_within_the_time_allowed(behaviour: Behaviour, code: str) -> None:
    with hostile_server({"/x": behaviour}) as server:
        began = time.monotonic()
        assert verdict(server) == code
        assert time.monotonic() - began < PATIENCE + 5


def test_a_gigabyte_is_cut_off_at_the_limit() -> None:
    with hostile_server({"/x": hostile.endless}) as server:
        with pytest.raises(SdLauncherError) as raised:
            Client(Endpoint(server.url)).call("GET", "/x", seconds=30, most_bytes=2**20)
        assert raised.value.code == "SDL-HTTP-TOO-LARGE"
        assert server.sent < 64 * 2**20, "the rest was never taken"


def test_headers_without_end_are_no_http() -> None:
    with hostile_server({"/x": hostile.endless_headers}) as server:
        assert verdict(server) == "SDL-HTTP-GARBAGE"
        assert server.sent < 64 * 2**20


def test_compression_that_nobody_asked_for_is_not_unpacked() -> None:
    with hostile_server({"/x": hostile.gzip_bomb}) as server:
        reply = Client(Endpoint(server.url)).call("GET", "/x", seconds=10)
        assert len(reply.body) < 2**20
        with pytest.raises(SdLauncherError, match="no JSON"):
            reply.read_json()


def test_a_redirect_is_an_answer_and_the_password_goes_nowhere_else() -> None:
    with hostile_server({}) as other, hostile_server({"/x": hostile.redirect(f"{other.url}/y")}) as server:
        reply = Client(Endpoint(server.url, user="u", password="p")).call("GET", "/x", seconds=5)
        assert (reply.status, reply.location) == (302, f"{other.url}/y")
        assert other.visits == []


def test_the_password_reaches_the_server() -> None:
    with hostile_server({"/x": answer_json({})}) as server:
        Client(Endpoint(server.url, user="u", password="p:ä")).call("GET", "/x", seconds=5)
        assert server.visits[0][2]["authorization"].startswith("Basic ")


@pytest.mark.parametrize("body", [b"<html>Login</html>", b'{"a": ', b"\xff\xfe\x00", b"[" * 100_000, b""])
def test_a_body_that_is_no_json_says_what_came_instead(body: bytes) -> None:
    with hostile_server({"/x": answer(200, body)}) as server:
        reply = Client(Endpoint(server.url)).call("GET", "/x", seconds=5)
        with pytest.raises(SdLauncherError) as raised:
            reply.read_json()
        assert raised.value.code == "SDL-HTTP-NOT-JSON"
        assert "application/json" in str(raised.value)


def test_nobody_there_is_refused_and_an_unknown_host_is_named() -> None:
    with hostile_server({}) as server:
        port = server.port
    assert can_connect("127.0.0.1", port, seconds=1) is None
    with pytest.raises(SdLauncherError) as raised:
        Client(Endpoint(f"http://127.0.0.1:{port}")).call("GET", "/", seconds=5)
    assert raised.value.code == "SDL-HTTP-REFUSED"
    with pytest.raises(SdLauncherError) as raised:
        Client(Endpoint("http://no-such-host.invalid")).call("GET", "/", seconds=5)
    assert raised.value.code in ("SDL-HTTP-NAME", "SDL-HTTP-TIMEOUT")


def test_a_bare_connect_sends_nothing() -> None:
    with hostile_server({}) as server:
        assert can_connect("127.0.0.1", server.port, seconds=2) is not None
        call(server)
        assert [path for _, path, _ in server.visits] == ["/x"], "only the real request was one"


def test_no_proxy_stands_before_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile_server({}) as proxy, hostile_server({"/x": answer_json(1)}) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert Client(Endpoint(server.url)).call("GET", "/x", seconds=5).read_json() == 1
        assert proxy.visits == []


def test_other_hosts_are_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile_server({"http://webui.example/x": answer_json(2)}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert Client(Endpoint("http://webui.example")).call("GET", "/x", seconds=5).read_json() == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, as people make them for --tls-certfile."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=webui",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return cert, key


def test_a_certificate_is_refused_unless_it_is_the_trusted_one(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with hostile_server({"/x": answer_json(3)}, tls=context) as server:
        assert verdict(server) == "SDL-HTTP-TLS"
        trusting = Client(Endpoint(server.url, ca_file=str(certificate[0])))
        assert trusting.call("GET", "/x", seconds=5).read_json() == 3
        own = Client(Endpoint(server.url, verify_tls=False))
        assert own.call("GET", "/x", seconds=5).read_json() == 3


def test_plain_http_on_a_tls_address_and_the_other_way_round(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with hostile_server({"/x": answer_json(4)}) as plain, hostile_server({"/x": answer_json(5)}, tls=context) as secure:
        for url, codes in (
            (plain.url.replace("http:", "https:"), {"SDL-HTTP-TLS"}),
            (secure.url.replace("https:", "http:"), {"SDL-HTTP-CLOSED", "SDL-HTTP-GARBAGE"}),
        ):
            with pytest.raises(SdLauncherError) as raised:
                Client(Endpoint(url)).call("GET", "/x", seconds=3)
            assert raised.value.code in codes


def test_a_pending_call_can_be_looked_at_and_given_up() -> None:
    with hostile_server({"/x": hostile.silent}) as server:
        pending = Client(Endpoint(server.url)).begin("GET", "/x", seconds=30)
        assert pending.poll(0.05) is None
        pending.give_up()
        with pytest.raises(SdLauncherError) as raised:
            pending.poll(10)
        assert raised.value.code == "SDL-HTTP-CLOSED"
