"""Files from the web: whether a source answers, and downloads that resume, are checked, and are whole or not there."""

from __future__ import annotations

import os
from urllib.parse import urlsplit


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
        except requests.exceptions.ProxyError:
            return "the proxy does not answer"
        except requests.exceptions.SSLError:
            return "its certificate is not trusted here"
        except requests.exceptions.Timeout:
            return f"no answer within {timeout:g} s"
        except requests.exceptions.ConnectionError as error:
            return "its name cannot be resolved" if "resolve" in str(error).lower() else "no connection"
        except requests.exceptions.RequestException as error:
            return str(error)[:120] or type(error).__name__


def is_loopback(url: str) -> bool:
    """Tell whether a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def proxies_in_use() -> dict[str, str]:
    """Return the proxy settings of the environment, by variable."""
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    return {name: value for name in (*names, *map(str.upper, names)) if (value := os.environ.get(name))}
