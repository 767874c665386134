"""Where pictures are saved when a request asks for it."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sdlauncher.mini.pictures import write_picture

if TYPE_CHECKING:
    from PIL import Image

    from sdlauncher.mini.studio import Studio


def save_picture(studio: Studio, image: Image.Image, tab: str, *, seed: int, grid: bool = False) -> Path:
    """Write a picture to outputs/, in a folder named after the day, with the next number and its seed."""
    settings = studio.settings
    folder = settings["outdir_grids" if grid else "outdir_samples"]
    folder = folder or settings[f"outdir_{tab}_grids" if grid else f"outdir_{tab}_samples"]
    day = Path(studio.flags.data_dir, folder, time.strftime("%Y-%m-%d"))
    day.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in day.iterdir())
    name = f"grid-{number:04d}" if grid else f"{number:05d}-{seed}"
    path = day / f"{name}.{settings['samples_format']}"
    path.write_bytes(base64.b64decode(write_picture(image, settings)))
    return path
