"""Pictures between base64 text, Pillow and numpy: read, written with a text inside, resized, put in a grid, spoilt."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from sdlauncher.mini.failures import ApiError

if TYPE_CHECKING:
    from sdlauncher.mini.settings import Settings

# What PyTorch would need more memory for than such a machine has; it refuses with the same words.
_PIXEL_LIMIT = 48 * 2**20


def read_picture(text: str, settings: Settings) -> Image.Image:
    """Decode base64, with or without a data: prefix. Raises ApiError as the real one does."""
    if text.startswith(("http://", "https://")):
        if not settings["api_enable_requests"]:
            raise ApiError(500, "Requests not allowed")
        # Mini fetches nothing at all: it must run where there is no network.
        raise ApiError(500, "Request to local resource not allowed")
    try:
        if text.startswith("data:image/"):
            text = text.split(";")[1].split(",")[1]
        picture = Image.open(io.BytesIO(base64.b64decode(text)))
        refuse_too_large(*picture.size)
        picture.load()
        return ImageOps.exif_transpose(picture)
    except ApiError:
        raise
    except Exception as error:
        raise ApiError(500, "Invalid encoded image") from error


def refuse_too_large(width: float, height: float, count: int = 1) -> None:
    """Raise RuntimeError, in PyTorch's words, for more pixels than could be worked on."""
    pixels = abs(width * height) * count
    if not pixels <= _PIXEL_LIMIT:
        raise RuntimeError(
            f"[enforce fail at alloc_cpu.cpp:83] err == 0. DefaultCPUAllocator: can't allocate memory: "
            f"you tried to allocate {int(min(pixels, 2**60)) * 16} bytes. Error code 12 (Cannot allocate memory)"
        )


def write_picture(picture: Image.Image, settings: Settings) -> str:
    """Encode as base64 in the format that the settings name, with the texts of `picture.info` inside.

    Raises ApiError for a format that is none.
    """
    buffer = io.BytesIO()
    kind = str(settings["samples_format"]).lower()
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        for key, value in picture.info.items():
            if isinstance(key, str) and isinstance(value, str):
                texts.add_text(key, value)
        picture.save(buffer, "PNG", pnginfo=texts, compress_level=4)
    elif kind in ("jpg", "jpeg", "webp"):
        exif = Image.Exif()
        comment = b"UNICODE\0" + str(picture.info.get("parameters", "")).encode("utf-16-be")
        exif.get_ifd(0x8769)[0x9286] = comment
        format_name = "WEBP" if kind == "webp" else "JPEG"
        picture.convert("RGB").save(buffer, format_name, exif=exif, quality=int(settings["jpeg_quality"]))
    else:
        raise ApiError(500, "Invalid image format")
    return base64.b64encode(buffer.getvalue()).decode()


def write_preview(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    """Encode a preview as base64 PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def read_text(picture: Image.Image) -> tuple[str, dict[str, Any]]:
    """Give the generation text inside a picture and its other texts."""
    items = {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
    text = items.pop("parameters", "")
    comment = picture.getexif().get_ifd(0x8769).get(0x9286)
    if isinstance(comment, bytes) and comment[:8] == b"UNICODE\0":
        text = comment[8:].decode("utf-16-be", "replace")
    return text, items


def make_grid(pictures: list[Image.Image], settings: Settings) -> Image.Image:
    """Put pictures side by side in about as many rows as columns."""
    rows = int(settings["n_rows"]) if int(settings["n_rows"]) > 0 else round(math.sqrt(len(pictures)))
    rows = min(rows, len(pictures))
    columns = math.ceil(len(pictures) / rows)
    width, height = pictures[0].size
    grid = Image.new("RGB", (columns * width, rows * height), str(settings["grid_background_color"]))
    for position, picture in enumerate(pictures):
        grid.paste(picture, (position % columns * width, position // columns * height))
    return grid


def fit(picture: Image.Image, width: int, height: int, mode: int) -> Image.Image:
    """Bring a picture to a size: 0 stretches, 1 crops, 2 fills the border with the picture's edge."""
    lanczos = Image.Resampling.LANCZOS
    if mode == 1:
        return ImageOps.fit(picture, (width, height), lanczos)
    if mode == 2:
        inner = ImageOps.contain(picture, (width, height), lanczos)
        left, top = (width - inner.width) // 2, (height - inner.height) // 2
        padding = ((top, height - inner.height - top), (left, width - inner.width - left), (0, 0))
        return Image.fromarray(np.pad(np.asarray(inner.convert("RGB")), padding, mode="edge"))
    return picture.resize((width, height), lanczos)


def flatten(picture: Image.Image, background: str) -> Image.Image:
    """Give an RGB picture; what was transparent shows the background."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        base = Image.new("RGBA", layer.size, background)
        return Image.alpha_composite(base, layer).convert("RGB")
    return picture.convert("RGB")


def spoil(picture: Image.Image, how: str | None, *, wrong_size: bool) -> Image.Image:
    """Give the picture that a misbehaving WebUI would give instead."""
    width, height = picture.size
    if how == "black":
        picture = Image.new("RGB", (width, height))
    elif how == "flat":
        picture = Image.new("RGB", (width, height), (70, 130, 180))
    elif how == "nan-grey":
        # What a decoder makes of NaN after clamping: even mid-grey.
        picture = Image.new("RGB", (width, height), (127, 127, 127))
    elif how == "noise":
        noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(noise)
    if wrong_size:
        picture = picture.resize((max(1, width - 8), max(1, height - 8)))
    return picture
