"""Installing a WebUI: which steps it takes, in which order, and that only one run at a time takes them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sdlauncher.catalog import load_webui
from sdlauncher.catalog.recipe import describe_advisories, load_advisories, load_recipe
from sdlauncher.core.advisories import Cures, choose_advisories, combine
from sdlauncher.core.mirrors import Mirrors, parse_mirrors
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import hold
from sdlauncher.machine.paths import Paths
from sdlauncher.machine.settings import checkout_of, read_config, remember
from sdlauncher.messages import choose_language
from sdlauncher.setup.checkout import UNFINISHED, identify, is_mini_laid_out, lay_out_mini, name_contents, require_mini
from sdlauncher.setup.environment import environment_steps, is_foreign
from sdlauncher.setup.packages import SYSTEM
from sdlauncher.setup.parts import missing_parts
from sdlauncher.setup.site import Say, Site
from sdlauncher.setup.sources import checkout_step, read_pins, repositories_step
from sdlauncher.setup.steps import Step, StepResult, perform, perform_lanes

if TYPE_CHECKING:  # "nothing to do" must be quick, and needs none of it
    from sdlauncher.core.hardware import Hardware
    from sdlauncher.setup.unbundle import Bundle

__all__ = ["Installed", "Say", "install", "open_site"]

# How long to wait for what an interrupted run left working (a git or a uv that outlived it).
_PATIENCE: Final = 120.0
_PROBE_SECONDS: Final = 6.0


class Installed(NamedTuple):
    """An installation as it stands at the end; `advisories` are the ids of the cures that were applied."""

    webui: str
    checkout: Path
    steps: tuple[StepResult, ...]
    seconds: float
    advisories: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return any(step.outcome != "already" for step in self.steps)


def install(
    paths: Paths,
    settings: Settings,
    hardware: Hardware | Callable[[], Hardware],
    *,
    ref: str | None = None,
    dry_run: bool = False,
    say: Say,
    offline: bool = False,
    mirrors: Mirrors | None = None,
    bundle: Path | None = None,
) -> Installed:
    """Install the WebUI that the settings mean, doing only what is not done yet, and remember it for the instance.

    `hardware` may be a function; it is called only when torch has to be chosen. `ref` is another tag, branch or
    commit than the recipe's. `mirrors` are those of config.toml unless given. `offline` opens no connection, and a
    `bundle` is the only source. Raises SDL-DIR-NOT-EMPTY when something else lies in the checkout's place,
    SDL-CHECKOUT-OTHER when it is another WebUI, SDL-INSTALL-RUNNING when another run is at it, SDL-BUNDLE-… for a
    bundle that cannot be used, SDL-PREFLIGHT and its kin before anything is fetched, and the error of the step that
    failed.
    """
    began = time.monotonic()
    opened = None
    if bundle is not None:
        from sdlauncher.setup.unbundle import open_bundle

        opened = open_bundle(bundle, paths, settings.instance)
        settings = replace(settings, webui=settings.webui or opened.manifest.webui)
    directory = checkout_of(paths, settings)
    webui = choose_webui(settings, directory)
    applied: tuple[str, ...] = ()
    if webui == "mini":
        require_mini()
        step = Step("checkout", lambda: is_mini_laid_out(directory), lambda: lay_out_mini(directory))
        results = [perform(step, dry_run=dry_run, say=say)]
    else:
        settings = replace(settings, webui=webui)
        site = open_site(paths, settings, hardware, say=say, ref=ref, offline=offline, mirrors=mirrors, bundle=opened)
        results, applied = _install_by_recipe(site, dry_run=dry_run, bundle=opened), site.cures.applied
    if not dry_run:
        _remember(paths, settings, webui, directory)
    return Installed(webui, directory, tuple(results), time.monotonic() - began, applied)


def open_site(
    paths: Paths,
    settings: Settings,
    hardware: Hardware | Callable[[], Hardware],
    *,
    say: Say,
    ref: str | None = None,
    offline: bool = False,
    mirrors: Mirrors | None = None,
    bundle: Bundle | None = None,
) -> Site:
    """Bring together what every step needs. Raises SDL-INSTALL-NO-RECIPE and what a broken config.toml raises."""
    recipe = load_recipe(settings.webui_name, paths.config / "recipes")
    if recipe is None:
        raise SdLauncherError("SDL-INSTALL-NO-RECIPE", webui=settings.webui_name)
    chosen = choose_advisories(
        load_advisories(), webui=recipe.webui, version=recipe.version, system=SYSTEM, off=settings.advisories_off
    )
    return Site(
        paths=paths,
        settings=settings,
        hardware=hardware if callable(hardware) else lambda: hardware,
        directory=checkout_of(paths, settings),
        recipe=recipe,
        mirrors=bundle.mirrors if bundle is not None else mirrors or read_mirrors(paths),
        cures=combine(chosen),
        log=paths.instance(settings.instance).root / "install.log",
        say=say,
        ref=ref,
        offline=offline or bundle is not None,
        bundle=bundle.manifest if bundle is not None else None,
    )


def read_mirrors(paths: Paths) -> Mirrors:
    """Read `[mirrors]` of config.toml. Raises SDL-CONFIG-KEY and SDL-CONFIG-VALUE."""
    return parse_mirrors(f"{paths.config_file} [mirrors]", read_config(paths).get("mirrors", {}))


def use_hub(paths: Paths, settings: Settings, hub: str, say: Say) -> None:
    """Make the WebUI of an instance take models from a mirror of the hub, and say whether that one answers."""
    from sdlauncher.machine.download import probe

    evidence = probe(hub, timeout=_PROBE_SECONDS)
    if evidence is None:
        say("install-hub", hub=hub)
    else:
        say("install-hub-silent", hub=hub, evidence=evidence)
    remember(paths.instance(settings.instance), {"env": {**settings.env, "HF_ENDPOINT": hub.rstrip("/")}})


def choose_webui(settings: Settings, directory: Path) -> str:
    """Return the WebUI to install into `directory`: the one that was named, else the one that is there.

    Raises SDL-WEBUI-UNKNOWN, SDL-CHECKOUT-OTHER when another one is there, SDL-DIR-NOT-EMPTY when something else is.
    """
    if settings.webui:
        load_webui(settings.webui)
    there = identify(directory) or _unfinished(directory)
    wanted = settings.webui or there or settings.webui_name
    if there is not None and there != wanted:
        raise SdLauncherError("SDL-CHECKOUT-OTHER", path=directory, found=there, wanted=wanted)
    if there is None and directory.is_dir() and not _is_ours_alone(directory):
        raise SdLauncherError("SDL-DIR-NOT-EMPTY", path=directory, evidence=name_contents(directory))
    if there is None and directory.exists() and not directory.is_dir():
        raise SdLauncherError("SDL-DIR-NOT-EMPTY", path=directory, evidence="it is a file")
    return wanted


@contextlib.contextmanager
def alone(site: Site) -> Iterator[None]:
    """Keep every other installation away from this checkout, also while a child of a killed one still works in it.

    The descriptor of the lock goes to the commands that we run, so that the lock lives as long as the last of them.
    Raises SDL-INSTALL-RUNNING after two minutes, SDL-FILE-WRITE where no lock can be.
    """
    name = hashlib.sha256(str(site.directory).encode()).hexdigest()[:16]
    file = site.paths.cache / "locks" / f"{name}.lock"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=file.parent, evidence=error) from error
    began, told = time.monotonic(), False
    while True:
        with hold(file) as descriptor:
            if descriptor is not None:
                site.keep_open.append(descriptor)
                try:
                    yield
                finally:
                    site.keep_open.clear()
                return
        if time.monotonic() - began > _PATIENCE:
            raise SdLauncherError("SDL-INSTALL-RUNNING", path=site.directory)
        if not told:
            site.say("install-waiting")
            told = True
        time.sleep(0.2)


def _remember(paths: Paths, settings: Settings, webui: str, directory: Path) -> None:
    named = {"dir": str(directory)} if directory != paths.checkout(webui) else {}
    remember(paths.instance(settings.instance), {"webui": webui, **named})


def _install_by_recipe(site: Site, *, dry_run: bool, bundle: Bundle | None) -> list[StepResult]:
    if bundle is not None:
        from sdlauncher.setup.unbundle import bring_models, clear, lay_out, require_fit

        require_fit(bundle, site.recipe)
    first = checkout_step(site)
    foreign = is_foreign(site)
    beside = repositories_step(site, lenient=foreign)
    lanes = [() if foreign else environment_steps(site), (beside,)]
    every = [first, *(step for lane in lanes for step in lane)]
    if dry_run or all(step.is_done() for step in every):
        return [perform(step, dry_run=dry_run, say=site.say) for step in every]
    with alone(site):
        if bundle is not None:
            site.say("install-bundle", path=bundle.file)
            lay_out(bundle, site.paths)
        packages = not all(step.is_done() for step in lanes[0])
        site = _prepare(site, checkout_needed=not first.is_done(), packages=packages)
        # Now, so that a run without options goes on with this one, should this one be interrupted.
        _remember(site.paths, site.settings, site.recipe.webui, site.directory)
        # The steps again, with the sources that answered.
        lanes = [() if foreign else environment_steps(site), (repositories_step(site, lenient=foreign),)]
        done = [perform(checkout_step(site), dry_run=False, say=site.say)]
        done += perform_lanes(lanes, dry_run=False, say=site.say)
        if bundle is not None:
            bring_models(bundle, site.directory)
            clear(bundle)
        return done


def _prepare(site: Site, *, checkout_needed: bool, packages: bool) -> Site:
    """Look ahead, say what was seen, and return the site with the package indexes that answer."""
    from sdlauncher.setup.preflight import look_ahead, refuse

    site.say("install-preflight")
    wanted = (site.recipe.program, *site.recipe.repositories)
    if not checkout_needed:
        wanted = tuple(it for it in read_pins(site) if not (site.directory / it.folder / ".git").exists())
    if packages:
        wanted += missing_parts(site)
    seen = look_ahead(site, wanted=wanted, packages=packages)
    refuse(seen.found)
    for index, evidence in seen.silent.items():
        site.say("install-index-silent", index=index, evidence=evidence)
    if packages and "packages" in site.mirrors.chosen and site.bundle is None:
        site.say("install-index", index=", ".join(seen.indexes))
    for verdict in seen.found:
        if verdict.level is Level.WARNING:
            text = SdLauncherError(verdict.code, **verdict.facts).describe(choose_language(os.environ))
            site.say("install-warning", text=f"{text.sentence} ({text.hint})")
    _tell_cures(site, site.cures)
    return replace(site, mirrors=site.mirrors._replace(packages=seen.indexes)) if seen.indexes else site


def _tell_cures(site: Site, cures: Cures) -> None:
    for name in cures.applied:
        text = describe_advisories()[name][choose_language(os.environ)]
        site.say("install-advisory", id=name, text=text)


def _is_ours_alone(directory: Path) -> bool:
    """Whether nothing is there, or only our own mark: whole, or torn by a kill while it was written."""
    return all(entry.name.startswith((UNFINISHED, f".{UNFINISHED}.")) for entry in directory.iterdir())


def _unfinished(directory: Path) -> str | None:
    try:
        return (directory / UNFINISHED).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
