"""Health of a WebUI: looks at it layer by layer, in the order in which a start makes them true."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sdlauncher import catalog
from sdlauncher.core import health as judge
from sdlauncher.core.health import Answer, Health, Layer, ModelLog
from sdlauncher.core.webui import WebUi
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.machine.webui import Client, can_connect
from sdlauncher.verify.target import Target

__all__ = ["Health", "Layer", "Target", "check_health", "last_picture", "read_model_log"]

CONNECT_SECONDS: Final = 3.0
CALL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.25
# A WebUI that opens its port answers HTTP safely only when its API is mounted: 0.2 to 0.6 s later, measured. Whoever
# cannot read its log waits a multiple of that.
SETTLE_SECONDS: Final = 2.0
_FINAL: Final = ("SDL-AUTH-MISSING", "SDL-AUTH-WRONG", "SDL-HTTP-TLS", "SDL-HTTP-REDIRECT", "SDL-API-OFF")
_LOG_TAIL: Final = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class LastPicture:
    """What smoke kept of the last picture of an instance: when (epoch seconds), by which process, how it was judged."""

    at: float
    pid: int
    verdict: str


def check_health(target: Target, *, wait: float = 0) -> Health:
    """Check all layers; with `wait`, again and again until healthy or `wait` seconds have passed.

    An instance of ours gets no HTTP request before its log says that the start is over. What cannot become healthy
    by waiting (not running, gave up, wrong password) ends the wait at once.
    """
    deadline = time.monotonic() + wait
    was_closed = False
    while True:
        health = _check_own(target) if target.files is not None else _check_address(target, settle=was_closed)
        if health.is_healthy or not _may_change(health, own=target.files is not None):
            return health
        was_closed = health.verdict == "SDL-PORT-CLOSED"
        left = deadline - time.monotonic()
        if left <= 0:
            return health
        time.sleep(min(POLL_SECONDS, left))


def _may_change(health: Health, *, own: bool) -> bool:
    """Tell whether waiting can help: not against a wrong password, nor without a supervisor that starts it."""
    verdict = health.verdict
    if own and verdict in ("SDL-NOT-RUNNING", "SDL-GAVE-UP"):
        return False
    return verdict == "SDL-MODEL-LOADING" or not (verdict in _FINAL or verdict.startswith("SDL-MODEL-"))


def _check_own(target: Target) -> Health:
    assert target.files is not None
    status = read_own_status(target.files)
    process = judge.judge_process(str(status["state"]), status)
    if not process.ok:
        return judge.complete([process])
    webui = catalog.load_webui(str(status.get("webui") or target.webui or "a1111"))
    return _check_endpoint(target, str(status["url"]), [process], webui)


def _check_address(target: Target, *, settle: bool) -> Health:
    endpoint = target.endpoint()
    if settle and can_connect(endpoint.host, endpoint.port, seconds=CONNECT_SECONDS) is not None:
        time.sleep(SETTLE_SECONDS)
    return _check_endpoint(target, "", [Layer("process", None, "SDL-PROCESS-FOREIGN")], None)


def _check_endpoint(target: Target, url: str, layers: list[Layer], webui: WebUi | None) -> Health:
    endpoint = target.endpoint(url)
    client = Client(endpoint)
    seconds = can_connect(endpoint.host, endpoint.port, seconds=CONNECT_SECONDS)
    port = judge.judge_port(endpoint.host, endpoint.port, seconds, None)
    if not port.ok:
        return judge.complete([*layers, port])

    docs = ask(client, "/docs")
    alive = judge.judge_liveness(docs)
    if not alive.ok:
        return judge.complete([*layers, port, alive])
    openapi = ask(client, "/openapi.json")
    options = ask(client, "/sdapi/v1/options")
    api = judge.judge_api(openapi, options)
    layers += [port, alive, judge.judge_docs(docs, has_api=api.ok is True), api]
    if not api.ok:
        return judge.complete(layers)
    auth = judge.judge_auth(options, user=target.user)
    layers.append(auth)
    if not auth.ok:
        return judge.complete(layers)
    layers.append(judge.judge_model(ask(client, "/sdapi/v1/sd-models")))
    log = None if webui is None or target.files is None else read_model_log(target.files.log, webui)
    kept = None if target.files is None else last_picture(target.files)
    layers.append(judge.judge_loaded(log, options, made_picture=kept is not None and kept.verdict == "ok"))
    layers.append(judge.judge_picture(_picture_age(kept, client)))
    return judge.complete(layers)


def ask(client: Client, path: str, *, seconds: float = CALL_SECONDS) -> Answer:
    """Get one path as a value: a call that failed is an answer with an error."""
    started = time.monotonic()
    try:
        reply = client.call("GET", path, seconds=seconds)
    except SdLauncherError as error:
        return Answer(path=path, error=error, latency_ms=_ms(time.monotonic() - started))
    parsed: Any = None
    if "json" in reply.kind:
        try:
            parsed = reply.read_json()
        except SdLauncherError as error:
            return Answer(path=path, error=error, latency_ms=_ms(reply.seconds))
    return Answer(
        path=path,
        status=reply.status,
        kind=reply.kind,
        json=parsed,
        excerpt=reply.excerpt(),
        location=reply.location,
        latency_ms=_ms(reply.seconds),
    )


def open_client(target: Target) -> Client:
    """Return a client for a target that may be asked by HTTP now.

    Raises the verdict of the process layer for an instance of ours that does not run or is not ready.
    """
    if target.files is None:
        return Client(target.endpoint())
    status = read_own_status(target.files)
    process = judge.judge_process(str(status["state"]), status)
    if not process.ok:
        raise SdLauncherError(process.code, **process.facts)
    return Client(target.endpoint(str(status["url"])))


def read_own_status(files: InstancePaths) -> dict[str, Any]:
    """Return what the supervisor last said, with the facts that the process layer tells."""
    status = read_json(files.state) or {}
    since = status.get("since")
    seconds = time.time() - float(since) if isinstance(since, (int, float)) else 0.0
    last = status.get("last_exit") or {}
    return {
        "state": status.get("state", "stopped"),
        "instance": files.name,
        "pid": status.get("pid"),
        "url": status.get("url"),
        "webui": status.get("webui"),
        "seconds": f"{max(0.0, seconds):.0f}",
        "evidence": last.get("cause") or "see its log",
    }


def read_model_log(log: Path, webui: WebUi) -> ModelLog:
    """Find what the last run in a log says about its model, from the last few MiB of the file."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ModelLog()
    lines = webui.log
    launched = _last(lines.launching, text)
    run = text[launched.start() :] if launched else text
    marks = {
        state: match
        for state, pattern in (
            ("loading", lines.model_loading),
            ("loaded", lines.model_loaded),
            ("failed", lines.model_failed),
        )
        if (match := _last(pattern, run)) is not None
    }
    if not marks:
        return ModelLog()
    state = max(marks, key=lambda name: marks[name].start())
    line = run[marks[state].start() :].split("\n", 1)[0].strip()
    if state != "failed":
        return ModelLog(state, line)
    return ModelLog(state, _reason(run[: marks[state].start()]) or line)


def _reason(text: str) -> str:
    """Return the last line before the failure that names an error: the end of its traceback."""
    for line in reversed(text.splitlines()[-40:]):
        if re.match(r"^[\w.]*(Error|Exception)\b", line):
            return line.strip()[:200]
    return ""


def _last(pattern: str, text: str) -> re.Match[str] | None:
    found = None
    for match in re.finditer(pattern, text, re.MULTILINE):
        found = match
    return found


def last_picture(files: InstancePaths) -> LastPicture | None:
    """Return what smoke kept of the last picture of the process that runs now."""
    kept = read_json(files.root / "picture.json")
    status = read_json(files.state) or {}
    if not kept or kept.get("pid") != status.get("pid"):
        return None
    return LastPicture(at=float(kept["at"]), pid=int(kept["pid"]), verdict=str(kept["verdict"]))


def _picture_age(kept: LastPicture | None, client: Client) -> float | None:
    if kept is not None:
        return max(0.0, time.time() - kept.at)
    progress = ask(client, "/sdapi/v1/progress?skip_current_image=true")
    stamp = progress.json.get("state", {}).get("job_timestamp") if isinstance(progress.json, dict) else None
    try:
        # The stamp is the server's local time without a zone: only this machine's can be compared.
        begun = datetime.strptime(str(stamp), "%Y%m%d%H%M%S").astimezone()
    except ValueError:
        return None
    return max(0.0, time.time() - begun.timestamp()) if client.endpoint.is_loopback else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
