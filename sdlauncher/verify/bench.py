"""Bench: steps per second over sizes and batches, kept with what they depend on, and compared with the last times."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sdlauncher.core.bench import Case, Comparison, Measure, compare, fits
from sdlauncher.core.hardware import Gpu
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine import git
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.machine.gpu import detect_hardware
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.machine.python import read_environment
from sdlauncher.machine.webui import Client
from sdlauncher.supervise.spec import read_spec
from sdlauncher.supervise.status import read_status
from sdlauncher.verify.generate import TXT2IMG, Generation, OnProgress, generate
from sdlauncher.verify.health import ask
from sdlauncher.verify.instance import open_client
from sdlauncher.verify.smoke import PROMPT
from sdlauncher.verify.target import Target

_KEPT_RUNS: Final = 50
_WARM_UP_STEPS: Final = 2
_REPEATS: Final = 3
_REPEAT_SECONDS: Final = 10.0
_SECRETS: Final = ("--api-auth", "--gradio-auth", "--ngrok")
# What has to be the same for two runs to be compared.
_SAME: Final = ("where", "model", "sampler")


@dataclass(frozen=True, slots=True)
class BenchRun:
    """One run: what it depended on, what was measured, how that compares, and why it stopped early ("": it did not)."""

    about: Mapping[str, Any]
    measures: tuple[Measure, ...]
    comparisons: tuple[Comparison, ...]
    stopped: SdLauncherError | None = None

    @property
    def regressions(self) -> tuple[Comparison, ...]:
        """The cases that are slower than before."""
        return tuple(one for one in self.comparisons if one.is_regression)


def run_bench(
    target: Target,
    files: InstancePaths,
    *,
    sizes: Sequence[tuple[int, int]] = (),
    batches: Sequence[int] = (),
    steps: int | None = None,
    sampler: str = "Euler",
    seconds: float = 900.0,
    on_progress: OnProgress | None = None,
) -> BenchRun:
    """Measure every size and batch from the smallest up, keep the run beside the instance, and compare it.

    Stops before a case that would run out of memory, by what the smaller ones took. Raises what `generate` and
    `open_client` raise for the warm-up; a later failure ends the run, and what was measured until then stands.
    """
    client = open_client(target)
    gpu = _gpu_of(client)
    has_gpu = gpu is not None
    chosen = sizes or ([(512, 512), (768, 768), (1024, 1024)] if has_gpu else [(256, 256), (512, 512)])
    cases = sorted(
        (
            Case(width, height, batch, steps or (20 if has_gpu else 5))
            for width, height in chosen
            for batch in (batches or ((1, 4) if has_gpu else (1,)))
        ),
        key=lambda case: (case.pixels, case),
    )
    first = Case(cases[0].width, cases[0].height, 1, _WARM_UP_STEPS)
    warm = _generate(client, first, sampler=sampler, seconds=seconds, stage="warm-up", on_progress=on_progress)
    about = _describe(target, warm, sampler, gpu)
    measures: list[Measure] = []
    stopped: SdLauncherError | None = None
    for case in cases:
        if not fits(measures, case, gpu.memory_total if gpu is not None else None):
            stopped = SdLauncherError("SDL-BENCH-MEMORY", case=case.name)
            break
        try:
            made = _generate(client, case, sampler=sampler, seconds=seconds, stage=case.name, on_progress=on_progress)
        except SdLauncherError as error:
            stopped = error
            break
        measures.append(_measure(client, case, made))
    earlier = [run for old, run in read_runs(files) if all(old.get(key) == about.get(key) for key in _SAME)]
    if measures:
        _keep(files, about, measures)
    return BenchRun(about, tuple(measures), compare(measures, earlier), stopped)


def read_runs(files: InstancePaths) -> list[tuple[dict[str, Any], list[Measure]]]:
    """Return the runs that were kept, oldest first; one that cannot be read back is left out."""
    runs = []
    for row in (read_json(_memory(files)) or {}).get("runs", []):
        try:
            measures = [Measure(**{**one, "case": Case(**one["case"])}) for one in row["measures"]]
            runs.append((dict(row["about"]), measures))
        except (KeyError, TypeError, ValueError):
            continue
    return runs


def _keep(files: InstancePaths, about: Mapping[str, Any], measures: Sequence[Measure]) -> None:
    rows = (read_json(_memory(files)) or {}).get("runs", [])
    row = {"about": dict(about), "measures": [asdict(one) for one in measures]}
    write_json(_memory(files), {"runs": [*rows, row][-_KEPT_RUNS:]})


def _memory(files: InstancePaths) -> Path:
    return files.root / "bench.json"


def _fastest(client: Client, case: Case, *, sampler: str, seconds: float, on_progress: OnProgress | None) -> Generation:
    """Generate up to three times, for at most ten seconds, and return the fastest: other load only ever slows."""
    best: Generation | None = None
    spent = 0.0
    for _ in range(_REPEATS):
        made = _generate(client, case, sampler=sampler, seconds=seconds, stage=case.name, on_progress=on_progress)
        spent += made.seconds
        best = made if best is None or made.seconds < best.seconds else best
        if spent > _REPEAT_SECONDS:
            break
    assert best is not None
    return best


def _generate(
    client: Client, case: Case, *, sampler: str, seconds: float, stage: str, on_progress: OnProgress | None
) -> Generation:
    payload = {
        "prompt": PROMPT,
        "steps": case.steps,
        "width": case.width,
        "height": case.height,
        "batch_size": case.batch,
        "sampler_name": sampler,
        "seed": 1,
    }
    return generate(client, TXT2IMG, payload, seconds=seconds, stage=stage, on_progress=on_progress)


def _measure(client: Client, case: Case, made: Generation) -> Measure:
    memory = ask(client, "/sdapi/v1/memory", seconds=5)
    said = memory.json if memory.is_json and isinstance(memory.json, dict) else {}
    peak = _dig(said, "cuda", "reserved", "peak") or _dig(said, "ram", "used")
    gpu = _gpu_of(client)
    return Measure(
        case=case,
        seconds=round(made.seconds, 4),
        memory_peak=None if peak is None else int(peak),
        temperature_celsius=gpu.temperature_celsius if gpu is not None else None,
        clock_mhz=gpu.clock_mhz if gpu is not None else None,
    )


def _gpu_of(client: Client) -> Gpu | None:
    """Return this machine's first GPU if the WebUI runs here and computes on one."""
    memory = ask(client, "/sdapi/v1/memory", seconds=5)
    cuda = memory.json.get("cuda") if isinstance(memory.json, dict) else None
    if not isinstance(cuda, dict) or "error" in cuda or not client.endpoint.is_loopback:
        return None
    gpus = detect_hardware().gpus
    return gpus[0] if gpus else None


def _describe(target: Target, warm: Generation, sampler: str, gpu: Gpu | None) -> dict[str, Any]:
    """Gather what a speed depends on."""
    about: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "where": target.url or "instance",
        "model": warm.info.get("sd_model_name"),
        "sampler": sampler,
        "version": warm.info.get("version"),
        "gpu": gpu.name if gpu is not None else None,
    }
    if target.files is None:
        return about
    status = read_status(target.files, adopt=False)
    spec = read_spec(str(target.files.launch))
    checkout = Path(status.dir)
    head = git.read_head(checkout)
    environment = read_environment(checkout / "venv")
    driver = detect_hardware().driver
    return {
        **about,
        "webui": status.webui,
        "commit": head.commit if head is not None else None,
        "torch": environment.packages.get("torch") if environment is not None else None,
        "driver": driver.version if driver is not None else None,
        "flags": _mask(spec.env.get("SDLAUNCHER_COMMANDLINE_ARGS", "")) if spec is not None else None,
    }


def _mask(flags: str) -> str:
    return " ".join("…" if word.partition("=")[0] in _SECRETS else word for word in flags.split())


def _dig(value: Any, *path: str) -> float | None:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
