"""The picture and the mask that an img2img request starts from, and how the result goes back into the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from sdlauncher.mini.pictures import fit, flatten, read_picture, refuse_too_large

if TYPE_CHECKING:
    from sdlauncher.mini.model import Request
    from sdlauncher.mini.settings import Settings

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """An original picture, perhaps with a mask (white is repainted), perhaps with the box that is worked on."""

    original: Image.Image
    mask: Image.Image | None
    box: Box | None
    resize_mode: int
    blur: int

    def put_into(self, request: Request) -> Request:
        """Give the request with the picture and mask in the size that the model works in."""
        picture, mask = self.original, self.mask
        if self.box is not None and mask is not None:
            picture, mask = picture.crop(self.box), mask.crop(self.box)
        size = request.width, request.height
        pixels = np.asarray(fit(picture, *size, self.resize_mode).convert("RGB"))
        if mask is None:
            return replace(request, init_image=pixels)
        shape = fit(mask.convert("RGB"), *size, self.resize_mode).convert("L")
        return replace(request, init_image=pixels, mask=(np.asarray(shape) / 255).astype(np.float32))

    def paste_back(self, result: Image.Image) -> Image.Image:
        """Give the whole picture again if only a part of it was worked on."""
        if self.box is None or self.mask is None:
            return result
        left, top, right, bottom = self.box
        whole = self.original.copy()
        patch = result.resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        whole.paste(patch, (left, top), self.mask.crop(self.box))
        return whole

    def describe(self) -> dict[str, Any]:
        """Give what the picture's text says about the mask."""
        if self.mask is None:
            return {}
        return {"Mask blur": self.blur} | ({"Inpaint area": "Only masked"} if self.box else {})


def open_source(form: dict[str, Any], settings: Settings) -> Source:
    """Decode a request's first picture and its mask. Raises ApiError for what is no picture."""
    width, height = form["width"] or 0, form["height"] or 0
    refuse_too_large(width, height)
    original = flatten(_read(form["init_images"][0], settings), str(settings["img2img_background_color"]))
    encoded = form["mask"]
    if not encoded:
        return Source(original, None, None, form["resize_mode"] or 0, 0)
    mask = _read(encoded, settings)
    mask = (mask.getchannel("A") if mask.mode == "RGBA" and _is_transparent(mask) else mask).convert("L")
    mask = mask.resize(original.size)
    if form["mask_round"] is not False:
        mask = mask.point(lambda value: 255 if value > 127 else 0)
    if form["inpainting_mask_invert"]:
        mask = ImageOps.invert(mask)
    blur = max(form["mask_blur"] if form["mask_blur"] is not None else (form["mask_blur_x"] or 0), 0)
    if blur:
        mask = mask.filter(ImageFilter.GaussianBlur(min(blur, 256)))
    box = _find_box(mask, form["inpaint_full_res_padding"] or 0, width, height) if form["inpaint_full_res"] else None
    return Source(original, mask, box, form["resize_mode"] or 0, blur)


def _read(value: Any, settings: Settings) -> Image.Image:
    # The real one calls .startswith on whatever it got; anything but text is an AttributeError there.
    if not isinstance(value, str):
        raise AttributeError(f"'{type(value).__name__}' object has no attribute 'startswith'")
    return read_picture(value, settings)


def _is_transparent(picture: Image.Image) -> bool:
    darkest, _ = picture.getchannel("A").getextrema()
    return not isinstance(darkest, tuple) and darkest < 255


def _find_box(mask: Image.Image, padding: int, width: int, height: int) -> Box | None:
    """Give the box around what is masked, widened to the shape of the request; None if nothing is masked."""
    found = ImageChops.lighter(mask, mask).getbbox()
    if found is None or width <= 0 or height <= 0:
        return None
    padding = max(0, min(padding, max(mask.size)))
    left, top = max(found[0] - padding, 0), max(found[1] - padding, 0)
    right, bottom = min(found[2] + padding, mask.width), min(found[3] + padding, mask.height)
    wanted = width / height
    if (right - left) / (bottom - top) > wanted:
        grow = int((right - left) / wanted) - (bottom - top)
        top, bottom = _widen(top, bottom, grow, mask.height)
    else:
        grow = int((bottom - top) * wanted) - (right - left)
        left, right = _widen(left, right, grow, mask.width)
    return left, top, right, bottom


def _widen(low: int, high: int, grow: int, limit: int) -> tuple[int, int]:
    low = max(0, low - grow // 2)
    high = min(limit, high + (grow - grow // 2))
    return low, high
