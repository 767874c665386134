"""Speeds of a WebUI over sizes and batches: what a run shows, how it compares with earlier ones, and its plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

# A tenth slower than the middle of the last runs: on an idle machine repeated runs differ by 1 to 4 %.
REGRESSION: Final = 0.9
_COMPARED_RUNS: Final = 5
# An allocator splits and keeps; a forecast may use this much of what there is.
_USABLE: Final = 0.92
_BARS: Final = ("#4c78a8", "#bab0ac")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One size and batch."""

    width: int
    height: int
    batch: int
    steps: int

    @property
    def pixels(self) -> int:
        """Pixels computed at once."""
        return self.width * self.height * self.batch

    @property
    def name(self) -> str:
        """How it is shown, e.g. `512x512 x4`."""
        return f"{self.width}x{self.height}" + (f" x{self.batch}" if self.batch > 1 else "")


@dataclass(frozen=True, slots=True)
class Measure:
    """What one case took. `memory_peak` in bytes; temperature and clock as the driver told after it."""

    case: Case
    seconds: float
    memory_peak: int | None = None
    temperature_celsius: int | None = None
    clock_mhz: int | None = None

    @property
    def steps_per_second(self) -> float:
        """Sampling steps per second, of all pictures of the batch together counted once."""
        return round(self.case.steps / self.seconds, 3) if self.seconds else 0.0

    @property
    def pictures_per_minute(self) -> float:
        """Whole pictures per minute."""
        return round(60 * self.case.batch / self.seconds, 2) if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case against the middle of its last runs: `ratio` below 1 is slower; None without an earlier run."""

    case: Case
    now: float
    before: float | None

    @property
    def ratio(self) -> float | None:
        """The speed now in units of the speed before."""
        return None if not self.before else round(self.now / self.before, 3)

    @property
    def is_regression(self) -> bool:
        """Whether it is slower by more than runs differ by themselves."""
        return self.ratio is not None and self.ratio < REGRESSION


def compare(measures: Sequence[Measure], earlier: Sequence[Sequence[Measure]]) -> tuple[Comparison, ...]:
    """Compare a run with earlier ones, oldest first: each case with the median of its last five speeds."""
    compared = []
    for measure in measures:
        speeds = [one.steps_per_second for run in earlier for one in run if one.case == measure.case]
        before = median(speeds[-_COMPARED_RUNS:]) if speeds else None
        compared.append(Comparison(measure.case, measure.steps_per_second, before))
    return tuple(compared)


def foresee_memory(measures: Sequence[Measure], case: Case) -> int | None:
    """Foresee the peak memory of a case in bytes: linear in its pixels, from the least and the most measured.

    None while fewer than two different sizes were measured.
    """
    points = sorted((one.case.pixels, one.memory_peak) for one in measures if one.memory_peak is not None)
    if len(points) < 2 or points[0][0] == points[-1][0]:
        return None
    (low, low_peak), (high, high_peak) = points[0], points[-1]
    slope = max(0.0, (high_peak - low_peak) / (high - low))
    return int(high_peak + slope * (case.pixels - high))


def fits(measures: Sequence[Measure], case: Case, memory_total: int | None) -> bool:
    """Tell whether a case may be tried without running out of memory."""
    foreseen = foresee_memory(measures, case)
    return foreseen is None or memory_total is None or foreseen <= memory_total * _USABLE


def render_svg(comparisons: Sequence[Comparison], title: str) -> str:
    """Draw steps per second as bars, now beside before, as a self-contained SVG."""
    row, left, width = 44, 130, 720
    height = 60 + row * max(1, len(comparisons))
    most = max([one.now for one in comparisons] + [one.before or 0 for one in comparisons] + [1e-9])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for index, one in enumerate(comparisons):
        top = 44 + index * row
        parts.append(f'<text x="12" y="{top + 20}">{escape(one.case.name)}</text>')
        for place, (speed, colour) in enumerate(zip((one.now, one.before), _BARS, strict=True)):
            if speed is None:
                continue
            length = (width - left - 110) * speed / most
            y = top + place * 16
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="13" fill="{colour}"/>')
            word = "it/s" if place == 0 else "it/s before"
            parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 11}">{speed:g} {word}</text>')
    return "\n".join([*parts, "</svg>", ""])
