"""The samplers solve what they claim to solve, shown on a distribution whose perfect denoiser is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sdlauncher.mini.model import SAMPLERS
from sdlauncher.mini.model.samplers import SAMPLES
from sdlauncher.mini.model.schedules import choose_sigmas

Array = np.ndarray[Any, np.dtype[Any]]

MEAN, SPREAD = 0.4, 0.5
CERTAIN = ("DPM++ 2M", "Euler", "LMS", "Heun", "DPM2", "DDIM", "PLMS", "UniPC")
HIGHER = ("DPM++ 2M", "LMS", "Heun", "DPM2", "PLMS")
RANDOM = tuple(name for name in SAMPLES if name not in CERTAIN)


@dataclass
class Bell:
    """The walk for numbers drawn from a bell curve: the best guess is known exactly."""

    random: np.random.RandomState = field(default_factory=lambda: np.random.RandomState(5))
    shape: tuple[int, ...] = (20000,)
    told: int = 0
    asked: int = 0

    def denoise(self, x: Array, sigma: float) -> Array:
        self.asked += 1
        return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)

    def noise(self) -> Array:
        return self.random.standard_normal(self.shape)

    def tell(self, denoised: Array) -> None:
        self.told += 1


def sample(name: str, steps: int, schedule: str = "karras", eta: float | None = None) -> tuple[Array, Array, Bell]:
    walk = Bell()
    sigmas = choose_sigmas(schedule, steps)
    start = walk.noise() * math.hypot(sigmas[0], SPREAD) + MEAN
    function, usual = SAMPLES[name]
    end = function(walk, start, sigmas, usual if eta is None else eta)
    exact = MEAN + (start - MEAN) * SPREAD / math.hypot(sigmas[0], SPREAD)
    return end, exact, walk


def test_every_listed_sampler_is_there() -> None:
    assert {s.name for s in SAMPLERS} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20])
def test_each_step_is_told_once(name: str, steps: int) -> None:
    end, _, walk = sample(name, steps)
    assert walk.told == steps
    assert np.isfinite(end).all()
    second_order = next(s for s in SAMPLERS if s.name == name).options.get("second_order") == "True"
    assert walk.asked == (2 * steps - 1 if second_order else steps + (name == "PLMS" and steps > 1))


@pytest.mark.parametrize("name", CERTAIN)
def test_the_flow_is_solved_exactly_in_the_end(name: str) -> None:
    errors = [float(np.abs(end - exact).mean()) for end, exact, _ in (sample(name, n) for n in (10, 20, 40))]
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.02


@pytest.mark.parametrize("name", HIGHER)
def test_higher_order_pays(name: str) -> None:
    end, exact, _ = sample(name, 20)
    euler, _, _ = sample("Euler", 20)
    assert np.abs(end - exact).mean() < np.abs(euler - exact).mean() / 2


@pytest.mark.parametrize("name", [n for n in RANDOM if n != "LCM"])
def test_random_walks_end_in_the_right_distribution(name: str) -> None:
    end, exact, _ = sample(name, 80)
    assert end.mean() == pytest.approx(MEAN, abs=0.02)
    assert end.std() == pytest.approx(SPREAD, rel=0.08)
    assert abs(np.corrcoef(end, exact)[0, 1]) < 0.9  # fresh noise went in


def test_eta_turns_euler_into_its_ancestral_twin() -> None:
    plain, ancestral = sample("Euler", 12)[0], sample("Euler a", 12)[0]
    assert np.array_equal(sample("Euler a", 12, eta=0.0)[0], plain)
    assert np.array_equal(sample("DDIM", 12, eta=1.0)[0], ancestral)
    assert not np.allclose(plain, ancestral)
