"""Supervising in the foreground, for containers and service managers: the same loop, the log also on stdout.

As process 1 of a container it reaps orphans, and it forwards no signal but ends the WebUI in good order itself. A
service manager is told READY, STATUS, WATCHDOG and STOPPING over the socket that systemd names in NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import process
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.supervise import control, daemon
from sdlauncher.supervise.control import Status
from sdlauncher.supervise.spec import LaunchSpec

# What systemd is told of each state.
_STATUS = {
    "starting": "starting",
    "running": "serving",
    "stopping": "stopping",
    "backoff": "waiting before the next try",
}


def run(files: InstancePaths, spec: LaunchSpec) -> Status:
    """Supervise in this process until the instance is stopped or given up.

    Raises SDL-ALREADY-SUPERVISED when another supervisor has it, and what a failed start raises.
    """
    control.hand_over(files, spec)
    process.become_subreaper()
    process.keep_descriptors()
    manager = Manager(os.environ.pop("NOTIFY_SOCKET", ""))
    watchdog = int(os.environ.pop("WATCHDOG_USEC", "0")) / 2e6
    code = daemon.supervise(
        str(files.root), "start", tell=manager, copy_to=sys.stdout.fileno(), beat=watchdog, on_beat=manager.beat
    )
    status = control.read_status(files, adopt=False)
    if code == daemon.BUSY:
        raise SdLauncherError("SDL-ALREADY-SUPERVISED", instance=files.name, pid=status.supervisor_pid)
    if status.state == "fatal":
        raise control.failure(files, status)
    return status


class Manager:
    """The service manager's side: one datagram per change, nothing when there is none."""

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._told = ""

    def __call__(self, record: dict[str, Any]) -> None:
        state = str(record.get("state"))
        doing = record.get("doing") if state == "starting" else ""
        lines = [f"STATUS={_STATUS.get(state, state)}{f': {doing}' if doing else ''}"]
        if state == "running":
            lines.append("READY=1")
        elif state == "stopping" and record.get("after") == "stopped":
            lines.append("STOPPING=1")
        text = "\n".join(lines)
        if text != self._told:
            self._told = text
            self._send(text)

    def beat(self) -> None:
        """Tell that the loop goes round."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address:
            process.send_datagram(self._address, text.encode())
