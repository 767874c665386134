"""An instance through a change: it makes a picture before and after an update, and runs afterwards if it ran before."""

from __future__ import annotations

from dataclasses import replace

from sdlauncher.core.settings import Settings
from sdlauncher.core.snapshot import Change, Snapshot
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import Paths
from sdlauncher.setup.run import start_instance
from sdlauncher.setup.site import Say, Site
from sdlauncher.setup.snapshots import plan_restore, restore, take_snapshot
from sdlauncher.setup.update import Gate, Target, Updated, update
from sdlauncher.supervise import control
from sdlauncher.verify.smoke import SmokeRequest, run_smoke
from sdlauncher.verify.target import find_target

# A crash at the gate may be chance; two of them are an answer, and whoever waits for it waits no longer.
_RESTARTS = 1


def update_through_gate(site: Site, target: Target, *, check: bool) -> Updated:
    """Update an instance and leave it running or stopped as it was; `check` False trusts the target.

    An instance that fails its picture already before is updated without the gate: going back would not help it.
    """
    paths, settings, say = site.paths, site.settings, site.say
    files = paths.instance(settings.instance)
    if target.commit == target.current:
        return Updated(target, None, ())
    was_up = control.read_status(files).is_up
    gate = make_gate(paths, settings, say)
    speed: float | None = None
    judged: Gate | None = None
    if check:
        say("update-baseline")
        failure, speed = gate()
        judged = gate if failure is None else None
        if failure is not None:
            say("update-no-baseline", reason=str(failure))
    control.stop(files, timeout=settings.stop_timeout)
    done = update(site, target, gate=judged, speed=speed, stop=lambda: control.stop(files))
    if was_up:
        start_instance(paths, settings, say=say)
    else:
        control.stop(files, timeout=settings.stop_timeout)
    return done


def go_back(site: Site, snapshot: Snapshot) -> tuple[Change, ...]:
    """Put an installation back to a snapshot and leave the instance running or stopped as it was.

    The state before becomes a snapshot as well. Returns what was changed; raises what restoring and starting raise.
    """
    files = site.paths.instance(site.settings.instance)
    if not plan_restore(site, snapshot):
        return ()
    was_up = control.read_status(files).is_up
    control.stop(files, timeout=site.settings.stop_timeout)
    take_snapshot(site, f"before going back to {snapshot.id}")
    changes = restore(site, snapshot)
    if was_up:
        start_instance(site.paths, site.settings, say=site.say)
    return changes


def make_gate(paths: Paths, settings: Settings, say: Say) -> Gate:
    """Return the question whether the instance starts and makes a good picture."""
    files = paths.instance(settings.instance)
    impatient = replace(settings, restart_limit=_RESTARTS)

    def ask() -> tuple[SdLauncherError | None, float | None]:
        try:
            start_instance(paths, impatient, say=say)
            smoke = run_smoke(find_target(files), SmokeRequest(), files.root / "update.png")
        except SdLauncherError as error:
            return error, None
        return smoke.failure, smoke.steps_per_second

    return ask
