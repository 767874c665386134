"""How soon `running` is known after the WebUI's last word: a child that writes the time into that very line."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import time
from pathlib import Path

CHILD = """
import socket, time
server = socket.socket(); server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", %d)); server.listen(9)
print("Launching Web UI with arguments: x", flush=True)
time.sleep(0.5)
print("Startup time: 0.1s at %%d" %% time.monotonic_ns(), flush=True)
while True:
    client = server.accept()[0]
    client.recv(4096)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}")
    client.close()
"""


def measure(folder: Path) -> float:
    """Return milliseconds."""
    from sdlauncher.catalog import load_webui
    from sdlauncher.core.lifecycle import Policy
    from sdlauncher.core.readiness import Patterns
    from sdlauncher.machine.paths import InstancePaths
    from sdlauncher.supervise import control
    from sdlauncher.supervise.spec import LaunchSpec

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = load_webui("a1111").log
    spec = LaunchSpec("ready", "a1111", str(folder), (sys.executable, "-I", "-S", "-c", CHILD % port), {}, str(folder),
                      "127.0.0.1", port, f"http://127.0.0.1:{port}",
                      Patterns(*(getattr(log, name) for name in Patterns._fields)), "none", Policy())  # fmt: skip
    files = InstancePaths("ready", folder / "state")
    seen: list[int] = []

    def hear(status: control.Status) -> None:
        if status.state == "running":
            seen.append(time.monotonic_ns())

    try:
        control.start(files, spec, wait=30, on_progress=hear)
        said = re.search(r"Startup time: .* at (\d+)", files.log.read_text())
        assert said is not None
        return (seen[0] - int(said[1])) / 1e6
    finally:
        control.stop(files)
