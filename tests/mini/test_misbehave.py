"""Each misbehaviour, asked for by its word and seen from outside; and the switch that refuses what it does not know."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image

from sdlauncher.mini.misbehave import Misbehaviour, parse_misbehaviour
from sdlauncher.mini.pictures import spoil
from tests.mini.conftest import LOADED, READY, Checkout, Running, wait_for

SMALL = {"prompt": "a red circle", "steps": 4, "width": 64, "height": 64, "seed": 5}


def _picture(running: Running) -> Image.Image:
    answer = running.post("/sdapi/v1/txt2img", SMALL)
    assert answer.status_code == 200
    return Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0])))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("slow-lod=3", "no misbehaviour is called 'slow-lod'; did you mean slow-load?"),
        ("slow_load=3", "did you mean slow-load?"),
        ("xyzzy", "there are: slow-imports, slow-load,"),
        ("slow-load", "slow-load needs a value, as in slow-load=5"),
        ("slow-load=fast", "slow-load needs seconds, as in slow-load=2.5, but has 'fast'"),
        ("slow-load=-1", "needs seconds"),
        ("silent=1", "silent takes no value, but has '1'"),
        ("oom,oom", "oom is given twice"),
        ("crash-at=end", "crash-at is one of imports, load, ready, generate, but has 'end'"),
        ("crash-with=3", "crash-with needs crash-at="),
        ("crash-at=load,crash-with=HUH", "crash-with is one of ABRT,"),
        ("picture=pink", "picture is one of black, flat, noise, nan-grey, but has 'pink'"),
        ("errors=200", "errors needs a status from 400 to 599, but has '200'"),
        ("grow=5kB", "grow needs an amount, as in grow=10MB/s, but has '5kB'"),
    ],
)
def test_what_it_does_not_know_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="MINI_WEBUI_MISBEHAVE: ") as caught:
        parse_misbehaviour(text)
    assert complaint in str(caught.value)


def test_several_words_are_read() -> None:
    assert parse_misbehaviour("") == Misbehaviour()
    read = parse_misbehaviour(" slow-load=1.5s, grow=10MB/s ,flood=200MB,crash-at=ready,crash-with=SIGSEGV,oom ")
    assert read == Misbehaviour(
        slow_load=1.5, grow=1e7, flood=2e8, crash_at="ready", crash_with="SEGV", oom=True
    )  # fmt: skip


def test_every_word_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "sdlauncher" / "mini" / "README.md").read_text("utf-8")
    table = {line.split("`")[1].partition("=")[0] for line in readme.splitlines() if line.startswith("| `")}
    table |= {"crash-with"}
    assert table == {name.replace("_", "-") for name in Misbehaviour.__dataclass_fields__}


def test_a_wrong_word_ends_the_start_with_2(checkout: Checkout) -> None:
    running = checkout.start(misbehave="slow-lod=3", until=None)
    assert running.wait_until_ended() == 2
    assert running.log == (
        "launch.py: error: MINI_WEBUI_MISBEHAVE: no misbehaviour is called 'slow-lod'; did you mean slow-load?\n"
    )


def test_a_slow_load_lets_the_server_up_and_a_request_wait(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="slow-load=1", until=READY)
    assert LOADED not in running.log
    assert running.get("/docs").status_code == 200
    assert running.get("/sdapi/v1/options").json()["sd_model_checkpoint"] is None
    assert _picture(running).size == (64, 64)
    assert LOADED in running.log


@pytest.mark.parametrize(
    ("stage", "how", "code", "seen", "unseen"),
    [
        ("imports", "3", 3, "Launching Web UI", "Loading weights"),
        ("load", "SEGV", -signal.SIGSEGV, "Loading weights", LOADED),
        ("ready", "ABRT", -signal.SIGABRT, READY, "API error"),
    ],
)
def test_it_crashes_where_it_is_asked_to(
    checkout: Checkout, stage: str, how: str, code: int, seen: str, unseen: str
) -> None:
    running = checkout.start("--api", misbehave=f"crash-at={stage},crash-with={how}", until=None)
    assert running.wait_until_ended() == code
    assert seen in running.log
    assert unseen not in running.log


def test_it_crashes_in_a_generation(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="crash-at=generate,crash-with=KILL", model=False)
    with pytest.raises(requests.ConnectionError):
        running.post("/sdapi/v1/txt2img", SMALL)
    assert running.wait_until_ended() == -signal.SIGKILL


def test_a_model_that_fails_to_load_leaves_the_server_up(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="load-fails", until=READY)
    assert "Stable diffusion model failed to load" in running.log
    answer = running.post("/sdapi/v1/txt2img", SMALL)
    assert (answer.status_code, answer.json()["error"]) == (500, "RuntimeError")
    assert running.get("/docs").status_code == 200


def test_http_before_the_api_is_mounted_kills_it_only_if_asked(checkout: Checkout) -> None:
    for words, code in (("slow-mount=0.6", None), ("slow-mount=0.6,http-before-ready-crash", 1)):
        running = checkout.start("--api", misbehave=words, until="Running on local URL", model=False)
        assert running.get("/docs").status_code == 200
        assert running.get("/sdapi/v1/options").status_code == 404
        if code is None:
            running.wait_for_line(READY)
            assert running.get("/sdapi/v1/options").status_code == 200
        else:
            assert running.wait_until_ended() == code
            assert "RuntimeError: Cannot add middleware after an application has started" in running.log


def test_tcp_alone_before_the_api_is_mounted_is_safe(checkout: Checkout) -> None:
    running = checkout.start(
        "--api", model=False, misbehave="slow-mount=0.5,http-before-ready-crash", until="Running on local URL"
    )
    assert running.accepts_connections()
    running.wait_for_line(READY)
    assert running.get("/sdapi/v1/options").status_code == 200


def test_a_hang_accepts_connections_and_answers_none(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="hang-after=0", model=False)

    def hangs() -> bool:
        try:
            running.get("/internal/ping", timeout=0.3)
        except requests.ReadTimeout:
            return True
        return False

    wait_for(hangs, "the hang")
    assert running.accepts_connections()
    assert running.process.poll() is None


def test_a_hanging_generation_leaves_the_rest_alive(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="hang-at-generate", model=False)
    with pytest.raises(requests.ReadTimeout):
        running.post("/sdapi/v1/txt2img", SMALL, timeout=0.5)
    assert running.get("/internal/ping").json() == {}
    wait_for(lambda: running.get("/sdapi/v1/progress").json()["state"]["job"] == "scripts_txt2img", "the job")


@pytest.mark.parametrize("how", ["black", "noise"])
def test_pictures_are_spoilt_as_asked(checkout: Checkout, how: str) -> None:
    picture = _picture(checkout.start("--api", misbehave=f"picture={how},wrong-size"))
    assert picture.size == (56, 56)
    colours = len(picture.convert("RGB").getcolors(picture.width * picture.height))
    assert colours == 1 if how != "noise" else colours > 3000
    if how == "black":
        assert picture.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(("how", "colour"), [("flat", (70, 130, 180)), ("nan-grey", (127, 127, 127))])
def test_pictures_without_anything_on_them(how: str, colour: tuple[int, int, int]) -> None:
    spoilt = spoil(Image.effect_noise((16, 8), 90).convert("RGB"), how, wrong_size=False)
    assert spoilt.getcolors() == [(128, colour)]


def test_nondeterministic_pictures_differ(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="nondeterministic")
    assert _picture(running).tobytes() != _picture(running).tobytes()


def test_generations_answer_the_asked_status_and_nothing_else_does(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="errors=503", model=False)
    assert running.post("/sdapi/v1/txt2img", SMALL).status_code == 503
    assert running.get("/sdapi/v1/options").status_code == 200


def test_out_of_memory_is_in_the_log_and_in_the_answer(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="oom", model=False)
    answer = running.post("/sdapi/v1/txt2img", SMALL)
    assert (answer.status_code, answer.json()["error"]) == (500, "OutOfMemoryError")
    assert answer.json()["errors"].startswith("CUDA out of memory. Tried to allocate ")
    assert "OutOfMemoryError: CUDA out of memory. Tried to allocate " in running.log


def test_without_a_gpu_it_dies_or_fails_each_generation(checkout: Checkout) -> None:
    dead = checkout.start("--api", misbehave="no-gpu", until=None)
    assert dead.wait_until_ended() == 1
    assert "RuntimeError: Torch is not able to use GPU; add --skip-torch-cuda-test" in dead.log
    running = checkout.start("--api", "--skip-torch-cuda-test", misbehave="no-gpu", model=False)
    answer = running.post("/sdapi/v1/txt2img", SMALL)
    assert answer.status_code == 500
    assert answer.json()["errors"].startswith("Found no NVIDIA driver on your system.")
    on_cpu = checkout.start("--api", "--skip-torch-cuda-test", "--use-cpu", "all", misbehave="no-gpu")
    assert _picture(on_cpu).size == (64, 64)


def test_memory_grows(checkout: Checkout) -> None:
    running = checkout.start(misbehave="grow=100MB/s", model=False)
    process = psutil.Process(running.process.pid)
    before = process.memory_info().rss
    wait_for(lambda: process.memory_info().rss > before + 50_000_000, "50 MB more")


def test_the_log_is_flooded(checkout: Checkout) -> None:
    running = checkout.start(misbehave="flood=5MB", model=False)
    wait_for(lambda: running.log_file.stat().st_size > 5_000_000, "5 MB of log")


def test_each_picture_takes_its_time(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="seconds-per-picture=0.6")
    start = time.monotonic()
    _picture(running)
    assert time.monotonic() - start >= 0.6


def test_signals_are_ignored(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="ignore-term", model=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        running.process.send_signal(number)
    assert running.get("/internal/ping").json() == {}
    assert running.process.poll() is None


def test_a_grandchild_outlives_it_in_a_session_of_its_own(checkout: Checkout) -> None:
    running = checkout.start(misbehave="grandchild", model=False)
    (grandchild,) = psutil.Process(running.process.pid).children()
    try:
        assert os.getsid(grandchild.pid) == grandchild.pid
        os.killpg(running.process.pid, signal.SIGKILL)
        running.wait_until_ended()
        assert grandchild.is_running()
        assert grandchild.status() != psutil.STATUS_ZOMBIE
    finally:
        grandchild.kill()


def test_it_is_silent_until_it_is_ready(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="silent", until=READY)
    assert running.log.startswith(READY)


def test_it_is_never_ready(checkout: Checkout) -> None:
    running = checkout.start("--api", misbehave="never-ready", until="Launching Web UI")
    process = psutil.Process(running.process.pid)
    wait_for(lambda: process.status() == psutil.STATUS_SLEEPING and process.num_threads() == 1, "its sleep")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", running.port)) != 0
    assert running.log.endswith("\n")
    assert "Loading weights" not in running.log
