"""The schedules give the noise levels that the WebUI's give."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sdlauncher.mini.model import SCHEDULERS
from sdlauncher.mini.model.schedules import SCHEDULES, SIGMA_MAX, SIGMA_MIN, SIGMAS, choose_sigmas


def test_the_training_levels_are_stable_diffusions() -> None:
    # The values that every Stable Diffusion 1.5 front end prints for its 1000 steps.
    assert pytest.approx((0.0292, 14.6146), abs=1e-4) == (SIGMA_MIN, SIGMA_MAX)
    assert len(SIGMAS) == 1000


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50, 150])
def test_levels_fall_from_the_most_noise_to_none(schedule: str, steps: int) -> None:
    sigmas = choose_sigmas(schedule, steps)
    assert all(a > b for a, b in pairwise(sigmas))
    assert sigmas[0] <= SIGMA_MAX + 1e-3
    assert sigmas[-1] == 0
    assert len(sigmas) >= steps


def test_every_scheduler_has_a_schedule() -> None:
    assert {s.name for s in SCHEDULERS} == {*SCHEDULES, "automatic"}


# Worked out by hand from the published formulas.
@pytest.mark.parametrize(
    ("schedule", "steps", "levels"),
    [
        ("karras", 3, [14.6146, 1.2745, 0.0292, 0.0]),
        ("exponential", 3, [14.6146, 0.6529, 0.0292, 0.0]),
        ("polyexponential", 3, [14.6146, 0.6529, 0.0292, 0.0]),
        ("align_your_steps", 11, [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029, 0.0]),
        ("kl_optimal", 2, [14.6146, 0.9616, 0.0292, 0.0]),
        ("beta", 3, [14.6146, 7.3219, 0.0292, 0.0]),
    ],
)
def test_levels_of_published_formulas(schedule: str, steps: int, levels: list[float]) -> None:
    assert choose_sigmas(schedule, steps) == pytest.approx(levels, abs=2e-3)


def test_uniform_steps_in_time_and_sgm_leaves_the_end_out() -> None:
    uniform, sgm = choose_sigmas("uniform", 5), choose_sigmas("sgm_uniform", 4)
    assert uniform[:4] == pytest.approx(sgm[:4])
    assert uniform[4] == pytest.approx(SIGMA_MIN)
    assert sgm[4] == 0


def test_the_next_to_last_level_can_be_discarded() -> None:
    assert choose_sigmas("karras", 4, discard_next_to_last=True) == [*choose_sigmas("karras", 5)[:4], 0.0]
