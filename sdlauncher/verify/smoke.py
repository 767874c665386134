"""Smoke: one picture through the API, judged, and the proof that the WebUI did what it was asked."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sdlauncher.core.hardware import MIB
from sdlauncher.core.picture import judge_picture
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.webui import Client
from sdlauncher.verify import pixels
from sdlauncher.verify.generate import IMG2IMG, TXT2IMG, Generation, OnProgress, Progress, find_new_models, generate
from sdlauncher.verify.health import ask, await_model, name_cause
from sdlauncher.verify.instance import keep_picture, open_client
from sdlauncher.verify.target import Target

__all__ = ["Check", "OnProgress", "Progress", "Smoke", "SmokeRequest", "run_smoke"]

OK: Final = "ok"
PROMPT: Final = "a house on green grass, blue sky"
# What img2img is asked for instead, so that it has somewhere to go.
_OTHER_PROMPT: Final = "a white moon in a black sky"
SEED: Final = 20221
# A picture made twice needs no more memory than made once; what is left over is what the allocator keeps.
_GROWTH_BYTES: Final = 512 * MIB
_GROWTH_SHARE: Final = 0.25
_LOW_DENOISING: Final = 0.15
_HIGH_DENOISING: Final = 0.95
# Levels of 255, and low against high. Mini WebUI's model: 1 to 14 at low denoising, 40 to 131 at high, 4 to 147 times
# as much. A WebUI that ignores its input or the strength gives the same twice.
_MOST_DRIFT: Final = 25.0
_LEAST_DEPARTURE: Final = 6.0
_LEAST_RATIO: Final = 2.0


@dataclass(frozen=True, slots=True)
class SmokeRequest:
    """What to ask for. None leaves the choice to smoke: 512 pixels and 20 steps on a GPU, 256 and 8 without one.

    `repeat` makes the picture a second time and compares; `seconds` bounds each picture.
    """

    prompt: str = PROMPT
    negative_prompt: str = ""
    steps: int | None = None
    width: int | None = None
    height: int | None = None
    sampler: str = "Euler"
    cfg_scale: float = 7.0
    batch_size: int = 1
    seed: int = SEED
    model: str | None = None
    repeat: bool = True
    seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was judged: the code and facts of its sentence."""

    name: str
    ok: bool
    code: str
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def detail(self) -> str:
        """What was found, in English."""
        return self.describe()[0]

    def describe(self, language: str = "en") -> tuple[str, str]:
        """Render what was found, and what to do about it."""
        text = SdLauncherError(self.code, **self.facts).describe(language)
        return text.sentence, text.hint


@dataclass(frozen=True, slots=True)
class Smoke:
    """All that a smoke run found. `verdict` is `ok` or the code of the first failing check."""

    checks: tuple[Check, ...]
    file: Path | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    seconds: float | None = None
    steps_per_second: float | None = None
    model: str | None = None

    @property
    def failing(self) -> Check | None:
        """The first check that fails."""
        return next((check for check in self.checks if not check.ok), None)

    @property
    def verdict(self) -> str:
        """`ok`, or the code of the first failing check."""
        return OK if self.failing is None else self.failing.code

    @property
    def failure(self) -> SdLauncherError | None:
        """The verdict as an error, for a command that has to end with it."""
        return None if self.failing is None else SdLauncherError(self.failing.code, **self.failing.facts)


def run_smoke(
    target: Target, request: SmokeRequest, out: Path, *, img2img: bool = False, on_progress: OnProgress | None = None
) -> Smoke:
    """Make a picture, judge it, and keep it at `out` (whole or not at all), also when it fails its checks.

    Whatever the WebUI does wrong is a failing check. Raises SDL-NOT-RUNNING, SDL-STARTING and the like for an
    instance of ours that may not be asked, and SDL-FILE-WRITE.
    """
    client = open_client(target)
    asked = _choose(client, request)
    checks: list[Check] = []
    made: Generation | None = None
    again: Generation | None = None
    try:
        await_model(target, seconds=asked.seconds)
        find_new_models(client, seconds=asked.seconds)
        made = generate(
            client, TXT2IMG, _payload(asked), seconds=asked.seconds, stage="txt2img", on_progress=on_progress
        )
        checks.append(Check("answer", True, "SDL-SMOKE-ANSWERED", {"seconds": f"{made.seconds:.1f}"}))
        checks += _judge_first(asked, made)
        for number, each in enumerate(made.pictures[: asked.batch_size], start=1):
            write_bytes(_numbered(out, number), each.data)
        if asked.repeat:
            # After the first picture: that one loads the model and fills the caches.
            before = _memory(client)
            again = generate(
                client, TXT2IMG, _payload(asked), seconds=asked.seconds, stage="repeat", on_progress=on_progress
            )
            checks.append(_judge_repeat(made, again))
            checks += _judge_memory(before, _memory(client))
        if img2img and not any(check.name == "picture" and not check.ok for check in checks):
            # From noise nothing follows: the picture's own verdict says more.
            checks += _judge_img2img(client, asked, made, on_progress)
    except SdLauncherError as error:
        if error.code == "SDL-FILE-WRITE":
            raise
        cause = name_cause(target, error)
        checks.append(Check("answer" if made is None else "further", False, cause.code, cause.facts))
    if made is None:
        return Smoke(tuple(checks))
    if target.files is not None:
        keep_picture(target.files, next((check.code for check in checks if not check.ok), OK))
    seconds = min(made.seconds, again.seconds if again else made.seconds)
    picture = made.pictures[0].image
    return Smoke(
        checks=tuple(checks),
        file=out,
        width=picture.width,
        height=picture.height,
        seed=_integer(made.info.get("seed")),
        seconds=round(made.seconds, 2),
        steps_per_second=round((asked.steps or 0) / seconds, 2) if seconds else None,
        model=str(made.info.get("sd_model_name") or "") or None,
    )


def _choose(client: Client, request: SmokeRequest) -> SmokeRequest:
    """Fill in what was left open, by whether the WebUI computes on a GPU."""
    cuda = _memory(client).get("cuda")
    has_gpu = isinstance(cuda, dict) and "error" not in cuda
    side, steps = (512, 20) if has_gpu else (256, 8)
    return replace(request, width=request.width or side, height=request.height or side, steps=request.steps or steps)


def _payload(request: SmokeRequest) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "steps": request.steps,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "cfg_scale": request.cfg_scale,
        "batch_size": request.batch_size,
        "seed": request.seed,
    }
    if request.model:
        payload["override_settings"] = {"sd_model_checkpoint": request.model}
    return payload


def _judge_first(asked: SmokeRequest, made: Generation) -> list[Check]:
    picture = made.pictures[0]
    facts = pixels.measure(picture.image)
    fault = judge_picture(facts)
    count = len(made.pictures)
    size = f"{facts.width}x{facts.height}"
    wanted = f"{asked.width}x{asked.height}"
    return [
        _check(
            "count",
            count >= asked.batch_size,
            ("SDL-SMOKE-COUNT-OK", "SDL-SMOKE-COUNT"),
            {"count": count, "wanted": asked.batch_size},
        ),
        _check("size", size == wanted, ("SDL-SMOKE-SIZE-OK", "SDL-SMOKE-SIZE"), {"size": size, "wanted": wanted}),
        Check(
            "picture",
            not fault,
            _PICTURE_CODES[fault],
            {
                "level": f"{sum(facts.mean) / 3:.0f}",
                "spread": f"{facts.spread:.1f}",
                "roughness": f"{facts.roughness:.2f}",
                "coarse": f"{facts.coarse:.2f}",
                "discord": f"{facts.discord:.2f}",
                "vivid": f"{facts.vivid:.0%}",
            },
        ),
        *_judge_info(asked, made),
    ]


_PICTURE_CODES: Final = {
    "": "SDL-SMOKE-IS-PICTURE",
    "black": "SDL-SMOKE-BLACK",
    "grey": "SDL-SMOKE-GREY",
    "flat": "SDL-SMOKE-FLAT",
    "noise": "SDL-SMOKE-NOISE",
    "garbage": "SDL-SMOKE-GARBAGE",
}


def _judge_info(asked: SmokeRequest, made: Generation) -> list[Check]:
    info = made.info
    checks = []
    if "sampler_name" in info:
        sampler = str(info["sampler_name"])
        facts = {"sampler": sampler, "wanted": asked.sampler}
        checks.append(
            _check(
                "sampler",
                sampler.lower() == asked.sampler.lower(),
                ("SDL-SMOKE-SAMPLER-OK", "SDL-SMOKE-SAMPLER"),
                facts,
            )
        )
    if "seed" in info:
        seed = _integer(info["seed"])
        checks.append(
            _check(
                "seed",
                asked.seed in (-1, seed),
                ("SDL-SMOKE-SEED-OK", "SDL-SMOKE-SEED"),
                {"seed": info["seed"], "wanted": asked.seed},
            )
        )
    model = str(info.get("sd_model_name") or "")
    if asked.model:
        same = bool(model) and model.lower() == Path(asked.model.split(" [")[0]).stem.lower()
        checks.append(
            _check(
                "model", same, ("SDL-SMOKE-MODEL-OK", "SDL-SMOKE-MODEL"), {"model": model or "?", "wanted": asked.model}
            )
        )
    return checks


def _judge_repeat(first: Generation, second: Generation) -> Check:
    one, two = first.pictures[0], second.pictures[0]
    distance = 0.0 if one.data == two.data else pixels.difference(one.image, two.image)
    # Attention kernels that add in any order (xformers, SDP) give levels that differ by a few; another picture differs
    # by tens.
    return _check(
        "repeat", distance <= 4.0, ("SDL-SMOKE-REPEAT-OK", "SDL-SMOKE-REPEAT"), {"distance": f"{distance:.1f}"}
    )


def _memory(client: Client) -> dict[str, Any]:
    memory = ask(client, "/sdapi/v1/memory", seconds=5)
    return memory.json if memory.is_json and isinstance(memory.json, dict) else {}


def _judge_memory(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Check]:
    """Judge what the same picture cost once more: no out-of-memory event of the GPU, no jump of the process."""
    checks = []
    failures = [_count(memory, "cuda", "events", "oom") for memory in (before, after)]
    if None not in failures:
        more = (failures[1] or 0) - (failures[0] or 0)
        facts = {"count": more}
        checks.append(_check("gpu-memory", more <= 0, ("SDL-SMOKE-GPU-MEMORY-OK", "SDL-SMOKE-GPU-MEMORY"), facts))
    used = [_count(memory, "ram", "used") for memory in (before, after)]
    if used[0] and used[1]:
        growth = used[1] - used[0]
        facts = {"growth": round(growth / MIB), "used": round(used[1] / MIB)}
        jumps = growth > max(_GROWTH_BYTES, _GROWTH_SHARE * used[0])
        checks.append(_check("memory", not jumps, ("SDL-SMOKE-MEMORY-OK", "SDL-SMOKE-MEMORY"), facts))
    return checks


def _count(memory: Mapping[str, Any], *path: str) -> float | None:
    value: Any = memory
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _judge_img2img(
    client: Client, asked: SmokeRequest, made: Generation, on_progress: OnProgress | None
) -> list[Check]:
    source = made.pictures[0]
    distances = {}
    for strength in (_LOW_DENOISING, _HIGH_DENOISING):
        payload = {
            **_payload(asked),
            "init_images": [base64.b64encode(source.data).decode()],
            "denoising_strength": strength,
            "prompt": _OTHER_PROMPT,
            "seed": asked.seed + 1,
            "batch_size": 1,
        }
        result = generate(client, IMG2IMG, payload, seconds=asked.seconds, stage="img2img", on_progress=on_progress)
        distances[strength] = pixels.difference(source.image, result.pictures[0].image)
    low, high = distances[_LOW_DENOISING], distances[_HIGH_DENOISING]
    facts = {"low": f"{low:.1f}", "high": f"{high:.1f}"}
    return [
        _check("img2img-follows", low <= _MOST_DRIFT, ("SDL-SMOKE-FOLLOWS-OK", "SDL-SMOKE-FOLLOWS"), facts),
        _check(
            "img2img-leaves",
            high >= max(_LEAST_DEPARTURE, _LEAST_RATIO * low),
            ("SDL-SMOKE-LEAVES-OK", "SDL-SMOKE-LEAVES"),
            facts,
        ),
    ]


def _check(name: str, is_fine: bool, codes: tuple[str, str], facts: Mapping[str, object]) -> Check:
    return Check(name, is_fine, codes[0] if is_fine else codes[1], facts)


def _numbered(out: Path, number: int) -> Path:
    return out if number == 1 else out.with_stem(f"{out.stem}-{number}")


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
