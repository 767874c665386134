"""An instance of ours, as verification needs it: its state, where it answers, what its log says of its model."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from sdlauncher import catalog
from sdlauncher.catalog.signatures import load_signatures
from sdlauncher.core.diagnosis import LogReader, first_decisive
from sdlauncher.core.health import Layer, ModelLog, judge_process
from sdlauncher.core.webui import WebUi
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.machine.webui import Client, Endpoint
from sdlauncher.supervise.record import read_stamp
from sdlauncher.supervise.spec import read_spec
from sdlauncher.supervise.status import Status, read_status
from sdlauncher.verify.target import Target, parse_url

_LOG_TAIL: Final = 8 * 1024**2
_LONGEST: Final = 200
_PICTURE: Final = "picture.json"


@dataclass(frozen=True, slots=True)
class LastPicture:
    """What smoke kept of the last picture of the process that runs: when (epoch seconds), and how it was judged."""

    at: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance at one moment."""

    status: Status
    layer: Layer
    endpoint: Endpoint
    webui: WebUi

    @property
    def is_askable(self) -> bool:
        """Whether it may be asked by HTTP: before its start is over a request can end it."""
        return self.layer.ok is True


def read_instance(target: Target) -> Instance:
    """Read how the target's own instance is. Raises SDL-WEBUI-UNKNOWN for one whose WebUI no catalog knows."""
    files = target.files
    assert files is not None, "only a target with files is an instance of ours"
    status = read_status(files)
    last = status.last_exit or {}
    facts = {
        "instance": files.name,
        "pid": status.pid,
        "seconds": f"{_seconds_since(status.since):.0f}",
        "evidence": last.get("evidence") or last.get("signal") or last.get("cause") or "its log tells more",
    }
    webui = catalog.load_webui(status.webui or target.webui or "a1111")
    return Instance(status, judge_process(status.state, facts), _endpoint(target, status), webui)


def open_client(target: Target) -> Client:
    """Return a client for a target that may be asked by HTTP now.

    Raises the verdict of the process layer for an instance of ours that does not run or is not ready.
    """
    if target.files is None:
        return Client(target.endpoint())
    instance = read_instance(target)
    if not instance.is_askable:
        raise SdLauncherError(instance.layer.code, **instance.layer.facts)
    return Client(instance.endpoint)


def _endpoint(target: Target, status: Status) -> Endpoint:
    """Combine how it was started (scheme, password) with where its log says that it listens."""
    assert target.files is not None
    spec = read_spec(str(target.files.launch))
    url = spec.url if spec is not None else status.url
    if not url:
        return target.endpoint("http://127.0.0.1")
    listening = urlsplit(status.url).port if status.url else None
    parts = urlsplit(url)
    if listening and parts.hostname:
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        parts = parts._replace(netloc=f"{host}:{listening}")
    # The port belongs to a process that we started ourselves on this machine: its certificate proves nothing more.
    endpoint = replace(target.endpoint(parse_url(urlunsplit(parts))[0]), verify_tls=parts.scheme != "https")
    if not endpoint.user and spec is not None and (spec.authorization or "").startswith("Basic "):
        user, _, password = base64.b64decode((spec.authorization or "")[6:]).decode().partition(":")
        endpoint = replace(endpoint, user=user, password=password)
    return endpoint


def read_model_log(instance: Instance, files: InstancePaths) -> ModelLog:
    """Tell what the log of this run last said about the model, with the line that explains a failure."""
    state = instance.status.model
    if state not in ("loading", "failed"):
        return ModelLog(state if state == "loaded" else "")
    text = _read_tail(files.log)
    pattern = instance.webui.log.model_failed if state == "failed" else instance.webui.log.model_loading
    marks = list(re.finditer(pattern, text, re.MULTILINE))
    if not marks:
        return ModelLog(state, "its log says so")
    mark = marks[-1]
    line = text[mark.start() :].split("\n", 1)[0].strip()[:200]
    if state == "loading":
        return ModelLog(state, line)
    reader = LogReader(load_signatures())
    reader.feed(text[: mark.start()].encode())
    found = first_decisive(reader.finish())
    return ModelLog(state, line) if found is None else ModelLog(state, _shorten(found.text), found.id)


def last_picture(files: InstancePaths, pid: int | None) -> LastPicture | None:
    """Return what was kept of the last picture, if the process `pid` made it."""
    kept = read_json(files.root / _PICTURE) or {}
    if pid is None or kept.get("pid") != pid:
        return None
    return LastPicture(at=float(kept["at"]), verdict=str(kept["verdict"]))


def keep_picture(files: InstancePaths, verdict: str) -> None:
    """Keep that the process that runs now has just made a picture, and how it was judged."""
    status = read_status(files, adopt=False)
    write_json(files.root / _PICTURE, {"at": time.time(), "pid": status.pid, "verdict": verdict})


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} …"


def _read_tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _LOG_TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _seconds_since(stamp: str) -> float:
    then = read_stamp(stamp)
    return 0.0 if then is None else max(0.0, time.time() - then)
