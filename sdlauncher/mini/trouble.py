"""How the misbehaviours that act on the process itself are done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Final

from sdlauncher.mini.failures import ApiError
from sdlauncher.mini.jobs import Progress
from sdlauncher.mini.log import say
from sdlauncher.mini.misbehave import Misbehaviour


def crash(misbehaviour: Misbehaviour) -> None:
    """End the process at once, with the exit code or by the signal that was asked for."""
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(misbehaviour.crash_with, str):
        number = signal.Signals[f"SIG{misbehaviour.crash_with}"]
        if number in (signal.SIGTERM, signal.SIGABRT):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(5)
    os._exit(misbehaviour.crash_with if isinstance(misbehaviour.crash_with, int) else 1)


def begin(misbehaviour: Misbehaviour) -> None:
    """Start what goes on from the first moment: deafness to signals, growth, a detached grandchild."""
    if misbehaviour.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if misbehaviour.grow:
        threading.Thread(target=_grow, args=(misbehaviour.grow,), daemon=True).start()
    if misbehaviour.grandchild:
        # In its own session and without our files: it outlives us, and no signal to our group reaches it.
        subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(3600)", "mini-webui-grandchild"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def flood(size: float) -> None:
    """Write about this many bytes of log as fast as they are taken."""
    line = "flood: " + "x" * 1016
    block = "\n".join([line] * 64)
    for _ in range(int(size // (1024 * 64)) + 1):
        say(block)
    sys.stdout.flush()


def stay_for_ever() -> None:
    """Run on and never come to anything."""
    while True:
        time.sleep(3600)


def _grow(bytes_per_second: float) -> None:
    kept: list[bytes] = []
    while True:
        # Random-looking content: the kernel must not share or compress it away.
        kept.append(os.urandom(max(1, int(bytes_per_second / 10))))
        time.sleep(0.1)


class OutOfMemoryError(RuntimeError):
    """What PyTorch raises when a card's memory is full."""


# The words, and the spelling, of PyTorch 2.1.
_OUT_OF_MEMORY: Final = (
    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacty of 7.79 GiB of which 562.31 MiB is "
    "free. Process 1234 has 7.23 GiB memory in use. Of the allocated memory 6.91 GiB is allocated by PyTorch, and "
    "120.29 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "max_split_size_mb to avoid fragmentation.  See documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF"
)
_NO_DRIVER: Final = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from "
    "http://www.nvidia.com/Download/index.aspx"
)


def misbehave_before_generating(misbehaviour: Misbehaviour, *, on_cpu: bool) -> None:
    """Fail, hang or crash before the first step, as asked."""
    if misbehaviour.crash_at == "generate":
        crash(misbehaviour)
    if misbehaviour.hang_at_generate:
        stay_for_ever()
    if misbehaviour.errors is not None:
        raise ApiError(misbehaviour.errors, "this failure was asked for")
    if misbehaviour.oom:
        raise OutOfMemoryError(_OUT_OF_MEMORY)
    if misbehaviour.no_gpu and not on_cpu:
        raise RuntimeError(_NO_DRIVER)


def misbehave_in_step(misbehaviour: Misbehaviour, share: float, progress: Progress) -> None:
    """Let a picture take its asked time, spread over its steps; `share` of them are done."""
    if not misbehaviour.seconds_per_picture:
        return
    due = progress.picture_start + misbehaviour.seconds_per_picture * share
    while time.monotonic() < due and not progress.should_stop():
        time.sleep(min(0.02, max(0.0, due - time.monotonic())))


def misbehave_when_ready(misbehaviour: Misbehaviour, hanging: threading.Event) -> None:
    """Flood, crash or hang once "Startup time:" was printed."""
    if misbehaviour.flood:
        threading.Thread(target=flood, args=(misbehaviour.flood,), daemon=True).start()
    if misbehaviour.crash_at == "ready":
        crash(misbehaviour)
    if misbehaviour.hang_after is not None:
        timer = threading.Timer(misbehaviour.hang_after, hanging.set)
        timer.daemon = True
        timer.start()
