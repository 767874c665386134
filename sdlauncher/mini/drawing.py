"""A plain deterministic drawing that stands behind the model's interface until weights are packaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

NAME: Final = "mini-drawing-v0"
WEIGHTS: Final = Path(__file__).parent / "data" / "mini-drawing-v0.safetensors"


@dataclass(frozen=True, slots=True)
class Sampler:
    """A sampler's name, its short names, and the options that the API lists."""

    name: str
    aliases: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A noise schedule's identifier and its label."""

    name: str
    label: str


SAMPLERS: Final = (
    Sampler("DPM++ 2M", ("k_dpmpp_2m",), {"scheduler": "karras"}),
    Sampler("Euler a", ("k_euler_a", "k_euler_ancestral"), {"uses_ensd": "True"}),
    Sampler("Euler", ("k_euler",)),
    Sampler("DDIM", ("ddim",)),
)
SCHEDULERS: Final = (
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform"),
    Scheduler("karras", "Karras"),
    Scheduler("exponential", "Exponential"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to make; sizes in pixels."""

    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    cfg_scale: float = 7.0
    sampler: str = "DPM++ 2M"
    scheduler: str = "Automatic"
    seed: int = 0
    subseed: int = 0
    subseed_strength: float = 0.0
    width: int = 512
    height: int = 512
    init_image: Image | None = None
    mask: npt.NDArray[np.float32] | None = None
    denoising_strength: float = 0.75
    hires_scale: float = 1.0
    hires_steps: int = 0
    hires_denoising_strength: float = 0.7
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A picture (height, width, 3), the words that meant nothing to the model, and whether it was cut short."""

    image: Image
    unknown_words: tuple[str, ...]
    interrupted: bool


class Model:
    """Draws soft coloured discs that follow from the request alone."""

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read the weights. Raises ValueError with a sentence if the file is no such model."""
        if b"mini-drawing" not in path.read_bytes()[:200]:
            raise ValueError(f"{path} holds no mini-drawing model")
        return cls()

    def generate(
        self,
        request: Request,
        *,
        on_step: Callable[[int, int, Callable[[], Image]], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Result:
        """Draw one picture, calling on_step after each step; stop early when should_stop says so."""
        width, height = (int(side * request.hires_scale) // 8 * 8 for side in (request.width, request.height))
        text = f"{request.prompt}|{request.negative_prompt}|{request.seed}|{request.cfg_scale}|{request.sampler}"
        random = np.random.default_rng(list(hashlib.sha256(text.encode()).digest()))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        y, x = y / height, x / width
        if request.init_image is not None:
            canvas = request.init_image[: request.height, : request.width].astype(np.float32) / 255
        else:
            top, bottom = random.random((2, 3), dtype=np.float32)
            canvas = top * (1 - y[..., None]) + bottom * y[..., None]
        original, steps = canvas, max(1, request.steps)
        for step in range(1, steps + 1):
            if should_stop is not None and should_stop():
                return Result(_to_bytes(canvas), (), interrupted=True)
            centre_x, centre_y, radius = random.random(3) * (1, 1, 0.3) + (0, 0, 0.02)
            disc = 1 / (1 + np.exp(60 * (np.hypot(x - centre_x, y - centre_y) - radius)))
            canvas = canvas + (random.random(3, dtype=np.float32) - canvas) * disc[..., None].astype(np.float32) * 0.8
            if on_step is not None:
                shown = canvas
                on_step(step, steps, lambda shown=shown: _to_bytes(shown))  # type: ignore[misc]
        if request.mask is not None:
            canvas = original + (canvas - original) * request.mask[..., None]
        return Result(_to_bytes(canvas), (), interrupted=False)


def _to_bytes(canvas: npt.NDArray[Any]) -> Image:
    pixels: Image = (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8)
    return pixels
