"""The scripts that the API lists: three that are always on and change nothing, and one that can be chosen."""

from __future__ import annotations

from typing import Any, Final

from sdlauncher.mini.failures import ApiError

ALWAYS_ON: Final = ("refiner", "sampler", "seed")
SELECTABLE: Final = {"txt2img": (), "img2img": ("sd upscale",)}

_NOTHING: Final = {"label": "", "value": None, "minimum": None, "maximum": None, "step": None, "choices": None}
_UPSCALE_ARGUMENTS: Final = (
    {"label": "", "value": ""},
    {"label": "Tile overlap", "value": 64, "minimum": 0, "maximum": 256, "step": 16},
    {"label": "Upscaler", "value": "None", "choices": ["None", "Lanczos", "Nearest"]},
    {"label": "Scale Factor", "value": 2.0, "minimum": 1.0, "maximum": 4.0, "step": 0.05},
)


def list_scripts() -> dict[str, list[str]]:
    """Give the names of the scripts of both tabs."""
    return {tab: [*names, *ALWAYS_ON] for tab, names in SELECTABLE.items()}


def describe_scripts() -> list[dict[str, Any]]:
    """Give what /script-info says of each script."""
    arguments = [_NOTHING | argument for argument in _UPSCALE_ARGUMENTS]
    return [
        {
            "name": name,
            "is_alwayson": name in ALWAYS_ON,
            "is_img2img": tab == "img2img",
            "args": [] if name in ALWAYS_ON else arguments,
        }
        for tab, names in list_scripts().items()
        for name in names
    ]


def check_scripts(tab: str, form: dict[str, Any]) -> None:
    """Raise ApiError with 422 if a request asks for a script that is not there."""
    chosen = form["script_name"] or ""
    if chosen and chosen.lower() not in SELECTABLE[tab]:
        raise ApiError(422, f"Script '{chosen}' not found")
    for name in form["alwayson_scripts"]:
        if name.lower() in SELECTABLE[tab]:
            raise ApiError(422, "Cannot have a selectable script in the always on scripts params")
        if name.lower() not in ALWAYS_ON:
            raise ApiError(422, f"Script '{name}' not found")
