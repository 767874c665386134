"""What the API does beyond its form: pictures, texts, the queue, progress, settings, passwords and addresses."""

from __future__ import annotations

import base64
import io
import json
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdlauncher.mini.jobs import Progress
from sdlauncher.mini.model import Request, Result
from sdlauncher.mini.tiles import plan_upscale
from tests.conftest import free_port
from tests.mini.conftest import LOADED, READY, Checkout, Running, wait_for

SMALL = {"prompt": "a red circle", "steps": 4, "width": 64, "height": 64, "seed": 5}


def _decode(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def _encode(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_same_request_and_seed_give_the_same_bytes(mini: Running) -> None:
    first = mini.post("/sdapi/v1/txt2img", SMALL).json()
    assert mini.post("/sdapi/v1/txt2img", SMALL).json()["images"] == first["images"]
    assert mini.post("/sdapi/v1/txt2img", SMALL | {"seed": 6}).json()["images"] != first["images"]


def test_the_text_inside_a_picture_has_the_real_form(mini: Running) -> None:
    body = SMALL | {"negative_prompt": "blue", "sampler_name": "Euler a", "scheduler": "Karras"}
    answer = mini.post("/sdapi/v1/txt2img", body).json()
    info = json.loads(answer["info"])
    checkpoint = mini.get("/sdapi/v1/sd-models").json()[0]
    text = _decode(answer["images"][0]).info["parameters"]
    assert text == info["infotexts"][0]
    assert text == (
        "a red circle\nNegative prompt: blue\nSteps: 4, Sampler: Euler a, Schedule type: Karras, CFG scale: 7.0, "
        f"Seed: 5, Size: 64x64, Model hash: {checkpoint['hash']}, Model: {checkpoint['model_name']}, "
        "Version: 1.10.1+mini"
    )
    assert info["extra_generation_params"] == {"Schedule type": "Karras"}


def test_a_picture_is_made_again_from_its_text_alone(mini: Running) -> None:
    first = mini.post("/sdapi/v1/txt2img", SMALL | {"negative_prompt": "blue", "sampler_name": "Euler"}).json()
    text = json.loads(first["info"])["infotexts"][0]
    again = mini.post("/sdapi/v1/txt2img", {"infotext": text}).json()
    assert again["images"] == first["images"]
    other = mini.post("/sdapi/v1/txt2img", {"infotext": text, "seed": 9}).json()
    assert json.loads(other["info"])["seed"] == 9


def test_a_random_seed_is_told(mini: Running) -> None:
    info = json.loads(mini.post("/sdapi/v1/txt2img", SMALL | {"seed": -1}).json()["info"])
    assert 0 <= info["seed"] < 2**32
    other = json.loads(mini.post("/sdapi/v1/txt2img", SMALL | {"seed": -1}).json()["info"])
    assert other["seed"] != info["seed"]


def test_a_batch_counts_its_seeds_up_and_each_picture_is_its_seeds(mini: Running) -> None:
    batch = mini.post("/sdapi/v1/txt2img", SMALL | {"batch_size": 2, "n_iter": 2}).json()
    info = json.loads(batch["info"])
    assert len(batch["images"]) == 4
    assert info["all_seeds"] == [5, 6, 7, 8]
    assert info["index_of_first_image"] == 0
    pixels = [_decode(image).tobytes() for image in batch["images"]]
    assert len(set(pixels)) == 4
    alone = mini.post("/sdapi/v1/txt2img", SMALL | {"seed": 7}).json()
    assert _decode(alone["images"][0]).tobytes() == pixels[2]


def test_saved_pictures_come_with_the_grid_first(checkout: Checkout) -> None:
    running = checkout.start("--api")
    batch = running.post("/sdapi/v1/txt2img", SMALL | {"batch_size": 4, "save_images": True}).json()
    assert [_decode(image).size for image in batch["images"]] == [(128, 128), *[(64, 64)] * 4]
    assert json.loads(batch["info"])["index_of_first_image"] == 1
    saved = sorted(path.name for path in (checkout.root / "outputs" / "txt2img-images").rglob("*.png"))
    assert saved == ["00000-5.png", "00001-6.png", "00002-7.png", "00003-8.png"]
    assert len(list((checkout.root / "outputs" / "txt2img-grids").rglob("*.png"))) == 1
    running.post("/sdapi/v1/txt2img", SMALL)
    assert len(list((checkout.root / "outputs").rglob("*.png"))) == 5


def test_pictures_can_be_left_out_of_the_answer(mini: Running) -> None:
    assert mini.post("/sdapi/v1/txt2img", SMALL | {"send_images": False}).json()["images"] == []


def test_hires_fix_gives_the_larger_picture(mini: Running) -> None:
    body = SMALL | {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.5}
    answer = mini.post("/sdapi/v1/txt2img", body).json()
    assert _decode(answer["images"][0]).size == (96, 96)
    assert "Denoising strength: 0.5, Hires upscale: 1.5, Hires upscaler: Latent" in answer["info"]


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_img2img_brings_any_picture_to_the_asked_size(mini: Running, mode: int) -> None:
    source = _encode(Image.new("RGBA", (200, 90), (250, 40, 10, 128)))
    body = SMALL | {"init_images": [source], "resize_mode": mode, "denoising_strength": 0.4}
    answer = mini.post("/sdapi/v1/img2img", body)
    assert _decode(answer.json()["images"][0]).size == (64, 64)
    assert answer.json()["parameters"]["init_images"] is None
    assert "Denoising strength: 0.4" in answer.json()["info"]
    kept = mini.post("/sdapi/v1/img2img", body | {"include_init_images": True}).json()
    assert kept["parameters"]["init_images"] == [source]


def test_inpainting_only_masked_keeps_the_whole_pictures_size(mini: Running) -> None:
    source = Image.new("RGB", (160, 120), (10, 200, 10))
    mask = Image.new("L", source.size)
    mask.paste(255, (20, 20, 60, 60))
    body = SMALL | {"init_images": [_encode(source)], "mask": _encode(mask), "mask_blur": 0, "inpaint_full_res": True}
    answer = mini.post("/sdapi/v1/img2img", body).json()
    picture = _decode(answer["images"][0])
    assert picture.size == (160, 120)
    assert picture.crop((70, 0, 160, 120)).getcolors() == [(90 * 120, (10, 200, 10))]
    assert len(picture.crop((20, 20, 60, 60)).getcolors(1600) or ()) > 1
    assert "Inpaint area: Only masked" in answer["info"]


def test_extras_resize_and_keep_the_text(mini: Running) -> None:
    made = mini.post("/sdapi/v1/txt2img", SMALL).json()["images"][0]
    one = mini.post("/sdapi/v1/extra-single-image", {"image": made, "upscaling_resize": 2, "upscaler_1": "Lanczos"})
    assert one.json()["html_info"] == "<p>Postprocess upscale by: 2.0, Postprocess upscaler: Lanczos</p>"
    assert _decode(one.json()["image"]).size == (128, 128)
    assert _decode(one.json()["image"]).info["parameters"].startswith("a red circle\n")
    body = {
        "imageList": [{"data": made, "name": "a"}, {"data": made, "name": "b"}],
        "resize_mode": 1, "upscaling_resize_w": 50, "upscaling_resize_h": 40, "upscaler_1": "Nearest",
    }  # fmt: skip
    many = mini.post("/sdapi/v1/extra-batch-images", body).json()
    assert [_decode(image).size for image in many["images"]] == [(50, 40), (50, 40)]
    refused = mini.post("/sdapi/v1/extra-single-image", {"image": made, "upscaler_1": "NoSuch"})
    assert (refused.status_code, refused.json()["errors"]) == (500, "could not find upscaler named NoSuch")


def test_progress_counts_true_steps_and_shows_previews(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="seconds-per-picture=1.5")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(running.post, "/sdapi/v1/txt2img", SMALL | {"steps": 30})
        seen: list[dict[str, Any]] = []
        while not answer.done():
            seen.append(running.get("/sdapi/v1/progress").json())
            time.sleep(0.02)
    busy = [one for one in seen if one["state"]["job_count"] == 1]
    steps = [one["state"]["sampling_step"] for one in busy]
    assert steps == sorted(steps)
    assert len(set(steps)) > 5
    assert {one["state"]["sampling_steps"] for one in busy} == {30}
    assert all(0 < one["progress"] <= 1 for one in busy)
    assert _decode(next(one["current_image"] for one in busy if one["current_image"])).size[0] > 0
    idle = running.get("/sdapi/v1/progress?skip_current_image=true").json()
    assert (idle["progress"], idle["eta_relative"], idle["current_image"]) == (0.0, 0.0, None)
    assert (idle["state"]["job"], idle["state"]["job_count"]) == ("", 0)


def _job_number(running: Running) -> int:
    return int(running.get("/sdapi/v1/progress").json()["state"]["job_no"])


def test_interrupt_gives_the_unfinished_picture_and_skip_the_next_one(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="seconds-per-picture=30")
    with ThreadPoolExecutor() as pool:
        for action, batches in (("interrupt", 1), ("skip", 3)):
            answer = pool.submit(running.post, "/sdapi/v1/txt2img", SMALL | {"n_iter": 3, "steps": 200})
            for _ in range(batches):
                wait_for(lambda: running.get("/sdapi/v1/progress").json()["state"]["sampling_step"] > 0, "a step")
                number = _job_number(running)
                assert running.post(f"/sdapi/v1/{action}").status_code == 200
                wait_for(lambda before=number, one=answer: _job_number(running) != before or one.done(), "its effect")
            assert len(answer.result(20).json()["images"]) == batches


def test_one_generation_at_a_time_in_the_order_of_asking(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="seconds-per-picture=1")
    ended: list[int] = []

    def ask(number: int) -> None:
        body = SMALL | {"force_task_id": f"task({number})"}
        assert running.post("/sdapi/v1/txt2img", body).status_code == 200
        ended.append(number)

    def told(number: int) -> dict[str, Any]:
        return dict(running.post("/internal/progress", {"id_task": f"task({number})"}).json())

    start = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for number, thread in enumerate(threads):
        thread.start()
        wait_for(lambda number=number: told(number)["queued"] or told(number)["active"], "its place in the queue")
    assert running.get("/internal/ping", timeout=2).json() == {}
    assert running.get("/internal/pending-tasks").json() == {"size": 3, "tasks": ["task(1)", "task(2)", "task(3)"]}
    assert told(2)["textinfo"] == "In queue: 2/3"
    shown = wait_for(lambda: (now := told(0))["live_preview"] and now, "a preview")
    assert (shown["active"], shown["completed"], 0 < shown["progress"] <= 1) == (True, False, True)
    assert shown["live_preview"].startswith("data:image/png;base64,")
    for thread in threads:
        thread.join(20)
    assert ended == [0, 1, 2, 3]
    assert time.monotonic() - start >= 4
    assert told(3)["completed"]
    assert not told(3)["active"]
    assert running.get("/internal/pending-tasks").json() == {"size": 0, "tasks": []}


def test_overridden_settings_hold_for_one_request(mini: Running) -> None:
    body = SMALL | {"override_settings": {"CLIP_stop_at_last_layers": 2, "add_version_to_infotext": False}}
    info = json.loads(mini.post("/sdapi/v1/txt2img", body).json()["info"])
    assert info["infotexts"][0].endswith("Clip skip: 2")
    options = mini.get("/sdapi/v1/options").json()
    assert (options["CLIP_stop_at_last_layers"], options["add_version_to_infotext"]) == (1, True)


def test_a_jpeg_carries_its_text_and_png_info_reads_it(checkout: Checkout) -> None:
    running = checkout.start("--api")
    running.post("/sdapi/v1/options", {"samples_format": "jpg"})
    image = running.post("/sdapi/v1/txt2img", SMALL).json()["images"][0]
    assert _decode(image).format == "JPEG"
    read = running.post("/sdapi/v1/png-info", {"image": f"data:image/jpeg;base64,{image}"}).json()
    assert read["info"].startswith("a red circle\nSteps: 4, Sampler: Euler")


def test_another_checkpoint_is_loaded_by_name_and_only_then_hashed(checkout: Checkout) -> None:
    (weights,) = (checkout.root / "models" / "Stable-diffusion").glob("*.safetensors")
    (weights.parent / "z-other.safetensors").write_bytes(weights.read_bytes())
    running = checkout.start("--api")
    before = {one["model_name"]: one["hash"] for one in running.get("/sdapi/v1/sd-models").json()}
    assert before["z-other"] is None
    assert running.post("/sdapi/v1/options", {"sd_model_checkpoint": "z-other"}).json() is None
    shown = running.get("/sdapi/v1/options").json()
    assert shown["sd_model_checkpoint"] == f"z-other.safetensors [{shown['sd_checkpoint_hash'][:10]}]"
    info = json.loads(running.post("/sdapi/v1/txt2img", SMALL).json()["info"])
    assert info["sd_model_name"] == "z-other"
    again = checkout.start("--api")
    assert json.loads(again.post("/sdapi/v1/txt2img", SMALL).json()["info"])["sd_model_name"] == "z-other"


def test_unload_and_reload(checkout: Checkout) -> None:
    running = checkout.start("--api")
    for action in ("unload", "reload"):
        assert running.post(f"/sdapi/v1/{action}-checkpoint").json() == {}
    assert running.log.count(LOADED) == 2
    (weights,) = (checkout.root / "models" / "Stable-diffusion").glob("*.safetensors")
    (weights.parent / "new.safetensors").write_bytes(weights.read_bytes())
    assert running.post("/sdapi/v1/refresh-checkpoints").json() is None
    assert len(running.get("/sdapi/v1/sd-models").json()) == 2


def test_styles_are_read_from_the_file_and_applied(checkout: Checkout) -> None:
    file = checkout.root / "styles.csv"
    file.write_text("name,prompt,negative_prompt\nround,{prompt} circle,blue\n")
    running = checkout.start("--api", "--styles-file", str(file))
    assert running.get("/sdapi/v1/prompt-styles").json() == [
        {"name": "round", "prompt": "{prompt} circle", "negative_prompt": "blue"}
    ]
    info = json.loads(
        running.post("/sdapi/v1/txt2img", SMALL | {"prompt": "red", "styles": ["round", "nosuch"]}).json()["info"]
    )
    assert (info["prompt"], info["negative_prompt"]) == ("red circle", "blue")


def test_the_model_may_come_with_the_first_request(checkout: Checkout) -> None:
    running = checkout.start("--api", "--skip-load-model-at-start", until=READY)
    assert "Loading weights" not in running.log
    assert running.post("/sdapi/v1/txt2img", SMALL).status_code == 200
    assert LOADED in running.log


def test_the_api_password_guards_the_api_and_nothing_else(checkout: Checkout) -> None:
    running = checkout.start("--api", "--api-auth", "u1:p1,u2:p2", model=False)
    for credentials, detail in ((None, "Not authenticated"), (("u1", "p2"), "Incorrect username or password")):
        answer = running.get("/sdapi/v1/options", auth=credentials)
        assert answer.status_code == 401
        assert answer.json() == {"error": "HTTPException", "detail": detail, "body": "", "errors": ""}
        assert "www-authenticate" not in answer.headers
    for credentials in (("u1", "p1"), ("u2", "p2")):
        assert running.get("/sdapi/v1/options", auth=credentials).status_code == 200
    for path in ("/docs", "/openapi.json", "/", "/config", "/internal/ping", "/internal/sysinfo"):
        assert running.get(path).status_code == 200
    assert "--api-auth u1:p1,u2:p2" in running.log


def test_the_page_password_guards_the_page_and_not_the_api(checkout: Checkout, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("mary:two\n")
    running = checkout.start("--api", "--gradio-auth", "joe:one", "--gradio-auth-path", str(file), model=False)
    for path in ("/docs", "/openapi.json", "/sdapi/v1/options", "/internal/ping", "/"):
        assert running.get(path).status_code == 200
    assert "password" in running.get("/").text
    assert running.get("/config").status_code == 401
    assert running.get("/queue/status").status_code == 401
    assert running.session.post(f"{running.url}/login", data={"username": "joe", "password": "x"}).status_code == 400
    assert running.session.post(f"{running.url}/login", data={"username": "mary", "password": "two"}).ok
    assert running.get("/config").status_code == 200


def test_subpath_cors_log_and_listening(checkout: Checkout) -> None:
    running = checkout.start(
        "--api",
        "--listen",
        "--subpath",
        "sd",
        "--cors-allow-origins",
        "http://a.example,http://b.example",
        "--api-log",
        model=False,
    )
    assert f"Running on local URL:  http://0.0.0.0:{running.port}" in running.log
    for path in ("/docs", "/sd/docs", "/sd/sdapi/v1/samplers", "/sdapi/v1/samplers", "/sd/"):
        assert running.get(path).status_code == 200
    allowed = running.get("/sdapi/v1/samplers", headers={"origin": "http://b.example"})
    assert allowed.headers["access-control-allow-origin"] == "http://b.example"
    other = running.get("/sdapi/v1/samplers", headers={"origin": "http://c.example"})
    assert "access-control-allow-origin" not in other.headers
    assert " 200 http/1.1 GET /sdapi/v1/samplers 127.0.0.1 " in running.log
    assert float(other.headers["x-process-time"]) >= 0


def test_https(checkout: Checkout, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
            "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert ssl.create_default_context(cafile=str(certificate)).cert_store_stats()["x509"] == 1
    running = checkout.start(
        "--api", "--tls-keyfile", str(key), "--tls-certfile", str(certificate), scheme="https", model=False
    )
    assert f"Running on local URL:  https://127.0.0.1:{running.port}" in running.log
    assert running.get("/sdapi/v1/options", verify=str(certificate)).status_code == 200


def test_its_own_data_and_settings_may_lie_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    models = checkout.root / "models"
    data = tmp_path / "data"
    data.mkdir()
    models.rename(data / "models")
    running = checkout.start("--api", "--data-dir", str(data), "--ui-settings-file", str(tmp_path / "my.json"))
    assert running.get("/sdapi/v1/sd-models").json()[0]["filename"].startswith(str(data))
    assert "--ckpt argument" not in running.log
    running.post("/sdapi/v1/options", {"jpeg_quality": 55})
    assert json.loads((tmp_path / "my.json").read_text())["jpeg_quality"] == 55
    running.post("/sdapi/v1/txt2img", SMALL | {"save_images": True})
    assert len(list((data / "outputs").rglob("*.png"))) == 1


def test_frozen_settings_stay(checkout: Checkout) -> None:
    running = checkout.start("--api", "--freeze-settings", model=False)
    answer = running.post("/sdapi/v1/options", {"jpeg_quality": 55})
    assert (answer.status_code, answer.json()["error"]) == (500, "AssertionError")


def test_memory_is_small_and_told(mini: Running) -> None:
    ram = mini.get("/sdapi/v1/memory").json()["ram"]
    assert 20e6 < ram["used"] < 250e6
    assert ram["free"] + ram["used"] == pytest.approx(ram["total"])


def test_a_log_that_nobody_reads_fails_the_generations_and_not_the_server(checkout: Checkout) -> None:
    """Its output is a pipe whose reader died: the real one answers 500 to each generation, and lives."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-u", "launch.py", "--api", "--port", str(port)],
        cwd=checkout.root,
        env=dict(checkout.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while LOADED.encode() not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        running = Running(process, checkout.root / "none", port)
        checkout.started.append(running)
        try:
            answer = running.post("/sdapi/v1/txt2img", SMALL)
            assert (answer.status_code, answer.text) == (500, "Internal Server Error")
            assert running.get("/docs").status_code == 200
        finally:
            running.stop()


def test_sd_upscale_works_a_picture_over_in_tiles(mini: Running) -> None:
    source = Image.linear_gradient("L").resize((96, 80)).convert("RGB")
    body = SMALL | {
        "init_images": [_encode(source)], "denoising_strength": 0.0001, "steps": 2,
        "script_name": "SD upscale", "script_args": ["", 16, "Lanczos", 2.0],
    }  # fmt: skip
    answer = mini.post("/sdapi/v1/img2img", body)
    assert _decode(answer.json()["images"][0]).size == (192, 160)
    assert "SD upscale overlap: 16, SD upscale upscaler: Lanczos" in answer.json()["info"]
    assert "sd upscale" in mini.get("/sdapi/v1/scripts").json()["img2img"]
    in_txt2img = mini.post("/sdapi/v1/txt2img", SMALL | {"script_name": "sd upscale"})
    assert (in_txt2img.status_code, in_txt2img.json()["detail"]) == (422, "Script 'sd upscale' not found")
    assert mini.post("/sdapi/v1/img2img", body | {"script_args": [1]}).status_code == 500


@pytest.mark.parametrize("overlap", [0, 8, 24])
@pytest.mark.parametrize("size", [(64, 64), (100, 70), (193, 65)])
def test_tiles_cover_all_and_leave_no_seam(size: tuple[int, int], overlap: int) -> None:
    class Copying:
        def generate(self, request: Any, **_: Any) -> Result:
            return Result(image=request.init_image, unknown_words=(), interrupted=False)

    original = Image.effect_noise(size, 60).convert("RGB")
    request = Request(prompt="", width=64, height=64)
    plan = plan_upscale(["", overlap, "None", 1], original, request)
    done = plan.generate(Copying(), request, Progress(), lambda *_: None)  # type: ignore[arg-type]
    assert Image.fromarray(done.image).tobytes() == plan.picture.tobytes()
