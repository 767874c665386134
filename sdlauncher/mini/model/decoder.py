"""The way between pictures and the model's small ones: an exact average down, a learned sharp redrawing up."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdlauncher.mini.model.network import convolve, silu

Array = np.ndarray[Any, np.dtype[Any]]

FACTOR = 16


def average_down(image: Array, height: int, width: int) -> Array:
    """Average a picture (h, w) or (h, w, c) over the areas of fewer pixels; sizes need not divide."""
    flat = _areas(image.shape[0], height) @ image.reshape(image.shape[0], -1).astype(np.float32)
    turned = np.moveaxis(flat.reshape(height, *image.shape[1:]), 1, 0)
    result = _areas(image.shape[1], width) @ turned.reshape(image.shape[1], -1)
    return np.ascontiguousarray(np.moveaxis(result.reshape(width, height, *image.shape[2:]), 0, 1))


def _areas(large: int, small: int) -> Array:
    edges = np.arange(small + 1) * (large / small)
    pixels = np.arange(large)
    cover = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.clip(cover, 0, None) * (small / large), np.float32)


def resize(image: Array, height: int, width: int) -> Array:
    """Resize a uint8 picture with Lanczos's filter."""
    if image.shape[:2] == (height, width):
        return image
    from PIL import Image

    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def resize_map(values: Array, height: int, width: int) -> Array:
    """Resize a map of float32 values smoothly."""
    from PIL import Image

    return np.array(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


class Decoder:
    """Redraw a small picture sixteen times larger: every new pixel chooses among nine neighbours, cleaned of mixing."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights

    def decode(self, small: Array) -> Array:
        """Turn (h, w, 3) in -1..1 into (16 h, 16 w, 3) uint8."""
        w = self._weights
        small = np.clip(small, -1, 1)
        height, width, _ = small.shape
        h = convolve(small[None], w["decoder.enter.weight"], w["decoder.enter.bias"])
        for i in range(4):
            h = h + convolve(silu(h), w[f"decoder.blocks.{i}.weight"], w[f"decoder.blocks.{i}.bias"])
        h = silu(h)
        clean = small + convolve(h, w["decoder.clean.weight"], w["decoder.clean.bias"])[0]
        padded = np.pad(clean, ((1, 1), (1, 1), (0, 0)), mode="edge")
        result = np.empty((height, FACTOR, width, FACTOR, 3), np.uint8)
        for row in range(height):  # one row at a time: the choices for a whole picture would fill ten megabytes
            choice = (h[0, row] @ w["decoder.choose.weight"] + w["decoder.choose.bias"]).reshape(width, 9, FACTOR**2)
            choice -= choice.max(1, keepdims=True)
            np.exp(choice, out=choice)
            choice /= choice.sum(1, keepdims=True)
            palette = np.stack([padded[row + tap // 3, tap % 3 : tap % 3 + width] for tap in range(9)], -1)
            pixels = palette @ choice  # (width, 3, 256)
            levels = np.clip(pixels * np.float32(127.5) + np.float32(128), 0, 255).astype(np.uint8)
            result[row] = levels.reshape(width, 3, FACTOR, FACTOR).transpose(2, 0, 3, 1)
        return result.reshape(height * FACTOR, width * FACTOR, 3)

    @staticmethod
    def encode(image: Array, height: int, width: int) -> Array:
        """Turn a uint8 picture into (height, width, 3) in -1..1."""
        return average_down(image, height, width) / np.float32(127.5) - np.float32(1)
