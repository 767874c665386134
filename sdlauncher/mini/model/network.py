"""The denoising network, in numpy: a small U-Net over 2x2 patches that words and noise level modulate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SIGMA_DATA = 0.6  # the spread of the training pictures' values, part of the model's definition (Karras et al. 2022)
MULTIPLE = 4  # heights and widths must be multiples: patches of two, halved once


def silu(x: Array) -> Array:
    """Give x times its logistic."""
    with np.errstate(over="ignore"):
        return np.asarray(x / (np.float32(1) + np.exp(-x)))


def scale_rms(x: Array) -> Array:
    """Scale the last axis to a mean square of one."""
    square = np.einsum("...c,...c->...", x, x)[..., None] / np.float32(x.shape[-1])
    return np.asarray(x / np.sqrt(square + np.float32(1e-5)))


def gather_neighbours(x: Array) -> Array:
    """Lay out each pixel's 3x3 neighbourhood (zeros outside) as one row: (n, h, w, c) becomes (n * h * w, 9 * c)."""
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2, width + 2, channels), np.float32)
    padded[:, 1:-1, 1:-1] = x
    rows = np.empty((n, height, width, 9, channels), np.float32)
    for tap in range(9):
        rows[:, :, :, tap] = padded[:, tap // 3 : tap // 3 + height, tap % 3 : tap % 3 + width]
    return rows.reshape(n * height * width, 9 * channels)


def convolve(x: Array, weight: Array, bias: Array) -> Array:
    """Convolve with 3x3 kernels: x is (n, h, w, c), weight is (9 * c, outputs)."""
    result = gather_neighbours(x) @ weight
    result += bias
    return result.reshape(*x.shape[:3], -1)


def to_patches(x: Array) -> Array:
    """Fold 2x2 pixels into channels, in the order of torch's pixel_unshuffle."""
    n, height, width, channels = x.shape
    folded = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(folded).reshape(n, height // 2, width // 2, 4 * channels)


def from_patches(x: Array) -> Array:
    """Unfold what to_patches folded."""
    n, height, width, channels = x.shape
    unfolded = x.reshape(n, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(unfolded).reshape(n, 2 * height, 2 * width, channels // 4)


def stretch(small: int, large: int) -> Array:
    """Give the matrix that interpolates small points to large ones (or fewer) linearly, ends held."""
    at = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(small))), np.float32)


def pass_block(weights: dict[str, Array], name: str, x: Array, condition: Array) -> Array:
    """Pass pixels through a residual block that the condition modulates."""
    modulation = condition @ weights[f"{name}.modulate.weight"] + weights[f"{name}.modulate.bias"]
    scale, shift = np.split(modulation[:, None, None], 2, axis=-1)
    h = convolve(silu(scale_rms(x)), weights[f"{name}.first.weight"], weights[f"{name}.first.bias"])
    h = convolve(
        silu(scale_rms(h) * (1 + scale) + shift), weights[f"{name}.second.weight"], weights[f"{name}.second.bias"]
    )
    skip = weights.get(f"{name}.skip.weight")
    return np.asarray(h + (x if skip is None else x @ skip))


def gather_words(weights: dict[str, Array], prefix: str, rows: dict[int, float]) -> Array:
    """Add up the vectors of weighted words; no words at all have a vector of their own."""
    if not rows:
        return weights[f"{prefix}nothing"]
    return np.asarray(np.array(list(rows.values()), np.float32) @ weights[f"{prefix}words"][list(rows)])


def mix_condition(weights: dict[str, Array], prefix: str, c: Array) -> Array:
    """Let the parts of a condition act on one another."""
    mixed = silu(silu(c) @ weights[f"{prefix}mix1.weight"] + weights[f"{prefix}mix1.bias"])
    return silu(c + mixed @ weights[f"{prefix}mix2.weight"] + weights[f"{prefix}mix2.bias"])


class Network:
    """The network's weights, and what it computes with them."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        self.word_count = len(weights["words"])

    def embed(self, rows: dict[int, float]) -> Array:
        """Turn weighted words into the vector that conditions the network."""
        return gather_words(self._weights, "", rows)

    def trace(self, drafts: Array) -> Array:
        """Prepare drafts, (n, h, w, 3), for the network to lean on; once for all steps."""
        return np.asarray(gather_neighbours(to_patches(drafts)) @ self._weights["trace.weight"])

    def denoise(self, x: Array, sigma: float, words: Array, traces: Array) -> Array:
        """Estimate the clean pictures, (n, h, w, 3), of one noisy x, (h, w, 3), after the words and traces of n."""
        root = math.sqrt(sigma**2 + SIGMA_DATA**2)
        scaled = np.broadcast_to(x * np.float32(1 / root), (len(words), *x.shape))
        guess = self._forward(scaled, math.log(sigma) / 4, words, traces)
        return np.asarray(x * np.float32(SIGMA_DATA**2 / root**2) + guess * np.float32(sigma * SIGMA_DATA / root))

    def _forward(self, x: Array, noise: float, words: Array, traces: Array) -> Array:
        w = self._weights
        waves = np.float32(noise) * np.float32(2) ** np.arange(-1, 7, 0.5, dtype=np.float32)
        c = np.concatenate([np.sin(waves), np.cos(waves)]) @ w["time.weight"] + w["time.bias"] + words
        condition = mix_condition(w, "", c)
        patches = to_patches(x)
        n, height, width, _ = patches.shape
        rows = np.broadcast_to(np.linspace(-1, 1, height, dtype=np.float32)[None, :, None, None], (n, height, width, 1))
        columns = np.broadcast_to(np.linspace(-1, 1, width, dtype=np.float32)[:, None], (n, height, width, 1))
        h = convolve(np.concatenate([patches, rows, columns], -1), w["enter.weight"], w["enter.bias"])
        h += traces.reshape(h.shape)
        fine = pass_block(w, "down2", pass_block(w, "down1", h, condition), condition)
        h = to_patches(fine) @ w["shrink.weight"] + w["shrink.bias"] + self._lay_out(condition, height // 2, width // 2)
        h = self._attend(pass_block(w, "low2", pass_block(w, "low1", h, condition), condition))
        h = pass_block(w, "low4", pass_block(w, "low3", h, condition), condition) @ w["grow.weight"] + w["grow.bias"]
        h = np.concatenate([from_patches(h), fine], -1)
        h = pass_block(w, "up2", pass_block(w, "up1", h, condition), condition)
        return from_patches(convolve(silu(scale_rms(h)), w["leave.weight"], w["leave.bias"]))

    def _lay_out(self, condition: Array, height: int, width: int) -> Array:
        """Draft from the words alone what should be where, on a grid of eight by eight stretched to the picture."""
        w = self._weights
        draft = (condition @ w["layout.weight"] + w["layout.bias"]).reshape(len(condition), 12, 8, 8)
        stretched = stretch(8, height) @ draft @ stretch(8, width).T
        return np.asarray(stretched.transpose(0, 2, 3, 1) @ w["place.weight"])

    def _attend(self, x: Array) -> Array:
        w = self._weights
        n, height, width, channels = x.shape
        qkv = (scale_rms(x) @ w["attention.qkv.weight"]).reshape(n, height * width, 3, 4, channels // 4)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        likeness = scale_rms(q) @ scale_rms(k).swapaxes(-1, -2) * np.float32((channels // 4) ** -0.5)
        share = np.exp(likeness - likeness.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = (share @ v).transpose(0, 2, 1, 3).reshape(n, height, width, channels)
        return np.asarray(x + mixed @ w["attention.out.weight"] + w["attention.out.bias"])
