"""Downloads from a server that breaks off, lies, changes its mind and is slow to recover."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import download as module
from sdlauncher.machine.download import download, probe

DATA = bytes(range(256)) * 40_000
PIECE = 16 * 1024


class Server(http.server.ThreadingHTTPServer):
    """Serves DATA; `cuts` are the numbers of bytes after which the next answers break off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.tag = '"one"'
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges: list[str | None] = []
        self.honours_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.safetensors"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        if server.statuses and (status := server.statuses.pop(0)) != 200:
            self.send_error(status)
            return
        start = 0
        if wanted and server.honours_ranges and self.headers.get("If-Range") in (None, server.tag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(server.data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(server.data) - start))
        self.end_headers()
        end = start + server.cuts.pop(0) if server.cuts else len(server.data)
        self.wfile.write(server.data[start:end])
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "_WAITS", (0.0,) * 5)
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = [100 * PIECE, 2 * PIECE, 50 * PIECE]
    got = download(server.url, tmp_path / "m", sha256=hashlib.sha256(DATA).hexdigest())
    assert got.path.read_bytes() == DATA
    assert server.ranges == [None, *(f"bytes={count * PIECE}-" for count in (100, 102, 152))]
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


def test_a_later_run_goes_on_with_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.cuts = [100 * PIECE]
    server.statuses = [200, *[503] * 10]
    with pytest.raises(SdLauncherError) as caught:
        download(server.url, tmp_path / "m")
    assert caught.value.code == "SDL-DOWNLOAD-FAILED"
    assert not (tmp_path / "m").exists()
    server.statuses = []
    got = download(server.url, tmp_path / "m")
    assert got.resumed_from == 100 * PIECE
    assert got.path.read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.cuts = [100 * PIECE]
    server.statuses = [200, *[503] * 10]
    with pytest.raises(SdLauncherError):
        download(server.url, tmp_path / "m")
    server.statuses, server.tag, server.data = [], '"two"', DATA[::-1]
    assert download(server.url, tmp_path / "m").path.read_bytes() == DATA[::-1]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.cuts, server.honours_ranges = [100 * PIECE], False
    assert download(server.url, tmp_path / "m").path.read_bytes() == DATA


def test_a_wrong_checksum_throws_the_file_away(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SdLauncherError) as caught:
        download(server.url, tmp_path / "m", sha256="0" * 64)
    assert caught.value.code == "SDL-DOWNLOAD-CHECKSUM"
    assert caught.value.facts["found"] == hashlib.sha256(DATA).hexdigest()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_named(server: Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(SdLauncherError) as caught:
        download(server.url, tmp_path / "m")
    assert str(status) in str(caught.value)
    assert len(server.ranges) == 1
    assert ("HF_TOKEN" in str(caught.value)) is (status in (401, 403))


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 200]
    assert download(server.url, tmp_path / "m").size == len(DATA)


def test_more_than_the_disk_holds_is_refused_before_it_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 1_000_000})()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: free)
    with pytest.raises(SdLauncherError) as caught:
        download(server.url, tmp_path / "m")
    assert caught.value.code == "SDL-DISK-FULL"


def test_a_proxy_is_not_asked_about_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert probe(server.url, timeout=5) is None
    assert probe("http://example.invalid/", timeout=5) == "the proxy does not answer"


def test_a_probe_says_why_not(server: Server) -> None:
    server.statuses = [404]
    assert probe(server.url, timeout=5) == "HTTP 404"
    assert probe("http://127.0.0.1:9/", timeout=5) == "no connection"
