"""Is this a picture? Verdicts from a few numbers about its pixels, with thresholds between real and broken pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What was measured of a decoded picture. Levels are 0 to 255, shares 0 to 1.

    `spread` is the standard deviation of the luminance; `tint` the distance between the means of the channels;
    `roughness` the mean step between horizontal neighbours, in units of the spread (white noise: 1.13);
    `coarse` the share of the luminance's variance that survives averaging to an 8 by 8 grid (white noise: 0);
    `vivid` the share of pixels in a corner of the colour cube other than black and white.
    """

    width: int
    height: int
    mean: tuple[float, float, float]
    darkest: int
    brightest: int
    spread: float
    tint: float
    roughness: float
    coarse: float
    vivid: float


# The least luminance range of something that may be called lit, and the least spread of a picture.
BLACK_BRIGHTEST: Final = 8
FLAT_SPREAD: Final = 2.0
GREY_LEVELS: Final = (118.0, 138.0)
GREY_TINT: Final = 2.0
NOISE_ROUGHNESS: Final = 0.75
NOISE_COARSE: Final = 0.04
GARBAGE_VIVID: Final = 0.5


def judge_picture(facts: PictureFacts) -> str:
    """Name what is wrong with a picture: "", "black", "grey", "flat", "noise" or "garbage"."""
    if facts.brightest <= BLACK_BRIGHTEST:
        return "black"
    if facts.spread < FLAT_SPREAD:
        level = sum(facts.mean) / 3
        is_grey = facts.tint <= GREY_TINT and GREY_LEVELS[0] <= level <= GREY_LEVELS[1]
        return "grey" if is_grey else "flat"
    if facts.roughness >= NOISE_ROUGHNESS or facts.coarse <= NOISE_COARSE:
        return "noise"
    if facts.vivid >= GARBAGE_VIVID:
        return "garbage"
    return ""
