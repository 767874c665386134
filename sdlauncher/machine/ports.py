"""TCP ports: whether one is free to serve on, who has it, and which is the next free one."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from sdlauncher.errors import SdLauncherError

_NEXT = 200


@dataclass(frozen=True, slots=True)
class Owner:
    """Who listens on a port. The pid is None, the name empty, when the system does not tell us (another user)."""

    pid: int | None
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid is not None else "a process that the system does not name"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. A port above us that only lingers (TIME_WAIT) counts as free."""
    families = {"0.0.0.0": [""], "": [""], "::": ["::"], "localhost": ["127.0.0.1"]}  # noqa: S104
    return all(_can_bind(address, port) for address in families.get(host, [host]))


def explain_host(host: str) -> str:
    """Return the system's words for a host that it cannot find, nothing for one that it can."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        return (isinstance(error, OSError) and error.strerror) or str(error)
    return ""


def find_free(host: str, port: int) -> int | None:
    """Return the next free port after `port`, None when the next 200 are taken."""
    after = range(port + 1, min(port + 1 + _NEXT, 65536))
    return next((one for one in after if is_free(host, one)), None)


def find_owner(port: int) -> Owner:
    """Return who listens on a port, as far as the system tells."""
    import psutil

    try:
        pids = [
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
        ]
        return Owner(pids[0], psutil.Process(pids[0]).name()) if pids else Owner(None, "")
    except psutil.Error:
        return Owner(None, "")


def require_free_port(host: str, port: int) -> None:
    """Raise SDL-PORT-TAKEN, naming who has the port and the next free one, unless it is free."""
    if is_free(host, port):
        return
    following = find_free(host, port)
    raise SdLauncherError(
        "SDL-PORT-TAKEN", port=port, owner=find_owner(port), free="none nearby" if following is None else following
    )


def _can_bind(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last run that lingers is no obstacle (on Windows the flag means another).
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
        return True
