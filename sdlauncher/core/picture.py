"""Is this a picture? Verdicts from a few numbers about its pixels, with thresholds between real and broken pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What was measured of a decoded picture. Levels are 0 to 255, shares 0 to 1.

    The texture is that of the channel that varies most: `spread` its standard deviation, `roughness` the mean step
    between horizontal neighbours in units of the spread, `coarse` the share of its variance that survives averaging to
    an 8 by 8 grid. `tint` is the distance between the means of the channels, `discord` the spread of the differences
    between them in units of the spread, `vivid` the share of pixels in a corner of the colour cube other than black
    and white.
    """

    width: int
    height: int
    mean: tuple[float, float, float]
    brightest: int
    spread: float
    tint: float
    roughness: float
    coarse: float
    discord: float
    vivid: float


# Measured at 512, 256, 128 and 64 pixels on 28 photographs, scans, drawings and textures (those of scikit-image and
# scikit-learn), on pictures of Mini WebUI's model, and on broken pictures made as VAEs break. A random VAE in a real
# AUTOMATIC1111 gives noise of the second kind (coarse 0.11, discord 1.21 at 256 pixels).

# NaNs become 0. The darkest real picture (a deep field of stars) has levels up to 255.
BLACK_BRIGHTEST: Final = 8
# One colour with at most a level of grain: broken 0 to 1.2. The faintest real picture (a retina scan) has 9.9.
FLAT_SPREAD: Final = 2.0
# A VAE that decodes zeros gives the middle of the scale.
GREY_LEVELS: Final = (118.0, 138.0)
GREY_TINT: Final = 2.0
# Neighbours without any relation: white noise and stripes 1.10 to 1.20. Real up to 0.50 at 512 pixels, and up to 0.99
# for gravel and brick shrunk to 64.
WHITE_NOISE_ROUGHNESS: Final = 1.05
# Noise in the latents is smooth over 8 or 16 pixels, but nothing in it is large (coarse 0.01 to 0.19 where the picture
# is at least 16 such blotches wide) and its channels go their own ways (discord 1.21 to 1.48). Real textures (grass,
# brick, stars) are as fine, 0.01 to 0.05, but their channels agree: discord 0 to 0.31. With fewer blotches than that
# such noise cannot be told from a picture of blotches, and is not.
NOISE_COARSE: Final = 0.2
NOISE_DISCORD: Final = 0.9
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
