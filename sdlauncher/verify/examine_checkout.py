"""Doctor's look at the checkout: its files, half clones, models, configuration, exposure, extensions."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from sdlauncher import catalog
from sdlauncher.core.exposure import find_exposure, judge_exposure
from sdlauncher.core.script import find_block
from sdlauncher.core.snapshot import USERS_OWN
from sdlauncher.core.verdict import Level
from sdlauncher.core.weights import GLANCE, LONGEST_HEADER, NoWeights, header_length, judge_weights
from sdlauncher.machine import git
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.verify.finding import Check, Finding, Patient, Remedy, finding

_MODELS: Final = "models/Stable-diffusion"
_SUFFIXES: Final = (".safetensors", ".ckpt")
_SEEN: Final = "doctor.json"


def check_checkout(patient: Patient) -> Iterator[Finding]:
    """Is it a checkout, of which commit, and were its files changed by hand?"""
    checkout = patient.checkout
    scripts = catalog.load_webui(patient.webui).scripts
    if not (checkout / scripts.posix).is_file() and not (checkout / scripts.windows).is_file():
        yield finding("checkout", "SDL-DOCTOR-CHECKOUT-NONE", Level.ERROR, path=checkout, webui=patient.webui)
        return
    head = git.read_head(checkout)
    if head is None:
        yield finding("checkout", "SDL-DOCTOR-CHECKOUT-PLAIN", Level.INFO, path=checkout)
        return
    changed = [name for name in git.list_changes(checkout) if name not in USERS_OWN]
    facts = {"path": checkout, "commit": head.commit[:10]}
    if changed:
        named = ", ".join(changed[:4]) + (" …" if len(changed) > 4 else "")
        yield finding("checkout", "SDL-DOCTOR-CHANGED", Level.WARNING, count=len(changed), names=named, **facts)
    else:
        yield finding("checkout", "SDL-DOCTOR-CHECKOUT", Level.OK, **facts)


def check_clones(patient: Patient) -> Iterator[Finding]:
    """Repositories that an interrupted clone left half: the WebUI takes the folder for the whole."""
    folder = patient.checkout / "repositories"
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir() and not _is_whole(place):
            remedy = Remedy("say.doctor-delete", {"path": place}, partial(_delete, place))
            yield finding("checkout", "SDL-DOCTOR-HALF-CLONE", Level.ERROR, remedy, path=place)


def _is_whole(place: Path) -> bool:
    """Whether a clone has a commit checked out, and files beside its .git; what is no clone is not judged."""
    if not (place / ".git").exists():
        return any(place.iterdir())
    return git.read_head(place) is not None and any(entry.name != ".git" for entry in place.iterdir())


def _delete(place: Path) -> None:
    if place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)


def check_models(patient: Patient) -> Iterator[Finding]:
    """Checkpoints: present, and what their names say (no web page, no LFS pointer, no half file)."""
    if not patient.checkout.is_dir():
        return  # said by check_checkout; where nothing is installed, a missing model is no second fault
    folder = _models_folder(patient)
    files = sorted(
        Path(root) / name
        for root, _, names in (os.walk(folder, followlinks=True) if folder.is_dir() else ())
        for name in names
        if name.lower().endswith(_SUFFIXES)
    )
    if not files:
        yield finding("models", "SDL-DOCTOR-MODELS-NONE", Level.ERROR, path=folder)
        return
    good = 0
    for file in files:
        judged = _judge_model(file)
        if isinstance(judged, NoWeights):
            yield finding("models", "SDL-DOCTOR-MODEL-BAD", Level.ERROR, path=file, evidence=judged.evidence)
        else:
            good += 1
    if good:
        yield finding("models", "SDL-DOCTOR-MODELS", Level.OK, count=good, path=folder)


def _judge_model(file: Path) -> object:
    with file.open("rb") as opened:
        head = opened.read(GLANCE)
        length = header_length(head)
        if length is not None:
            head += opened.read(max(0, min(8 + length, LONGEST_HEADER) - len(head)))
        return judge_weights(head, file.stat().st_size)


def _models_folder(patient: Patient) -> Path:
    """Return where the checkpoints lie: --ckpt-dir, --models-dir, or the usual place."""
    words = patient.plan.arguments if patient.plan is not None else ()
    for flag, tail in (("--ckpt-dir", ""), ("--models-dir", "Stable-diffusion"), ("--data-dir", _MODELS)):
        for index, word in enumerate(words):
            name, has_value, value = word.partition("=")
            if name == flag and (has_value or index + 1 < len(words)):
                return (patient.checkout / (value if has_value else words[index + 1]) / tail).resolve()
    return patient.checkout / _MODELS


def check_configuration(patient: Patient) -> Iterator[Finding]:
    """webui-user.*: is it what the plan says, and does it hold a password?"""
    if patient.plan_fault is not None:
        fault = patient.plan_fault
        yield finding("configuration", fault.code, Level.ERROR, **fault.facts)
    if patient.drifted:
        names = ", ".join(path.name for path in patient.drifted)
        yield finding("configuration", "SDL-DOCTOR-DRIFT", Level.WARNING, names=names)
    elif patient.plan is not None and patient.checkout.is_dir():
        yield finding("configuration", "SDL-DOCTOR-CONFIGURED", Level.OK)
    told = {fault.code for fault in patient.hardware.faults}
    for warning in patient.plan.warnings if patient.plan is not None else ():
        if warning.code in told:
            continue
        yield finding("configuration", warning.code, warning.level, **warning.facts)
    scripts = catalog.load_webui(patient.webui).scripts
    for name in (scripts.user_posix, scripts.user_windows):
        if (path := patient.checkout / name).is_file() and _holds_secret(path):
            yield finding("configuration", "SDL-DOCTOR-SECRET", Level.ERROR, path=path)


def _holds_secret(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    # Our own block reads the password from its file when it is run.
    start, end = find_block(text)
    for line in (text[:start] + text[end:]).splitlines():
        live = line.strip()
        if live.startswith(("#", "::", "rem ", "REM ", "@rem ", "@REM ")):
            continue
        if any(f"{flag}{mark}" in live for flag in ("--api-auth", "--gradio-auth", "--ngrok") for mark in (" ", "=")):
            return True
    return False


def check_exposure(patient: Patient) -> Iterator[Finding]:
    """Who can reach it: --listen, --share, open extension installs, passwords."""
    if patient.plan is None:
        return
    words = patient.plan.arguments
    seen = {warning.code for warning in patient.plan.warnings}
    exposure = find_exposure(words, listen=patient.settings.listen)
    judged = [it for it in judge_exposure(words, exposure, insecure=patient.settings.insecure) if it.code not in seen]
    for verdict in judged:
        yield finding("exposure", verdict.code, verdict.level, **verdict.facts)
    if not judged:
        code = "SDL-DOCTOR-LOCAL" if patient.plan.bind in ("127.0.0.1", "localhost", "::1") else "SDL-DOCTOR-LISTENS"
        yield finding("exposure", code, Level.OK, bind=patient.plan.bind)


def check_extensions(patient: Patient) -> Iterator[Finding]:
    """Extensions that came, went or changed since doctor last looked: the first suspects of a new fault."""
    folder = patient.checkout / "extensions"
    now = {}
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir():
            head = git.read_head(place)
            now[place.name] = head.commit if head is not None else "no commit"
    memory = patient.files.root / _SEEN
    before = (read_json(memory) or {}).get("extensions")
    if isinstance(before, dict):
        parts = [f"+{name}" for name in now if name not in before]
        parts += [f"-{name}" for name in before if name not in now]
        parts += [
            f"{name} ({before[name][:7]} → {now[name][:7]})" for name in now if before.get(name, now[name]) != now[name]
        ]
        if parts:
            yield finding("extensions", "SDL-DOCTOR-EXTENSIONS-CHANGED", Level.INFO, names=", ".join(parts))
    if now != before and patient.files.root.is_dir():
        write_json(memory, {"extensions": now})
    if now:
        yield finding("extensions", "SDL-DOCTOR-EXTENSIONS", Level.OK, count=len(now), names=shlex.join(now))


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("checkout", check_checkout),
    ("checkout", check_clones),
    ("models", check_models),
    ("configuration", check_configuration),
    ("exposure", check_exposure),
    ("extensions", check_extensions),
)
