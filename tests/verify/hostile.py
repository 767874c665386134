"""A local server that does to a client whatever can be done to it, path by path."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, PngImagePlugin

Behaviour = Callable[["Visit"], None]


@dataclass
class Visit:
    """One request: what was asked, and the connection to answer on."""

    connection: socket.socket
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    server: HostileServer

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)


@dataclass
class HostileServer:
    """Answers each path as told; whatever is not told is 404 in the router's own words."""

    routes: dict[str, Behaviour] = field(default_factory=dict)
    port: int = 0
    scheme: str = "http"
    sent: int = 0
    visits: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    first_visit: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def asked(self, path: str) -> int:
        """How often a path was asked."""
        return sum(1 for _, visited, _ in self.visits if visited == path)


@contextlib.contextmanager
def hostile_server(
    routes: Mapping[str, Behaviour], *, tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[HostileServer]:
    """Serve on a port of the loopback (0: a free one) until the block ends."""
    server = HostileServer(dict(routes), scheme="https" if tls else "http")
    listener = socket.create_server(("127.0.0.1", port))
    server.port = listener.getsockname()[1]
    thread = threading.Thread(target=_accept, args=(listener, server, tls), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _accept(listener: socket.socket, server: HostileServer, tls: ssl.SSLContext | None) -> None:
    while not server.over.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(connection, server, tls), daemon=True).start()


def _serve(connection: socket.socket, server: HostileServer, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            if tls is None and connection.recv(1, socket.MSG_PEEK) == b"\x16":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # what uvicorn says to a TLS hello
                return
            reader = connection.makefile("rb")
            method, target, _ = reader.readline().decode("latin-1").split(" ", 2)
            headers = {}
            while (line := reader.readline().decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", "0")))
            path = target.partition("?")[0]
            server.first_visit = server.first_visit or time.monotonic()
            server.visits.append((method, path, headers))
            behave = server.routes.get(path, not_found)
            behave(Visit(connection, method, path, headers, body, server))


def answer(
    status: int, body: bytes, kind: str = "application/json", extra: Mapping[str, str] | None = None
) -> Behaviour:
    """Answer properly."""
    lines = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **(extra or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return lambda visit: visit.send(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


def answer_json(value: Any, status: int = 200) -> Behaviour:
    """Answer with JSON."""
    return answer(status, json.dumps(value).encode())


not_found = answer_json({"detail": "Not Found"}, 404)


def silent(visit: Visit) -> None:
    """Take the request and never answer."""
    visit.server.over.wait(30)


def garbage(visit: Visit) -> None:
    """Speak something that is not HTTP."""
    visit.send(b"\x00\xff\xfeSSH-2.0-OpenSSH_9.2\r\n" * 40)


def closed(visit: Visit) -> None:
    """Hang up without a word."""


def closed_early(visit: Visit) -> None:
    """Promise a thousand bytes and send ten."""
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + b'{"detail":')


def endless(visit: Visit) -> None:
    """Send a gigabyte, as long as anybody takes it."""
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n")
    block = b"a" * 65536
    while visit.server.sent < 1 << 30 and not visit.server.over.is_set():
        visit.send(block)
        visit.server.sent += len(block)


def endless_headers(visit: Visit) -> None:
    """Send headers without end."""
    visit.send(b"HTTP/1.1 200 OK\r\n")
    while visit.server.sent < 1 << 30 and not visit.server.over.is_set():
        visit.send(b"X-Filler: " + b"a" * 60000 + b"\r\n")
        visit.server.sent += 60012


def drip_headers(visit: Visit) -> None:
    """Send a byte now and then, so that no single read ever times out."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 10_000:
        if visit.server.over.wait(0.05):
            return
        visit.send(bytes([byte]))


def drip_body(visit: Visit) -> None:
    """Answer at once, then let the body drip."""
    visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        if visit.server.over.wait(0.05):
            return
        visit.send(b"a")


def gzip_bomb(visit: Visit) -> None:
    """Send a few kB that unpack to 64 MiB, although nobody asked for gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(packer.compress(b"a" * 2**20) for _ in range(64)) + packer.flush()
    answer(200, data, extra={"Content-Encoding": "gzip"})(visit)


def redirect(location: str) -> Behaviour:
    """Send the client elsewhere."""
    return answer(302, b"a" * 100, "text/html", {"Location": location})


def picture(width: int = 64, height: int = 64, *, kind: str = "scene", text: str = "a red apple") -> bytes:
    """Return a PNG: a scene that passes for a picture, or a broken one (black, grey, flat, noise, garbage)."""
    import random

    image = Image.new("RGB", (width, height), {"grey": (127, 127, 127), "flat": (120, 90, 60)}.get(kind, (0, 0, 0)))
    pixels = image.load()
    assert pixels is not None
    chance = random.Random(7)
    if kind in ("scene", "noise", "garbage"):
        for x in range(width):
            for y in range(height):
                if kind == "noise":
                    pixels[x, y] = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
                elif kind == "garbage":
                    pixels[x, y] = (255, 0, 255) if (x // 4 + y // 8) % 2 else (0, 255, 0)
                else:
                    pixels[x, y] = (x * 255 // width, y * 255 // height, (x + y) * 200 // (width + height))
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", f"{text}\nSteps: 8, Sampler: Euler, Seed: 20221")
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def png_bomb() -> bytes:
    """Return a PNG of a few kB that claims 30,000 by 30,000 pixels."""
    width = height = 30_000
    row = zlib.compressobj(9)
    data = b"".join(row.compress(b"\x00" * (width * 3 + 1)) for _ in range(20)) + row.flush()

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pictures(*images: bytes | str, **info: Any) -> Behaviour:
    """Answer a generation with these pictures; `info` changes what the WebUI says of them."""

    def behave(visit: Visit) -> None:
        asked = visit.json
        said = {
            "seed": asked.get("seed"),
            "sampler_name": asked.get("sampler_name"),
            "sd_model_name": "tiny",
            "width": asked.get("width"),
            **info,
        }
        encoded = [one if isinstance(one, str) else base64.b64encode(one).decode() for one in images]
        answer_json({"images": encoded, "parameters": {}, "info": json.dumps(said)})(visit)

    return behave


def webui(**changed: Behaviour) -> dict[str, Behaviour]:
    """Return the routes of a well-behaved WebUI, some of them changed (by the last word of their path)."""
    routes: dict[str, Behaviour] = {
        "/docs": answer(200, b"<html>swagger</html>", "text/html"),
        "/openapi.json": answer_json({"paths": {"/sdapi/v1/txt2img": {}, "/sdapi/v1/options": {}}}),
        "/sdapi/v1/options": answer_json({"sd_model_checkpoint": "tiny.safetensors [8774d2eea4]"}),
        "/sdapi/v1/sd-models": answer_json([{"title": "tiny.safetensors [8774d2eea4]", "model_name": "tiny"}]),
        "/sdapi/v1/memory": answer_json({"ram": {"used": 10**9}, "cuda": {"error": "unavailable"}}),
        "/sdapi/v1/progress": answer_json({"progress": 0.0, "state": {"job": "", "job_timestamp": "0"}}),
        "/sdapi/v1/interrupt": answer_json({}),
        "/sdapi/v1/txt2img": pictures(picture()),
        "/sdapi/v1/img2img": pictures(picture()),
    }
    for path in list(routes):
        word = path.rpartition("/")[2].replace("-", "_").removesuffix(".json")
        if word in changed:
            routes[path] = changed.pop(word)
    assert not changed, changed
    return routes
