"""What `plan` and `configure` do with an instance: its settings, this machine or a described one, its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdlauncher.core.exposure import SECRET_FLAGS
from sdlauncher.core.hardware import Hardware
from sdlauncher.core.launch import LaunchPlan
from sdlauncher.core.quoting import join_words, split_words
from sdlauncher.core.wishes import group_words, name_of, normalize_name
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import locate_paths
from sdlauncher.machine.settings import checkout_of, read_settings, recall, remember
from sdlauncher.setup.planning import plan_for

if TYPE_CHECKING:  # `plan` must be quick, and needs none of these
    from sdlauncher.core.flags import FlagCheck
    from sdlauncher.machine.credentials import Credentials
    from sdlauncher.setup.configure import Written


@dataclass(frozen=True, slots=True)
class Change:
    """What `configure` was told beside settings: flags to add and to leave out, in the user's words."""

    to_set: tuple[str, ...] = ()
    to_unset: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration that was written, or would be."""

    checkout: Path
    plan: LaunchPlan
    written: Written
    is_dry_run: bool


def plan_instance(instance: str, spoken: Mapping[str, Any], described: str | None = None) -> LaunchPlan:
    """Plan for an instance on this machine, or on the one that the file `described` holds. Changes nothing."""
    paths = locate_paths()
    settings = read_settings(paths, instance, spoken)
    if described is not None:
        from sdlauncher.machine.described import read_hardware

        return plan_for(read_hardware(Path(described)), settings, environment={}, paths=paths)
    checkout = checkout_of(paths, settings)
    return plan_for(_detect(), settings, checkout=checkout if checkout.is_dir() else None, paths=paths, force=True)


def configure_instance(
    instance: str, spoken: Mapping[str, Any], change: Change, *, hardware: Hardware | None = None
) -> Configured:
    """Plan for an instance, write the plan into its checkout and remember what was said.

    Raises SDL-CHECKOUT-ABSENT, SDL-SETTING-FORM, and what planning and writing raise.
    """
    from sdlauncher.machine.credentials import write_credentials
    from sdlauncher.setup.configure import configure

    paths = locate_paths()
    files = paths.instance(instance)
    secret, flags = _take_secrets(change.to_set)
    told = {**spoken, **_merge_flags(recall(files), flags, change.to_unset)}
    settings = read_settings(paths, instance, told)
    checkout = checkout_of(paths, settings)
    if not checkout.is_dir():
        raise SdLauncherError("SDL-CHECKOUT-ABSENT", path=checkout, webui=settings.webui_name)
    plan = plan_for(hardware or _detect(), settings, checkout=checkout, paths=paths, force=change.force)
    written = configure(checkout, plan, settings, dry_run=True)
    if change.dry_run:
        return Configured(checkout, plan, written, is_dry_run=True)
    if secret is not None:
        write_credentials(files.credentials, secret)
    written = configure(checkout, plan, settings)
    remember(files, told)
    return Configured(checkout, plan, written, is_dry_run=False)


def undo_instance(instance: str, spoken: Mapping[str, Any], *, dry_run: bool) -> Written:
    """Take our block out of the webui-user files of an instance's checkout."""
    from sdlauncher.setup.configure import undo

    paths = locate_paths()
    settings = read_settings(paths, instance, spoken)
    checkout = checkout_of(paths, settings)
    if not checkout.is_dir():
        raise SdLauncherError("SDL-CHECKOUT-ABSENT", path=checkout, webui=settings.webui_name)
    return undo(checkout, settings.webui_name, dry_run=dry_run)


def check_instance(
    instance: str, spoken: Mapping[str, Any], args: tuple[str, ...]
) -> tuple[str, tuple[FlagCheck, ...]]:
    """Check arguments against an instance's checkout, or against the catalog where it has none or a WebUI was named."""
    from sdlauncher.setup.checkout_flags import check_flags

    paths = locate_paths()
    settings = read_settings(paths, instance, spoken)
    checkout = checkout_of(paths, settings)
    if spoken.get("dir") is not None and not checkout.is_dir():
        raise SdLauncherError("SDL-CHECKOUT-ABSENT", path=checkout, webui=settings.webui_name)
    in_catalog = spoken.get("webui") is not None and spoken.get("dir") is None
    found = None if in_catalog or not checkout.is_dir() else checkout
    return settings.webui_name, check_flags(args, checkout=found, webui=settings.webui_name)


def _detect() -> Hardware:
    from sdlauncher.machine.gpu import detect_hardware

    return detect_hardware()


def _take_secrets(texts: tuple[str, ...]) -> tuple[Credentials | None, tuple[str, ...]]:
    """Part what carries a password from the flags; the rest comes back as POSIX-quoted texts."""
    from sdlauncher.machine.credentials import parse_credentials

    secret: Credentials | None = None
    flags: list[str] = []
    for text in texts:
        name, has_value, value = text.partition("=")
        name = name.strip()
        if not name.strip("-") or " " in name:
            raise SdLauncherError("SDL-SETTING-FORM", text=text)
        name = normalize_name(name)
        if name in SECRET_FLAGS:
            secret = parse_credentials(value, name)
        else:
            flags.append(join_words((name, value) if has_value else (name,)))
    return secret, tuple(flags)


def _merge_flags(kept: Mapping[str, Any], added: tuple[str, ...], removed: tuple[str, ...]) -> dict[str, Any]:
    """Fold --set and --unset into what the instance remembers: the last word on a flag counts."""
    if not added and not removed:
        return {}
    flags = list(kept.get("flags", ()))
    without = [normalize_name(name) for name in kept.get("without", ())]
    for text in added:
        name = name_of(split_words(text))
        flags = [other for other in flags if _first_name(other) != name]
        flags.append(text)
        without = [other for other in without if other != name]
    for text in removed:
        name = normalize_name(text)
        flags = [other for other in flags if _first_name(other) != name]
        without = [*(other for other in without if other != name), name]
    return {"flags": flags, "without": without}


def _first_name(text: str) -> str:
    groups = group_words(split_words(text))
    return name_of(groups[0]) if groups else ""
