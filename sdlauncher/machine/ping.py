"""One HTTP GET without waiting: does a WebUI answer at all? The supervisor's only network traffic."""

from __future__ import annotations

import errno
import socket

_MOST = 1 << 16


class Ping:
    """A GET that the supervisor's loop carries forward whenever its socket is ready.

    The answer is read to its end: servers log a traceback when the reader leaves early. `answer` is None until it is
    over, then the HTTP status, or 0 when there was no answer; `body` its first 64 KiB. `descriptor` is the socket, to
    be watched for writing until `connected`, then for reading.
    """

    def __init__(self, host: str, port: int, path: str, *, authorization: str | None = None, tls: bool = False) -> None:
        self.answer: int | None = None
        self.refused = False
        self.body = b""
        self.connected = False
        self._tls = tls
        extra = f"Authorization: {authorization}\r\n" if authorization else ""
        self._request = (
            f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: sdlauncher\r\nAccept: */*\r\n{extra}"
            "Connection: close\r\n\r\n"
        ).encode()
        self._received = b""
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self.descriptor = self._socket.fileno()
        failed = self._socket.connect_ex((host, port))
        if failed not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._finish(0, refused=True)

    def advance(self) -> None:
        """Do what can be done now without waiting."""
        if self.answer is not None:
            return
        try:
            if not self.connected:
                if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self._finish(0, refused=True)
                    return
                self.connected = True
                if self._tls:
                    # A handshake would need the ssl module; that somebody listens has to be enough.
                    self._finish(204)
                    return
                self._socket.send(self._request)
                return
            while True:
                piece = self._socket.recv(_MOST)
                if not piece:
                    self._finish(self._status())
                    return
                if len(self._received) < _MOST:
                    self._received += piece
        except BlockingIOError:
            return
        except OSError:
            self._finish(self._status())

    def close(self) -> None:
        """Give up."""
        if self.answer is None:
            self._finish(0)

    def _status(self) -> int:
        head, _, self.body = self._received.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0

    def _finish(self, answer: int, *, refused: bool = False) -> None:
        self.answer = answer
        self.refused = refused
        self._socket.close()
