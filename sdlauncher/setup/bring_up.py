"""From nothing to a checked picture: install, configure, start and smoke one instance, doing only what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdlauncher.core.settings import DEFAULT_WEBUI, Settings
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.gpu import detect_hardware
from sdlauncher.machine.paths import Paths, locate_paths
from sdlauncher.machine.ports import require_free_port
from sdlauncher.machine.settings import checkout_of, read_settings, remember
from sdlauncher.setup.configure import configure, plan_for
from sdlauncher.setup.install import Say, choose_webui, install
from sdlauncher.setup.run import build_spec, start_instance
from sdlauncher.supervise import control
from sdlauncher.supervise.control import Status
from sdlauncher.supervise.spec import LaunchSpec, read_spec
from sdlauncher.verify.smoke import OnProgress, Smoke, SmokeRequest, run_smoke
from sdlauncher.verify.target import find_target


@dataclass(frozen=True, slots=True)
class BroughtUp:
    """An instance that runs, and what its picture showed (None when none was asked for)."""

    status: Status
    checkout: Path
    smoke: Smoke | None


def bring_up(
    instance: str,
    spoken: Mapping[str, Any],
    *,
    request: SmokeRequest,
    picture: Path | None,
    checkpoint: str | None = None,
    say: Say,
    on_progress: OnProgress | None = None,
) -> BroughtUp:
    """Bring an instance from whatever it is now to running and checked; `picture` None leaves the check out.

    `checkpoint` is the URL or the path of a model to bring as well; one of that name that is there already stays.
    An interrupted start is stopped again; everything else that was done stays, so that the next call goes on from
    there. Raises what installing, configuring, starting and checking raise.
    """
    paths = locate_paths()
    files = paths.instance(instance)
    settings = _choose_webui(paths, read_settings(paths, instance, spoken), say)
    _look_for_model(paths, settings, checkpoint, say)
    checkout = install(paths, settings, detect_hardware, say=say).checkout
    if checkpoint is not None:
        _bring_model(paths, settings, checkpoint, checkout)
    plan = plan_for(detect_hardware(), settings, checkout=checkout, paths=paths)
    if not control.read_status(files).is_up:
        # Before anything is written: a port that cannot be had is not remembered.
        require_free_port(plan.bind, plan.port)
    remember(files, {**spoken, "webui": settings.webui})
    written = configure(checkout, plan, settings)
    if (made := written.made) is not None:
        say("configure-credentials", user=made.user, password=made.password, path=plan.credentials)
    status = _start(paths, settings, say)
    smoke = None
    if picture is not None:
        smoke = run_smoke(find_target(files), request, picture, on_progress=on_progress)
    return BroughtUp(status, checkout, smoke)


def _choose_webui(paths: Paths, settings: Settings, say: Say) -> Settings:
    """Settle which WebUI is meant: the one that was named, the one in the folder, else by whether there is a GPU."""
    if settings.webui or settings.dir:
        return replace(settings, webui=choose_webui(settings, checkout_of(paths, settings)))
    chosen = DEFAULT_WEBUI if detect_hardware().gpus else "mini"
    say("chose-webui" if chosen == DEFAULT_WEBUI else "chose-mini", webui=chosen)
    return replace(settings, webui=chosen)


def _look_for_model(paths: Paths, settings: Settings, checkpoint: str | None, say: Say) -> None:
    """Say before the first gigabyte what would be missing at the end. Raises SDL-MODEL-SOURCE."""
    from sdlauncher.setup.models import find_source, shared_folder

    if checkpoint is not None:
        find_source(checkpoint)
    elif settings.webui != "mini" and not checkout_of(paths, settings).is_dir() and not shared_folder(settings.flags):
        say("no-checkpoint")


def _bring_model(paths: Paths, settings: Settings, source: str, checkout: Path) -> None:
    from sdlauncher.setup.install import read_mirrors
    from sdlauncher.setup.models import add_model, shared_folder

    try:
        add_model(source, checkout, mirrors=read_mirrors(paths), shared=shared_folder(settings.flags))
    except SdLauncherError as error:
        if error.code != "SDL-MODEL-EXISTS":
            raise


def _start(paths: Paths, settings: Settings, say: Say) -> Status:
    """Start it, or start it again when it runs with other flags than it should now."""
    files = paths.instance(settings.instance)
    before = control.read_status(files)
    if before.is_up:
        wanted, running = build_spec(paths, settings), read_spec(str(files.launch))
        if running is not None and _words(wanted) == _words(running):
            return start_instance(paths, settings, say=say)
        say("restarting-changed", instance=settings.instance)
        control.stop(files, drain=True)
    try:
        return start_instance(paths, settings, say=say)
    except KeyboardInterrupt:
        control.stop(files, timeout=settings.stop_timeout)
        raise


def _words(spec: LaunchSpec) -> tuple[object, ...]:
    """What makes two launches the same: the environment at large may differ from terminal to terminal."""
    return spec.argv, spec.cwd, spec.host, spec.port, spec.gpu, spec.env.get("SDLAUNCHER_COMMANDLINE_ARGS")
