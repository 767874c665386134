"""The pictures that Mini WebUI's model is trained on: what they show, how they are drawn, the words for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mini_shapes import OUTLINES, disc, union

from sdlauncher.mini.model.vocabulary import COLOURS, EFFECTS, SCENES, SHAPES, TEXTURES

Array = np.ndarray[Any, np.dtype[Any]]

NATURAL = {
    "sun": "yellow",
    "moon": "yellow",
    "star": "yellow",
    "heart": "red",
    "tree": "green",
    "cloud": "white",
    "mushroom": "red",
    "boat": "red",
    "fish": "orange",
    "cat": "orange",
    "flower": "pink",
    "house": "orange",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing in the picture; lengths in units of the picture's short side."""

    shape: str
    rgb: tuple[float, float, float]
    x: float
    y: float
    radius: float
    angle: float
    texture: str = ""
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is needed to draw one picture at any size, and the tokens that describe it."""

    aspect: tuple[float, float]  # height and width in units of the short side
    subjects: tuple[Subject, ...]
    ground: tuple[float, float, float]
    ground_texture: str
    scene: str
    details: int  # seed of what is scattered about: stars, flakes, waves
    tokens: tuple[str, ...] = field(default=())


def _second_tone(rgb: Array) -> Array:
    bright = float(rgb @ np.array([0.3, 0.6, 0.1])) > 150
    return rgb * 0.62 if bright else rgb * 0.3 + 255 * 0.7


def _textured(rgb: Array, texture: str, u: Array, v: Array, pixel: float) -> Array:
    """Paint a colour with its texture; u and v in periods, pixel is the size of a pixel in periods."""
    if not texture:
        return np.broadcast_to(rgb.astype(np.float32), (*u.shape, 3))
    if texture == "striped":
        share = np.clip(0.5 + (0.25 - np.abs((u + 0.5 * v) % 1 - 0.5)) / pixel / 1.12, 0, 1)
    elif texture == "dotted":
        share = np.clip(0.5 + (0.27 - np.hypot(u % 1 - 0.5, v % 1 - 0.5)) / pixel, 0, 1)
    else:
        share = np.clip(v, 0, 1)
    return rgb + share[..., None] * (_second_tone(rgb) - rgb)


def _over(canvas: Array, distance: Array, pixel: float, paint: Array) -> None:
    cover = np.clip(0.5 - distance / pixel, 0, 1)[..., None]
    canvas += cover * (paint - canvas)


def _ramp(y: Array, *stops: tuple[int, int, int]) -> Array:
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(y, at, [s[c] for s in stops]) for c in range(3)], -1).astype(np.float32)


def _draw_scene(picture: Picture, x: Array, y: Array, pixel: float) -> Array:
    rng = np.random.default_rng(picture.details)
    tall, wide = picture.aspect
    height = y / tall

    def wave(level: float, swing: float, length: float) -> Array:
        at = level + swing * np.sin(2 * np.pi * (x / length + rng.random()))
        return (at - height) * tall

    def scatter(canvas: Array, count: int, low: float, high: float, rgb: tuple[int, int, int]) -> None:
        for _ in range(count):
            _over(
                canvas,
                disc(x, y, rng.random() * wide, rng.random() * tall, rng.uniform(low, high)),
                pixel,
                np.array(rgb),
            )

    if picture.scene == "night":
        canvas = _ramp(height, (8, 10, 44), (18, 22, 78), (52, 48, 122))
        scatter(canvas, int(14 * wide * tall), 0.010, 0.022, (250, 246, 220))
    elif picture.scene == "sea":
        canvas = _ramp(height * 1.8, (150, 210, 250), (220, 242, 252))
        for level, rgb in ((0.56, (56, 142, 214)), (0.70, (32, 112, 190)), (0.85, (18, 84, 160))):
            _over(canvas, wave(level, 0.022, 0.34), pixel, np.array(rgb))
    elif picture.scene == "hills":
        canvas = _ramp(height * 1.6, (120, 196, 250), (214, 240, 252))
        _over(canvas, wave(0.62, 0.07, 0.9), pixel, np.array((128, 196, 96)))
        _over(canvas, wave(0.77, 0.06, 1.2), pixel, np.array((74, 158, 70)))
    elif picture.scene == "snow":
        canvas = _ramp(height * 1.3, (104, 128, 172), (180, 200, 226))
        _over(canvas, wave(0.76, 0.035, 1.0), pixel, np.array((244, 248, 252)))
        scatter(canvas, int(16 * wide * tall), 0.014, 0.024, (252, 253, 255))
    elif picture.scene == "sunset":
        canvas = _ramp(height * 1.25, (82, 40, 120), (214, 70, 106), (252, 150, 70), (255, 214, 110))
        _over(canvas, wave(0.80, 0.012, 1.4), pixel, np.array((60, 30, 72)))
    else:
        canvas = _ramp(height * 1.5, (90, 190, 232), (250, 236, 200))
        _over(canvas, wave(0.66, 0.05, 1.1), pixel, np.array((238, 192, 112)))
        _over(canvas, wave(0.80, 0.05, 0.8), pixel, np.array((218, 160, 80)))
    return canvas


def draw(picture: Picture, height: int, width: int, window: tuple[int, int, int, int] | None = None) -> Array:
    """Draw the picture (or a window of it: top, left, rows, columns) with smooth edges.

    Heights and widths in pixels; the result is float32, (rows, columns, 3), 0 to 255.
    """
    top, left, rows, columns = window or (0, 0, height, width)
    tall, wide = picture.aspect
    pixel = tall / height
    y, x = np.meshgrid(
        ((np.arange(top, top + rows) + 0.5) * pixel).astype(np.float32),
        ((np.arange(left, left + columns) + 0.5) * wide / width).astype(np.float32),
        indexing="ij",
    )
    if picture.scene:
        canvas = _draw_scene(picture, x, y, pixel)
    else:
        period = 1.0 if picture.ground_texture == "gradient" else 0.22
        ground = np.array(picture.ground, np.float32)
        canvas = np.array(
            _textured(
                ground, picture.ground_texture, x / period, y / (tall if period == 1 else period), pixel / period
            ),
            np.float32,
        )
    for subject in picture.subjects:
        cos, sin = np.cos(subject.angle) / subject.radius, np.sin(subject.angle) / subject.radius
        u = (x - subject.x) * cos + (y - subject.y) * sin
        v = (y - subject.y) * cos - (x - subject.x) * sin
        step = pixel / subject.radius
        rgb = np.array(subject.rgb, np.float32)
        layers = OUTLINES[subject.shape](u, v)
        whole = union(*[distance for distance, _ in layers])
        if "glowing" in subject.effects:
            halo = 0.8 * np.exp(-np.maximum(whole, 0) / 0.28)[..., None]
            canvas += halo * (rgb * 0.45 + 255 * 0.55 - canvas)
        if "outlined" in subject.effects:
            _over(canvas, whole - 0.14, step, np.array((250, 250, 250) if max(subject.rgb) < 70 else (16, 16, 20)))
        scaled = (u * 0.5 + 0.5, v * 0.5 + 0.5) if subject.texture == "gradient" else (u / 0.56, v / 0.56)
        for distance, own in layers:
            paint = np.array(own, np.float32) if own else _textured(rgb, subject.texture, *scaled, step / 0.56)
            _over(canvas, distance, step, paint)
    return np.clip(canvas, 0, 255).astype(np.float32)


def compose(rng: np.random.Generator, aspect: tuple[float, float] = (1.0, 1.0), shape: str | None = None) -> Picture:
    """Think of a picture, and of words that describe some of it."""
    tall, wide = aspect
    tokens: list[str] = []
    chance = rng.random

    def pick(words: tuple[str, ...]) -> str:
        return words[rng.integers(len(words))]

    def paint(name: str) -> tuple[float, float, float]:
        r, g, b = np.clip(np.array(COLOURS[name]) + rng.normal(0, 3, 3), 0, 255)
        return float(r), float(g), float(b)

    def say(token: str, probability: float) -> None:
        if chance() < probability:
            tokens.append(token)

    scene = pick(SCENES) if chance() < 0.3 else ""
    ground, ground_texture = "", ""
    if scene:
        say(f"scene:{scene}", 0.95)
    else:
        ground = pick(tuple(COLOURS))
        ground_texture = pick(TEXTURES) if chance() < 0.2 else ""
        say(f"ground:{ground}", 0.92)
        if ground_texture:
            tokens.append(f"ground_texture:{ground_texture}")

    def colour_for(shape: str, role: str, taken: str) -> str:
        natural = NATURAL.get(shape, "")
        if natural and natural != taken and chance() < 0.2:
            say(f"{role}:{natural}", 0.3)
            return natural
        name = pick(tuple(c for c in COLOURS if c != taken))
        say(f"{role}:{name}", 0.96)
        return name

    def turn() -> float:
        return float(rng.normal(0, 0.03))

    count = 0 if chance() < 0.03 else 2 if chance() < 0.14 else 1
    subjects: list[Subject] = []
    if count:
        first = shape or pick(SHAPES)
        say(f"shape:{first}", 0.98)
        colour = colour_for(first, "colour", ground)
        texture = pick(TEXTURES) if chance() < 0.2 else ""
        effects = tuple(e for e in EFFECTS if chance() < 0.09)
        tokens += [f"texture:{texture}"] if texture else []
        tokens += [f"effect:{e}" for e in effects]
    if count == 2:
        stacked = tall > wide if tall != wide else chance() < 0.25
        shift = 0.25
        places = [(0.5, shift), (0.5, 1 - shift)] if stacked else [(shift, 0.5), (1 - shift, 0.5)]
        words = ("top", "bottom") if stacked else ("left", "right")
        swapped = chance() < 0.25
        if swapped or (stacked and tall == wide):
            tokens.append(f"place:{words[int(swapped)]}")
        else:
            say(f"place:{words[0]}", 0.3)
        places = places[::-1] if swapped else places
        second = pick(SHAPES)
        tokens.append(f"second_shape:{second}")
        other = colour_for(second, "second_colour", ground)
        for kind, name, (px, py) in zip((first, second), (colour, other), places, strict=True):
            own = (texture, effects) if kind is first and len(subjects) == 0 else ("", ())
            subjects.append(
                Subject(
                    kind,
                    paint(name),
                    px * wide + rng.normal(0, 0.012),
                    py * tall + rng.normal(0, 0.012),
                    float(rng.uniform(0.2, 0.22)),
                    turn(),
                    *own,
                )
            )
    elif count == 1:
        size = pick(("small", "", "", "", "big", "big"))
        low, high = {"small": (0.16, 0.18), "": (0.28, 0.32), "big": (0.38, 0.41)}[size]
        radius = float(rng.uniform(low, high))
        if size:
            say(f"size:{size}", 0.96)
        x = y = 0.5
        if chance() < 0.35:
            across, down = pick(("left", "", "right")), pick(("top", "", "bottom"))
            x += {"left": -0.25, "": 0, "right": 0.25}[across]
            y += {"top": -0.25, "": 0, "bottom": 0.25}[down]
            tokens += [f"place:{word}" for word in (across, down) if word] or ["place:centre"]
        margin = radius * 1.08
        cx = float(np.clip(x * wide + rng.normal(0, 0.015), margin, wide - margin))
        cy = float(np.clip(y * tall + rng.normal(0, 0.015), margin, tall - margin))
        subjects.append(Subject(first, paint(colour), cx, cy, radius, turn(), texture, effects))
    return Picture(
        aspect,
        tuple(subjects),
        paint(ground) if ground else (0, 0, 0),
        ground_texture,
        scene,
        int(rng.integers(2**31)),
        tuple(tokens),
    )
