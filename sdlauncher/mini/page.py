"""The pages for people, and the few paths that the page framework of the real one serves beside the API."""

from __future__ import annotations

import dataclasses
import json
import platform
import secrets
import sys
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sdlauncher.mini import VERSION
from sdlauncher.mini.api import ENDPOINTS
from sdlauncher.mini.endpoints import Call, Endpoint, make_route
from sdlauncher.mini.failures import ApiError
from sdlauncher.mini.studio import Studio

_STATIC: Final = Path(__file__).parent / "static"
_COOKIE: Final = "access-token"
_APP_ID: Final = secrets.randbits(63)
_CONFIG: Final = {"version": "3.41.2", "mode": "blocks", "title": "Mini WebUI", "components": []}
_QUEUE: Final = {
    "msg": "estimation",
    "rank": None,
    "queue_size": 0,
    "avg_event_process_time": 0.0,
    "avg_event_concurrent_process_time": None,
    "rank_eta": None,
    "queue_eta": 1.0,
}


def _internal_progress(call: Call) -> Any:
    task, tasks, progress = call.form["id_task"], call.studio.tasks, call.studio.progress
    waiting = list(tasks.waiting)
    answer = {
        "active": task == tasks.current,
        "queued": task in waiting,
        "completed": task in tasks.finished,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": -1,
        "textinfo": "Waiting...",
    }
    if task in waiting:
        answer["textinfo"] = f"In queue: {waiting.index(task) + 1}/{len(waiting)}"
    if not answer["active"]:
        return answer
    share, seen, preview = progress.steps_share(), call.form["id_live_preview"], progress.preview
    eta = progress.seconds_left(share) if share else None
    answer |= {"progress": share, "eta": eta, "id_live_preview": seen, "textinfo": None}
    if call.form["live_preview"] and preview is not None and progress.preview_number != seen:
        from sdlauncher.mini.pictures import write_preview

        answer["live_preview"] = f"data:image/png;base64,{write_preview(preview())}"
        answer["id_live_preview"] = progress.preview_number
    return answer


def _pending(call: Call) -> Any:
    waiting = list(call.studio.tasks.waiting)
    return {"size": len(waiting), "tasks": waiting}


def _sysinfo(call: Call) -> Response:
    facts = {
        "Platform": platform.platform(),
        "Python": sys.version.split()[0],
        "Version": VERSION,
        "Script path": str(call.studio.root),
        "Data path": str(call.studio.flags.data_dir),
        "Commandline": sys.argv,
        "Startup": call.studio.startup,
        "Threads": threading.active_count(),
    }
    headers = {}
    if call.query.get("attachment") not in (None, "", "false", "False", "0"):
        headers["content-disposition"] = 'attachment; filename="sysinfo.json"'
    return PlainTextResponse(json.dumps(facts, indent=4), headers=headers)


INTERNAL: Final = (
    Endpoint("GET", "/internal/ping", lambda _: {}),
    Endpoint("GET", "/internal/pending-tasks", _pending),
    Endpoint(
        "POST", "/internal/progress", _internal_progress, "ProgressRequest", "modules__progress__ProgressResponse"
    ),
    Endpoint("GET", "/internal/profile-startup", lambda call: call.studio.startup),
    Endpoint("GET", "/internal/quicksettings-hint", lambda _: [], response="[QuicksettingsHint]"),
    Endpoint("GET", "/internal/sysinfo", _sysinfo, query={"attachment": {"default": False}}, media="text/plain"),
    Endpoint("GET", "/internal/sysinfo-download", _sysinfo, media="text/plain"),
)


def _offer(call: Call) -> Any:
    from sdlauncher.mini.model import SAMPLERS, SCHEDULERS

    loaded = call.studio.loaded
    return {
        "model": loaded.model_name if loaded else None,
        "samplers": [sampler.name for sampler in SAMPLERS],
        "schedulers": [scheduler.label for scheduler in SCHEDULERS],
    }


_OPEN: Final = (
    Endpoint("GET", "/app_id", lambda _: {"app_id": _APP_ID}),
    Endpoint("GET", "/startup-events", lambda _: False),
)

# What the page itself asks: it works without --api, and asks for the page's login rather than the API's password.
_GUARDED: Final = (
    Endpoint("GET", "/config", lambda _: _CONFIG),
    Endpoint("GET", "/queue/status", lambda _: _QUEUE),
    Endpoint("GET", "/page/offer", _offer, waits=True),
    *(
        dataclasses.replace(endpoint, path=endpoint.path.replace("/sdapi/v1", "/page"))
        for endpoint in ENDPOINTS
        if endpoint.path.rpartition("/")[2] in ("txt2img", "progress", "interrupt")
    ),
)


def make_page_routes(studio: Studio, users: dict[str, str] | None) -> list[Route]:
    """Give the routes of the page; with users, what belongs to it asks for a login, and nothing else does."""
    sessions: set[str] = set()

    def is_let_in(request: Request) -> bool:
        return users is None or request.cookies.get(_COOKIE) in sessions

    def guard(request: Request) -> None:
        if not is_let_in(request):
            raise ApiError(401, "Not authenticated")

    async def page(request: Request) -> Response:
        name = "page.html" if is_let_in(request) else "login.html"
        return HTMLResponse((_STATIC / name).read_text("utf-8"))

    async def login(request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        password = (users or {}).get(form.get("username", ""))
        if password is None or not secrets.compare_digest(form.get("password", "").encode(), password.encode()):
            return JSONResponse({"detail": "Incorrect credentials."}, 400)
        token = secrets.token_urlsafe(16)
        sessions.add(token)
        wants_page = "text/html" in request.headers.get("accept", "")
        answer: Response = RedirectResponse("./", 303) if wants_page else JSONResponse({"success": True})
        answer.set_cookie(_COOKIE, token, httponly=True, samesite="lax")
        return answer

    async def robots(_: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /")

    async def icon(_: Request) -> Response:
        return Response((_STATIC / "icon.svg").read_bytes(), media_type="image/svg+xml")

    return [
        Route("/", page, methods=["GET"]),
        Route("/login", login, methods=["POST"]),
        Route("/robots.txt", robots),
        Route("/favicon.ico", icon),
        *(make_route(endpoint, studio) for endpoint in _OPEN),
        *(make_route(endpoint, studio, guard) for endpoint in _GUARDED),
    ]


def make_docs_route() -> Route:
    """Give the route of the documentation page, which needs no network."""

    async def docs(_: Request) -> Response:
        return HTMLResponse((_STATIC / "docs.html").read_text("utf-8"))

    return Route("/docs", docs)
