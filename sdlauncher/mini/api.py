"""The endpoints under /sdapi/v1: what each of them answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from sdlauncher.mini.endpoints import ANY_OBJECT, Call, Endpoint
from sdlauncher.mini.failures import ApiError
from sdlauncher.mini.flags import show_flags
from sdlauncher.mini.memory import read_memory
from sdlauncher.mini.scripts import describe_scripts, list_scripts
from sdlauncher.mini.styles import read_styles

if TYPE_CHECKING:
    from sdlauncher.mini.studio import Studio

_TXT2IMG = "StableDiffusionProcessingTxt2Img"
_IMG2IMG = "StableDiffusionProcessingImg2Img"
_FLAG = {"type": "boolean", "default": False}


def _txt2img(call: Call) -> Any:
    from sdlauncher.mini.generate import make_pictures

    return make_pictures(call.studio, "txt2img", call.form, call.given)


def _img2img(call: Call) -> Any:
    from sdlauncher.mini.generate import make_pictures

    return make_pictures(call.studio, "img2img", call.form, call.given)


def _extra_single(call: Call) -> Any:
    from sdlauncher.mini.extras import upscale_one

    return upscale_one(call.studio, call.form)


def _extra_batch(call: Call) -> Any:
    from sdlauncher.mini.extras import upscale_many

    return upscale_many(call.studio, call.form)


def _png_info(call: Call) -> Any:
    from sdlauncher.mini.infotext import read_infotext
    from sdlauncher.mini.pictures import read_picture, read_text

    text, items = read_text(read_picture(call.form["image"].strip(), call.studio.settings))
    return {"info": text, "items": items, "parameters": read_infotext(text)}


def _progress(call: Call) -> Any:
    progress = call.studio.progress
    image = None
    preview = progress.preview
    if progress.job_count != 0 and preview is not None and not call.query["skip_current_image"]:
        from sdlauncher.mini.pictures import write_preview

        image = write_preview(preview())
    return {
        "progress": progress.share(),
        "eta_relative": progress.seconds_left(progress.share()),
        "state": progress.as_dict(),
        "current_image": image,
        "textinfo": None,
    }


def _interrupt(call: Call) -> Any:
    call.studio.progress.interrupted = True
    return {}


def _skip(call: Call) -> Any:
    call.studio.progress.skipped = True


def _set_options(call: Call) -> Any:
    studio, wanted = call.studio, call.form
    checkpoint = wanted.get("sd_model_checkpoint")
    if checkpoint is not None and studio.checkpoints.find(checkpoint) is None:
        raise RuntimeError(f"model {checkpoint!r} not found")
    for name, value in wanted.items():
        studio.settings.set(name, value)
    if checkpoint is not None:
        with studio.queue:
            studio.switch_to(checkpoint)
    studio.settings.save()


def _samplers(_: Call) -> Any:
    from sdlauncher.mini.model import SAMPLERS

    return [{"name": one.name, "aliases": list(one.aliases), "options": one.options} for one in SAMPLERS]


def _schedulers(_: Call) -> Any:
    from sdlauncher.mini.model import SCHEDULERS

    rho = {"karras": 7.0, "polyexponential": 1.0}
    own = ("uniform", "sgm_uniform", "simple", "normal", "ddim", "beta")
    return [
        {
            "name": one.name,
            "label": one.label,
            "aliases": None,
            "default_rho": rho.get(one.name, -1.0),
            "need_inner_model": one.name in own,
        }
        for one in SCHEDULERS
    ]


def _upscalers(_: Call) -> Any:
    from sdlauncher.mini.choices import UPSCALERS

    return [
        {"name": name, "model_name": None, "model_path": None, "model_url": None, "scale": 4.0} for name in UPSCALERS
    ]


def _latent_modes(_: Call) -> Any:
    from sdlauncher.mini.choices import LATENT_MODES

    return [{"name": name} for name in LATENT_MODES]


def _sd_models(call: Call) -> Any:
    return [
        {
            "title": one.title,
            "model_name": one.model_name,
            "hash": one.short_hash,
            "sha256": one.sha256,
            "filename": str(one.path),
            "config": None,
        }
        for one in call.studio.checkpoints.found
    ]


def _files(folder: str, name_key: str, path_key: str) -> Any:
    def answer(call: Call) -> Any:
        files = sorted((call.studio.model_files / folder).glob("*.*"))
        known = [file for file in files if file.suffix in (".safetensors", ".ckpt", ".pt")]
        return [{name_key: file.name, path_key: str(file)} for file in known]

    return answer


def _refresh_checkpoints(call: Call) -> Any:
    with call.studio.queue:
        call.studio.checkpoints.refresh()


def _interrogate(call: Call) -> Any:
    if call.form["model"] not in ("clip", "deepdanbooru"):
        raise ApiError(404, "Model not found")
    raise RuntimeError("Mini WebUI has no model that describes pictures")


def _unload(call: Call) -> Any:
    with call.studio.queue:
        call.studio.unload()
    return {}


def _reload(call: Call) -> Any:
    with call.studio.queue:
        call.studio.model()
    return {}


def _styles(call: Call) -> Any:
    return list(read_styles(call.studio.flags.styles_file).values())


def _refuse_training(call: Call) -> Any:
    name = call.request.url.path.rpartition("/")[2]
    return {"info": f"{name} error: Mini WebUI trains nothing"}


def _nothing(_: Call) -> Any:
    return None


def _kill(_: Call) -> Any:
    os._exit(0)


def _restart(_: Call) -> Any:
    mark = os.environ.get("SD_WEBUI_RESTART")
    if not mark:
        return Response(status_code=501)
    Path(mark).parent.mkdir(parents=True, exist_ok=True)
    Path(mark).write_text("", "utf-8")
    os._exit(0)


def _stop(call: Call) -> Any:
    call.studio.stopping.set()
    return Response("Stopping.")


LORAS = (
    Endpoint("GET", "/sdapi/v1/loras", lambda _: []),
    Endpoint("POST", "/sdapi/v1/refresh-loras", _nothing),
)

STOPPING = (
    Endpoint("POST", "/sdapi/v1/server-kill", _kill),
    Endpoint("POST", "/sdapi/v1/server-restart", _restart),
    Endpoint("POST", "/sdapi/v1/server-stop", _stop),
)

ENDPOINTS = (
    Endpoint("POST", "/sdapi/v1/txt2img", _txt2img, _TXT2IMG, "TextToImageResponse", waits=True),
    Endpoint("POST", "/sdapi/v1/img2img", _img2img, _IMG2IMG, "ImageToImageResponse", waits=True),
    Endpoint(
        "POST",
        "/sdapi/v1/extra-single-image",
        _extra_single,
        "ExtrasSingleImageRequest",
        "ExtrasSingleImageResponse",
        waits=True,
    ),
    Endpoint(
        "POST",
        "/sdapi/v1/extra-batch-images",
        _extra_batch,
        "ExtrasBatchImagesRequest",
        "ExtrasBatchImagesResponse",
        waits=True,
    ),
    Endpoint("POST", "/sdapi/v1/png-info", _png_info, "PNGInfoRequest", "PNGInfoResponse", waits=True),
    Endpoint(
        "GET",
        "/sdapi/v1/progress",
        _progress,
        response="modules__api__models__ProgressResponse",
        query={"skip_current_image": _FLAG},
    ),
    Endpoint("POST", "/sdapi/v1/interrogate", _interrogate, "InterrogateRequest"),
    Endpoint("POST", "/sdapi/v1/interrupt", _interrupt),
    Endpoint("POST", "/sdapi/v1/skip", _skip),
    Endpoint("GET", "/sdapi/v1/options", lambda call: call.studio.settings.as_dict(), response="Options"),
    Endpoint("POST", "/sdapi/v1/options", _set_options, ANY_OBJECT, waits=True),
    Endpoint("GET", "/sdapi/v1/cmd-flags", lambda call: show_flags(call.studio.flags), response="Flags"),
    Endpoint("GET", "/sdapi/v1/samplers", _samplers, response="[SamplerItem]"),
    Endpoint("GET", "/sdapi/v1/schedulers", _schedulers, response="[SchedulerItem]"),
    Endpoint("GET", "/sdapi/v1/upscalers", _upscalers, response="[UpscalerItem]"),
    Endpoint("GET", "/sdapi/v1/latent-upscale-modes", _latent_modes, response="[LatentUpscalerModeItem]"),
    Endpoint("GET", "/sdapi/v1/sd-models", _sd_models, response="[SDModelItem]"),
    Endpoint("GET", "/sdapi/v1/sd-vae", _files("VAE", "model_name", "filename"), response="[SDVaeItem]"),
    Endpoint("GET", "/sdapi/v1/hypernetworks", _files("hypernetworks", "name", "path"), response="[HypernetworkItem]"),
    Endpoint("GET", "/sdapi/v1/face-restorers", lambda _: [], response="[FaceRestorerItem]"),
    Endpoint("GET", "/sdapi/v1/realesrgan-models", lambda _: [], response="[RealesrganItem]"),
    Endpoint("GET", "/sdapi/v1/prompt-styles", _styles, response="[PromptStyleItem]"),
    Endpoint("GET", "/sdapi/v1/embeddings", lambda _: {"loaded": {}, "skipped": {}}, response="EmbeddingsResponse"),
    Endpoint("POST", "/sdapi/v1/refresh-embeddings", _nothing),
    Endpoint("POST", "/sdapi/v1/refresh-checkpoints", _refresh_checkpoints, waits=True),
    Endpoint("POST", "/sdapi/v1/refresh-vae", _nothing),
    Endpoint("POST", "/sdapi/v1/create/embedding", _refuse_training, ANY_OBJECT, "CreateResponse"),
    Endpoint("POST", "/sdapi/v1/create/hypernetwork", _refuse_training, ANY_OBJECT, "CreateResponse"),
    Endpoint("POST", "/sdapi/v1/train/embedding", _refuse_training, ANY_OBJECT, "TrainResponse"),
    Endpoint("POST", "/sdapi/v1/train/hypernetwork", _refuse_training, ANY_OBJECT, "TrainResponse"),
    Endpoint("GET", "/sdapi/v1/memory", lambda _: read_memory(), response="MemoryResponse"),
    Endpoint("POST", "/sdapi/v1/unload-checkpoint", _unload, waits=True),
    Endpoint("POST", "/sdapi/v1/reload-checkpoint", _reload, waits=True),
    Endpoint("GET", "/sdapi/v1/scripts", lambda _: list_scripts(), response="ScriptsList"),
    Endpoint("GET", "/sdapi/v1/script-info", lambda _: describe_scripts(), response="[ScriptInfo]"),
    Endpoint("GET", "/sdapi/v1/extensions", lambda _: [], response="[ExtensionItem]"),
)


def choose_endpoints(studio: Studio) -> tuple[Endpoint, ...]:
    """Give the endpoints that the flags ask for; the Lora ones are there even without --api, as an extension's are."""
    if not (studio.flags.api or studio.flags.nowebui):
        return LORAS
    return (*ENDPOINTS, *(STOPPING if studio.flags.api_server_stop else ()), *LORAS)
