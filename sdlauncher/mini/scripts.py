"""The scripts that the API lists; Mini has only those that are always on, and they change nothing."""

from __future__ import annotations

from typing import Any, Final

from sdlauncher.mini.failures import ApiError

ALWAYS_ON: Final = ("refiner", "sampler", "seed")


def list_scripts() -> dict[str, list[str]]:
    """Give the names of the scripts of both tabs."""
    return {"txt2img": list(ALWAYS_ON), "img2img": list(ALWAYS_ON)}


def describe_scripts() -> list[dict[str, Any]]:
    """Give what /script-info says of each script."""
    return [
        {"name": name, "is_alwayson": True, "is_img2img": is_img2img, "args": []}
        for is_img2img in (False, True)
        for name in ALWAYS_ON
    ]


def check_scripts(form: dict[str, Any]) -> None:
    """Raise ApiError with 422 if a request asks for a script that is not there."""
    for name in [form["script_name"] or "", *form["alwayson_scripts"]]:
        if name and name.lower() not in ALWAYS_ON:
            raise ApiError(422, f"Script '{name}' not found")
    if (form["script_name"] or "").lower() in ALWAYS_ON:
        # Those run by themselves; only other scripts can be selected.
        raise ApiError(422, f"Script '{form['script_name']}' not found")
