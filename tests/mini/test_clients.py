"""Clients of others against Mini WebUI: webuiapi unchanged, schemathesis on its document, and a thousand bad bodies."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import webuiapi
from PIL import Image, ImageDraw

from tests.mini.conftest import Checkout, Running, wait_for


def _client(running: Running) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(host="127.0.0.1", port=running.port, sampler="Euler a", steps=4)


def test_webuiapi_makes_and_changes_pictures(mini: Running) -> None:
    api = _client(mini)
    made = api.txt2img(prompt="a red circle", seed=7, width=128, height=64)
    assert (made.image.size, made.info["seed"], made.info["sampler_name"]) == ((128, 64), 7, "Euler a")
    again = api.txt2img(prompt="a red circle", seed=7, width=128, height=64)
    assert again.image.tobytes() == made.image.tobytes()
    other = api.img2img(images=[made.image], prompt="a blue square", seed=7, width=128, height=64)
    assert other.image.size == (128, 64)
    assert other.image.tobytes() != made.image.tobytes()


def test_webuiapi_repaints_what_is_masked_and_nothing_else(mini: Running) -> None:
    original = Image.new("RGB", (128, 128), (10, 200, 10))
    mask = Image.new("RGB", (128, 128))
    ImageDraw.Draw(mask).rectangle((0, 0, 63, 127), fill="white")
    done = _client(mini).img2img(
        images=[original], mask_image=mask, mask_blur=0, inpaint_full_res=False, width=128, height=128, seed=3,
        prompt="a red circle", denoising_strength=1.0, steps=8,
    )  # fmt: skip
    repainted = done.image.convert("RGB")
    right = repainted.crop((66, 0, 128, 128))
    assert max(abs(low - (10, 200, 10)[band]) for band, (low, _) in enumerate(right.getextrema())) <= 12
    assert repainted.crop((0, 0, 60, 128)).getextrema() != right.getextrema()


def test_webuiapi_reads_what_is_inside_a_picture(mini: Running) -> None:
    api = _client(mini)
    made = api.txt2img(prompt="a red circle", negative_prompt="blue", seed=42, width=64, height=64)
    read = api.png_info(made.image)
    assert read.info.startswith("a red circle\nNegative prompt: blue\nSteps: 4, Sampler: Euler a,")
    assert (read.parameters["Seed"], read.parameters["Size-1"]) == ("42", "64")


def test_webuiapi_reads_and_writes_options(checkout: Checkout) -> None:
    running = checkout.start("--api")
    api = _client(running)
    assert api.get_options()["jpeg_quality"] == 80
    api.set_options({"jpeg_quality": 70})
    assert api.get_options()["jpeg_quality"] == 70
    assert json.loads((checkout.root / "config.json").read_text())["jpeg_quality"] == 70
    (only,) = api.util_get_model_names()
    assert api.util_get_current_model() == only


def test_webuiapi_interrupts(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="seconds-per-picture=60")
    api = _client(running)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(api.txt2img(prompt="red", width=64, height=64, steps=50)))
    asking.start()
    wait_for(lambda: api.get_progress()["state"]["sampling_step"] > 0, "a first step")
    assert 0 < api.get_progress()["progress"] < 0.5
    api.interrupt()
    asking.join(20)
    assert answers[0].image.size == (64, 64)
    assert api.get_progress()["progress"] == 0


WORTHLESS = [None, True, -1, 0, 1, 2.5, 10**30, "", "2", "abc", "\x00", "é" * 50, [], [1], ["a"], {}, {"a": 1}, [[[]]]]


def test_a_thousand_bad_bodies_leave_it_serving(mini: Running) -> None:
    """Every answer is one of the kinds that the real one gives, and a good request is answered afterwards as before."""
    document = mini.get("/openapi.json").json()
    targets = [
        (path, methods["post"]["requestBody"]["content"]["application/json"]["schema"])
        for path, methods in document["paths"].items()
        if "requestBody" in methods.get("post", {})
    ]
    dice = random.Random(11)
    for _ in range(1000):
        path, schema = dice.choice(targets)
        fields = document["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties")
        names = dice.sample(sorted(fields or {"samples_format": 1, "name": 1}), k=min(3, len(fields or "ab")))
        body = {"steps": 1, "width": 16, "height": 16} | {name: dice.choice(WORTHLESS) for name in names}
        if body.get("n_iter") == 10**30 or path == "/sdapi/v1/options":
            body = {"nosuch": body}
        raw = json.dumps(body).encode()
        if dice.random() < 0.2:
            raw = raw[: dice.randrange(len(raw))] + bytes([dice.randrange(256)])
        answer = mini.session.post(mini.url + path, data=raw, timeout=30, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 404, 422, 500), (path, raw, answer.text)
        assert isinstance(answer.json(), (dict, list)) or answer.json() is None
    good = mini.post("/sdapi/v1/txt2img", {"prompt": "red", "steps": 2, "width": 64, "height": 64})
    assert good.status_code == 200
    assert Image.open(io.BytesIO(base64.b64decode(good.json()["images"][0]))).size == (64, 64)


# What the real one, too, answers with 500 when a field is badly filled.
KNOWN_FAILURES = {
    "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "MemoryError", "OverflowError",
    "RuntimeError", "TypeError", "ValueError", "ZeroDivisionError",
}  # fmt: skip


def test_schemathesis_finds_nothing_that_the_real_one_would_not_answer(checkout: Checkout, tmp_path: Path) -> None:
    running = checkout.start("--api", model=False)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{running.url}/openapi.json",
            "--checks", "content_type_conformance,response_schema_conformance", "--phases", "examples,fuzzing",
            "--max-examples", "3", "--seed", "1", "--no-color", "--request-timeout", "30",
            # Those with a body: what the others answer is compared with the document elsewhere.
            "--include-path-regex", "/(txt2img|img2img|extra-.*|png-info|options|interrogate|progress|create/.*)$",
        ],
        cwd=tmp_path,
        capture_output=True,
        timeout=110,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    classes = set(re.findall(r"API error: .*\{'error': '(\w+)'", running.log))
    assert classes <= KNOWN_FAILURES
    assert running.get("/internal/ping").json() == {}
