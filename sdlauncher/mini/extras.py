"""The extras: pictures made larger by plain resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from sdlauncher.mini.choices import UPSCALERS
from sdlauncher.mini.pictures import read_picture, read_text, refuse_too_large, write_picture

if TYPE_CHECKING:
    from sdlauncher.mini.studio import Studio


def upscale_one(studio: Studio, form: dict[str, Any]) -> dict[str, Any]:
    """Answer /sdapi/v1/extra-single-image. Raises ApiError for what is no picture, AssertionError for no upscaler."""
    picture = read_picture(form["image"], studio.settings)
    with studio.queue:
        result, said = _upscale(picture, form)
    return {"html_info": f"<p>{said}</p>", "image": write_picture(result, studio.settings)}


def upscale_many(studio: Studio, form: dict[str, Any]) -> dict[str, Any]:
    """Answer /sdapi/v1/extra-batch-images. Raises as upscale_one does."""
    pictures = [read_picture(item["data"], studio.settings) for item in form["imageList"]]
    with studio.queue:
        results = [_upscale(picture, form) for picture in pictures]
    said = results[-1][1] if results else ""
    return {
        "html_info": f"<p>{said}</p>",
        "images": [write_picture(result, studio.settings) for result, _ in results],
    }


def _upscale(picture: Image.Image, form: dict[str, Any]) -> tuple[Image.Image, str]:
    text, items = read_text(picture)
    picture = picture.convert("RGB")
    first, second, share = form["upscaler_1"], form["upscaler_2"], form["extras_upscaler_2_visibility"]
    for name in (first, second):
        if name not in (None, *UPSCALERS):
            raise AssertionError(f"could not find upscaler named {name}")
    said = {}
    if first not in (None, "None"):
        result = _resize(picture, form, first)
        said = _describe(form) | {"Postprocess upscaler": first}
        if share > 0 and second not in (None, "None"):
            result = Image.blend(result, _resize(picture, form, second), share)
            said |= {"Postprocess upscaler 2": second}
    else:
        result = picture
    result.info = {str(key): value for key, value in items.items()}
    if text:
        result.info["parameters"] = text
    line = ", ".join(f"{key}: {value}" for key, value in said.items())
    if line:
        result.info["postprocessing"] = line
    return result, line


def _describe(form: dict[str, Any]) -> dict[str, Any]:
    if form["resize_mode"] == 1:
        return {"Postprocess upscale to": f"{form['upscaling_resize_w']}x{form['upscaling_resize_h']}"}
    return {"Postprocess upscale by": form["upscaling_resize"]}


def _resize(picture: Image.Image, form: dict[str, Any], upscaler: str) -> Image.Image:
    filtering = Image.Resampling.NEAREST if upscaler == "Nearest" else Image.Resampling.LANCZOS
    if form["resize_mode"] == 1:
        size = form["upscaling_resize_w"], form["upscaling_resize_h"]
        refuse_too_large(*size)
        if form["upscaling_crop"]:
            return ImageOps.fit(picture, size, filtering)
        scale = max(size[0] / picture.width, size[1] / picture.height)
    else:
        scale = form["upscaling_resize"]
    refuse_too_large(picture.width * scale, picture.height * scale)
    return picture.resize((int(picture.width * scale), int(picture.height * scale)), filtering)
