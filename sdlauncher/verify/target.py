"""What is to be checked: an instance of ours, or any WebUI at an address, with the credentials for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.machine.webui import Endpoint

AUTH_VARIABLE = "SDLAUNCHER_AUTH"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}  # noqa: S104  where a server listens, not a peer


@dataclass(frozen=True, slots=True)
class Target:
    """One WebUI. `files` is there for an instance of ours; its address is then read from its state each time."""

    url: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None
    verify_tls: bool = True
    files: InstancePaths | None = None
    webui: str = ""

    def endpoint(self, url: str = "") -> Endpoint:
        """Return where to connect: `url` (as the state of our own instance tells it), else the target's own."""
        return Endpoint(
            url=url or self.url,
            user=self.user,
            password=self.password,
            ca_file=self.ca_file,
            verify_tls=self.verify_tls,
        )


def find_target(
    files: InstancePaths | None = None,
    *,
    url: str | None = None,
    auth_file: Path | None = None,
    ca_file: Path | None = None,
    webui: str = "",
) -> Target:
    """Make a target of an address, or of an instance when no address is given.

    Credentials come from the first line of `auth_file`, from SDLAUNCHER_AUTH or from the address, in that order.
    Raises SDL-URL-BAD, SDL-AUTH-FILE and SDL-FILE-READ.
    """
    address, user, password = parse_url(url) if url else ("", "", "")
    if auth_file is not None:
        user, password = read_credentials(auth_file)
    elif ":" in (said := os.environ.get(AUTH_VARIABLE, "")):
        user, _, password = said.partition(":")
    return Target(
        url=address,
        user=user,
        password=password,
        ca_file=None if ca_file is None else str(ca_file),
        files=None if url else files,
        webui=webui,
    )


def parse_url(text: str) -> tuple[str, str, str]:
    """Return address, user and password of what was typed: `host:port`, a full URL, or the URL of its /docs.

    Raises SDL-URL-BAD.
    """
    full = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(full)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SdLauncherError("SDL-URL-BAD", url=text, evidence=error) from error
    if parts.scheme not in ("http", "https"):
        raise SdLauncherError("SDL-URL-BAD", url=text, evidence=f"{parts.scheme} is neither http nor https")
    if not host or any(char.isspace() for char in full):
        raise SdLauncherError("SDL-URL-BAD", url=text, evidence="no host name in it")
    host = _ANY_ADDRESS.get(host, host)
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    path = parts.path.rstrip("/")
    for tail in ("/docs", "/sdapi/v1"):
        path = path.removesuffix(tail)
    return f"{parts.scheme}://{netloc}{path}", unquote(parts.username or ""), unquote(parts.password or "")


def read_credentials(path: Path) -> tuple[str, str]:
    """Read `user:password` from the first line of a file. Raises SDL-FILE-READ and SDL-AUTH-FILE."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SdLauncherError("SDL-FILE-READ", path=path, evidence=error) from error
    # One line may hold several pairs, as --api-auth takes them.
    first = text.strip().splitlines()[0].split(",")[0] if text.strip() else ""
    user, colon, password = first.strip().partition(":")
    if not colon or not user:
        raise SdLauncherError("SDL-AUTH-FILE", path=path)
    return user, password
