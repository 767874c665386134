"""The life of Mini WebUI: what happens from the first line on the log to the exit, in the order of the real one."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdlauncher.mini import VERSION
from sdlauncher.mini.flags import declare_extension_flags, make_parser, parse_strictly
from sdlauncher.mini.log import complain, mute, say
from sdlauncher.mini.misbehave import Misbehaviour, read_misbehaviour

if TYPE_CHECKING:
    import argparse

    from sdlauncher.mini.studio import Studio


def main(root: Path) -> None:
    """Run the WebUI of a checkout, with the arguments of this process and of COMMANDLINE_ARGS."""
    clock = _Clock()
    # The model's matrices are so small that threads wait for one another longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = sys.argv[1:] + shlex.split(os.environ.get("COMMANDLINE_ARGS", ""))
    sys.argv = [sys.argv[0], *arguments]
    misbehaviour = _read_misbehaviour()
    mute(muted=misbehaviour.silent)
    parser = make_parser(_find_data_directory(arguments, root))
    # A bad value is found here, at once; an unknown flag only after all imports, since an extension may know it.
    early, _ = parser.parse_known_args(arguments)
    if not early.skip_prepare_environment:
        _prepare(misbehaviour, early)
    kind = "API server" if early.nowebui else "Web UI"
    say(f"Launching {kind} with arguments: {shlex.join(arguments)}")
    flags = _import_everything(clock, parser, misbehaviour, arguments, root)
    signal.signal(signal.SIGINT, _leave_at_once)
    _begin_misbehaving(misbehaviour)

    from sdlauncher.mini.studio import make_studio

    studio = make_studio(root, flags, misbehaviour)
    clock.record("initialize shared")
    if not _loads_later(studio):
        threading.Thread(target=studio.load_at_start, args=(_import_generation,), daemon=True).start()
    if flags.nowebui:
        _serve_api_only(studio, clock)
    else:
        _serve_page(studio, clock)


class _Clock:
    """What each part of the start took."""

    def __init__(self) -> None:
        self.start = self._last = time.monotonic()
        self.records: dict[str, float] = {}

    def record(self, name: str) -> None:
        """Book the time since the last record to a part."""
        now = time.monotonic()
        self.records[name] = self.records.get(name, 0.0) + now - self._last
        self._last = now

    def dump(self) -> dict[str, Any]:
        """Give what /internal/profile-startup answers."""
        return {"total": time.monotonic() - self.start, "records": self.records}


def _read_misbehaviour() -> Misbehaviour:
    try:
        return read_misbehaviour()
    except ValueError as error:
        complain(f"launch.py: error: {error}")
        sys.exit(2)


def _find_data_directory(arguments: list[str], root: Path) -> Path:
    """The defaults of many flags lie in --data-dir; so it must be known before the parser is made."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--data-dir="):
            return Path(argument.partition("=")[2])
        if argument == "--data-dir" and position + 1 < len(arguments):
            return Path(arguments[position + 1])
    return root


def _import_generation() -> None:
    """Import what the first request would: requests that come together must not race for it past the queue."""
    import sdlauncher.mini.generate  # noqa: F401


def _prepare(misbehaviour: Misbehaviour, early: argparse.Namespace) -> None:
    # Without this the start script would start again for ever after one restart that the user asked for.
    Path("tmp", "restart").unlink(missing_ok=True)
    say(f"Python {sys.version}")
    say(f"Version: {VERSION}")
    say("Commit hash: <none>")
    if misbehaviour.no_gpu and not early.skip_torch_cuda_test:
        raise RuntimeError(
            "Torch is not able to use GPU; "
            "add --skip-torch-cuda-test to COMMANDLINE_ARGS variable to disable this check"
        )


def _import_everything(
    clock: _Clock, parser: argparse.ArgumentParser, misbehaviour: Misbehaviour, arguments: list[str], root: Path
) -> argparse.Namespace:
    clock.record("prepare environment")
    if misbehaviour.slow_imports:
        time.sleep(misbehaviour.slow_imports)
    import starlette.applications  # noqa: F401 - the time that it takes belongs here
    import uvicorn.server  # noqa: F401

    clock.record("import web server")
    declare_extension_flags(parser, root)
    if misbehaviour.crash_at == "imports":
        from sdlauncher.mini.trouble import crash

        crash(misbehaviour)
    return parse_strictly(parser, arguments)


def _begin_misbehaving(misbehaviour: Misbehaviour) -> None:
    if misbehaviour != Misbehaviour():
        from sdlauncher.mini.trouble import begin, stay_for_ever

        begin(misbehaviour)
        if misbehaviour.never_ready:
            stay_for_ever()


def _serve_page(studio: Studio, clock: _Clock) -> None:
    from sdlauncher.mini.app import Door
    from sdlauncher.mini.serving import PageServer, find_port

    misbehaviour = studio.misbehaviour
    door = Door(studio)
    door.open_pages()
    clock.record("create ui")
    if not _loads_later(studio):
        # The real one names its weights before it opens the port.
        studio.weights_found.wait()
    socket = find_port(studio.flags)
    server = PageServer(door, socket, studio.flags)
    server.start()
    say(f"Running on local URL:  {server.url}\n\nTo create a public link, set `share=True` in `launch()`.")
    clock.record("page launch")
    if misbehaviour.slow_mount:
        time.sleep(misbehaviour.slow_mount)
    door.mount()
    clock.record("add APIs")
    _announce_ready(studio, clock)
    studio.stopping.wait()
    say("Stopping server...")
    server.close()
    # The real one ends only when the running generation, whose thread is no daemon, has ended.
    with studio.queue:
        sys.stdout.flush()
        os._exit(0)


def _serve_api_only(studio: Studio, clock: _Clock) -> None:
    from sdlauncher.mini.app import Door
    from sdlauncher.mini.serving import serve_api_only

    door = Door(studio)
    door.mount()
    clock.record("add APIs")
    if not _loads_later(studio):
        studio.weights_found.wait()
    _announce_ready(studio, clock)
    serve_api_only(door, studio.flags)


def _loads_later(studio: Studio) -> bool:
    return bool(studio.flags.skip_load_model_at_start or studio.flags.ui_debug_mode)


def _announce_ready(studio: Studio, clock: _Clock) -> None:
    from sdlauncher.mini.studio import describe_seconds

    mute(muted=False)
    studio.startup = clock.dump()
    parts = {name: seconds for name, seconds in clock.records.items() if seconds >= 0.05}
    say(f"Startup time: {describe_seconds(studio.startup['total'], parts)}.")
    studio.serving.set()
    misbehaviour = studio.misbehaviour
    if misbehaviour != Misbehaviour():
        from sdlauncher.mini.trouble import misbehave_when_ready

        misbehave_when_ready(misbehaviour, studio.hanging)


def _leave_at_once(number: int, _: object) -> None:
    complain(f"Interrupted with signal {number}")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path.cwd())
