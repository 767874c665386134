"""Who can reach a WebUI that is started with given arguments, and what stands open to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sdlauncher.core.verdict import Level, Verdict
from sdlauncher.core.wishes import group_words, name_of, value_of
from sdlauncher.errors import SdLauncherError

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_UI_AUTH: Final = ("--gradio-auth", "--gradio-auth-path", "--auth", "--auth-file")
_API_AUTH: Final = ("--api-auth", "--auth", "--auth-file")
_TUNNELS: Final = ("--share", "--ngrok", "--cloudflared")
_EXTENSION_ACCESS: Final = ("--enable-insecure-extension-access", "--enable_insecure_extension_access")

_DANGERS: Final = {"--allow-code": "SDL-ALLOW-CODE", "--disable-safe-unpickle": "SDL-UNSAFE-UNPICKLE"}
_CORS: Final = ("--cors-allow-origins", "--cors-origins", "--cors-allow-origins-regex", "--cors-regex")
_ANYONE: Final = frozenset({"*", ".*", "^.*$", ".+"})
_TLS_PAIR: Final = (("--tls-keyfile", "--tls-certfile"), ("--tls-certfile", "--tls-keyfile"))

# Arguments that carry user:password words, which must not be written anywhere but into a 0600 file.
SECRET_FLAGS: Final = ("--gradio-auth", "--api-auth", "--auth")


class Exposure(NamedTuple):
    """Where arguments open the WebUI: `bind` is its address, `is_open` whether others can reach it."""

    bind: str
    is_open: bool
    has_ui_auth: bool
    has_api_auth: bool


def find_exposure(words: Sequence[str], *, listen: bool) -> Exposure:
    """Tell who can reach a WebUI started with `words`; `listen` is the user's wish beside them."""
    given = _values(words)
    # Without a UI the server listens on all addresses unless it is told otherwise, measured.
    everywhere = listen or "--listen" in given or "--nowebui" in given
    bind = given.get("--server-name") or ("0.0.0.0" if everywhere else "127.0.0.1")  # noqa: S104  it names what is found
    return Exposure(
        bind,
        is_open=bind not in LOOPBACK or any(flag in given for flag in _TUNNELS),
        has_ui_auth=any(flag in given for flag in _UI_AUTH),
        has_api_auth=any(flag in given for flag in _API_AUTH),
    )


def judge_exposure(words: Sequence[str], exposure: Exposure, *, insecure: bool) -> tuple[Verdict, ...]:
    """Say what stays open. Raises SDL-EXTENSIONS-EXPOSED unless `insecure` was asked for in so many words."""
    given = _values(words)
    verdicts: list[Verdict] = []

    def warn(code: str, **facts: object) -> None:
        verdicts.append(Verdict(code, Level.WARNING, facts))

    if exposure.is_open:
        for flag in _EXTENSION_ACCESS:
            if flag in given and not insecure:
                raise SdLauncherError("SDL-EXTENSIONS-EXPOSED", flag=flag, bind=exposure.bind)
        is_guarded = exposure.has_ui_auth and exposure.has_api_auth
        warn("SDL-STILL-OPEN" if is_guarded or not insecure else "SDL-OPEN-TO-ALL", bind=exposure.bind)
        if "--api-server-stop" in given:
            warn("SDL-SERVER-STOP-OPEN")
    for flag in _TUNNELS:
        if flag in given:
            warn("SDL-PUBLIC-TUNNEL", flag=flag)
    for flag, code in _DANGERS.items():
        if flag in given:
            warn(code)
    if _ANYONE & {part.strip() for name in _CORS for part in given.get(name, "").split(",")}:
        warn("SDL-CORS-ANYONE")
    for flag, other in _TLS_PAIR:
        if flag in given and other not in given:
            warn("SDL-TLS-HALF", flag=flag, other=other)
    return tuple(verdicts)


def _values(words: Sequence[str]) -> dict[str, str]:
    return {name_of(group): value_of(group) for group in group_words(words)}
