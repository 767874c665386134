"""Smoke against servers that misbehave: a verdict for each, a picture kept only where there is one."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from sdlauncher.verify.smoke import SmokeRequest, run_smoke
from sdlauncher.verify.target import find_target
from tests.conftest import Cli
from tests.verify import hostile
from tests.verify.hostile import Behaviour, answer, answer_json, hostile_server, picture, pictures, webui
from tests.verify.test_explain import PEAK

ASKED = SmokeRequest(width=64, height=64, steps=8, seconds=3, repeat=False)


def fault(name: str, words: str, status: int = 500) -> Behaviour:
    return answer_json({"error": name, "detail": "", "body": "", "errors": words}, status)


@pytest.mark.parametrize(
    ("behaviour", "verdict"),
    [
        (pictures(picture()), "ok"),
        (pictures(picture(kind="black")), "SDL-SMOKE-BLACK"),
        (pictures(picture(kind="grey")), "SDL-SMOKE-GREY"),
        (pictures(picture(kind="flat")), "SDL-SMOKE-FLAT"),
        (pictures(picture(kind="noise")), "SDL-SMOKE-NOISE"),
        (pictures(picture(kind="garbage")), "SDL-SMOKE-GARBAGE"),
        (pictures(picture(56, 64)), "SDL-SMOKE-SIZE"),
        (pictures(picture(), sampler_name="DPM++ 2M"), "SDL-SMOKE-SAMPLER"),
        (pictures(picture(), seed=7), "SDL-SMOKE-SEED"),
        (pictures(), "SDL-SMOKE-EMPTY"),
        (pictures("%%%"), "SDL-SMOKE-NOT-BASE64"),
        (pictures(base64.b64encode(b"no picture at all").decode()), "SDL-SMOKE-NOT-A-PICTURE"),
        (pictures(picture()[:200]), "SDL-SMOKE-NOT-A-PICTURE"),
        (pictures(hostile.png_bomb()), "SDL-SMOKE-BOMB"),
        (answer_json({"images": [None], "info": "{}"}), "SDL-SMOKE-NOT-BASE64"),
        (answer_json({"detail": "hello"}), "SDL-SMOKE-STRANGE"),
        (answer(200, b"<html>Sign in</html>", "text/html"), "SDL-HTTP-NOT-JSON"),
        (hostile.silent, "SDL-SMOKE-TIMEOUT"),
        (hostile.drip_body, "SDL-SMOKE-TIMEOUT"),
        (hostile.endless, "SDL-HTTP-TOO-LARGE"),
        (hostile.closed_early, "SDL-HTTP-CLOSED"),
        (hostile.redirect("http://elsewhere.example/"), "SDL-HTTP-REDIRECT"),
        (answer_json({"detail": "Not authenticated"}, 401), "SDL-AUTH-MISSING"),
        (answer_json({"detail": "Not Found"}, 404), "SDL-API-OFF"),
        (answer_json({"detail": [{"loc": ["body", "steps"], "msg": "value is not a valid integer"}]}, 422),
         "SDL-SMOKE-REJECTED"),
        (fault("OutOfMemoryError", "CUDA out of memory. Tried to allocate 1.5 GiB"), "SDL-SMOKE-OUT-OF-MEMORY"),
        (fault("NansException", "A tensor with NaNs was produced in VAE."), "SDL-SMOKE-NAN-VAE"),
        (fault("NansException", "A tensor with NaNs was produced in Unet."), "SDL-SMOKE-NAN-UNET"),
        (fault("NotImplementedError", "No operator found for `memory_efficient_attention_forward`"),
         "SDL-SMOKE-XFORMERS"),
        (fault("RuntimeError", "Found no NVIDIA driver on your system."), "SDL-SMOKE-NO-GPU"),
        (fault("RuntimeError", '"LayerNormKernelImpl" not implemented for \'Half\''), "SDL-SMOKE-HALF"),
        (fault("FileNotFoundError", "No checkpoints found."), "SDL-SMOKE-NO-MODEL"),
        (fault("URLError", "<urlopen error [Errno -2] Name or service not known>"), "SDL-SMOKE-DOWNLOAD"),
        (fault("SafetensorError", "Error while deserializing header: HeaderTooLarge"), "SDL-SMOKE-MODEL-CORRUPT"),
        (fault("AttributeError", "'NoneType' object has no attribute 'pop'"), "SDL-SMOKE-MODEL-FAILED"),
        (fault("KeyError", "'nosuch_setting'"), "SDL-SMOKE-FAILED"),
        (answer_json({"error": "ValueError", "detail": "", "message": "Failed to recognize model type!"}, 500),
         "SDL-SMOKE-MODEL-KIND"),
        (answer(500, b"Internal Server Error", "text/plain; charset=utf-8"), "SDL-SMOKE-OUTPUT-GONE"),
        (answer(500, b"<html>oops</html>", "text/html"), "SDL-SMOKE-FAILED"),
    ],
)  # fmt: skip
def test_each_fault_has_its_own_verdict(behaviour: Behaviour, verdict: str, tmp_path: Path) -> None:
    out = tmp_path / "smoke.png"
    with hostile_server(webui(txt2img=behaviour)) as server:
        smoke = run_smoke(find_target(url=server.url), ASKED, out)
    assert smoke.verdict == verdict
    assert out.exists() == (smoke.file is not None)
    assert list(tmp_path.glob(".*")) == [], "nothing half-written"
    if smoke.failing is not None:
        for language in ("en", "zh"):
            sentence, hint = smoke.failing.describe(language)
            assert sentence and hint


def test_what_a_webui_answers_in_many_lines_is_told_on_one(tmp_path: Path) -> None:
    words = (
        "No checkpoints found. When searching for checkpoints, looked at:\n - file /w/model.ckpt\n"
        + " - folder /w" * 99
    )
    with hostile_server(webui(txt2img=fault("FileNotFoundError", words))) as server:
        failing = run_smoke(find_target(url=server.url), ASKED, tmp_path / "smoke.png").failing
    assert failing is not None and failing.code == "SDL-SMOKE-NO-MODEL"
    assert "\n" not in failing.detail and failing.detail.endswith(" …") and len(failing.detail) < 300


@pytest.mark.parametrize(
    ("models", "options", "chosen"),
    [
        # SD.Next: it looked again when it was told to, and chose nothing.
        ([{"title": "random", "model_name": "random"}], {"gradio_theme": "Default"}, ["random"]),
        ([{"title": "random", "model_name": "random"}], {"sd_model_checkpoint": "model.safetensors"}, []),
        # AUTOMATIC1111 takes the first one by itself.
        ([{"title": "tiny.ckpt [1]", "model_name": "tiny"}], {"sd_model_checkpoint": None}, []),
        ([], {"gradio_theme": "Default"}, []),
    ],
)
def test_a_webui_that_chose_no_model_is_told_which(
    models: list[object], options: dict[str, object], chosen: list[str], tmp_path: Path
) -> None:
    told = []

    def asked(visit: hostile.Visit) -> None:
        if visit.method == "POST":
            told.append(visit.json["sd_model_checkpoint"])
        answer_json(options)(visit)

    with hostile_server(webui(sd_models=answer_json(models), options=asked)) as server:
        assert run_smoke(find_target(url=server.url), ASKED, tmp_path / "x.png").verdict == "ok"
    assert told == chosen


def test_a_model_that_was_added_meanwhile_is_chosen_in_place_of_one_that_is_not_there(tmp_path: Path) -> None:
    found: list[object] = []
    told = []

    def asked(visit: hostile.Visit) -> None:
        if visit.method == "POST":
            told.append(visit.json["sd_model_checkpoint"])
        answer_json({"sd_model_checkpoint": "model.safetensors"})(visit)

    def listed(visit: hostile.Visit) -> None:
        answer_json(found)(visit)

    def refresh(visit: hostile.Visit) -> None:
        found.append({"title": "random", "model_name": "random"})
        answer(204, b"")(visit)

    routes = {**webui(options=asked, sd_models=listed)}
    routes["/sdapi/v1/refresh-checkpoints"] = refresh
    with hostile_server(routes) as server:
        assert run_smoke(find_target(url=server.url), ASKED, tmp_path / "x.png").verdict == "ok"
    assert told == ["random"]


def test_the_picture_is_kept_byte_for_byte_with_its_parameters(tmp_path: Path) -> None:
    sent = picture(text="an owl")
    with hostile_server(webui(txt2img=pictures(sent))) as server:
        smoke = run_smoke(find_target(url=server.url), ASKED, tmp_path / "owl.png")
    assert smoke.file is not None and smoke.file.read_bytes() == sent
    assert Image.open(smoke.file).info["parameters"].startswith("an owl")
    assert (smoke.width, smoke.height, smoke.seed, smoke.model) == (64, 64, ASKED.seed, "tiny")
    assert smoke.steps_per_second is not None and smoke.steps_per_second > 0


def test_a_server_that_is_given_up_is_told_to_stop(tmp_path: Path) -> None:
    with hostile_server(webui(txt2img=hostile.silent)) as server:
        run_smoke(find_target(url=server.url), ASKED, tmp_path / "x.png")
        assert server.asked("/sdapi/v1/interrupt") == 1


def test_progress_is_told_while_it_computes(tmp_path: Path) -> None:
    seen = []
    told = threading.Event()

    def slow(visit: hostile.Visit) -> None:
        told.wait(10)
        pictures(picture())(visit)

    half = {"progress": 0.5, "state": {"job": "scripts_txt2img", "sampling_step": 4, "sampling_steps": 8}}

    def note(progress: object) -> None:
        seen.append(progress)
        told.set()

    with hostile_server(webui(txt2img=slow, progress=answer_json(half))) as server:
        asked = SmokeRequest(width=64, height=64, steps=8, seconds=30, repeat=False)
        assert run_smoke(find_target(url=server.url), asked, tmp_path / "x.png", on_progress=note).verdict == "ok"
    assert (seen[0].stage, seen[0].share, seen[0].step, seen[0].steps) == ("txt2img", 0.5, 4, 8)


def test_the_same_seed_has_to_give_the_same_picture(tmp_path: Path) -> None:
    answers = iter([picture(), picture(kind="noise")])

    def another(visit: hostile.Visit) -> None:
        pictures(next(answers))(visit)

    with hostile_server(webui(txt2img=another)) as server:
        asked = SmokeRequest(width=64, height=64, steps=8, seconds=5)
        assert run_smoke(find_target(url=server.url), asked, tmp_path / "x.png").verdict == "SDL-SMOKE-REPEAT"


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ({"ram": {"used": 1 << 30}}, {"ram": {"used": 1 << 30}}, "ok"),
        ({"ram": {"used": 1 << 30}}, {"ram": {"used": 2 << 30}}, "SDL-SMOKE-MEMORY"),
        ({"cuda": {"events": {"oom": 1}}}, {"cuda": {"events": {"oom": 1}}}, "ok"),
        ({"cuda": {"events": {"oom": 1}}}, {"cuda": {"events": {"oom": 2}}}, "SDL-SMOKE-GPU-MEMORY"),
        ({}, {"ram": "full"}, "ok"),
    ],
)
def test_memory_that_jumps_is_noticed(before: object, after: object, verdict: str, tmp_path: Path) -> None:
    made = []

    def count(visit: hostile.Visit) -> None:
        made.append(visit)
        pictures(picture())(visit)

    def memory(visit: hostile.Visit) -> None:
        answer_json(after if len(made) > 1 else before)(visit)

    with hostile_server(webui(txt2img=count, memory=memory)) as server:
        asked = SmokeRequest(width=64, height=64, steps=8, seconds=5)
        assert run_smoke(find_target(url=server.url), asked, tmp_path / "x.png").verdict == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        ("scene", "noise", "ok"),
        ("noise", "noise", "SDL-SMOKE-FOLLOWS"),
        ("scene", "scene", "SDL-SMOKE-LEAVES"),
    ],
)
def test_img2img_follows_its_input_or_leaves_it_as_told(low: str, high: str, verdict: str, tmp_path: Path) -> None:
    def img2img(visit: hostile.Visit) -> None:
        assert base64.b64decode(visit.json["init_images"][0]) == picture()
        pictures(picture(kind=low if visit.json["denoising_strength"] < 0.5 else high))(visit)

    with hostile_server(webui(img2img=img2img)) as server:
        smoke = run_smoke(find_target(url=server.url), ASKED, tmp_path / "x.png", img2img=True)
    assert smoke.verdict == verdict


def test_the_command_takes_what_the_api_has_and_fails_with_one(cli: Cli, tmp_path: Path) -> None:
    requests: list[dict[str, object]] = []

    def note(visit: hostile.Visit) -> None:
        requests.append(visit.json)
        pictures(picture(72, 80, kind="black"), picture(72, 80, kind="black"))(visit)

    out = tmp_path / "deep" / "out.png"
    with hostile_server(webui(txt2img=note)) as server:
        ran = cli(
            "smoke", "--url", server.url, "--prompt", "猫", "--negative-prompt", "fog", "--steps", 3, "--width", 72,
            "--height", 80, "--sampler", "DDIM", "--cfg-scale", 4.5, "--batch-size", 2, "--seed", 5, "--out", out,
            "--json",
        )  # fmt: skip
    assert (ran.code, ran.json["error"]["code"], ran.data["verdict"]) == (1, "SDL-SMOKE-BLACK", "SDL-SMOKE-BLACK")
    assert "--no-half-vae" in ran.json["error"]["hint"]
    assert requests[0] == {
        "prompt": "猫", "negative_prompt": "fog", "steps": 3, "width": 72, "height": 80, "sampler_name": "DDIM",
        "cfg_scale": 4.5, "batch_size": 2, "seed": 5,
    }  # fmt: skip
    assert {out, out.with_stem("out-2")} == set(out.parent.iterdir())
    assert ran.data["file"] == str(out) and (ran.data["width"], ran.data["height"]) == (72, 80)
    assert {"name", "ok", "detail"} <= set(ran.data["checks"][0])


def test_a_webui_that_is_not_there_is_a_failed_smoke_and_an_instance_that_does_not_run_is_not(cli: Cli) -> None:
    with hostile_server({}) as server:
        url = server.url
    assert cli("smoke", "--url", url).code == 1
    ran = cli("smoke", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "SDL-NOT-RUNNING")


def test_a_bomb_is_refused_within_bounded_memory(cli: Cli) -> None:
    with hostile_server(webui(txt2img=pictures(hostile.png_bomb()))) as server:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, "smoke", "--url", server.url, "--json"],
            env=dict(cli.env), cwd=cli.home, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    said, peak = done.stdout.decode().strip().splitlines()
    assert "SDL-SMOKE-BOMB" in said
    assert int(peak) < 150 * 1024, "30,000 by 30,000 pixels would be 2.7 GB"
