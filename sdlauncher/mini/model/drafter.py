"""The draft: from words alone, the mean of all pictures that they fit, for the diffusion to lean on."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdlauncher.mini.model.network import (
    convolve,
    from_patches,
    gather_words,
    mix_condition,
    pass_block,
    scale_rms,
    silu,
    stretch,
)

Array = np.ndarray[Any, np.dtype[Any]]


def describe_places(height: int, width: int) -> Array:
    """Describe where each pixel is: waves over the picture, and over its middle in units of the short side."""
    maps = []
    for size, axis in ((height, 0), (width, 1)):
        at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size) * 2 - 1
        for along in (at, at * np.float32(size / min(height, width))):
            for wave in (0.5, 1.0, 2.0):
                for shape in (np.sin, np.cos):
                    values = shape(np.float32(np.pi * wave) * along)
                    maps.append(np.broadcast_to(values[:, None] if axis == 0 else values[None], (height, width)))
    return np.stack(maps, -1).astype(np.float32)


class Drafter:
    """The drafter's weights, and what it computes with them."""

    def __init__(self, weights: dict[str, Array]) -> None:
        prefix = "drafter."
        self._weights = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}

    def draft(self, prompts: list[dict[int, float]], height: int, width: int) -> Array:
        """Draft one small picture for each prompt's weighted words: (n, height, width, 3), about -1..1."""
        w = self._weights
        condition = mix_condition(w, "", np.stack([gather_words(w, "", rows) for rows in prompts]))
        n, low, high = len(prompts), (height // 4, width // 4), (height // 2, width // 2)
        layout = (condition @ w["layout.weight"] + w["layout.bias"]).reshape(n, 24, 8, 8)
        layout = (stretch(8, low[0]) @ layout @ stretch(8, low[1]).T).transpose(0, 2, 3, 1)
        where = np.broadcast_to(describe_places(*low), (n, *low, 24))
        h = np.concatenate([layout, where], -1) @ w["enter.weight"] + w["enter.bias"]
        h = pass_block(w, "low2", pass_block(w, "low1", h, condition), condition)
        h = from_patches(h @ w["grow.weight"] + w["grow.bias"]) + describe_places(*high) @ w["place.weight"]
        h = pass_block(w, "up1", h, condition)
        return from_patches(convolve(silu(scale_rms(h)), w["leave.weight"], w["leave.bias"]))
