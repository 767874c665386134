"""Health of a WebUI: looks at it layer by layer, in the order in which a start makes them true."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Final

from sdlauncher.core import health as judge
from sdlauncher.core.health import Answer, Health, Layer
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.ports import explain_host, find_owner
from sdlauncher.machine.webui import Client, Endpoint, can_connect
from sdlauncher.supervise.status import living_tree
from sdlauncher.verify.instance import Instance, LastPicture, last_picture, read_instance, read_model_log
from sdlauncher.verify.target import Target

__all__ = ["Health", "Layer", "Target", "ask", "check_health"]

CONNECT_SECONDS: Final = 3.0
CALL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.25
_SLOWEST_POLL: Final = 2.0
_END_SECONDS: Final = 1.0
# A WebUI that opens its port answers HTTP safely only when its API is mounted: 0.2 to 0.6 s later, measured. Whoever
# cannot read its log waits a multiple of that.
SETTLE_SECONDS: Final = 2.0
_FINAL: Final = ("SDL-AUTH-MISSING", "SDL-AUTH-WRONG", "SDL-HTTP-TLS", "SDL-HTTP-REDIRECT")
# How a picture fails where the model never loaded, by a WebUI that does not say so.
_VAGUE: Final = ("SDL-SMOKE-FAILED", "SDL-SMOKE-MODEL-FAILED", "SDL-SMOKE-EMPTY")
_FINAL_OWN: Final = (*_FINAL, "SDL-NOT-RUNNING", "SDL-GAVE-UP", "SDL-API-OFF", "SDL-PORT-STRANGER")


def check_health(target: Target, *, wait: float = 0, patience: float = CALL_SECONDS) -> Health:
    """Check all layers; with `wait`, again and again until healthy or `wait` seconds have passed.

    `patience` is how many seconds each request may take.

    An instance of ours gets no HTTP request before its log says that the start is over. What cannot become healthy
    by waiting (not running, gave up, wrong password) ends the wait at once.
    """
    began = time.monotonic()
    deadline = began + wait
    was_closed = False
    while True:
        health = (
            _check_own(target, patience)
            if target.files is not None
            else _check_address(target, patience, settle=was_closed)
        )
        if health.is_healthy or not _may_change(health.verdict, own=target.files is not None):
            return health
        was_closed = health.verdict == "SDL-PORT-CLOSED"
        left = deadline - time.monotonic()
        if left <= 0:
            return health
        # Whoever has waited for long does not mind a second; a hundred requests a minute slow down what is awaited.
        time.sleep(min(left, max(POLL_SECONDS, (time.monotonic() - began) / 20), _SLOWEST_POLL))


def _may_change(verdict: str, *, own: bool) -> bool:
    """Tell whether waiting can help: not against a wrong password, nor without a supervisor that starts it."""
    final = _FINAL_OWN if own else _FINAL
    return verdict not in final and verdict not in judge.MODEL_FAILURES


def _check_own(target: Target, patience: float) -> Health:
    instance = read_instance(target)
    if not instance.is_askable:
        return judge.complete([instance.layer])
    return _check_endpoint(target, instance.endpoint, patience, [instance.layer], instance)


def _check_address(target: Target, patience: float, *, settle: bool) -> Health:
    endpoint = target.endpoint()
    if settle and can_connect(endpoint.host, endpoint.port, seconds=CONNECT_SECONDS) is not None:
        time.sleep(SETTLE_SECONDS)
    return _check_endpoint(target, endpoint, patience, [Layer("process", None, "SDL-PROCESS-FOREIGN")], None)


def await_model(target: Target, *, seconds: float) -> None:
    """Wait while an instance of ours loads its model; raise the verdict on the model if that fails.

    A WebUI asked for a picture meanwhile would try to load once more, which can take as long again.
    """
    deadline, waited = time.monotonic() + seconds, False
    while target.files is not None and time.monotonic() < deadline:
        instance = read_instance(target)
        if not instance.is_askable or instance.status.model != "loading":
            break
        waited = True
        time.sleep(POLL_SECONDS)
    if waited and (fault := _model_fault(target)) is not None:
        raise fault


def name_cause(target: Target, error: SdLauncherError) -> SdLauncherError:
    """Return why no picture came: what the log of an instance of ours says of its model, if the answer tells less."""
    if error.code == "SDL-HTTP-CLOSED":
        return _end_of(target) or error
    return (_model_fault(target) if error.code in _VAGUE else None) or error


def _end_of(target: Target) -> SdLauncherError | None:
    """Return how an instance of ours ended just now, None if it goes on; its supervisor needs a moment to know."""
    deadline = time.monotonic() + _END_SECONDS
    while target.files is not None and time.monotonic() < deadline:
        status = read_instance(target).status
        if status.state != "running":
            last = status.last_exit or {}
            evidence = last.get("evidence") or last.get("signal") or last.get("cause") or status.state
            return SdLauncherError("SDL-SMOKE-ENDED", instance=target.files.name, evidence=evidence)
        time.sleep(0.05)
    return None


def _model_fault(target: Target) -> SdLauncherError | None:
    if target.files is None:
        return None
    instance = read_instance(target)
    log = read_model_log(instance, target.files)
    if log.state != "failed":
        return None
    models = ask(Client(instance.endpoint), "/sdapi/v1/sd-models")
    layer = judge.judge_loaded(log, Answer(path=""), made_picture=False, listed=judge.only_model(models))
    return SdLauncherError(layer.code, **layer.facts)


def _check_endpoint(
    target: Target, endpoint: Endpoint, patience: float, layers: list[Layer], instance: Instance | None
) -> Health:
    client = Client(endpoint)
    seconds = can_connect(endpoint.host, endpoint.port, seconds=CONNECT_SECONDS)
    unknown = explain_host(endpoint.host) if seconds is None else ""
    port = judge.judge_port(endpoint.host, endpoint.port, seconds, _stranger(instance, endpoint.port), unknown)
    if not port.ok:
        return judge.complete([*layers, port])

    docs = ask(client, "/docs", seconds=patience)
    alive = judge.judge_liveness(docs)
    if not alive.ok:
        return judge.complete([*layers, port, alive])
    openapi = ask(client, "/openapi.json", seconds=patience)
    options = ask(client, "/sdapi/v1/options", seconds=patience)
    api = judge.judge_api(openapi, options)
    layers += [port, alive, judge.judge_docs(docs, has_api=api.ok is True), api]
    if not api.ok:
        return judge.complete(layers)
    auth = judge.judge_auth(options, user=endpoint.user)
    layers.append(auth)
    if not auth.ok:
        return judge.complete(layers)
    models = ask(client, "/sdapi/v1/sd-models", seconds=patience)
    layers.append(judge.judge_model(models))
    log, kept = None, None
    if instance is not None and target.files is not None:
        log = read_model_log(instance, target.files)
        kept = last_picture(target.files, instance.status.pid)
    layers.append(judge.judge_loaded(log, options, made_picture=kept is not None, listed=judge.only_model(models)))
    layers.append(judge.judge_picture(_picture_age(kept, client), was_judged=kept is not None))
    return judge.complete(layers)


def _stranger(instance: Instance | None, port: int) -> str | None:
    """Name the program that has the port of our instance, if the system knows that it is not ours."""
    if instance is None:
        return None
    owner = find_owner(port)
    if owner.pid is None or owner.pid in {one.pid for one in living_tree(instance.status.record)}:
        return None
    return str(owner)


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


def _picture_age(kept: LastPicture | None, client: Client) -> float | None:
    if kept is not None:
        return max(0.0, time.time() - kept.at)
    progress = ask(client, "/sdapi/v1/progress?skip_current_image=true")
    state = progress.json.get("state") if isinstance(progress.json, dict) else None
    stamp = state.get("job_timestamp") if isinstance(state, dict) else None
    try:
        # The stamp is the server's local time without a zone: only this machine's can be compared.
        begun = datetime.strptime(str(stamp), "%Y%m%d%H%M%S").astimezone()
    except ValueError:
        return None
    return max(0.0, time.time() - begun.timestamp()) if client.endpoint.is_loopback else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
