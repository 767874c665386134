"""The ASGI application: routes, CORS, the API log, the subpath, and the moment when the API is mounted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sdlauncher.mini.api import choose_endpoints
from sdlauncher.mini.endpoints import make_basic_guard, make_route, read_credentials
from sdlauncher.mini.log import say
from sdlauncher.mini.openapi import write_document
from sdlauncher.mini.page import INTERNAL, make_docs_route, make_page_routes
from sdlauncher.mini.studio import Studio

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Door:
    """What the open port leads to: first only the pages, then everything."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._subpath = "/" + studio.flags.subpath.strip("/") if studio.flags.subpath else ""
        self._visited = False
        self._app: Starlette | None = None

    def open_pages(self) -> None:
        """Serve what the page framework serves before the API is there."""
        self._app = _make_app(self._studio, [*_page_routes(self._studio), make_docs_route(), _document_route([])])

    def mount(self) -> None:
        """Serve everything that the flags ask for. Raises ValueError for credentials that cannot be read."""
        studio = self._studio
        if self._visited and studio.misbehaviour.http_before_ready_crash:
            # What kills the real one, seconds after it has answered: its API is middleware, and that comes too late.
            raise RuntimeError("Cannot add middleware after an application has started")
        endpoints = choose_endpoints(studio)
        guard = make_basic_guard(read_credentials(studio.flags.api_auth))
        # An extension's endpoints (Lora) know nothing of the API's password.
        routes: list[BaseRoute] = [
            make_route(endpoint, studio, None if "lora" in endpoint.path else guard) for endpoint in endpoints
        ]
        internal = () if studio.flags.nowebui else INTERNAL
        routes += [make_route(endpoint, studio) for endpoint in internal]
        pages = [] if studio.flags.nowebui else _page_routes(studio)
        self._app = _make_app(studio, [*routes, *pages, make_docs_route(), _document_route([*endpoints, *internal])])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await _live(receive, send)
            return
        self._visited = True
        if self._studio.hanging.is_set():
            await asyncio.Event().wait()
        if self._subpath and f"{scope['path']}/".startswith(f"{self._subpath}/"):
            # Both kinds of reverse proxies work: those that keep the prefix and those that take it away.
            scope["path"] = scope["path"].removeprefix(self._subpath) or "/"
        start = time.monotonic()

        async def send_and_log(message: Any) -> None:
            if message["type"] == "http.response.start":
                seconds = round(time.monotonic() - start, 4)
                message["headers"] = [*message.get("headers", ()), (b"x-process-time", str(seconds).encode())]
                if self._studio.flags.api_log and scope["path"].startswith("/sdapi"):
                    _log_call(scope, message["status"], seconds)
            await send(message)

        assert self._app is not None
        await self._app(scope, receive, send_and_log)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _log_call(scope: Scope, status: int, seconds: float) -> None:
    moment = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ005 - a log for people, in their time
    client = (scope.get("client") or ("0:0.0.0",))[0]
    protocol = f"{scope['scheme']}/{scope['http_version']}"
    say(f"API {moment} {status} {protocol} {scope['method']} {scope['path']} {client} {seconds}")


def _make_app(studio: Studio, routes: list[BaseRoute]) -> Starlette:
    flags = studio.flags
    middleware = []
    if flags.cors_allow_origins or flags.cors_allow_origins_regex:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=(flags.cors_allow_origins or "").split(",") if flags.cors_allow_origins else (),
                allow_origin_regex=flags.cors_allow_origins_regex,
                allow_methods=["*"],
                allow_headers=["*"],
                allow_credentials=True,
            )
        )
    return Starlette(routes=routes, middleware=middleware, exception_handlers={404: _say_status, 405: _say_status})


async def _say_status(_: Request, error: Exception) -> Response:
    return JSONResponse(
        {"detail": getattr(error, "detail", "")}, getattr(error, "status_code", 500), getattr(error, "headers", None)
    )


def _page_routes(studio: Studio) -> list[Route]:
    return make_page_routes(studio, _read_users(studio))


def _read_users(studio: Studio) -> dict[str, str] | None:
    flags = studio.flags
    pairs = [pair.strip() for pair in (flags.gradio_auth or "").replace('"', "").replace("\n", "").split(",")]
    if flags.gradio_auth_path:
        for line in Path(flags.gradio_auth_path).read_text("utf-8").splitlines():
            pairs += [pair.strip() for pair in line.strip().split(",")]
    users = dict(pair.split(":", 1) for pair in pairs if pair)
    return users or None


def _document_route(endpoints: list[Any]) -> Route:
    written: dict[str, Any] = {}

    async def document(_: Request) -> Response:
        if not written:
            written.update(write_document(endpoints))
        return JSONResponse(written)

    return Route("/openapi.json", document)
