"""How the noise levels are spread over the steps: the WebUI's schedules, in k-diffusion's terms (sigma)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_ALPHAS = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
#: Stable Diffusion's thousand training noise levels, rising: the model was trained over the same range.
SIGMAS: Array = np.sqrt((1 - _ALPHAS) / _ALPHAS)
SIGMA_MIN, SIGMA_MAX = float(SIGMAS[0]), float(SIGMAS[-1])

# Sabour et al. 2024, https://research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html (for Stable Diffusion 1.5)
_ALIGNED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)


def _at_times(times: Array) -> Array:
    return np.asarray(np.exp(np.interp(times, np.arange(1000), np.log(SIGMAS))))


def _uniform(steps: int) -> Array:
    return _at_times(np.linspace(999, 0, steps))


def _sgm_uniform(steps: int) -> Array:
    return _at_times(np.linspace(999, 0, steps + 1)[:-1])


def _karras(steps: int, rho: float = 7.0) -> Array:
    ramp = np.linspace(SIGMA_MAX ** (1 / rho), SIGMA_MIN ** (1 / rho), steps)
    return np.asarray(ramp**rho)


def _exponential(steps: int) -> Array:
    return np.exp(np.linspace(math.log(SIGMA_MAX), math.log(SIGMA_MIN), steps))


def _kl_optimal(steps: int) -> Array:
    return np.tan(np.linspace(math.atan(SIGMA_MAX), math.atan(SIGMA_MIN), steps + 1))


def _align_your_steps(steps: int) -> Array:
    places = np.linspace(0, 1, len(_ALIGNED))
    return np.exp(np.interp(np.linspace(0, 1, steps), places, np.log(_ALIGNED)))


def _simple(steps: int) -> Array:
    return np.array([SIGMAS[-(1 + int(i * 1000 / steps))] for i in range(steps)])


def _ddim(steps: int) -> Array:
    return SIGMAS[1 :: max(1000 // steps, 1)][::-1][:steps]


def _beta(steps: int, power: float = 0.6) -> Array:
    # Lee et al. 2024, arXiv:2407.12173: quantiles of a Beta(0.6, 0.6), whose integral is tame over x = sin^2.
    angle = np.linspace(0, np.pi / 2, 8001)
    density = (np.sin(angle) * np.cos(angle)) ** (2 * power - 1)
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    quantiles = np.sin(np.interp(1 - np.linspace(0, 1, steps), share / share[-1], angle)) ** 2
    return np.asarray(SIGMA_MIN + quantiles * (SIGMA_MAX - SIGMA_MIN))


SCHEDULES: dict[str, Callable[[int], Array]] = {
    "uniform": _uniform,
    "karras": _karras,
    "exponential": _exponential,
    "polyexponential": _exponential,  # the WebUI's default rho is 1, with which the two are the same
    "sgm_uniform": _sgm_uniform,
    "kl_optimal": _kl_optimal,
    "align_your_steps": _align_your_steps,
    "simple": _simple,
    "normal": _uniform,
    "ddim": _ddim,
    "beta": _beta,
}


def choose_sigmas(schedule: str, steps: int, *, discard_next_to_last: bool = False) -> list[float]:
    """Give the falling noise levels of a schedule, steps of them and a final zero."""
    levels = SCHEDULES[schedule](steps + discard_next_to_last).tolist()
    if discard_next_to_last:
        levels.pop()
    if levels[-1] > 0:
        levels.append(0.0)
    return [float(level) for level in levels]
