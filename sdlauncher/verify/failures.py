"""What a WebUI's error answer means: which of its many 500s it is, and so what cures it."""

from __future__ import annotations

from typing import Any, Final

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.webui import Reply

# Words of the error that the WebUI puts into its answer -> code; the first that fits wins.
_CAUSES: Final = (
    ("out of memory", "SDL-SMOKE-OUT-OF-MEMORY"),
    ("OutOfMemoryError", "SDL-SMOKE-OUT-OF-MEMORY"),
    ("NaNs was produced in VAE", "SDL-SMOKE-NAN-VAE"),
    ("NaNs was produced", "SDL-SMOKE-NAN-UNET"),
    ("memory_efficient_attention", "SDL-SMOKE-XFORMERS"),
    ("Found no NVIDIA driver", "SDL-SMOKE-NO-GPU"),
    ("No CUDA GPUs are available", "SDL-SMOKE-NO-GPU"),
    ("Torch not compiled with CUDA", "SDL-SMOKE-NO-GPU"),
    ("no kernel image is available", "SDL-SMOKE-KERNEL"),
    ("not implemented for 'Half'", "SDL-SMOKE-HALF"),
    ("URLError", "SDL-SMOKE-DOWNLOAD"),
    ("No checkpoints found", "SDL-SMOKE-NO-MODEL"),
    ("FileNotFoundError", "SDL-SMOKE-NO-MODEL"),
    ("SafetensorError", "SDL-SMOKE-MODEL-CORRUPT"),
    ("deserializing header", "SDL-SMOKE-MODEL-CORRUPT"),
    ("Failed to recognize model type", "SDL-SMOKE-MODEL-KIND"),
    ("'NoneType' object has no attribute", "SDL-SMOKE-MODEL-FAILED"),
)

_LONGEST: Final = 240


def explain_reply(reply: Reply, path: str) -> SdLauncherError:
    """Name the error of an answer that is not 200.

    The three shapes (the WebUI's own, FastAPI's 422, the router's 404) and plain text are told apart.
    """
    said = _words(reply)
    match reply.status:
        case 401 | 403:
            return SdLauncherError("SDL-AUTH-MISSING", path=path, status=reply.status)
        case 404 if "json" in reply.kind:
            return SdLauncherError("SDL-API-OFF", path=path)
        case 400 | 422:
            return SdLauncherError("SDL-SMOKE-REJECTED", evidence=said)
        case status if 300 <= status < 400:
            return SdLauncherError("SDL-HTTP-REDIRECT", path=path, status=status, location=reply.location or "?")
    code = next((code for words, code in _CAUSES if words in said), "")
    if not code and reply.status == 500 and reply.kind == "text/plain":
        # AUTOMATIC1111 answers in JSON unless its own error handler fails too: its output is a pipe nobody reads.
        code = "SDL-SMOKE-OUTPUT-GONE"
    if code:
        return SdLauncherError(code, evidence=said)
    return SdLauncherError("SDL-SMOKE-FAILED", status=reply.status, evidence=said)


def _words(reply: Reply) -> str:
    """Return what an answer says, on one line."""
    words = " ".join(_read_words(reply).split())
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rsplit(' ', 1)[0]} …"


def _read_words(reply: Reply) -> str:
    try:
        body: Any = reply.read_json()
    except SdLauncherError:
        return reply.excerpt(200) or "an empty body"
    if not isinstance(body, dict):
        return reply.excerpt(200)
    detail = body.get("detail")
    if isinstance(detail, list):  # FastAPI: [{"loc": [...], "msg": ...}]
        parts = [
            f"{'.'.join(str(step) for step in item.get('loc', ()))}: {item.get('msg')}"
            for item in detail
            if isinstance(item, dict)
        ]
        return "; ".join(parts)
    # AUTOMATIC1111 says `errors` where Forge says `message`.
    words = [str(body.get(key)) for key in ("error", "detail", "errors", "message") if body.get(key)]
    return ": ".join(words) or reply.excerpt(200)
