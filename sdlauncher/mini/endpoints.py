"""What an endpoint is, and how a request to it becomes an answer or a failure."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sdlauncher.mini.failures import ApiError, describe_failure
from sdlauncher.mini.fields import InvalidRequestError, read_form, read_json, read_query
from sdlauncher.mini.log import complain_with_traceback
from sdlauncher.mini.studio import Studio

ANY_OBJECT = "object"  # a body of which only that much is known


@dataclass(frozen=True, slots=True)
class Call:
    """One request as an endpoint's function sees it."""

    studio: Studio
    form: dict[str, Any]
    given: frozenset[str]
    query: dict[str, Any]
    request: Request


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API: `answer` gives a JSON value or a Response."""

    method: str
    path: str
    answer: Callable[[Call], Any]
    body: str | None = None  # a schema's name, or ANY_OBJECT
    response: str | None = None  # a schema's name; [] around it means a list
    query: dict[str, dict[str, Any]] = field(default_factory=dict)
    waits: bool = False  # it may take long: it gets a thread of its own
    media: str = "application/json"  # what it answers


Guard = Callable[[Request], None]


def make_route(endpoint: Endpoint, studio: Studio, guard: Guard | None = None) -> Route:
    """Give the route that serves an endpoint; a guard raises ApiError for those who may not have it."""

    async def serve(request: Request) -> Response:
        if request.method != endpoint.method:
            return JSONResponse({"detail": "Method Not Allowed"}, 405, {"allow": endpoint.method})
        try:
            if guard is not None:
                guard(request)
            query = read_query(endpoint.query, request.query_params)
            form, given = await _read_body(endpoint, request)
            call = Call(studio, form, given, query, request)
            result = await run_in_threadpool(endpoint.answer, call) if endpoint.waits else endpoint.answer(call)
            return result if isinstance(result, Response) else JSONResponse(result)
        except InvalidRequestError as error:
            return answer_invalid(error)
        except ApiError as error:
            return JSONResponse(error.as_body(), error.status)
        except Exception as error:  # noqa: BLE001 - any failure of a request is answered and told, and the server goes on
            return _answer_failure(request, error)

    return Route(endpoint.path, serve, methods=[endpoint.method])


def _answer_failure(request: Request, error: Exception) -> Response:
    body = describe_failure(error)
    try:
        complain_with_traceback(f"API error: {request.method}: {request.url} {body}", error)
    except OSError:
        # Nobody reads the log any more. The real one says no more than this, too.
        return PlainTextResponse("Internal Server Error", 500)
    return JSONResponse(body, 500)


def answer_invalid(error: InvalidRequestError) -> Response:
    """Give the 422 of a request that does not fit."""
    try:
        return JSONResponse({"detail": error.details}, 422)
    except ValueError:
        # JSON knows no infinity; the complaint must not fail over what it quotes.
        return JSONResponse({"detail": [{**detail, "ctx": {}} for detail in error.details]}, 422)


async def _read_body(endpoint: Endpoint, request: Request) -> tuple[dict[str, Any], frozenset[str]]:
    if endpoint.body is None:
        return {}, frozenset()
    value = read_json(await request.body(), request.headers.get("content-type"))
    form = read_form(None if endpoint.body == ANY_OBJECT else endpoint.body, value)
    return form, frozenset(value if isinstance(value, dict) else ())


def make_basic_guard(users: dict[str, str] | None) -> Guard | None:
    """Give the guard that asks for HTTP Basic credentials, if there are users."""
    return None if users is None else lambda request: _check_credentials(request, users)


def _check_credentials(request: Request, credentials: dict[str, str]) -> None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise ApiError(401, "Not authenticated")
    try:
        user, separator, password = base64.b64decode(encoded).decode("ascii").partition(":")
    except (ValueError, binascii.Error) as error:
        raise ApiError(401, "Invalid authentication credentials") from error
    if not separator:
        raise ApiError(401, "Invalid authentication credentials")
    expected = credentials.get(user)
    if expected is None or not secrets.compare_digest(password.encode(), expected.encode()):
        raise ApiError(401, "Incorrect username or password")


def _split_pair(pair: str) -> tuple[str, str]:
    user, password = pair.split(":")
    return user, password


def read_credentials(text: str | None) -> dict[str, str] | None:
    """Read `user:password,user:password`. Raises ValueError for anything else, as the real one does at its start."""
    if not text:
        return None
    return dict(_split_pair(pair) for pair in text.split(","))
