"""The HTTP API of a WebUI: calls that end in time, read no more than allowed, and go where they were sent."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.auth
import requests.utils
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from sdlauncher import __version__
from sdlauncher.core import jsontext
from sdlauncher.errors import SdLauncherError

MOST_BYTES: Final = 8 * 1024**2  # openapi.json of a WebUI with many extensions is about 1 MiB
_BLOCK: Final = 64 * 1024
# On Windows a waiting lock cannot be interrupted, so that Ctrl-C would wait for the deadline.
_LONGEST_WAIT: Final = 0.25 if os.name == "nt" else threading.TIMEOUT_MAX


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a WebUI answers. `url` has no trailing slash and may end in the WebUI's --subpath.

    `ca_file` is trusted besides nothing else; `verify_tls` may be off only for a server that is known otherwise.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None
    verify_tls: bool = True

    @property
    def host(self) -> str:
        """The host to connect to."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port to connect to."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this very machine, which no proxy may stand before."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end. `seconds` is the time of the whole call."""

    url: str
    status: int
    content_type: str
    location: str
    body: bytes
    seconds: float

    def read_json(self) -> Any:
        """Parse the body. Raises SDL-HTTP-NOT-JSON with the first characters of what came instead."""
        try:
            return jsontext.loads(self.body)
        except ValueError as error:
            raise SdLauncherError("SDL-HTTP-NOT-JSON", url=self.url, kind=self.kind, evidence=self.excerpt()) from error

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0].strip() or "no content type"

    def excerpt(self, most: int = 80) -> str:
        """Return the beginning of the body as one printable line."""
        text = self.body[: most * 4].decode("utf-8", "replace")
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line[:most] + ("…" if len(line) > most else "")


class PendingCall:
    """A call under way in its own thread, so that the caller can look at progress or give up."""

    def __init__(self, url: str, seconds: float, work: Callable[[PendingCall], Reply]) -> None:
        self._url = url
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._ended = threading.Event()
        self._outcome: Reply | BaseException | None = None
        self._sockets: list[socket.socket] = []
        self._given_up = False
        threading.Thread(target=self._run, args=(work,), daemon=True, name="http").start()

    def poll(self, seconds: float) -> Reply | None:
        """Wait up to `seconds`; None when the answer is not there yet.

        Raises what `Client.begin` lists, SDL-HTTP-TIMEOUT once the deadline of the whole call has passed.
        """
        until = min(time.monotonic() + seconds, self._deadline)
        while not self._ended.wait(max(0.0, min(until - time.monotonic(), _LONGEST_WAIT))):
            if time.monotonic() >= self._deadline:
                self.give_up()
                raise SdLauncherError("SDL-HTTP-TIMEOUT", url=self._url, seconds=f"{self.seconds:g}")
            if time.monotonic() >= until:
                return None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def result(self) -> Reply:
        """Wait for the answer. Raises as `poll` does."""
        reply = self.poll(self.seconds)
        while reply is None:
            reply = self.poll(self.seconds)
        return reply

    def give_up(self) -> None:
        """Cut the connection, which ends a blocked read in the thread at once."""
        self._given_up = True
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def remaining(self) -> float:
        """Seconds left, at least a little: zero would mean non-blocking to a socket."""
        return max(0.05, self._deadline - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Remember a connection that `give_up` has to cut."""
        self._sockets.append(connection)
        if self._given_up:
            self.give_up()

    def _run(self, work: Callable[[PendingCall], Reply]) -> None:
        try:
            self._outcome = work(self)
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread and raised there
            self._outcome = error
        self._ended.set()


class Client:
    """Talks to one endpoint. Every call opens its own connection: uvicorn drops idle ones after 5 s."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def call(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: Mapping[str, Any] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Reply:
        """Make one call to its end, as `begin` does."""
        return self.begin(method, path, seconds=seconds, body=body, most_bytes=most_bytes).result()

    def begin(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        body: Mapping[str, Any] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> PendingCall:
        """Start one call; any status is an answer, and a redirect is not followed.

        `seconds` bounds the whole call, names and TLS included; `most_bytes` the body. Waiting for it raises
        SDL-HTTP-REFUSED, -NAME, -TLS, -PROXY, -CLOSED, -GARBAGE, -TOO-LARGE or -TIMEOUT.
        """
        url = self.endpoint.url + path
        return PendingCall(url, seconds, lambda call: self._send(call, method, url, body, most_bytes))

    def _send(self, call: PendingCall, method: str, url: str, body: Mapping[str, Any] | None, most_bytes: int) -> Reply:
        started = time.monotonic()
        endpoint = self.endpoint
        request = requests.Request(
            method,
            url,
            json=body,
            auth=_basic(endpoint) if endpoint.user else None,
            # Without compression a small reply cannot grow into a large one.
            headers={"User-Agent": f"sdlauncher/{__version__}", "Accept-Encoding": "identity", "Connection": "close"},
        )
        proxies = {} if endpoint.is_loopback else requests.utils.get_environ_proxies(url, no_proxy=None)
        adapter = _Adapter(call)
        try:
            # The adapter and not a session: a session reads the whole body of a redirect, and sends netrc passwords.
            response = adapter.send(
                request.prepare(),
                stream=True,
                timeout=(call.remaining, call.remaining),
                verify=self._trust(),
                proxies=proxies,
            )
            body_bytes = self._read(call, response, url, most_bytes)
        except SdLauncherError:
            raise
        except Exception as error:
            raise _explain(url, call.seconds, error) from error
        finally:
            adapter.close()
        return Reply(
            url=url,
            status=response.status_code,
            content_type=response.headers.get("Content-Type", ""),
            location=response.headers.get("Location", ""),
            body=body_bytes,
            seconds=time.monotonic() - started,
        )

    def _trust(self) -> bool | str:
        if not self.endpoint.verify_tls:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            return False
        return self.endpoint.ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or True

    @staticmethod
    def _read(call: PendingCall, response: requests.Response, url: str, most_bytes: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while part := response.raw.read(_BLOCK, decode_content=False):
            size += len(part)
            if size > most_bytes:
                call.give_up()
                raise SdLauncherError("SDL-HTTP-TOO-LARGE", url=url, limit=most_bytes // 1024**2)
            parts.append(part)
        return b"".join(parts)


def can_connect(host: str, port: int, *, seconds: float) -> float | None:
    """Return the seconds that a bare TCP connect took, or None when nothing accepts. Sends no byte.

    This is the only probe that cannot hurt a WebUI while it starts.
    """
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return time.monotonic() - started
    except OSError:
        return None


class _Adapter(requests.adapters.HTTPAdapter):
    """An adapter whose connections are known to the pending call, and that tries once."""

    def __init__(self, call: PendingCall) -> None:
        self._call = call
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        call = self._call

        class Plain(urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                call.watch(self.sock)

        class Secure(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                call.watch(self.sock)

        class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = Secure

        manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _basic(endpoint: Endpoint) -> requests.auth.HTTPBasicAuth:
    # As bytes: of text requests makes Latin-1, which not every password is.
    return requests.auth.HTTPBasicAuth(endpoint.user.encode(), endpoint.password.encode())


# What an exception inside the exception means; the first row that fits wins.
_MEANINGS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((ConnectionRefusedError,), "SDL-HTTP-REFUSED"),
    ((socket.gaierror, urllib3.exceptions.LocationParseError), "SDL-HTTP-NAME"),
    ((requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError), "SDL-HTTP-TIMEOUT"),
    ((ssl.SSLError, urllib3.exceptions.SSLError), "SDL-HTTP-TLS"),
    ((urllib3.exceptions.ProxyError,), "SDL-HTTP-PROXY"),
    ((http.client.IncompleteRead, http.client.RemoteDisconnected), "SDL-HTTP-CLOSED"),
    ((ConnectionError,), "SDL-HTTP-CLOSED"),
    ((urllib3.exceptions.NewConnectionError,), "SDL-HTTP-REFUSED"),
)


def _explain(url: str, seconds: float, error: Exception) -> SdLauncherError:
    """Name what went wrong by the exceptions inside the exception: requests wraps up to three of them."""
    chain = _chain(error)
    kinds = tuple(type(item) for item in chain)
    code = next((code for wanted, code in _MEANINGS if any(issubclass(kind, wanted) for kind in kinds)), None)
    if code == "SDL-HTTP-TIMEOUT":
        return SdLauncherError(code, url=url, seconds=f"{seconds:g}")
    return SdLauncherError(code or "SDL-HTTP-GARBAGE", url=url, evidence=_evidence(chain))


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    waiting: list[BaseException] = [error]
    while waiting and len(chain) < 12:
        item = waiting.pop(0)
        if item in chain:
            continue
        chain.append(item)
        inside = [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
        waiting += [part for part in inside if isinstance(part, BaseException)]
    return chain


def _evidence(chain: list[BaseException]) -> str:
    """Return the innermost words: the outer ones are the names of libraries."""
    inner = chain[-1]
    text = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return (words or type(inner).__name__)[:160]
