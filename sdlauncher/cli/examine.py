"""The commands that examine in depth: doctor and bench."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher import messages
from sdlauncher.cli.options import Number, command, dir_option, option, webui_option
from sdlauncher.cli.output import Report, language, say
from sdlauncher.cli.table import gibibytes, render_table
from sdlauncher.cli.verify import auth_option, ca_option, find, progress_bar, url_option
from sdlauncher.errors import SdLauncherError

if TYPE_CHECKING:
    from sdlauncher.verify.bench import BenchRun
    from sdlauncher.verify.finding import Finding, Patient

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan", "ok": "green"}


@command("doctor", short_help="Examine everything that could be wrong.")
@webui_option
@dir_option
@option("--fix", is_flag=True, help="Do what is safe, after showing it.")
def doctor_command(instance: str, webui: str | None, directory: str | None, fix: bool) -> Report:
    """Examine GPU, driver, Python, torch, checkout, configuration, port, disk, models: side by side."""
    from sdlauncher.core.verdict import Level
    from sdlauncher.verify.doctor import examine

    patient = _find_patient(instance, {"webui": webui, "dir": directory})
    findings = examine(patient)
    if fix and _apply(patient, findings):
        patient = _find_patient(instance, {"webui": webui, "dir": directory})
        findings = examine(patient)
    errors = sum(one.level is Level.ERROR for one in findings)
    warnings = sum(one.level is Level.WARNING for one in findings)
    failure = SdLauncherError("SDL-DOCTOR-FAILED", errors=errors, warnings=warnings) if errors else None
    return Report(describe_findings(findings), lambda: _text(findings), failure)


@command("bench", short_help="Measure steps per second; compare with the last time.")
@url_option
@auth_option
@ca_option
@option("--steps", type=click.IntRange(1, 500), metavar="N", help="Sampling steps (default: 20 on a GPU, else 5).")
@option("--size", "sizes", multiple=True, metavar="WxH", help="May be repeated (default: 512, 768, 1024 squared).")
@option("--batch", "batches", multiple=True, type=click.IntRange(1, 64), metavar="N", help="May be repeated.")
@option("--sampler", default="Euler", metavar="NAME", help="A sampler that the WebUI lists (default: Euler).")
@option("--timeout", type=Number(1), default=900, metavar="SECONDS", help="For each picture.")
@option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it as SVG.")
def bench_command(  # noqa: PLR0917  click passes by name
    instance: str,
    url: str | None,
    auth_file: Path | None,
    ca_file: Path | None,
    steps: int | None,
    sizes: tuple[str, ...],
    batches: tuple[int, ...],
    sampler: str,
    timeout: float,
    plot: Path | None,
) -> Report:
    """Measure sizes and batches after a warm-up, keep the result, and say what became slower."""
    from sdlauncher.core.bench import render_svg
    from sdlauncher.machine.files import write_bytes
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.verify.bench import run_bench

    files = locate_paths().instance(instance)
    run = run_bench(
        find(instance, url, auth_file, ca_file),
        files,
        sizes=[_size(text) for text in sizes],
        batches=batches,
        steps=steps,
        sampler=sampler,
        seconds=timeout,
        on_progress=progress_bar(),
    )
    if plot is not None:
        title = f"{run.about.get('gpu') or 'CPU'} · {run.about.get('model')} · {run.about['at'][:10]}"
        write_bytes(plot, render_svg(run.comparisons, title).encode())
    return Report(describe_bench(run), lambda: _bench_text(run), run.stopped if not run.measures else None)


def _size(text: str) -> tuple[int, int]:
    """Read `512`, `512x768` or `512×768`; sides of a WebUI are multiples of 8."""
    width, _, height = text.lower().replace("×", "x").partition("x")
    try:
        sides = (int(width), int(height or width))
    except ValueError:
        sides = (0, 0)
    if not all(8 <= side <= 8192 and side % 8 == 0 for side in sides):
        raise SdLauncherError("SDL-BENCH-SIZE", size=text)
    return sides


def describe_bench(run: BenchRun) -> dict[str, Any]:
    """Give a run as `bench --json` shows it."""
    before = {one.case: one for one in run.comparisons}
    return {
        "about": dict(run.about),
        "cases": [
            {
                "width": one.case.width,
                "height": one.case.height,
                "batch_size": one.case.batch,
                "steps": one.case.steps,
                "seconds": one.seconds,
                "steps_per_second": one.steps_per_second,
                "pictures_per_minute": one.pictures_per_minute,
                "memory_peak": one.memory_peak,
                "temperature_celsius": one.temperature_celsius,
                "clock_mhz": one.clock_mhz,
                "before": before[one.case].before,
                "ratio": before[one.case].ratio,
                "regression": before[one.case].is_regression,
            }
            for one in run.measures
        ],
        "stopped": None if run.stopped is None else run.stopped.code,
    }


def _bench_text(run: BenchRun) -> str:
    before = {one.case: one for one in run.comparisons}
    rows = []
    for one in run.measures:
        ratio = before[one.case].ratio
        change = "" if ratio is None else f"{ratio - 1:+.0%}"
        heat = "" if one.temperature_celsius is None else f"{one.temperature_celsius} °C"
        clock = "" if one.clock_mhz is None else f"{one.clock_mhz} MHz"
        speed, pictures = f"{one.steps_per_second:g} it/s", f"{one.pictures_per_minute:g}/min"
        rows.append((one.case.name, speed, pictures, gibibytes(one.memory_peak), clock, heat, change))
    lines = [render_table(rows)]
    for slower in run.regressions:
        facts = {"case": slower.case.name, "now": slower.now, "before": slower.before}
        lines.append(click.style(messages.describe("SDL-BENCH-SLOWER", facts, language()).sentence, fg="yellow"))
    if run.stopped is not None and run.measures:
        lines.append(run.stopped.describe(language()).sentence)
    return "\n".join(line for line in lines if line)


def _find_patient(instance: str, spoken: dict[str, Any]) -> Patient:
    """Gather what all checks look at; a plan that cannot be made is itself something to report."""
    from sdlauncher.machine.gpu import detect_hardware
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.machine.settings import checkout_of, read_settings
    from sdlauncher.setup.configure import configure, plan_for
    from sdlauncher.verify.finding import Patient

    paths = locate_paths()
    settings = read_settings(paths, instance, spoken)
    checkout = checkout_of(paths, settings)
    hardware = detect_hardware()
    plan, fault = None, None
    drifted: tuple[Path, ...] = ()
    try:
        plan = plan_for(hardware, settings, checkout=checkout if checkout.is_dir() else None, paths=paths)
        if checkout.is_dir():
            drifted = configure(checkout, plan, settings, dry_run=True).changed
    except SdLauncherError as error:
        fault = error
    return Patient(paths.instance(instance), settings, checkout, settings.webui_name, hardware, plan, fault, drifted)


def _apply(patient: Patient, findings: Sequence[Finding]) -> bool:
    """Do the safe remedies, saying each; return whether there were any."""
    from sdlauncher.setup.configure import configure

    remedies = [one.remedy for one in findings if one.remedy is not None]
    actions = [messages.describe(it.code, it.facts, language()).sentence for it in remedies]
    names = ", ".join(str(path) for path in patient.drifted)
    if patient.drifted:
        actions.append(messages.describe("say.doctor-configure", {"names": names}, language()).sentence)
    for action in actions:
        say("doctor-would-fix", action=action)
    for remedy, action in zip(remedies, actions, strict=False):
        remedy.apply()
        say("doctor-fixing", action=action)
    if patient.drifted and patient.plan is not None:
        configure(patient.checkout, patient.plan, patient.settings)
        say("doctor-fixing", action=actions[-1])
    return bool(actions)


def describe_findings(findings: Sequence[Finding]) -> dict[str, Any]:
    """Give the findings as `doctor --json` shows them."""
    rows = []
    for one in findings:
        detail, hint = one.describe(language())
        rows.append(
            {
                "area": one.area,
                "level": one.level.value,
                "code": one.verdict.code,
                "detail": detail,
                "hint": hint,
                "fixable": one.remedy is not None or one.verdict.code == "SDL-DOCTOR-DRIFT",
            }
        )
    return {"findings": rows}


def _text(findings: Sequence[Finding]) -> str:
    rows = []
    hints = []
    for one in findings:
        detail, hint = one.describe(language())
        level = click.style(one.level.value, fg=_COLOURS[one.level.value])
        rows.append((level, one.area, detail))
        hints.append(hint)
    lines = render_table(rows).splitlines()
    paired = [[line, f"         → {hint}"] if hint else [line] for line, hint in zip(lines, hints, strict=True)]
    return "\n".join(line for pair in paired for line in pair)
