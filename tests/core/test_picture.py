"""What counts as a picture: each threshold from both sides, and facts as they were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdlauncher.core.picture import PictureFacts, judge_picture

PHOTO = PictureFacts(512, 512, (120, 115, 100), 255, 75.0, 20.0, 0.09, 0.46, 0.44, 0.0)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"brightest": 8, "spread": 3.0}, "black"),
        ({"brightest": 9, "spread": 3.0}, ""),
        ({"spread": 1.9}, "flat"),
        ({"spread": 2.0}, ""),
        ({"spread": 0.9, "tint": 0.0, "mean": (127, 127, 127)}, "grey"),
        ({"spread": 0.9, "tint": 0.0, "mean": (100, 100, 100)}, "flat"),
        ({"spread": 0.9, "tint": 9.0, "mean": (127, 127, 127)}, "flat"),
        ({"roughness": 1.10}, "noise"),  # white noise, the tamest measured
        ({"roughness": 0.99, "coarse": 0.021, "discord": 0.0}, ""),  # bricks, shrunk to 64 pixels
        ({"coarse": 0.096, "discord": 1.41}, "noise"),  # noise in the latents
        ({"coarse": 0.014, "discord": 0.0}, ""),  # grass
        ({"coarse": 0.054, "discord": 0.31}, ""),  # stars
        ({"coarse": 0.910, "discord": 1.60}, ""),  # plain shapes in strong colours
        ({"vivid": 0.5}, "garbage"),
        ({"vivid": 0.21}, ""),
    ],
)
def test_a_picture_is_told_from_what_a_broken_vae_makes(changes: dict[str, object], fault: str) -> None:
    assert judge_picture(replace(PHOTO, **changes)) == fault
