"""The tiny text-conditioned diffusion model of Mini WebUI: what it can be asked for, and what it answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from sdlauncher.mini.model.pipeline import Pipeline

    Pixels = np.ndarray[Any, np.dtype[Any]]

NAME = "mini-diffusion-v1"
WEIGHTS = Path(__file__).with_name("weights.safetensors")


@dataclass(frozen=True, slots=True)
class Sampler:
    """A way from noise to a picture, as the WebUI names it."""

    name: str
    aliases: tuple[str, ...]
    options: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A way to spread the noise levels over the steps, as the WebUI names it."""

    name: str
    label: str


# Names, aliases, options and order as AUTOMATIC1111 1.10 lists them; its DPM fast, DPM adaptive, Restart and
# DDIM CFG++ are not offered.
SAMPLERS: tuple[Sampler, ...] = (
    Sampler("DPM++ 2M", ("k_dpmpp_2m",), {"scheduler": "karras"}),
    Sampler("DPM++ SDE", ("k_dpmpp_sde",), {"scheduler": "karras", "second_order": "True", "brownian_noise": "True"}),
    Sampler("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), {"scheduler": "exponential", "brownian_noise": "True"}),
    Sampler(
        "DPM++ 2M SDE Heun",
        ("k_dpmpp_2m_sde_heun",),
        {"scheduler": "exponential", "brownian_noise": "True", "solver_type": "heun"},
    ),
    Sampler("DPM++ 2S a", ("k_dpmpp_2s_a",), {"scheduler": "karras", "uses_ensd": "True", "second_order": "True"}),
    Sampler(
        "DPM++ 3M SDE",
        ("k_dpmpp_3m_sde",),
        {"scheduler": "exponential", "discard_next_to_last_sigma": "True", "brownian_noise": "True"},
    ),
    Sampler("Euler a", ("k_euler_a", "k_euler_ancestral"), {"uses_ensd": "True"}),
    Sampler("Euler", ("k_euler",), {}),
    Sampler("LMS", ("k_lms",), {}),
    Sampler("Heun", ("k_heun",), {"second_order": "True"}),
    Sampler(
        "DPM2", ("k_dpm_2",), {"scheduler": "karras", "discard_next_to_last_sigma": "True", "second_order": "True"}
    ),
    Sampler(
        "DPM2 a",
        ("k_dpm_2_a",),
        {"scheduler": "karras", "discard_next_to_last_sigma": "True", "uses_ensd": "True", "second_order": "True"},
    ),
    Sampler("DDIM", ("ddim",), {}),
    Sampler("PLMS", ("plms",), {}),
    Sampler("UniPC", ("unipc",), {}),
    Sampler("LCM", ("k_lcm",), {}),
)

SCHEDULERS: tuple[Scheduler, ...] = (
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform"),
    Scheduler("karras", "Karras"),
    Scheduler("exponential", "Exponential"),
    Scheduler("polyexponential", "Polyexponential"),
    Scheduler("sgm_uniform", "SGM Uniform"),
    Scheduler("kl_optimal", "KL Optimal"),
    Scheduler("align_your_steps", "Align Your Steps"),
    Scheduler("simple", "Simple"),
    Scheduler("normal", "Normal"),
    Scheduler("ddim", "DDIM"),
    Scheduler("beta", "Beta"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One picture to make.

    Sizes in pixels. `init_image` is (height, width, 3) uint8 and makes it an img2img; `mask` is (height, width)
    float32 in 0..1, where 1 is to be repainted. With `hires_scale` above 1 the result is that much larger than
    width x height. `hires_steps` 0 means as many as `steps`. `eta` None means the sampler's own.
    """

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
    init_image: Pixels | None = None
    mask: Pixels | None = None
    denoising_strength: float = 0.75
    hires_scale: float = 1.0
    hires_steps: int = 0
    hires_denoising_strength: float = 0.7
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A picture, (height, width, 3) uint8.

    With it the words of both prompts that the model does not know, and whether the picture was cut short.
    """

    image: Pixels
    unknown_words: tuple[str, ...]
    interrupted: bool


StepWatcher = Callable[[int, int, Callable[[], "Pixels"]], None]


class Model:
    """The model in memory; one instance serves one picture at a time."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @classmethod
    def load(cls, path: Path) -> Model:
        """Read the model from a weights file.

        Raises OSError when the file cannot be read, ValueError with a sentence when it is no such model.
        """
        # One thread: with more, sums are rounded otherwise and the same seed gives other bytes on another machine.
        # numpy's BLAS reads this once, when it is first imported; matrices as small as ours lose nothing by it.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from sdlauncher.mini.model.pipeline import Pipeline
        from sdlauncher.mini.model.weights import read_weights

        weights = read_weights(path)
        try:
            return cls(Pipeline(weights))
        except KeyError as error:
            raise ValueError(f"{path.name} is no model for Mini WebUI: it lacks {error.args[0]}") from error
        except ValueError as error:
            raise ValueError(f"{path.name} is no model for Mini WebUI: {error}") from error

    def generate(
        self,
        request: Request,
        *,
        on_step: StepWatcher | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Result:
        """Make one picture; the same request gives the same bytes.

        `on_step(step, total, preview)` is called after each step (counted from 1, over both passes of a hires
        picture); `preview()` decodes the current estimate. When `should_stop()` turns true, the current
        estimate is the result. Raises ValueError with a sentence for a request that makes no sense.
        """
        return self._pipeline.generate(request, on_step, should_stop)
