"""The samplers: ways to walk from noise to a picture along falling noise levels, as k-diffusion defines them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Walk(Protocol):
    """What a sampler needs of the world: the model, fresh noise, and an ear for each step's estimate."""

    def denoise(self, x: Array, sigma: float) -> Array: ...
    def noise(self) -> Array: ...
    def tell(self, denoised: Array) -> None: ...


Sample = Callable[[Walk, Array, Sequence[float], float], Array]


def split_step(sigma: float, target: float, eta: float) -> tuple[float, float]:
    """Part a step into how far to walk down and how much fresh noise to add (Song et al. 2020, equation 16)."""
    up = min(target, eta * math.sqrt(max(target**2 * (sigma**2 - target**2) / sigma**2, 0.0)))
    return math.sqrt(target**2 - up**2), up


def _toward(x: Array, denoised: Array, sigma: float, target: float) -> Array:
    """Solve the flow from sigma to target for a constant estimate: Euler's step, and DPM-Solver++'s first order."""
    share = np.float32(target / sigma)
    return share * x + (np.float32(1) - share) * denoised


def _first(walk: Walk, x: Array, sigma: float) -> Array:
    denoised = walk.denoise(x, sigma)
    walk.tell(denoised)
    return denoised


def sample_euler(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with Euler steps; eta above 0 makes them ancestral."""
    for sigma, target in pairwise(sigmas):
        down, up = split_step(sigma, target, eta)
        x = _toward(x, _first(walk, x, sigma), sigma, down)
        if up:
            x = x + walk.noise() * np.float32(up)
    return x


def sample_heun(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with Heun's steps (Karras et al. 2022, algorithm 1)."""
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        ahead = _toward(x, denoised, sigma, target)
        if target:
            slope = (x - denoised) / np.float32(sigma) + (ahead - walk.denoise(ahead, target)) / np.float32(target)
            ahead = x + slope * np.float32((target - sigma) / 2)
        x = ahead
    return x


def sample_dpm2(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with DPM-Solver-2's midpoint steps; eta above 0 makes them ancestral."""
    for sigma, target in pairwise(sigmas):
        down, up = split_step(sigma, target, eta)
        denoised = _first(walk, x, sigma)
        if down:
            middle = math.sqrt(sigma * down)
            between = _toward(x, denoised, sigma, middle)
            slope = (between - walk.denoise(between, middle)) / np.float32(middle)
            x = x + slope * np.float32(down - sigma)
        else:
            x = _toward(x, denoised, sigma, down)
        if up:
            x = x + walk.noise() * np.float32(up)
    return x


def _adams_weights(times: Sequence[float], start: float, end: float) -> list[float]:
    """Integrate, from start to end, each Lagrange polynomial over the times."""
    nodes, weights = np.polynomial.legendre.leggauss(4)  # exact for the cubics that four slopes give
    at = (start + end) / 2 + (end - start) / 2 * nodes
    result = []
    for j, own in enumerate(times):
        factors = [(at - other) / (own - other) for k, other in enumerate(times) if k != j]
        value = np.prod(factors, axis=0) if factors else np.ones_like(at)
        result.append(float((weights * value).sum() * (end - start) / 2))
    return result


def sample_lms(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with linear multistep (Adams-Bashforth) steps of up to fourth order over uneven noise levels."""
    slopes: list[Array] = []
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        slopes = [(x - _first(walk, x, sigma)) / np.float32(sigma), *slopes[:3]]
        weights = _adams_weights(list(sigmas[max(0, i - 3) : i + 1])[::-1], sigma, target)
        for weight, slope in zip(weights, slopes, strict=True):
            x = x + slope * np.float32(weight)
    return x


def sample_plms(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with pseudo linear multistep steps (Liu et al. 2022): fixed weights, and Heun's step to begin with."""
    old: list[Array] = []
    for sigma, target in pairwise(sigmas):
        slope = (x - _first(walk, x, sigma)) / np.float32(sigma)
        step = np.float32(target - sigma)
        match len(old):
            case 0 if target:
                ahead = x + slope * step
                mixed = (slope + (ahead - walk.denoise(ahead, target)) / np.float32(target)) / 2
            case 0:
                mixed = slope
            case 1:
                mixed = (3 * slope - old[0]) / 2
            case 2:
                mixed = (23 * slope - 16 * old[0] + 5 * old[1]) / 12
            case _:
                mixed = (55 * slope - 59 * old[0] + 37 * old[1] - 9 * old[2]) / 24
        # Near the end the slopes of far larger noise levels mislead: the last step trusts the last estimate.
        x = x + (mixed if target else slope) * step
        old = [slope, *old[:2]]
    return x


def sample_dpmpp_2m(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with DPM-Solver++(2M): the last two estimates, in log noise (Lu et al. 2022)."""
    old: Array | None = None
    last = 0.0
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        if old is None or not target:
            x = _toward(x, denoised, sigma, target)
        else:
            h = math.log(sigma / target)
            lean = np.float32(h / (2 * last))
            x = _toward(x, denoised + lean * (denoised - old), sigma, target)
        last, old = math.log(sigma / target) if target else 0.0, denoised
    return x


def sample_dpmpp_2s(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with ancestral DPM-Solver++(2S): the estimate at each step's middle."""
    for sigma, target in pairwise(sigmas):
        down, up = split_step(sigma, target, eta)
        denoised = _first(walk, x, sigma)
        if down:
            middle = math.sqrt(sigma * down)
            denoised = walk.denoise(_toward(x, denoised, sigma, middle), middle)
        x = _toward(x, denoised, sigma, down)
        if up:
            x = x + walk.noise() * np.float32(up)
    return x


def sample_dpmpp_sde(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with stochastic DPM-Solver++: as 2S, with fresh noise on the way to the middle too."""
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        if not target:
            x = denoised
            continue
        middle = math.sqrt(sigma * target)
        early, late = walk.noise(), walk.noise()
        down, up = split_step(sigma, middle, eta)
        between = _toward(x, denoised, sigma, down) + early * np.float32(up)
        denoised = walk.denoise(between, middle)
        # Brownian motion: the whole step's noise contains the noise of its first part.
        share = (sigma - middle) / (sigma - target)
        whole = early * np.float32(math.sqrt(share)) + late * np.float32(math.sqrt(1 - share))
        down, up = split_step(sigma, target, eta)
        x = _toward(x, denoised, sigma, down) + whole * np.float32(up)
    return x


def sample_dpmpp_2m_sde(walk: Walk, x: Array, sigmas: Sequence[float], eta: float, *, heun: bool = False) -> Array:
    """Walk with stochastic DPM-Solver++(2M); its second-order term after the midpoint rule or after Heun's."""
    old: Array | None = None
    last = 0.0
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        if not target:
            return denoised
        h = math.log(sigma / target)
        total = h * (1 + eta)
        gain = -math.expm1(-total)
        x_next = np.float32(math.exp(-total)) * x + np.float32(gain) * denoised
        if old is not None:
            lean = (1 - gain / total if heun else gain / 2) * h / last
            x_next = x_next + np.float32(lean) * (denoised - old)
        if eta:
            x_next = x_next + walk.noise() * np.float32(target * math.sqrt(-math.expm1(-2 * h * eta)))
        x, old, last = x_next, denoised, h
    return x


def sample_dpmpp_3m_sde(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with stochastic DPM-Solver++(3M): the last three estimates."""
    past: list[tuple[Array, float]] = []  # earlier estimates, newest first, and the step that followed each
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        if not target:
            return denoised
        h = math.log(sigma / target)
        total = h * (1 + eta)
        gain = -math.expm1(-total)
        second = 1 - gain / total
        x = np.float32(math.exp(-total)) * x + np.float32(gain) * denoised
        if past:
            near = past[0][1] / h
            slope = (denoised - past[0][0]) / np.float32(near)
            if len(past) > 1:
                far = past[1][1] / h
                bend = (slope - (past[0][0] - past[1][0]) / np.float32(far)) / np.float32(near + far)
                slope = slope + bend * np.float32(near)
                x = x - np.float32(second / total - 0.5) * bend
            x = x + np.float32(second) * slope
        if eta:
            x = x + walk.noise() * np.float32(target * math.sqrt(-math.expm1(-2 * h * eta)))
        past = [(denoised, h), *past[:1]]
    return x


def sample_unipc(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk with UniPC of second order, variant B2: predict, then correct with the next estimate (Zhao et al. 2023)."""
    past: list[tuple[Array, float]] = []  # estimates with their noise levels, newest first
    base = x  # where the newest step began
    for sigma, target in pairwise(sigmas):
        denoised = _first(walk, x, sigma)
        if past:
            before, level = past[0]
            h = math.log(level / sigma)
            gain = -math.expm1(-h)
            phi2 = 1 - gain / h
            ahead = denoised - before
            if len(past) == 1:
                change: Array = ahead * np.float32(0.5 * gain)
            else:
                ratio = math.log(level / past[1][1]) / h
                phi3 = 0.5 - phi2 / h
                late = (2 * phi3 - ratio * phi2) / (1 - ratio)
                lean = (past[1][0] - before) / np.float32(ratio)
                change = lean * np.float32(phi2 - late) + ahead * np.float32(late)
            x = _toward(base, before, level, sigma) + change
        base = x
        x = _toward(x, denoised, sigma, target)
        if past and target:
            ratio = math.log(sigma / past[0][1]) / math.log(sigma / target)
            x = x + (denoised - past[0][0]) * np.float32(0.5 * (1 - target / sigma) / ratio)
        past = [(denoised, sigma), *past[:1]]
    return x


def sample_lcm(walk: Walk, x: Array, sigmas: Sequence[float], eta: float) -> Array:
    """Walk as a latent consistency model does: each estimate, noised anew for the next level."""
    for sigma, target in pairwise(sigmas):
        x = _first(walk, x, sigma)
        if target:
            x = x + walk.noise() * np.float32(target)
    return x


#: By the WebUI's name: the function, and the eta that it has when nobody asks for another.
SAMPLES: dict[str, tuple[Sample, float]] = {
    "DPM++ 2M": (sample_dpmpp_2m, 0.0),
    "DPM++ SDE": (sample_dpmpp_sde, 1.0),
    "DPM++ 2M SDE": (sample_dpmpp_2m_sde, 1.0),
    "DPM++ 2M SDE Heun": (partial(sample_dpmpp_2m_sde, heun=True), 1.0),
    "DPM++ 2S a": (sample_dpmpp_2s, 1.0),
    "DPM++ 3M SDE": (sample_dpmpp_3m_sde, 1.0),
    "Euler a": (sample_euler, 1.0),
    "Euler": (sample_euler, 0.0),
    "LMS": (sample_lms, 0.0),
    "Heun": (sample_heun, 0.0),
    "DPM2": (sample_dpm2, 0.0),
    "DPM2 a": (sample_dpm2, 1.0),
    "DDIM": (sample_euler, 0.0),
    "PLMS": (sample_plms, 0.0),
    "UniPC": (sample_unipc, 0.0),
    "LCM": (sample_lcm, 1.0),
}
#: Samplers whose eta a caller may set; the rest ignore it, as the WebUI's do.
TAKE_ETA = frozenset(name for name, (_, eta) in SAMPLES.items() if eta and name != "LCM") | {"DDIM"}
#: Samplers that keep to their own even time steps, whatever schedule is asked for (the WebUI's timestep samplers).
EVEN_TIMES = frozenset({"DDIM", "PLMS", "UniPC"})
