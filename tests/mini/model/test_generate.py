"""What a request asks for is what the picture shows: size, seed, start, mask, passes, and a way to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sdlauncher.mini.model import SAMPLERS, SCHEDULERS, WEIGHTS, Model, Request
from sdlauncher.mini.model.pipeline import blend_noise, choose_small_size, make_noise

Array = np.ndarray[Any, np.dtype[Any]]

QUICK = Request("a red circle on a white background", steps=6, width=32, height=32, seed=3)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(WEIGHTS)


def difference(one: Array, other: Array) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def photo(height: int = 128, width: int = 128) -> Array:
    """Draw something that the model was never shown: fine slanted lines over two soft lights."""
    y, x = np.mgrid[:height, :width]
    light = 120 + 60 * np.sin(x / 40) + 40 * np.cos(y / 30)
    lines = 25 * ((x + y) // 3 % 2)
    return np.clip(np.stack([light + lines, light * 0.8 + lines, 200 - light / 2], -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (24, 200), (512, 768), (768, 512), (520, 512), (1024, 64)])
def test_any_size_comes_out(model: Model, size: tuple[int, int]) -> None:
    width, height = size
    image = model.generate(replace(QUICK, steps=1, width=width, height=height)).image
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((512, 512), (32, 32)),
        ((768, 512), (48, 32)),
        ((512, 768), (32, 48)),
        ((64, 64), (32, 32)),
        ((512, 520), (32, 32)),
        ((64, 2048), (32, 96)),
    ],
)
def test_small_pictures_keep_the_proportions(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert choose_small_size(*size) == small


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: s.name)
def test_each_sampler_repeats_itself_and_differs_by_seed(model: Model, sampler: Any) -> None:
    request = replace(QUICK, sampler=sampler.name)
    first, again, other = (model.generate(r).image for r in (request, request, replace(request, seed=4)))
    assert np.array_equal(first, again)
    assert difference(first, other) > 1


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: s.name)
def test_each_scheduler_is_known_by_name_and_label(model: Model, scheduler: Any) -> None:
    by_name = model.generate(replace(QUICK, steps=3, sampler="Euler", scheduler=scheduler.name)).image
    by_label = model.generate(replace(QUICK, steps=3, sampler="Euler", scheduler=scheduler.label)).image
    assert np.array_equal(by_name, by_label)


def test_schedulers_change_the_picture(model: Model) -> None:
    uniform, karras = (model.generate(replace(QUICK, scheduler=name)).image for name in ("uniform", "karras"))
    automatic = model.generate(QUICK).image
    assert not np.array_equal(uniform, karras)
    assert np.array_equal(automatic, karras)  # what DPM++ 2M prefers


def test_the_same_bytes_on_any_number_of_processors() -> None:
    script = (
        "import sys; from sdlauncher.mini.model import *; from dataclasses import replace\n"
        f"request = Request({QUICK.prompt!r}, steps=12, width=64, height=64, seed=3)\n"
        "image = Model.load(WEIGHTS).generate(request).image\n"
        "sys.stdout.buffer.write(image.tobytes())"
    )
    usual = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    one, many = (
        subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, timeout=100, check=True).stdout
        for env in ({**usual, "OPENBLAS_NUM_THREADS": "1"}, usual)
    )
    assert len(one) == 64 * 64 * 3
    assert one == many


def test_a_subseed_leads_from_one_picture_to_the_other(model: Model) -> None:
    def vary(strength: float) -> Array:
        return model.generate(replace(QUICK, subseed=9, subseed_strength=strength)).image

    assert np.array_equal(vary(0.0), model.generate(QUICK).image)
    assert np.array_equal(vary(1.0), model.generate(replace(QUICK, seed=9)).image)
    assert difference(vary(0.0), vary(0.1)) < difference(vary(0.0), vary(1.0))


def test_blended_noise_is_as_loud_as_its_parts() -> None:
    first, second = make_noise(1, (32, 32, 3)), make_noise(2, (32, 32, 3))
    for strength in (0.0, 0.3, 0.5, 1.0):
        assert blend_noise(first, second, strength).std() == pytest.approx(1, abs=0.03)
    assert np.allclose(blend_noise(first, first, 0.5), first)


def test_seeds_are_whole_numbers_of_any_size() -> None:
    noises = [make_noise(seed, (4,)).tobytes() for seed in (0, 1, -1, 2**32, 2**63)]
    assert len(set(noises)) == 5
    assert make_noise(2**64 + 1, (4,)).tobytes() == noises[1]


def test_unknown_words_are_told(model: Model) -> None:
    result = model.generate(replace(QUICK, steps=1, prompt="masterpiece, red circle", negative_prompt="blurry, cat"))
    assert result.unknown_words == ("masterpiece", "blurry")


@pytest.mark.parametrize("size", [(128, 128), (192, 128)])
def test_img2img_departs_from_its_start_as_far_as_asked(model: Model, size: tuple[int, int]) -> None:
    start = photo(*size)
    request = replace(QUICK, steps=20, height=size[0], width=size[1], init_image=start)
    distances = [
        difference(model.generate(replace(request, denoising_strength=strength)).image, start)
        for strength in (0.0, 0.4, 0.75, 1.0)
    ]
    assert distances[0] < 1.5
    assert distances == sorted(distances)
    assert distances[3] > 30


def test_img2img_keeps_fine_lines_at_low_strength(model: Model) -> None:
    start = photo()
    image = model.generate(
        replace(QUICK, steps=20, height=128, width=128, init_image=start, denoising_strength=0.1)
    ).image
    across, kept = (np.diff(p[:, :, 0].astype(float), axis=1).ravel() for p in (start, image))
    assert np.corrcoef(across, kept)[0, 1] > 0.8


def test_at_full_strength_the_start_hardly_matters(model: Model) -> None:
    # The most noise is finite, so a trace of the start remains, as in the real one.
    request = replace(QUICK, steps=20, sampler="Euler", denoising_strength=1.0)
    free = model.generate(replace(request, init_image=None)).image
    bound = model.generate(replace(request, init_image=photo(32, 32))).image
    assert difference(free, bound) < 25


def test_what_the_mask_does_not_cover_stays_byte_for_byte(model: Model) -> None:
    start = photo()
    mask = np.zeros((128, 128), np.float32)
    mask[32:96, 40:100] = 1
    mask[30:32, 40:100] = 0.5
    image = model.generate(
        replace(QUICK, steps=12, height=128, width=128, init_image=start, mask=mask, denoising_strength=0.9)
    ).image
    assert np.array_equal(image[mask == 0], start[mask == 0])
    assert difference(image[mask == 1], start[mask == 1]) > 15


def test_hires_is_larger_and_refines_the_same_picture(model: Model) -> None:
    steps: list[tuple[int, int]] = []
    request = replace(QUICK, steps=8, width=128, height=128)
    plain = model.generate(request).image
    result = model.generate(
        replace(request, hires_scale=2.0, hires_steps=4, hires_denoising_strength=0.5),
        on_step=lambda step, total, preview: steps.append((step, total)),
    )
    assert result.image.shape == (256, 256, 3)
    assert [step for step, _ in steps] == list(range(1, len(steps) + 1))
    assert {total for _, total in steps} == {len(steps)}
    assert 8 < len(steps) <= 8 + 4
    assert difference(result.image[::2, ::2], plain) < 30


def test_each_step_is_told_with_a_preview(model: Model) -> None:
    seen: list[tuple[int, int, Array]] = []

    def watch(step: int, total: int, preview: Callable[[], Array]) -> None:
        seen.append((step, total, preview()))

    image = model.generate(QUICK, on_step=watch).image
    assert [(step, total) for step, total, _ in seen] == [(i, 6) for i in range(1, 7)]
    assert all(p.dtype == np.uint8 and p.ndim == 3 for _, _, p in seen)
    shown = [difference(p[8::16, 8::16], image) for _, _, p in seen]
    assert shown[-1] < shown[0]


def test_it_stops_when_told_to(model: Model) -> None:
    steps: list[int] = []
    result = model.generate(
        replace(QUICK, steps=50),
        on_step=lambda step, total, preview: steps.append(step),
        should_stop=lambda: len(steps) == 2,
    )
    assert result.interrupted
    assert steps == [1, 2]
    assert result.image.shape == (32, 32, 3)
    assert not model.generate(QUICK).interrupted


def test_a_stopped_hires_picture_has_its_final_size(model: Model) -> None:
    result = model.generate(replace(QUICK, hires_scale=2.0), should_stop=lambda: True)
    assert result.interrupted
    assert result.image.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sampler": "Nonsense"}, "no sampler named 'Nonsense'"),
        ({"scheduler": "Nonsense"}, "no scheduler named 'Nonsense'"),
        ({"steps": 0}, "at least one step"),
        ({"width": 0}, "eight pixels"),
        ({"init_image": np.zeros((8, 8, 3), np.uint8)}, "init_image must be"),
        ({"mask": np.zeros((64, 64), np.float32)}, "needs an init_image"),
    ],
)
def test_what_makes_no_sense_is_refused(model: Model, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        model.generate(replace(QUICK, **changes))


def test_the_package_is_imported_without_numpy() -> None:
    script = "import sys, sdlauncher.mini.model; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
