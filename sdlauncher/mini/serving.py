"""Sockets and uvicorn: which port, on which address, and how the server is run beside the main thread."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
import time
from typing import Final

import uvicorn

from sdlauncher.mini.app import Door
from sdlauncher.mini.log import say

_FIRST_PORT: Final = 7860
_PORTS_TRIED: Final = 100
_API_PORT: Final = 7861


def find_port(flags: argparse.Namespace) -> socket.socket:
    """Bind the port that was given, or else the first free one from 7860 on.

    Raises OSError, in the words of the real one, if there is none.
    """
    first = flags.port or int(os.environ.get("GRADIO_SERVER_PORT", _FIRST_PORT))
    last = first + (1 if flags.port else _PORTS_TRIED)
    for port in range(first, last):
        try:
            return _bind(_page_address(flags), port)
        except OSError:
            continue
    raise OSError(
        f"Cannot find empty port in range: {first}-{last - 1}. You can specify a different port by setting the "
        "GRADIO_SERVER_PORT environment variable or passing the `server_port` parameter to `launch()`."
    )


class PageServer:
    """uvicorn in a thread of its own, so that signals keep their plain meaning for the process."""

    def __init__(self, door: Door, bound: socket.socket, flags: argparse.Namespace) -> None:
        self._socket = bound
        config = uvicorn.Config(
            door,
            log_level="warning",
            timeout_keep_alive=flags.timeout_keep_alive,
            ssl_keyfile=flags.tls_keyfile,
            ssl_certfile=flags.tls_certfile,
            ws="none",
            http="h11",
            loop="asyncio",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [bound]}, daemon=True)
        self.port: int = bound.getsockname()[1]
        scheme = "https" if flags.tls_certfile else "http"
        self.url = f"{scheme}://{_page_address(flags)}:{self.port}"

    def start(self) -> None:
        """Start, and return when connections are accepted. Raises OSError if the server thread ended instead."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise OSError("the web server did not start")
            time.sleep(0.001)

    def close(self) -> None:
        """Stop accepting; running requests are finished."""
        say(f"Closing server running on port: {self.port}")
        self._server.should_exit = True
        self._thread.join(timeout=None)


def serve_api_only(door: Door, flags: argparse.Namespace) -> None:
    """Serve on the main thread until a signal; uvicorn ends gracefully, and with 3 if the port is taken."""
    uvicorn.run(
        door,
        # Unlike the page, the API alone listens everywhere unless it is told otherwise.
        host=flags.server_name or "0.0.0.0",  # noqa: S104 - what the real one does, and users must find it out here
        port=flags.port or _API_PORT,
        timeout_keep_alive=flags.timeout_keep_alive,
        ssl_keyfile=flags.tls_keyfile,
        ssl_certfile=flags.tls_certfile,
        ws="none",
        http="h11",
        loop="asyncio",
    )


def _page_address(flags: argparse.Namespace) -> str:
    if flags.server_name:
        return str(flags.server_name)
    return "0.0.0.0" if flags.listen else "127.0.0.1"  # noqa: S104 - --listen asks for it


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off: without it every answer would come 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        # On Windows this option would let two servers share a port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, port))
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound
