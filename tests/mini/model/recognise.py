"""Plain geometry that tells what a picture shows: colours by distance, shapes by the overlap of silhouettes."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sdlauncher.mini.model.vocabulary import COLOURS, SHAPES

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts"))

import mini_pictures

Array = np.ndarray[Any, np.dtype[Any]]
SIDE = 32
SLACK = 2  # pixels that a thing may stand off the middle
PALETTE = np.array(list(COLOURS.values()), np.float32)


def name_colours(pixels: Array) -> list[str]:
    """Name the colour of each pixel, (n, 3) of 0..255."""
    nearest = ((pixels.reshape(-1, 1, 3).astype(np.float32) - PALETTE) ** 2).sum(-1).argmin(1)
    return [list(COLOURS)[i] for i in nearest]


def most_common(names: list[str]) -> str:
    return max(sorted(set(names)), key=names.count) if names else "nothing"


def _border(picture: Array) -> Array:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def ground_colour(picture: Array) -> str:
    """Name the colour of most of the picture's border."""
    return most_common(name_colours(_border(picture)))


def draw_alone(shape: str, colour: str, ground: str, seed: int) -> Array:
    """Draw one thing on a plain ground, as the training pictures show it."""
    rng = np.random.default_rng(seed)
    x, y = 0.5 + rng.normal(0, 0.015, 2)
    subject = mini_pictures.Subject(shape, COLOURS[colour], x, y, rng.uniform(0.28, 0.32), rng.normal(0, 0.03))
    return _draw(subject, COLOURS[ground]).astype(np.uint8)


def _draw(subject: mini_pictures.Subject, ground: tuple[int, int, int]) -> Array:
    picture = mini_pictures.Picture((1, 1), (subject,), ground, "", "", 0)
    return mini_pictures.draw(picture, 2 * SIDE, 2 * SIDE).reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))


@cache
def _silhouettes() -> tuple[list[str], Array, Array]:
    """Give names, silhouettes and the parts in the thing's own colour, for every shape, size and place."""
    names, masks, parts = [], [], []
    for shape in SHAPES:
        for radius in (0.26, 0.28, 0.3, 0.32, 0.34):
            subject = mini_pictures.Subject(shape, (255, 0, 255), 0.5, 0.5, radius, 0)
            drawn = _draw(subject, (0, 200, 0))
            mask = np.abs(drawn - np.array((0, 200, 0))).max(-1) > 90
            part = np.abs(drawn - np.array((255, 0, 255))).max(-1) < 30
            for shift in np.ndindex(2 * SLACK + 1, 2 * SLACK + 1):
                move = (shift[0] - SLACK, shift[1] - SLACK)
                names.append(shape)
                masks.append(np.roll(mask, move, (0, 1)).ravel())
                parts.append(np.roll(part, move, (0, 1)).ravel())
    return names, np.array(masks, np.float32), np.array(parts)


def _overlap(masks: Array, seen: Array) -> Array:
    common = masks @ seen
    return common / np.maximum(masks.sum(-1) + seen.sum() - common, 1)


def recognise(picture: Array) -> tuple[str, str, float]:
    """Name the shape in a picture and its colour; the third value is how well it fits, 0 to 1.

    Of the silhouettes that overlap best, the one wins whose own-coloured part overlaps best too: a boat's hull tells it
    from a triangle, a flower's middle from a disc.
    """
    pixels = picture.astype(np.float32).reshape(-1, 3)
    ground = np.median(_border(picture), 0)
    seen = (np.abs(pixels - ground).max(-1) > 42).astype(np.float32)
    if seen.sum() < 12:
        return "nothing", "nothing", 0.0
    names, masks, parts = _silhouettes()
    fits = _overlap(masks, seen)
    best = ("nothing", "nothing", 0.0)
    for candidate in np.argsort(-fits)[:120]:
        part = parts[candidate]
        own = np.median(pixels[part], 0)
        alike = (np.abs(pixels - own).max(-1) < 60) * seen
        fit = float(fits[candidate] * _overlap(part.astype(np.float32), alike)) ** 0.5
        if fit > best[2]:
            best = names[candidate], most_common(name_colours(pixels[part])), fit
    return best
