"""From settings to a running WebUI: hardware, plan, launch, supervisor, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sdlauncher.catalog import load_webui
from sdlauncher.core.hardware import GIB
from sdlauncher.core.settings import Settings
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.credentials import ensure_credentials, read_credentials
from sdlauncher.machine.files import read_text, write_bytes
from sdlauncher.machine.paths import Paths
from sdlauncher.machine.ports import require_free_port
from sdlauncher.machine.settings import checkout_of, remember
from sdlauncher.setup.site import STAMP
from sdlauncher.supervise import control
from sdlauncher.supervise.control import Status
from sdlauncher.supervise.launch import prepare
from sdlauncher.supervise.spec import LaunchSpec

Say = Callable[..., None]

# Less than this is too little for any Stable Diffusion model, whatever the flags.
_LITTLE_MEMORY: Final = 2 * GIB


def start_instance(
    paths: Paths,
    settings: Settings,
    *,
    wait: float | None = None,
    until_ready: bool = True,
    foreground: bool = False,
    force: bool = False,
    spoken: Mapping[str, Any] | None = None,
    say: Say,
) -> Status:
    """Start an instance as its settings say; one that runs already is left alone.

    `spoken` is remembered once it has turned out to make a launch; `force` starts with flags that the checkout would
    refuse. Raises SDL-NOT-INSTALLED without a checkout, SDL-PORT-TAKEN, what planning and `control.start` raise.
    """
    files = paths.instance(settings.instance)
    now = control.read_status(files)
    if now.is_up and now.state != "stopping" and not foreground:
        say("running-already", instance=settings.instance, state=now.state, url=now.url)
        return control.wait_ready(files, wait, progress_teller(say)) if until_ready else now
    settings = settle_webui(paths, settings)
    spec = build_spec(paths, settings, force=force, say=say)
    if not now.is_up:
        # One that is still being stopped has its port until then; the start waits for it.
        require_free_port(spec.host, spec.port)
    remember(files, {**(spoken or {}), "webui": settings.webui})
    if foreground:
        from sdlauncher.supervise.foreground import run

        return run(files, spec)
    say("starting", instance=settings.instance, webui=spec.webui, url=spec.url)
    return control.start(files, spec, wait=wait, until_ready=until_ready, on_progress=progress_teller(say))


def settle_webui(paths: Paths, settings: Settings) -> Settings:
    """Learn from a folder that was named which WebUI it holds, unless somebody said so. Raises SDL-NOT-A-CHECKOUT."""
    if settings.webui or not settings.dir:
        return settings
    from sdlauncher.setup.adopt import not_a_checkout
    from sdlauncher.setup.checkout import identify

    checkout = checkout_of(paths, settings)
    found = identify(checkout)
    if found is None:
        raise not_a_checkout(checkout)
    return replace(settings, webui=found)


def build_spec(paths: Paths, settings: Settings, *, force: bool = False, say: Say | None = None) -> LaunchSpec:
    """Plan an instance and make the launch of it; a GPU that is nearly full is said.

    Raises SDL-NOT-INSTALLED and what planning raises (SDL-GPU-ABSENT for a GPU that is not there).
    """
    from sdlauncher.machine.gpu import detect_hardware
    from sdlauncher.setup.planning import plan_for

    webui = load_webui(settings.webui_name)
    checkout = checkout_of(paths, settings)
    if not checkout.is_dir():
        raise SdLauncherError("SDL-NOT-INSTALLED", webui=webui.title, path=checkout)
    plan = plan_for(detect_hardware(), settings, checkout=checkout, paths=paths, force=force)
    gpu = plan.gpu
    if say is not None and gpu is not None and gpu.memory_free is not None and gpu.memory_free < _LITTLE_MEMORY:
        users = ", ".join(str(one.pid) for one in gpu.processes) or "-"
        say("gpu-full", gpu=gpu.name, index=gpu.index, free=f"{gpu.memory_free / GIB:.1f}", pids=users)
    credentials = _read_credentials(plan.credentials, say) if plan.credentials else None
    spec = prepare(settings, plan, checkout, webui, credentials=credentials)
    return spec._replace(env={**_restated(paths, webui.name, checkout), **spec.env})


def _restated(paths: Paths, webui: str, checkout: Path) -> dict[str, str]:
    """Write requirements that an environment of ours meets, for a WebUI whose own never are; return where they are."""
    from sdlauncher.catalog.recipe import load_recipe
    from sdlauncher.core.recipe import restate

    recipe = load_recipe(webui, paths.config / "recipes")
    if recipe is None or not recipe.requirements_variable or not (checkout / "venv" / STAMP).is_file():
        return {}
    asked = read_text(checkout / recipe.requirements)
    if asked is None:
        return {}
    # Anew at each start: a checkout that was updated by hand asks for other packages.
    file = checkout / "venv" / "sdlauncher-requirements.txt"
    write_bytes(file, restate(recipe, asked).encode())
    return {recipe.requirements_variable: str(file)}


def progress_teller(say: Say) -> Callable[[Status], None]:
    """Return a listener that says what an instance is doing whenever that changes."""
    told: set[tuple[str, str]] = set()

    def tell(status: Status) -> None:
        if status.state == "backoff":
            last = status.last_exit or {}
            key = ("backoff", status.since)
            if key not in told:
                told.add(key)
                say("crashed", cause=last.get("cause"), evidence=last.get("evidence"), seconds=status.retry_in)
        elif status.state == "starting" and status.doing and ("doing", status.doing) not in told:
            told.add(("doing", status.doing))
            say("doing", what=status.doing)

    return tell


def _read_credentials(path: str, say: Say | None) -> str:
    """Return `user:password`; what nobody made before is made now, and said this once."""
    made = ensure_credentials(Path(path))
    if made is not None and say is not None:
        say("configure-credentials", user=made.user, password=made.password, path=path)
    kept = made or read_credentials(Path(path))
    assert kept is not None
    return kept.words
