"""What a request changes for itself alone: settings that are put back afterwards, and fields taken from an infotext."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sdlauncher.mini.infotext import read_infotext

if TYPE_CHECKING:
    from sdlauncher.mini.studio import Studio

_FIELDS: Final[tuple[tuple[str, str, Callable[[str], Any]], ...]] = (
    ("Prompt", "prompt", str),
    ("Negative prompt", "negative_prompt", str),
    ("Steps", "steps", int),
    ("Sampler", "sampler_name", str),
    ("Schedule type", "scheduler", str),
    ("CFG scale", "cfg_scale", float),
    ("Seed", "seed", int),
    ("Size-1", "width", int),
    ("Size-2", "height", int),
    ("Denoising strength", "denoising_strength", float),
    ("Variation seed", "subseed", int),
    ("Variation seed strength", "subseed_strength", float),
)


@contextmanager
def settings_overridden(studio: Studio, form: dict[str, Any]) -> Iterator[None]:
    """Apply a request's override_settings and put the old ones back afterwards, if it says so.

    Raises KeyError for a setting that does not exist. A checkpoint that does not exist is passed over in silence.
    """
    wanted: dict[str, Any] = form["override_settings"] or {}
    settings = studio.settings
    for name in wanted:
        settings.require(name)
    before = {name: settings[name] for name in wanted}
    checkpoint = wanted.get("sd_model_checkpoint")
    try:
        for name, value in wanted.items():
            if name != "sd_model_checkpoint":
                settings.set(name, value)
        if checkpoint is not None and studio.checkpoints.find(checkpoint) is not None:
            studio.switch_to(checkpoint)
        yield
    finally:
        if form["override_settings_restore_afterwards"] is not False:
            for name, value in before.items():
                settings.note(name, value)
            if studio.loaded is not None and not studio.loaded.answers_to(settings["sd_model_checkpoint"]):
                studio.switch_to(settings["sd_model_checkpoint"])


def apply_infotext(form: dict[str, Any], given: frozenset[str]) -> None:
    """Take from the request's `infotext` whatever the request itself did not say."""
    if not form["infotext"]:
        return
    said = read_infotext(form["infotext"])
    for label, field, convert in _FIELDS:
        if field in given or label not in said:
            continue
        try:
            form[field] = convert(said[label])
        except ValueError:
            continue
