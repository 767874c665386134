"""Pictures that a WebUI sends: decoded without trust, and measured."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageChops, ImageStat

from sdlauncher.core.picture import PictureFacts
from sdlauncher.errors import SdLauncherError

# What a WebUI can be asked for (batch grids included) stays below; a bomb of 20,000 by 20,000 does not.
MOST_PIXELS: Final = 64 * 1024**2
_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_GRID: Final = (8, 8)
_CORNER: Final = 8


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture as sent (`data`) and as pixels; `parameters` is the text that the WebUI writes into its PNGs."""

    data: bytes
    image: Image.Image
    format: str
    parameters: str


def decode_picture(text: object) -> Decoded:
    """Decode one entry of `images`: base64, with or without a data-URL head.

    Raises SDL-SMOKE-NOT-BASE64, SDL-SMOKE-NOT-A-PICTURE, and SDL-SMOKE-BOMB for one with too many pixels, which is
    told from its header before a pixel is decoded.
    """
    if not isinstance(text, str):
        raise SdLauncherError("SDL-SMOKE-NOT-BASE64", evidence=f"{type(text).__name__} in place of a text")
    try:
        data = base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise SdLauncherError("SDL-SMOKE-NOT-BASE64", evidence=error) from error
    try:
        # Pillow's own limit only warns below twice its size; ours is checked on the header, and its errors are values.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise SdLauncherError("SDL-SMOKE-BOMB", width=opened.width, height=opened.height)
            opened.load()
            info: dict[Any, Any] = dict(opened.info)
            return Decoded(data, opened.convert("RGB"), opened.format or "", str(info.get("parameters") or ""))
    except SdLauncherError:
        raise
    except Image.DecompressionBombError as error:
        raise SdLauncherError("SDL-SMOKE-BOMB", width="?", height="?") from error
    except Exception as error:  # a decoder fed with anything may raise nearly anything
        raise SdLauncherError("SDL-SMOKE-NOT-A-PICTURE", evidence=f"{len(data)} bytes: {error}"[:160]) from error


def measure(image: Image.Image) -> PictureFacts:
    """Measure an RGB picture, its texture on the channel that varies most.

    Not on the luminance: a red apple before a blue wall has next to none of it to tell them apart by.
    """
    stat = ImageStat.Stat(image)
    main = image.getchannel(stat.stddev.index(max(stat.stddev)))
    spread = max(stat.stddev)
    steps = 0.0
    if image.width > 1:
        left = main.crop((0, 0, image.width - 1, image.height))
        right = main.crop((1, 0, image.width, image.height))
        steps = ImageStat.Stat(ImageChops.difference(left, right)).mean[0]
    coarse = ImageStat.Stat(main.resize(_GRID, Image.Resampling.BOX)).var[0]
    return PictureFacts(
        width=image.width,
        height=image.height,
        mean=(stat.mean[0], stat.mean[1], stat.mean[2]),
        brightest=max(int(high) for _, high in stat.extrema),
        spread=spread,
        tint=max(stat.mean) - min(stat.mean),
        roughness=steps / spread if spread else 0.0,
        coarse=coarse / spread**2 if spread else 1.0,
        discord=_discord(image) / spread if spread else 0.0,
        vivid=_share_of_corners(image),
    )


def difference(first: Image.Image, second: Image.Image) -> float:
    """Return the mean absolute difference of two pictures, 0 to 255; 255 when their sizes differ."""
    if first.size != second.size:
        return 255.0
    means = ImageStat.Stat(ImageChops.difference(first, second)).mean
    return sum(means) / len(means)


def _discord(image: Image.Image) -> float:
    """Return how far the channels go their own ways: the mean spread of red minus green and of green minus blue."""
    red, green, blue = image.split()
    spreads = [
        2 * ImageStat.Stat(ImageChops.subtract(one, other, scale=2, offset=128)).stddev[0]
        for one, other in ((red, green), (green, blue))
    ]
    return sum(spreads) / 2


def _share_of_corners(image: Image.Image) -> float:
    """Return the share of pixels whose channels are all at an end of the scale, without black and white ones."""
    # Two bits a channel: 1 for the dark end, 2 for the bright one; only corners have no channel at 0.
    low = image.point([1 if level < _CORNER else 0 for level in range(256)] * 3)
    high = image.point([2 if level > 255 - _CORNER else 0 for level in range(256)] * 3)
    red, green, blue = ImageChops.add(low, high).split()
    code = ImageChops.add(
        ImageChops.add(red, green.point([level * 3 for level in range(256)])),
        blue.point([level * 9 for level in range(256)]),
    )
    counts = code.histogram()
    corners = [r + 3 * g + 9 * b for r in (1, 2) for g in (1, 2) for b in (1, 2)]
    hits = sum(counts[value] for value in corners if value not in (1 + 3 + 9, 2 + 6 + 18))
    return hits / (image.width * image.height)
