"""The script "SD upscale": a picture is enlarged, worked over tile by tile, and put together without seams."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sdlauncher.mini.choices import UPSCALERS
from sdlauncher.mini.model import Result
from sdlauncher.mini.pictures import refuse_too_large

if TYPE_CHECKING:
    from sdlauncher.mini.jobs import Progress
    from sdlauncher.mini.model import Model, Request

OnStep = Callable[[int, int, Callable[[], Any]], None]


@dataclass(frozen=True, slots=True)
class TiledUpscale:
    """An enlarged picture and the corners of the tiles that cover it."""

    picture: Image.Image
    overlap: int
    upscaler: str
    tiles: list[tuple[int, int]]

    def describe(self) -> dict[str, Any]:
        """Give what the picture's text says about it."""
        return {"SD upscale overlap": self.overlap, "SD upscale upscaler": self.upscaler}

    def generate(self, model: Model, request: Request, progress: Progress, on_step: OnStep) -> Result:
        """Work over all tiles and blend them; a tile counts less towards its edges."""
        width, height = request.width, request.height
        pixels = np.asarray(self.picture, dtype=np.float32)
        total = np.zeros_like(pixels)
        weights = np.zeros(pixels.shape[:2], dtype=np.float32)
        weight = np.minimum.outer(_ramp(height, self.overlap), _ramp(width, self.overlap))
        unknown: tuple[str, ...] = ()
        interrupted = False
        for x, y in self.tiles:
            window = np.s_[y : y + height, x : x + width]
            tile = replace(request, init_image=pixels[window].astype(np.uint8))
            result = model.generate(tile, on_step=on_step, should_stop=progress.should_stop)
            shape = total[window].shape
            total[window] += result.image[: shape[0], : shape[1]] * weight[: shape[0], : shape[1], None]
            weights[window] += weight[: shape[0], : shape[1]]
            unknown, interrupted = result.unknown_words, interrupted or result.interrupted
            if (x, y) != self.tiles[-1]:
                progress.next_batch()
        image = (total / weights[..., None]).round().clip(0, 255).astype(np.uint8)
        return Result(image=image, unknown_words=unknown, interrupted=interrupted)


def plan_upscale(arguments: list[Any], original: Image.Image, request: Request) -> TiledUpscale:
    """Enlarge the picture and lay the tiles: the script's arguments are nothing, overlap, upscaler and factor.

    Raises what those raise that are missing or of a wrong kind.
    """
    _, overlap, upscaler, factor = arguments[:4]
    name = UPSCALERS[upscaler] if isinstance(upscaler, int) else upscaler
    if name not in UPSCALERS:
        raise ValueError(f"{name!r} is not in list")
    # At least one tile must fit, in whole steps of the model's grid.
    width = max(int(original.width * float(factor)), request.width)
    height = max(int(original.height * float(factor)), request.height)
    refuse_too_large(width, height)
    filtering = Image.Resampling.NEAREST if name == "Nearest" else Image.Resampling.LANCZOS
    picture = original.convert("RGB").resize((width, height), filtering)
    overlap = max(0, min(int(overlap), request.width - 8, request.height - 8))
    tiles = [(x, y) for y in _starts(height, request.height, overlap) for x in _starts(width, request.width, overlap)]
    return TiledUpscale(picture, overlap, name, tiles)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    count = math.ceil((length - overlap) / (tile - overlap))
    return [round(place * (length - tile) / max(count - 1, 1)) for place in range(max(count, 1))]


def _ramp(length: int, overlap: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    ramp: np.ndarray[Any, np.dtype[np.float32]] = np.minimum(distance / (overlap + 1), 1).astype(np.float32)
    return ramp
