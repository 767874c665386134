"""How a request becomes a picture: noise, guidance, the two passes of hires, img2img and inpainting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sdlauncher.mini.model import SAMPLERS, SCHEDULERS, Request, Result, StepWatcher
from sdlauncher.mini.model.decoder import Decoder, average_down, resize, resize_map
from sdlauncher.mini.model.drafter import Drafter
from sdlauncher.mini.model.network import MULTIPLE, Network
from sdlauncher.mini.model.prompt import read_prompt
from sdlauncher.mini.model.samplers import EVEN_TIMES, SAMPLES, TAKE_ETA
from sdlauncher.mini.model.schedules import choose_sigmas
from sdlauncher.mini.model.vocabulary import TOKENS

Array = np.ndarray[Any, np.dtype[Any]]
Noise = Callable[[], Array]
Rows = dict[int, float]

SHORT_SIDE = 32  # of the small pictures that the network was mostly trained on
LONGEST = 96
HIRES_SHORT_SIDE = 48  # the largest that it was trained on
#: The guidance that the network gets per unit of cfg_scale above 1: it makes the usual 7 right for this model too.
GUIDANCE_SHARE = 0.4
#: Below this noise level guidance has nothing left to decide and only pushes colours past their aim.
GUIDED_ABOVE = 0.15
#: How far a small pixel may drift (of 2) before the fine detail of the picture that it came from no longer fits it.
DETAIL_TOLERANCE = 0.12


class _StoppedError(Exception):
    """The caller asked to stop; the walk's current estimate is what there is."""


@dataclass(slots=True)
class _Watch:
    """Who follows the steps, over both passes of a hires picture."""

    on_step: StepWatcher | None
    should_stop: Callable[[], bool] | None
    total: int
    done: int = 0

    def step(self, preview: Callable[[], Array]) -> None:
        self.done += 1
        if self.on_step is not None:
            self.on_step(min(self.done, self.total), self.total, preview)
        if self.should_stop is not None and self.should_stop():
            raise _StoppedError


class _Walk:
    """One pass from noise to a small picture, with everything that bends the model's estimates on the way."""

    def __init__(
        self, pipeline: Pipeline, request: Request, watch: _Watch, prepared: tuple[Array, Array], noise: Noise
    ) -> None:
        self._network, self._decoder = pipeline.network, pipeline.decoder
        self._guidance = 1 + (request.cfg_scale - 1) * GUIDANCE_SHARE
        self._words, self._traces = prepared
        self._unguided_below = GUIDED_ABOVE if request.cfg_scale != 1 else math.inf
        self._watch = watch
        self.noise = noise
        self.kept: tuple[Array, Array] | None = None  # the small original and where it may change (1) or not (0)
        self.estimate: Array | None = None

    def denoise(self, x: Array, sigma: float) -> Array:
        count = 1 if sigma < self._unguided_below else 2
        guesses = self._network.denoise(x, sigma, self._words[:count], self._traces[:count])
        denoised = guesses[0]
        if count == 2:
            denoised = guesses[1] + np.float32(self._guidance) * (guesses[0] - guesses[1])
        denoised = np.clip(denoised, -1, 1)
        if self.kept is not None:
            original, free = self.kept
            denoised = original + free * (denoised - original)
        return np.asarray(denoised)

    def tell(self, denoised: Array) -> None:
        self.estimate = denoised
        self._watch.step(lambda: self._decoder.decode(denoised))


def choose_small_size(height: int, width: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Choose the size of the small picture for one of height x width pixels: the same proportions, if it can."""
    short = min(height, width)
    long = round(short_side * max(height, width) / short / MULTIPLE) * MULTIPLE
    long = min(long, LONGEST)
    return (long, short_side) if height > width else (short_side, long)


def make_noise(seed: int, shape: tuple[int, ...], stream: int = 0) -> Array:
    """Draw noise that a seed always gives, on every machine and version (numpy promises that for RandomState)."""
    seed %= 1 << 64
    state = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32, stream])
    return state.standard_normal(shape).astype(np.float32)


def blend_noise(first: Array, second: Array, strength: float) -> Array:
    """Go from one noise to another along the sphere, so that the way is as noisy as its ends."""
    cosine = float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second)))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-3:
        return np.asarray(first + np.float32(strength) * (second - first))
    shares = math.sin((1 - strength) * angle) / math.sin(angle), math.sin(strength * angle) / math.sin(angle)
    return np.asarray(np.float32(shares[0]) * first + np.float32(shares[1]) * second)


class Pipeline:
    """The network, the decoder, and the way from a request to a picture."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.network, self.drafter, self.decoder = Network(weights), Drafter(weights), Decoder(weights)
        if self.network.word_count != len(TOKENS):
            raise ValueError("it was trained on another vocabulary")
        words, traces = self._prepare([{}], 8, 8)
        self.decoder.decode(self.network.denoise(np.zeros((8, 8, 3), np.float32), 1.0, words, traces)[0])

    def generate(self, request: Request, on_step: StepWatcher | None, should_stop: Callable[[], bool] | None) -> Result:
        """Make one picture (see Model.generate)."""
        _check(request)
        positive, negative = read_prompt(request.prompt), read_prompt(request.negative_prompt)
        prompts = [positive.weights, negative.weights]
        unknown = tuple(dict.fromkeys(positive.unknown + negative.unknown))
        hires = request.hires_scale > 1 and request.init_image is None
        again = replace(
            request,
            steps=request.hires_steps or request.steps,
            denoising_strength=request.hires_denoising_strength,
            width=round(request.width * request.hires_scale / 8) * 8,
            height=round(request.height * request.hires_scale / 8) * 8,
        )
        total = len(_sigmas(request, request.init_image is not None)) - 1
        total += len(_sigmas(again, partway=True)) - 1 if hires else 0
        watch = _Watch(on_step, should_stop, total)
        image, stopped = self._paint(request, watch, prompts, request.init_image)
        if hires:
            large = resize(image, again.height, again.width)
            if stopped:
                return Result(large, unknown, interrupted=True)
            short = min(HIRES_SHORT_SIDE, round(SHORT_SIDE * request.hires_scale / MULTIPLE) * MULTIPLE)
            image, stopped = self._paint(again, watch, prompts, large, short)
        return Result(image, unknown, stopped)

    def _prepare(self, prompts: list[Rows], height: int, width: int) -> tuple[Array, Array]:
        words = np.stack([self.network.embed(rows) for rows in prompts])
        traces = self.network.trace(self.drafter.draft(prompts, height, width))
        return words, traces.reshape(len(prompts), -1, traces.shape[-1])

    def _paint(
        self,
        request: Request,
        watch: _Watch,
        prompts: list[Rows],
        start: Array | None,
        short_side: int = SHORT_SIDE,
    ) -> tuple[Array, bool]:
        height, width = choose_small_size(request.height, request.width, short_side)
        shape = (height, width, 3)
        noise = make_noise(request.seed, shape)
        if request.subseed_strength > 0:
            noise = blend_noise(noise, make_noise(request.subseed, shape), request.subseed_strength)
        streams = iter(range(1, 1 << 30))
        prepared = self._prepare(prompts, height, width)
        walk = _Walk(self, request, watch, prepared, lambda: make_noise(request.seed, shape, next(streams)))
        sigmas = _sigmas(request, start is not None)
        x = noise * np.float32(sigmas[0])
        original = None
        if start is not None:
            original = self.decoder.encode(start, height, width)
            x = x + original
            if request.mask is not None:
                walk.kept = original, average_down(request.mask, height, width)[..., None]
        sample, usual_eta = SAMPLES[request.sampler]
        eta = request.eta if request.eta is not None and request.sampler in TAKE_ETA else usual_eta
        stopped = False
        try:
            small = sample(walk, x, sigmas, eta)
        except _StoppedError:
            assert walk.estimate is not None
            small, stopped = walk.estimate, True
        image = self._show(small, request.height, request.width)
        if start is not None and original is not None and request.hires_scale <= 1:
            image = self._keep_detail(image, small, start, original)
        if start is not None and request.mask is not None:
            image = _compose(start, image, request.mask)
        return image, stopped

    def _show(self, small: Array, height: int, width: int) -> Array:
        if height <= small.shape[0] and width <= small.shape[1]:
            levels = average_down(small, height, width) * np.float32(127.5) + np.float32(128)
            return np.asarray(np.clip(levels, 0, 255).astype(np.uint8))
        return resize(self.decoder.decode(small), height, width)

    def _keep_detail(self, image: Array, small: Array, start: Array, original: Array) -> Array:
        """Bring back what the small picture could not hold of the original, wherever the small one stayed as it was."""
        height, width, _ = start.shape
        drift = np.abs(small - original).max(-1)
        kept = resize_map(np.exp(-((drift / DETAIL_TOLERANCE) ** 2)), height, width)[..., None]
        redrawn = self._show(original, height, width)
        detail = kept * (start.astype(np.float32) - redrawn)
        return np.asarray(np.clip(image + detail + np.float32(0.5), 0, 255).astype(np.uint8))


def _compose(start: Array, image: Array, mask: Array) -> Array:
    share = np.clip(mask, 0, 1)[..., None]
    mixed = start + share * (image.astype(np.float32) - start)
    return np.where(share > 0, np.clip(mixed + np.float32(0.5), 0, 255).astype(np.uint8), start)


def _sigmas(request: Request, partway: bool) -> list[float]:
    """Choose the noise levels: all, or those that an img2img of this strength walks, as the WebUI counts them."""
    options = next(sampler.options for sampler in SAMPLERS if sampler.name == request.sampler)
    schedule = next(s.name for s in SCHEDULERS if request.scheduler in (s.name, s.label))
    if request.sampler in EVEN_TIMES:
        schedule = "ddim"
    elif schedule == "automatic":
        schedule = options.get("scheduler", "uniform")
    sigmas = choose_sigmas(schedule, request.steps, discard_next_to_last="discard_next_to_last_sigma" in options)
    if not partway:
        return sigmas
    walked = min(int(min(request.denoising_strength, 0.999) * request.steps), len(sigmas) - 2)
    return sigmas[len(sigmas) - 2 - walked :]


def _check(request: Request) -> None:
    if request.sampler not in SAMPLES:
        raise ValueError(f"there is no sampler named {request.sampler!r}")
    if not any(request.scheduler in (s.name, s.label) for s in SCHEDULERS):
        raise ValueError(f"there is no scheduler named {request.scheduler!r}")
    if request.steps < 1 or request.width < 8 or request.height < 8:
        raise ValueError("a picture needs at least one step and eight pixels on each side")
    size = (request.height, request.width)
    if request.init_image is not None and request.init_image.shape != (*size, 3):
        raise ValueError(f"init_image must be {size} RGB, not {request.init_image.shape}")
    if request.mask is not None and (request.init_image is None or request.mask.shape != size):
        raise ValueError(f"a mask must be {size} and needs an init_image")
