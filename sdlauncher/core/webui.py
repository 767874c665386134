"""A WebUI variant as a value: its scripts, its ports and the lines by which its log tells how far it is."""

from __future__ import annotations

from typing import NamedTuple


class Scripts(NamedTuple):
    """Names in the checkout: what starts the WebUI, and the user's files that carry flags and environment."""

    posix: str
    windows: str
    user_posix: str
    user_windows: str


class LogLines(NamedTuple):
    """Regular expressions over one log line. HTTP is safe only after `started`; `listening` is too early."""

    launching: str
    listening: str
    started: str
    model_loading: str
    model_loaded: str
    model_failed: str


class WebUi(NamedTuple):
    """One row of the catalog. `port` and `api_port` are its defaults with a UI and with --nowebui."""

    name: str
    title: str
    homepage: str
    port: int
    api_port: int
    restart_file: str
    scripts: Scripts
    log: LogLines
