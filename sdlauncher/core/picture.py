"""Is this a picture? Verdicts from a few numbers about its pixels, with thresholds between real and broken pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What was measured of a decoded picture. Levels are 0 to 255, shares 0 to 1.

    `spread` is the standard deviation of the luminance, `tint` the distance between the means of the channels;
    `roughness` the mean step between horizontal neighbours, in units of the spread;
    `coarse` the share of the luminance's variance that survives averaging to an 8 by 8 grid;
    `discord` the spread of the differences between channels, in units of the spread;
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
    discord: float
    vivid: float


# Measured on 28 photographs, scans, drawings and textures (those of scikit-image and scikit-learn) at 512 pixels and
# some at 256 and 64, and on broken pictures of 64 to 512 pixels made as VAEs break.
# NaNs become 0. The darkest real picture (a deep field of stars) has levels up to 255.
BLACK_BRIGHTEST: Final = 8
# One colour, with at most a level of grain: broken 0 to 0.9. The faintest real picture (a retina scan) has 10.
FLAT_SPREAD: Final = 2.0
# A VAE that decodes zeros gives the middle of the scale.
GREY_LEVELS: Final = (118.0, 138.0)
GREY_TINT: Final = 2.0
# Neighbours without any relation: white noise and stripes 1.11 to 1.18. Real up to 0.50 at 512 pixels, and up to 0.99
# for gravel and brick shrunk to 64.
WHITE_NOISE_ROUGHNESS: Final = 1.05
# Noise in the latents is smooth over 8 pixels, but nothing in it is large, and its channels go their own ways: coarse
# below 0.11, discord 2.0 to 2.2. Real textures (grass, brick, stars) are as fine, 0.01 to 0.05, but their channels
# agree: discord 0 to 0.34. At 64 pixels such noise fills the picture with 8 blotches and cannot be told from one.
NOISE_COARSE: Final = 0.12
NOISE_DISCORD: Final = 1.3
# A VAE of another model, or one that overflows, drives channels to their ends: garbage near 1, real pictures 0.00.
GARBAGE_VIVID: Final = 0.5


def judge_picture(facts: PictureFacts) -> str:
    """Name what is wrong with a picture: "", "black", "grey", "flat", "noise" or "garbage"."""
    if facts.brightest <= BLACK_BRIGHTEST:
        return "black"
    if facts.spread < FLAT_SPREAD:
        level = sum(facts.mean) / 3
        is_grey = facts.tint <= GREY_TINT and GREY_LEVELS[0] <= level <= GREY_LEVELS[1]
        return "grey" if is_grey else "flat"
    if facts.vivid >= GARBAGE_VIVID:
        return "garbage"
    if facts.roughness >= WHITE_NOISE_ROUGHNESS or (facts.coarse <= NOISE_COARSE and facts.discord >= NOISE_DISCORD):
        return "noise"
    return ""
