"""The commands that prove things: health, smoke and explain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdlauncher import messages
from sdlauncher.cli.options import Number, command, option
from sdlauncher.cli.output import Report, language
from sdlauncher.cli.table import render_table
from sdlauncher.errors import SdLauncherError

if TYPE_CHECKING:
    from sdlauncher.core.diagnosis import Finding
    from sdlauncher.core.health import Health
    from sdlauncher.verify.smoke import Progress, Smoke
    from sdlauncher.verify.target import Target

_BAR = 24

url_option = option("--url", metavar="URL", help="Any WebUI at an address, instead of an instance of ours.")
auth_option = option(
    "--auth-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Holds user:password for the API (or set SDLAUNCHER_AUTH).",
)
ca_option = option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE", help="Trust this certificate (PEM) of the WebUI."
)


class _SmokeError(SdLauncherError):
    """A failing smoke ends with 1 whatever failed; only an instance that does not run keeps its 3."""

    @property
    def exit_code(self) -> int:
        return 3 if super().exit_code == 3 else 1


@command("health", short_help="Check process, port, /docs, API and model.")
@url_option
@auth_option
@ca_option
@option("--wait", type=Number(0), default=0, metavar="SECONDS", help="Check again until healthy.")
@option("--timeout", type=Number(0.1), default=10, metavar="SECONDS", help="For each request.")
def health_command(  # noqa: PLR0917  click passes by name
    instance: str, url: str | None, auth_file: Path | None, ca_file: Path | None, wait: float, timeout: float
) -> Report:
    """Check layer by layer; the verdict is that of the first layer that fails."""
    from sdlauncher.verify.health import check_health

    health = check_health(find(instance, url, auth_file, ca_file), wait=wait, patience=timeout)
    return Report(describe_health(health), lambda: _health_text(health), health.failure)


@command("smoke", short_help="Make one picture and judge it.")
@url_option
@auth_option
@ca_option
@option("--prompt", metavar="TEXT", help="What the picture should show.")
@option("--negative-prompt", default="", metavar="TEXT", help="What it should not show.")
@option("--steps", type=click.IntRange(1, 500), metavar="N", help="Sampling steps (default: 20 on a GPU, else 8).")
@option("--width", type=click.IntRange(8, 8192), metavar="PIXELS", help="Default: 512 on a GPU, else 256.")
@option("--height", type=click.IntRange(8, 8192), metavar="PIXELS", help="Default: as --width.")
@option("--sampler", default="Euler", metavar="NAME", help="A sampler that the WebUI lists (default: Euler).")
@option(
    "--cfg-scale",
    type=Number(-1000, 1000),
    default=7.0,
    metavar="X",
    help="How closely to follow the prompt (default: 7).",
)
@option("--batch-size", type=click.IntRange(1, 64), default=1, metavar="N", help="Pictures at once.")
@option("--seed", type=click.IntRange(-1), metavar="N", help="-1 takes one by chance.")
@option("--model", "checkpoint", envvar="SDLAUNCHER_SMOKE_MODEL", metavar="NAME", help="Paint with this checkpoint.")
@option("--img2img", is_flag=True, help="Also feed the picture back, at low and at high denoising.")
@option("--timeout", type=Number(1), default=900, metavar="SECONDS", help="For each picture.")
@option("--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Default: smoke.png.")
def smoke_command(  # noqa: PLR0917  click passes by name
    instance: str,
    url: str | None,
    auth_file: Path | None,
    ca_file: Path | None,
    out: Path | None,
    img2img: bool,
    **asked: Any,
) -> Report:
    """Make a picture, judge it, make it again and compare."""
    from sdlauncher.machine.paths import locate_typed
    from sdlauncher.verify.smoke import PROMPT, SEED, SmokeRequest, run_smoke

    width, height = asked["width"] or asked["height"], asked["height"] or asked["width"]
    seed = SEED if asked["seed"] is None else asked["seed"]
    request = SmokeRequest(
        prompt=PROMPT if asked["prompt"] is None else asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        steps=asked["steps"],
        width=width,
        height=height,
        sampler=asked["sampler"],
        cfg_scale=asked["cfg_scale"],
        batch_size=asked["batch_size"],
        seed=seed,
        model=asked["checkpoint"],
        repeat=seed != -1,
        seconds=asked["timeout"],
    )
    target = find(instance, url, auth_file, ca_file)
    smoke = run_smoke(target, request, locate_typed(out or "smoke.png"), img2img=img2img, on_progress=progress_bar())
    failing = smoke.failing
    failure = None if failing is None else _SmokeError(failing.code, **failing.facts)
    return Report(describe_smoke(smoke), lambda: _smoke_text(smoke), failure)


@command("explain", short_help="Read a log; name cause and remedy.")
@click.argument("logfile", required=False, type=click.Path(allow_dash=True, path_type=Path))
def explain_command(instance: str, logfile: Path | None) -> Report:
    """Read a log (`-`: standard input; none: the instance's own) and say what happened, the cause first."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.verify import explain

    if logfile is None:
        blocks = explain.read_own(locate_paths().instance(instance))
    elif str(logfile) == "-":
        blocks = explain.read_stream(sys.stdin.buffer) if sys.stdin else iter(())
    else:
        blocks = explain.read_file(logfile)
    findings = explain.explain(blocks)
    return Report({"findings": [_finding(it) for it in findings]}, lambda: _findings_text(findings))


def describe_health(health: Health) -> dict[str, Any]:
    """Give the health as `health --json` shows it."""
    layers = []
    for layer in health.layers:
        detail, hint = layer.describe(language())
        layers.append(
            {
                "name": layer.name,
                "ok": layer.ok,
                "code": layer.code,
                "detail": detail,
                "hint": hint,
                "latency_ms": layer.latency_ms,
            }
        )
    return {"verdict": health.verdict, "layers": layers}


def describe_smoke(smoke: Smoke) -> dict[str, Any]:
    """Give the smoke run as `smoke --json` shows it."""
    return {
        "verdict": smoke.verdict,
        "file": None if smoke.file is None else str(smoke.file),
        "width": smoke.width,
        "height": smoke.height,
        "seed": smoke.seed,
        "seconds": smoke.seconds,
        "steps_per_second": smoke.steps_per_second,
        "model": smoke.model,
        "checks": [
            {"name": check.name, "ok": check.ok, "code": check.code, "detail": check.describe(language())[0]}
            for check in smoke.checks
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "line": finding.line,
        "text": finding.text,
        "cause": finding.cause(language()),
        "remedy": finding.remedy(language()),
        "severity": finding.severity,
        "last_run": finding.is_last_run,
    }


def progress_bar() -> Callable[[Progress], None] | None:
    """Return what draws a bar on stderr; None where nobody watches it."""
    if not sys.stderr.isatty():
        return None

    def draw(progress: Progress) -> None:
        full = round(progress.share * _BAR)
        bar = "#" * full + "-" * (_BAR - full)
        click.echo(
            f"\r{progress.stage} [{bar}] {progress.share:4.0%}  {progress.step}/{progress.steps} ", nl=False, err=True
        )
        if progress.share >= 1:
            click.echo(err=True)

    return draw


def find(instance: str, url: str | None, auth_file: Path | None, ca_file: Path | None) -> Target:
    """Return what is meant: the instance, or the WebUI at an address."""
    from sdlauncher.machine.paths import locate_paths
    from sdlauncher.verify.target import find_target

    return find_target(locate_paths().instance(instance), url=url, auth_file=auth_file, ca_file=ca_file)


def _health_text(health: Health) -> str:
    rows = [(_mark(layer.ok), layer.name, layer.describe(language())[0]) for layer in health.layers]
    return render_table(rows) + (f"\n{health.verdict}" if health.is_healthy else "")


def _smoke_text(smoke: Smoke) -> str:
    rows = [(_mark(check.ok), check.name, check.describe(language())[0]) for check in smoke.checks]
    lines = [render_table(rows)]
    if smoke.file is not None:
        lines.append(f"{smoke.file}  {smoke.width}x{smoke.height}  {smoke.seconds} s  {smoke.steps_per_second} it/s")
    return "\n".join(lines)


def _findings_text(findings: tuple[Finding, ...]) -> str:
    """Write errors and warnings in full, and what is merely told on one line each."""
    lines = []
    for it in findings:
        colour = {"fatal": "red", "error": "red", "warning": "yellow"}.get(it.severity)
        run = "" if it.is_last_run else f"  ({messages.describe('say.explain-earlier', {}, language()).sentence})"
        head = click.style(f"{it.severity:7}", fg=colour, bold=it.severity == "fatal")
        lines.append(f"{head}  {it.line}: {it.text[:160]}  [{it.id}]{run}")
        if it.severity != "info":
            lines += [f"         {text}" for text in (it.cause(language()), it.remedy(language())) if text]
    if all(it.severity == "info" for it in findings):
        lines.append(messages.describe("say.explain-nothing", {}, language()).sentence)
    return "\n".join(lines)


def _mark(ok: bool | None) -> str:
    word, colour = {True: ("ok", "green"), False: ("FAIL", "red"), None: ("-", "yellow")}[ok]
    return click.style(word, fg=colour)
