"""One generation: asks for pictures, tells how far they are, and does not leave a lost one running on the server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sdlauncher.core import jsontext
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.webui import Client, Reply
from sdlauncher.verify.failures import explain_reply
from sdlauncher.verify.health import ask
from sdlauncher.verify.pixels import Decoded, decode_picture

TXT2IMG: Final = "/sdapi/v1/txt2img"
IMG2IMG: Final = "/sdapi/v1/img2img"
_PROGRESS: Final = "/sdapi/v1/progress?skip_current_image=true"
_CHOSEN: Final = "sd_model_checkpoint"
_POLL_SECONDS: Final = 0.5
# A PNG of noise is no smaller than its pixels, base64 adds a third, img2img may send its input back.
_BYTES_PER_PIXEL: Final = 12


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a picture is: which one, its share from 0 to 1, and the sampling step."""

    stage: str
    share: float
    step: int
    steps: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Generation:
    """What came back: the pictures, the parsed `info`, and the seconds of the whole call."""

    pictures: tuple[Decoded, ...]
    info: Mapping[str, Any]
    seconds: float


def find_new_models(client: Client, *, seconds: float = 30) -> None:
    """Have a WebUI that knows of no model look again: it reads its folders when it starts, and when it is told to.

    Where no model is chosen then, the first one is, which may take `seconds` to load: SD.Next has none until somebody
    chooses. AUTOMATIC1111, which says null, takes the first one when it is asked for a picture.
    """
    models = ask(client, "/sdapi/v1/sd-models").json
    knew_none = models == []
    if knew_none:
        with contextlib.suppress(SdLauncherError):
            client.call("POST", "/sdapi/v1/refresh-checkpoints", seconds=30, body={})
        models = ask(client, "/sdapi/v1/sd-models").json
    options = ask(client, "/sdapi/v1/options").json
    rows = [row for row in models if isinstance(row, dict)] if isinstance(models, list) else []
    if not rows or not isinstance(options, dict):
        return
    chosen = options.get(_CHOSEN, "")
    is_stale = knew_none and chosen is not None and all(chosen not in row.values() for row in rows)
    if _CHOSEN not in options or is_stale:
        with contextlib.suppress(SdLauncherError):
            client.call("POST", "/sdapi/v1/options", seconds=seconds, body={_CHOSEN: rows[0].get("title")})


def generate(
    client: Client,
    path: str,
    payload: Mapping[str, Any],
    *,
    seconds: float,
    stage: str = "",
    on_progress: OnProgress | None = None,
) -> Generation:
    """Make pictures through `path`; `seconds` bounds the whole of it.

    Raises the SDL-HTTP-… errors, those of `explain_reply`, SDL-SMOKE-TIMEOUT, -EMPTY, -STRANGE, -NOT-BASE64,
    -NOT-A-PICTURE and -BOMB. When we give up, for whatever reason, the server is told to stop: a client that goes
    away does not end a generation.
    """
    pixels = int(payload.get("width", 512)) * int(payload.get("height", 512)) * (int(payload.get("batch_size", 1)) + 2)
    most = 8 * 1024**2 + pixels * _BYTES_PER_PIXEL
    call = client.begin("POST", path, seconds=seconds, body=payload, most_bytes=most)
    try:
        while (reply := call.poll(_POLL_SECONDS)) is None:
            if on_progress is not None and (progress := _read_progress(client, stage)) is not None:
                on_progress(progress)
    except BaseException as error:
        call.give_up()
        with contextlib.suppress(SdLauncherError):
            client.call("POST", "/sdapi/v1/interrupt", seconds=2, body={})
        if isinstance(error, SdLauncherError) and error.code == "SDL-HTTP-TIMEOUT":
            raise SdLauncherError("SDL-SMOKE-TIMEOUT", path=path, seconds=f"{seconds:g}") from error
        raise
    if reply.status != 200:
        raise explain_reply(reply, path)
    return _read(reply, path)


def _read(reply: Reply, path: str) -> Generation:
    body = reply.read_json()
    images = body.get("images") if isinstance(body, dict) else None
    if not isinstance(images, list):
        raise SdLauncherError("SDL-SMOKE-STRANGE", path=path, evidence=reply.excerpt())
    if not images:
        raise SdLauncherError("SDL-SMOKE-EMPTY", path=path)
    info: Any = body.get("info")
    with contextlib.suppress(ValueError):
        info = jsontext.loads(info) if isinstance(info, str) else info
    return Generation(
        pictures=tuple(decode_picture(image) for image in images),
        info=info if isinstance(info, dict) else {},
        seconds=reply.seconds,
    )


def _read_progress(client: Client, stage: str) -> Progress | None:
    """Ask for the progress; a server too busy to tell is no failure of the picture."""
    answer = ask(client, _PROGRESS, seconds=2)
    said = answer.json if answer.is_json and isinstance(answer.json, dict) else {}
    state = said.get("state")
    if not isinstance(state, dict) or not state.get("job"):
        return None
    try:
        return Progress(
            stage=stage,
            share=min(1.0, max(0.0, float(said.get("progress") or 0.0))),
            step=int(state.get("sampling_step") or 0),
            steps=int(state.get("sampling_steps") or 0),
        )
    except (TypeError, ValueError):
        return None
