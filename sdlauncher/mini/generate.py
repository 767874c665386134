"""One request for pictures, from its fields to the answer: seeds, batches, texts, and the failures of the real one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sdlauncher.mini import VERSION
from sdlauncher.mini.choices import LATENT_MODES, UPSCALERS, resolve_sampler, schedule_of
from sdlauncher.mini.failures import ApiError
from sdlauncher.mini.infotext import write_infotext
from sdlauncher.mini.inpaint import Source, open_source
from sdlauncher.mini.jobs import invent_task
from sdlauncher.mini.log import ProgressBars, complain
from sdlauncher.mini.model import SCHEDULERS, Request
from sdlauncher.mini.overrides import apply_infotext, settings_overridden
from sdlauncher.mini.pictures import make_grid, refuse_too_large, spoil, write_picture
from sdlauncher.mini.saving import save_picture
from sdlauncher.mini.scripts import check_scripts
from sdlauncher.mini.styles import apply_style, read_styles
from sdlauncher.mini.tiles import TiledUpscale, plan_upscale
from sdlauncher.mini.trouble import misbehave_before_generating, misbehave_in_step

if TYPE_CHECKING:
    from sdlauncher.mini.studio import Studio

_PICTURE_LIMIT = 100_000  # per request; the real one dies of such a number in one way or another


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was found possible: what to ask the model, and what to say about it."""

    base: Request
    tab: str
    form: dict[str, Any]
    seeds: list[int]
    subseeds: list[int]
    said: dict[str, Any]  # extra parameters of the text
    source: Source | None
    upscale: TiledUpscale | None


def make_pictures(studio: Studio, tab: str, form: dict[str, Any], given: frozenset[str]) -> dict[str, Any]:
    """Answer /sdapi/v1/txt2img or img2img. Raises what the real one would have raised."""
    echo = dict(form)
    apply_infotext(form, given)
    check_scripts(tab, form)
    sampler, scheduler = resolve_sampler(form["sampler_name"] or form["sampler_index"], form["scheduler"])
    if (sampler, scheduler) != (form["sampler_name"], form["scheduler"]):
        complain(
            f'WARNING:root:Sampler Scheduler autocorrection: "{form["sampler_name"] or form["sampler_index"]}" -> '
            f'"{sampler}", "{form["scheduler"]}" -> "{scheduler}"'
        )
    source = None
    if tab == "img2img":
        if not form["init_images"]:
            raise ApiError(404, "Init image not found")
        source = open_source(form, studio.settings)
    task = form["force_task_id"] or invent_task(tab)
    studio.tasks.add(task)
    with studio.queue, studio.progress.job_named(f"scripts_{tab}"):
        studio.tasks.start(task)
        misbehave_before_generating(studio.misbehaviour, on_cpu="all" in studio.flags.use_cpu)
        with settings_overridden(studio, form):
            job = _plan(studio, tab, form, sampler=sampler, scheduler=scheduler, source=source)
            images, info = _generate(studio, job)
        studio.tasks.finish(task)
    if tab == "img2img" and not form["include_init_images"]:
        echo |= {"init_images": None, "mask": None}
    sent = [write_picture(image, studio.settings) for image in images] if form["send_images"] else []
    return {"images": sent, "parameters": echo, "info": json.dumps(info)}


def _plan(
    studio: Studio, tab: str, form: dict[str, Any], *, sampler: str, scheduler: str, source: Source | None
) -> Job:
    """Check the request in the order in which the real one stumbles over it, and make it definite."""
    studio.model()
    prompt, negative = _styled_prompts(studio, form)
    count, batch = (form["n_iter"] or 0), (form["batch_size"] or 0)
    if count < 1 or batch < 1:
        raise IndexError("list index out of range")
    if count * batch > _PICTURE_LIMIT:
        raise MemoryError
    steps, width, height = form["steps"] or 0, form["width"] or 0, form["height"] or 0
    if steps == 0:
        raise ZeroDivisionError("integer division or modulo by zero")
    if steps >= 2**63:
        raise RuntimeError("Overflow when unpacking long")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    said: dict[str, Any] = {}
    hires: dict[str, Any] = {}
    if tab == "txt2img" and form["enable_hr"]:
        hires = _plan_hires(form, said)
    _refuse_odd_size(width, height, batch)
    scale = hires.get("hires_scale", 1.0)
    refuse_too_large(width * scale, height * scale, batch)
    if schedule_of(sampler, scheduler) != SCHEDULERS[0].label:
        said = {"Schedule type": schedule_of(sampler, scheduler)} | said
    if source is not None:
        said |= {"Denoising strength": form["denoising_strength"]} | source.describe()
    seed, subseed = _definite(form["seed"]), _definite(form["subseed"])
    strength = form["subseed_strength"] or 0
    request = Request(
        prompt=prompt,
        negative_prompt=negative,
        steps=steps,
        cfg_scale=7.0 if form["cfg_scale"] is None else form["cfg_scale"],
        sampler=sampler,
        scheduler=schedule_of(sampler, scheduler),
        subseed_strength=strength,
        width=width // 8 * 8,
        height=height // 8 * 8,
        denoising_strength=0.75 if form["denoising_strength"] is None else form["denoising_strength"],
        eta=form["eta"],
        **hires,
    )
    positions = range(count * batch)
    seeds = [seed + (0 if strength else position) for position in positions]
    upscale = None
    if source is not None and form["script_name"]:
        upscale = plan_upscale(form["script_args"], source.original, request)
        said |= upscale.describe()
        source = None
    subseeds = [subseed + position for position in positions]
    return Job(request, tab, form, seeds, subseeds, said, source, upscale)


def _plan_hires(form: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    upscaler = form["hr_upscaler"] or LATENT_MODES[0]
    if upscaler not in (*LATENT_MODES, *UPSCALERS):
        raise Exception(f"could not find upscaler named {upscaler}")
    scale = form["hr_scale"] or 2.0
    target = max(form["hr_resize_x"] or 0, 0), max(form["hr_resize_y"] or 0, 0)
    if any(target):
        scale = max(target[0] / max(form["width"] or 1, 1), target[1] / max(form["height"] or 1, 1))
        said["Hires resize"] = f"{target[0]}x{target[1]}"
    else:
        said["Hires upscale"] = scale
    if form["hr_second_pass_steps"]:
        said["Hires steps"] = form["hr_second_pass_steps"]
    said["Hires upscaler"] = upscaler
    strength = 0.7 if form["denoising_strength"] is None else form["denoising_strength"]
    if not scale > 0:
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got scale factor {scale}")
    said |= {"Denoising strength": strength}
    steps = form["hr_second_pass_steps"] or 0
    return {"hires_scale": scale, "hires_steps": steps, "hires_denoising_strength": strength}


def _refuse_odd_size(width: int, height: int, batch: int) -> None:
    rows, columns = height // 8, width // 8
    if rows < 0 or columns < 0:
        raise RuntimeError(
            "Trying to create tensor with negative dimension "
            f"{columns if columns < 0 else rows}: [4, {rows}, {columns}]"
        )
    if rows == 0 or columns == 0:
        raise RuntimeError(
            f"Calculated padded input size per channel: ({rows + 2} x {columns + 2}). Kernel size: (3 x 3). "
            "Kernel size can't be greater than actual input size"
        )
    refuse_too_large(width, height, batch)


def _definite(seed: int | None) -> int:
    return random.randrange(4294967294) if seed in (None, -1) else int(seed or 0)  # noqa: S311 - no secret


def _styled_prompts(studio: Studio, form: dict[str, Any]) -> tuple[str, str]:
    if form["prompt"] is None or form["negative_prompt"] is None:
        raise AssertionError
    prompt, negative = form["prompt"], form["negative_prompt"]
    known = read_styles(studio.flags.styles_file) if form["styles"] else {}
    for name in form["styles"] or ():
        if name in known:
            prompt = apply_style(prompt, known[name]["prompt"])
            negative = apply_style(negative, known[name]["negative_prompt"])
    return prompt, negative


def _generate(studio: Studio, job: Job) -> tuple[list[Image.Image], dict[str, Any]]:
    model, progress, form = studio.model(), studio.progress, job.form
    batch, count = form["batch_size"], form["n_iter"]
    progress.job_count, progress.sampling_steps = count * (len(job.upscale.tiles) if job.upscale else 1), job.base.steps
    show_bars = not studio.flags.disable_console_progressbars
    bars = ProgressBars(_count_steps(job.base) * batch * progress.job_count, enabled=show_bars)
    images: list[Image.Image] = []
    texts: list[str] = []
    unknown: dict[str, None] = {}

    def on_step(step: int, total: int, preview: Callable[[], Any]) -> None:
        progress.show_step(step, total, preview)
        bars.advance(step, total)
        misbehave_in_step(studio.misbehaviour, step / total, progress)

    for round_number in range(count):
        progress.skipped = False
        if progress.interrupted:
            break
        for position in range(batch):
            index = round_number * batch + position
            bars.start_picture(job.base.steps)
            progress.start_picture()
            request = replace(job.base, seed=_varied(studio, job.seeds[index]), subseed=job.subseeds[index])
            if job.source is not None:
                request = job.source.put_into(request)
            if job.upscale is None:
                result = model.generate(request, on_step=on_step, should_stop=progress.should_stop)
            else:
                result = job.upscale.generate(model, request, progress, on_step)
            bars.end_picture()
            unknown |= dict.fromkeys(result.unknown_words)
            image = Image.fromarray(np.ascontiguousarray(result.image))
            image = spoil(image, studio.misbehaviour.picture, wrong_size=studio.misbehaviour.wrong_size)
            if job.source is not None:
                image = job.source.paste_back(image)
            texts.append(_text(studio, job, index, list(unknown)))
            image.info["parameters"] = texts[-1]
            images.append(image)
            if form["save_images"]:
                save_picture(studio, image, job.tab, seed=job.seeds[index])
        progress.next_batch()
    bars.close()
    if not images:
        raise IndexError("list index out of range")
    first = _add_grid(studio, job, images, texts)
    return images, _info(studio, job, texts, first, list(unknown))


def _count_steps(request: Request) -> int:
    again = request.hires_steps or request.steps
    return request.steps + (again if request.hires_scale > 1 else 0)


def _varied(studio: Studio, seed: int) -> int:
    return random.randrange(2**32) if studio.misbehaviour.nondeterministic else seed  # noqa: S311 - no secret


def _add_grid(studio: Studio, job: Job, images: list[Image.Image], texts: list[str]) -> int:
    """Put a grid of several pictures before them if the request saves pictures; say where the first picture is."""
    if not job.form["save_images"] or (len(images) < 2 and studio.settings["grid_only_if_multiple"]):
        return 0
    grid = make_grid(images, studio.settings)
    grid.info["parameters"] = texts[0]
    if studio.settings["grid_save"]:
        save_picture(studio, grid, job.tab, grid=True, seed=job.seeds[0])
    if not studio.settings["return_grid"]:
        return 0
    images.insert(0, grid)
    texts.insert(0, texts[0])
    return 1


def _text(studio: Studio, job: Job, index: int, unknown: list[str]) -> str:
    form, settings, loaded = job.form, studio.settings, studio.loaded
    schedule = job.said.get("Schedule type", SCHEDULERS[0].label)
    varied = form["subseed_strength"] or None
    clip_skip = settings["CLIP_stop_at_last_layers"]
    parameters = {
        "Steps": job.base.steps,
        "Sampler": job.base.sampler,
        "Schedule type": schedule,
        "CFG scale": job.base.cfg_scale,
        "Seed": job.seeds[index],
        "Size": f"{form['width']}x{form['height']}",
        "Model hash": loaded.short_hash if loaded and settings["add_model_hash_to_info"] else None,
        "Model": loaded.model_name if loaded and settings["add_model_name_to_info"] else None,
        "Variation seed": job.subseeds[index] if varied else None,
        "Variation seed strength": varied,
        "Denoising strength": job.said.get("Denoising strength"),
        "Clip skip": clip_skip if isinstance(clip_skip, int) and clip_skip > 1 else None,
        **job.said,
        "Ignored words": " ".join(unknown) or None,
        "Version": VERSION if settings["add_version_to_infotext"] else None,
    }
    return write_infotext(job.base.prompt, job.base.negative_prompt, parameters)


def _info(studio: Studio, job: Job, texts: list[str], first: int, unknown: list[str]) -> dict[str, Any]:
    form, loaded, base, made = job.form, studio.loaded, job.base, len(job.seeds)
    return {
        "prompt": base.prompt,
        "all_prompts": [base.prompt] * made,
        "negative_prompt": base.negative_prompt,
        "all_negative_prompts": [base.negative_prompt] * made,
        "seed": job.seeds[0],
        "all_seeds": job.seeds,
        "subseed": job.subseeds[0],
        "all_subseeds": job.subseeds,
        "subseed_strength": base.subseed_strength,
        "width": form["width"],
        "height": form["height"],
        "sampler_name": base.sampler,
        "cfg_scale": base.cfg_scale,
        "steps": base.steps,
        "batch_size": form["batch_size"],
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": loaded.model_name if loaded else None,
        "sd_model_hash": loaded.short_hash if loaded else None,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": form["seed_resize_from_w"],
        "seed_resize_from_h": form["seed_resize_from_h"],
        "denoising_strength": form["denoising_strength"],
        "extra_generation_params": job.said | ({"Ignored words": " ".join(unknown)} if unknown else {}),
        "index_of_first_image": first,
        "infotexts": texts,
        "styles": form["styles"] or [],
        "job_timestamp": studio.progress.job_timestamp,
        "clip_skip": studio.settings["CLIP_stop_at_last_layers"],
        "is_using_inpainting_conditioning": False,
        "version": VERSION,
    }
