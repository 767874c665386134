"""Comparing speeds, foreseeing memory, and the plot."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sdlauncher.core.bench import Case, Comparison, Measure, compare, fits, foresee_memory, render_svg

SMALL, LARGE, BATCH = Case(512, 512, 1, 20), Case(1024, 1024, 1, 20), Case(1024, 1024, 4, 20)
GIB = 1 << 30


def took(case: Case, seconds: float, peak: int | None = None) -> Measure:
    return Measure(case, seconds, peak)


def test_speed_is_steps_and_pictures_over_time() -> None:
    measure = took(BATCH, 40.0)
    assert (measure.steps_per_second, measure.pictures_per_minute) == (0.5, 6.0)


@pytest.mark.parametrize(("seconds", "regression"), [(2.0, False), (2.2, False), (2.3, True), (1.5, False)])
def test_a_tenth_slower_than_the_middle_of_the_last_runs_is_a_regression(seconds: float, regression: bool) -> None:
    earlier = [[took(SMALL, one)] for one in (9.0, 2.0, 2.1, 1.9, 2.0, 2.0)]
    (compared,) = compare([took(SMALL, seconds)], earlier)
    assert compared.before == 10.0 and compared.is_regression is regression


def test_a_case_without_an_earlier_run_is_compared_with_nothing() -> None:
    (compared,) = compare([took(LARGE, 2.0)], [[took(SMALL, 1.0)]])
    assert compared.before is None and compared.ratio is None and not compared.is_regression


def test_memory_is_foreseen_from_two_sizes_and_a_case_that_would_not_fit_is_not_tried() -> None:
    seen = [took(SMALL, 1, 4 * GIB), took(LARGE, 1, 7 * GIB)]
    assert foresee_memory(seen, BATCH) == 19 * GIB
    assert fits(seen, BATCH, 24 * GIB) and not fits(seen, BATCH, 20 * GIB)
    assert fits(seen[:1], BATCH, 5 * GIB) and fits(seen, BATCH, None)


def test_the_plot_is_an_svg_with_a_bar_for_each_speed() -> None:
    drawn = render_svg([Comparison(SMALL, 8.0, 10.0), Comparison(LARGE, 2.0, None)], "RTX <4090> & model")
    root = ET.fromstring(drawn)
    bars = [item for item in root.iter("{http://www.w3.org/2000/svg}rect") if item.get("x")]
    assert [round(float(bar.get("width", "0"))) for bar in bars] == [384, 480, 96]
    assert "RTX <4090> & model" in "".join(root.itertext())
