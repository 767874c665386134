"""Files from the web: whether a source answers, and downloads that resume, are checked, and are whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, write_json

OnProgress = Callable[[int, int | None], None]

_PIECE: Final = 1024 * 1024
# What a broken transfer loses at most: a line that drops all the time must still get somewhere.
_LOSS: Final = 16 * 1024
_PATIENCE: Final = (10.0, 60.0)
_WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
# Sites that ask for a token, by the end of their host name, and the variable in which users keep it.
_TOKENS: Final = {"huggingface.co": "HF_TOKEN", "civitai.com": "CIVITAI_TOKEN"}
# A server that is too busy, as against one that says no.
_PASSING: Final = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that arrived whole. `resumed_from` is how many bytes an earlier attempt had left."""

    path: Path
    size: int
    sha256: str
    resumed_from: int


class _UnfinishedError(Exception):
    """The transfer broke off, or the server is too busy; another try may well go on."""


def probe(url: str, *, timeout: float) -> str | None:
    """Ask whether a URL answers within `timeout` seconds: None if it does, else in a few words why not.

    Proxies of the environment are used, but never for the loopback.
    """
    import requests

    with requests.Session() as session:
        session.trust_env = not is_loopback(url)
        try:
            with session.get(url, timeout=timeout, stream=True, headers={"User-Agent": "sdlauncher"}) as answer:
                return None if answer.status_code < 400 else f"HTTP {answer.status_code}"
        except requests.exceptions.RequestException as error:
            return _explain(error)


def download(url: str, target: Path, *, sha256: str | None = None, on_progress: OnProgress | None = None) -> Downloaded:
    """Fetch `url` into `target`, going on where an interrupted download of the same file stopped.

    `target` appears only when the file is whole and, if `sha256` is given, right; until then it grows beside it as
    `.part`. A transfer that breaks off is taken up again, with growing pauses, until five tries in a row brought
    nothing. Raises SDL-DOWNLOAD-FAILED, SDL-DOWNLOAD-CHECKSUM (the file is thrown away), SDL-DISK-FULL and
    SDL-FILE-WRITE.
    """
    part, note = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if (read_json(note) or {}).get("url") != url:
            part.unlink(missing_ok=True)
        before = part.stat().st_size if part.exists() else 0
        tries = 0
        while True:
            had = part.stat().st_size if part.exists() else 0
            try:
                _transfer(url, part, note, on_progress)
                break
            except _UnfinishedError as error:
                gained = part.exists() and part.stat().st_size > had
                tries = 0 if gained else tries + 1
                if tries >= len(_WAITS):
                    raise SdLauncherError("SDL-DOWNLOAD-FAILED", url=url, evidence=str(error)) from error
                time.sleep(_WAITS[tries])
        digest = hash_file(part)
        if sha256 is not None and digest != sha256.lower():
            part.unlink()
            note.unlink(missing_ok=True)
            raise SdLauncherError("SDL-DOWNLOAD-CHECKSUM", url=url, wanted=sha256.lower(), found=digest)
        size = part.stat().st_size
        part.replace(target)
        note.unlink(missing_ok=True)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error
    return Downloaded(target, size, digest, before)


def hash_file(path: Path) -> str:
    """Return a file's SHA-256 as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def is_loopback(url: str) -> bool:
    """Tell whether a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _transfer(url: str, part: Path, note: Path, on_progress: OnProgress | None) -> None:
    import requests

    had = part.stat().st_size if part.exists() else 0
    known = read_json(note) or {}
    headers = {"User-Agent": "sdlauncher", "Accept-Encoding": "identity", **_token(url)}
    if had:
        headers["Range"] = f"bytes={had}-"
        # Without this a file that changed on the server would get a tail that does not belong to its head.
        if known.get("tag"):
            headers["If-Range"] = str(known["tag"])
    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(url)
            with session.get(url, headers=headers, stream=True, timeout=_PATIENCE) as answer:
                if had and answer.status_code == 416 and known.get("size") == had:
                    return
                if answer.status_code in _PASSING:
                    raise _UnfinishedError(f"HTTP {answer.status_code}")
                if answer.status_code >= 400:
                    hint = (
                        " (it wants a token: set HF_TOKEN or CIVITAI_TOKEN)" if answer.status_code in (401, 403) else ""
                    )
                    raise SdLauncherError("SDL-DOWNLOAD-FAILED", url=url, evidence=f"HTTP {answer.status_code}{hint}")
                start = had if answer.status_code == 206 else 0
                _receive(url, answer, part, note, start=start, on_progress=on_progress)
    except requests.exceptions.RequestException as error:
        raise _UnfinishedError(_explain(error)) from error


def _receive(url: str, answer: Any, part: Path, note: Path, *, start: int, on_progress: OnProgress | None) -> None:
    announced: Mapping[str, str] = answer.headers
    length = announced.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else None
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        need, left = f"{(total - start) / 2**30:.1f}", f"{free / 2**30:.1f}"
        raise SdLauncherError("SDL-DISK-FULL", path=part.parent, free=left, need=need)
    tag = announced.get("ETag", "")
    # A weak tag names what looks alike, not the same bytes; the date serves instead.
    tag = announced.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
    write_json(note, {"url": url, "tag": tag, "size": total})
    done = start
    with part.open("ab" if start else "wb") as stream:
        for piece in answer.iter_content(_LOSS):
            stream.write(piece)
            done += len(piece)
            if on_progress is not None:
                on_progress(done, total)
        stream.flush()
        os.fsync(stream.fileno())
    if total is not None and done < total:
        raise _UnfinishedError(f"it broke off after {done} of {total} bytes")


def _token(url: str) -> dict[str, str]:
    host = urlsplit(url).hostname or ""
    for ending, variable in _TOKENS.items():
        if (host == ending or host.endswith(f".{ending}")) and (token := os.environ.get(variable)):
            return {"Authorization": f"Bearer {token}"}
    return {}


def _explain(error: Exception) -> str:
    from requests import exceptions

    text = str(error)
    match error:
        case exceptions.ProxyError():
            return "the proxy does not answer"
        case exceptions.SSLError():
            return "its certificate is not trusted here"
        case exceptions.Timeout():
            return "no answer in time"
        case exceptions.ChunkedEncodingError():
            return "the transfer broke off"
        case exceptions.ConnectionError():
            return "its name cannot be resolved" if "resolve" in text.lower() else "no connection"
        case _:
            return text[:120] or type(error).__name__
