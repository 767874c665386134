"""The silhouettes of the things in Mini WebUI's training pictures: signed distances to their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Layer = tuple[Array, "tuple[int, int, int] | None"]  # distance to the edge, and a colour of its own or the subject's


def _polygon(u: Array, v: Array, points: list[tuple[float, float]]) -> Array:
    nearest = np.full(u.shape, 1e9, np.float32)
    inside = np.zeros(u.shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = u - ax, v - ay
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (wx - ex * along) ** 2 + (wy - ey * along) ** 2)
        if ay != by:
            inside ^= ((ay > v) != (by > v)) & (u < ex * (v - ay) / ey + ax)
    return np.where(inside, -1, 1) * np.sqrt(nearest)


def disc(u: Array, v: Array, x: float, y: float, radius: float) -> Array:
    """Give the distances to a disc's edge, negative inside."""
    return np.hypot(u - x, v - y) - radius


def _box(u: Array, v: Array, x: float, y: float, half_width: float, half_height: float) -> Array:
    return np.maximum(np.abs(u - x) - half_width, np.abs(v - y) - half_height)


def _around(count: int, radius: float, turn: float = -np.pi / 2) -> list[tuple[float, float]]:
    return [
        (radius * np.cos(turn + 2 * np.pi * i / count), radius * np.sin(turn + 2 * np.pi * i / count))
        for i in range(count)
    ]


def union(*distances: Array) -> Array:
    """Give the distances to the edge of several things together."""
    return np.minimum.reduce(distances)


def _star(u: Array, v: Array) -> list[Layer]:
    outer, inner = _around(5, 1.08), _around(5, 0.47, -np.pi / 2 + np.pi / 5)
    return [(_polygon(u, v, [p for pair in zip(outer, inner, strict=True) for p in pair]), None)]


def _heart(u: Array, v: Array) -> list[Layer]:
    t = np.linspace(0, 2 * np.pi, 33)[:-1]
    x = 16 * np.sin(t) ** 3 / 16.5
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16.5
    return [(_polygon(u, v, list(zip((x * 0.98).tolist(), (y * 0.98 - 0.08).tolist(), strict=True))), None)]


def _flower(u: Array, v: Array) -> list[Layer]:
    petals = union(*[disc(u, v, x, y, 0.4) for x, y in _around(6, 0.58)])
    return [(petals, None), (disc(u, v, 0, 0, 0.34), (255, 224, 92))]


def _house(u: Array, v: Array) -> list[Layer]:
    return [
        (_box(u, v, 0, 0.38, 0.72, 0.55), None),
        (_polygon(u, v, [(-0.98, -0.12), (0, -0.95), (0.98, -0.12)]), (112, 48, 44)),
        (_box(u, v, 0.3, 0.56, 0.2, 0.37), (84, 52, 38)),
        (_box(u, v, -0.32, 0.32, 0.2, 0.2), (255, 240, 170)),
    ]


def _tree(u: Array, v: Array) -> list[Layer]:
    crown = union(disc(u, v, 0, -0.5, 0.5), disc(u, v, -0.4, -0.12, 0.42), disc(u, v, 0.4, -0.12, 0.42))
    return [(_box(u, v, 0, 0.6, 0.15, 0.4), (108, 68, 40)), (crown, None)]


def _fish(u: Array, v: Array) -> list[Layer]:
    body = (np.hypot((u + 0.18) / 1.35, v) - 0.56) * 0.95
    tail = _polygon(u, v, [(0.4, 0.0), (1.0, -0.5), (0.86, 0.0), (1.0, 0.5)])
    return [
        (union(body, tail), None),
        (disc(u, v, -0.52, -0.12, 0.17), (250, 250, 250)),
        (disc(u, v, -0.55, -0.12, 0.085), (20, 20, 24)),
    ]


def _cat(u: Array, v: Array) -> list[Layer]:
    head = union(
        np.hypot(u / 1.1, v - 0.12) - 0.78,
        _polygon(u, v, [(-0.84, 0.0), (-0.82, -0.98), (-0.1, -0.5)]),
        _polygon(u, v, [(0.84, 0.0), (0.82, -0.98), (0.1, -0.5)]),
    )
    eyes = union(disc(u, v, -0.34, 0.02, 0.2), disc(u, v, 0.34, 0.02, 0.2))
    pupils = union(disc(u, v, -0.34, 0.02, 0.11), disc(u, v, 0.34, 0.02, 0.11))
    return [
        (head, None),
        (eyes, (250, 250, 235)),
        (pupils, (20, 20, 24)),
        (_polygon(u, v, [(-0.13, 0.32), (0.13, 0.32), (0, 0.48)]), (235, 110, 130)),
    ]


def _sun(u: Array, v: Array) -> list[Layer]:
    rays = [
        _polygon(
            u,
            v,
            [
                (0.62 * np.cos(a - 0.24), 0.62 * np.sin(a - 0.24)),
                (1.08 * np.cos(a), 1.08 * np.sin(a)),
                (0.62 * np.cos(a + 0.24), 0.62 * np.sin(a + 0.24)),
            ],
        )
        for a in np.arange(8) * np.pi / 4
    ]
    return [(union(disc(u, v, 0, 0, 0.56), *rays), None)]


def _mushroom(u: Array, v: Array) -> list[Layer]:
    cap = np.maximum(np.hypot(u, (v - 0.1) * 1.0) - 0.95, v - 0.1)
    spots = union(disc(u, v, -0.42, -0.25, 0.17), disc(u, v, 0.12, -0.5, 0.19), disc(u, v, 0.5, -0.14, 0.14))
    return [(_box(u, v, 0, 0.5, 0.27, 0.44), (244, 228, 200)), (cap, None), (spots, (252, 250, 244))]


def _boat(u: Array, v: Array) -> list[Layer]:
    return [
        (_box(u, v, -0.02, -0.2, 0.06, 0.75), (96, 62, 40)),
        (_polygon(u, v, [(0.1, -0.92), (0.82, 0.2), (0.1, 0.2)]), (252, 250, 240)),
        (_polygon(u, v, [(-0.14, -0.72), (-0.14, 0.2), (-0.7, 0.2)]), (255, 236, 190)),
        (_polygon(u, v, [(-1.0, 0.34), (1.0, 0.34), (0.62, 0.86), (-0.62, 0.86)]), None),
    ]


def _cloud(u: Array, v: Array) -> list[Layer]:
    puffs = union(
        disc(u, v, -0.58, 0.14, 0.36),
        disc(u, v, -0.12, -0.14, 0.48),
        disc(u, v, 0.46, 0.06, 0.42),
        _box(u, v, 0, 0.3, 0.62, 0.2),
    )
    return [(np.maximum(puffs, v - 0.48), None)]


#: By name, over coordinates in which the thing reaches about one from its middle; v points down.
OUTLINES: dict[str, Callable[[Array, Array], list[Layer]]] = {
    "circle": lambda u, v: [(disc(u, v, 0, 0, 0.95), None)],
    "square": lambda u, v: [(_box(u, v, 0, 0, 0.82, 0.82), None)],
    "triangle": lambda u, v: [(_polygon(u, v, [(0, -0.98), (1.0, 0.76), (-1.0, 0.76)]), None)],
    "star": _star,
    "heart": _heart,
    "moon": lambda u, v: [(np.maximum(disc(u, v, 0, 0, 0.98), -disc(u, v, 0.48, -0.22, 0.82)), None)],
    "ring": lambda u, v: [(np.abs(np.hypot(u, v) - 0.7) - 0.25, None)],
    "cross": lambda u, v: [(union(_box(u, v, 0, 0, 0.92, 0.3), _box(u, v, 0, 0, 0.3, 0.92)), None)],
    "diamond": lambda u, v: [((np.abs(u) * 1.4 + np.abs(v) - 1.05) / 1.72, None)],
    "flower": _flower,
    "house": _house,
    "tree": _tree,
    "fish": _fish,
    "cat": _cat,
    "sun": _sun,
    "mushroom": _mushroom,
    "boat": _boat,
    "cloud": _cloud,
}
