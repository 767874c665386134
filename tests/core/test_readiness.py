"""How far a WebUI is, from the lines that real ones wrote."""

from __future__ import annotations

import pytest

from sdlauncher.catalog import load_webui
from sdlauncher.core.readiness import Patterns, Watcher, is_speech

START = """\
################################################################
Launching launch.py...
################################################################
Installing torch and torchvision
Launching Web UI with arguments: --api --port 7860
Loading weights [1fa93832b5] from /models/tiny-a.safetensors
Running on local URL:  http://127.0.0.1:7860

To create a public link, set `share=True` in `launch()`.
Startup time: 15.5s (prepare environment: 0.1s, import torch: 8.5s)
Applying attention optimization: InvokeAI... done.
Model loaded in 1.5s (load weights from disk: 0.2s, create model: 1.1s).
"""


def _watcher(webui: str = "a1111") -> Watcher:
    log = load_webui(webui).log
    return Watcher(Patterns(*(getattr(log, name) for name in Patterns._fields)))


def _stages(text: str, webui: str = "a1111") -> list[tuple[str, str]]:
    watcher, seen = _watcher(webui), []
    for line in text.splitlines(keepends=True):
        watcher.feed(line)
        now = (watcher.progress.stage, watcher.progress.model)
        if not seen or seen[-1] != now:
            seen.append(now)
    return seen


def test_a_start_with_a_ui() -> None:
    assert _stages(START) == [
        ("preparing", "unknown"),
        ("launching", "unknown"),
        ("launching", "loading"),
        ("listening", "loading"),
        ("started", "loading"),
        ("started", "loaded"),
    ]


def test_another_checkpoint_in_the_same_model_is_loaded_too() -> None:
    text = START + "Reusing loaded model tiny-a.safetensors to load tiny-b.safetensors\n"
    text += "Loading weights [9be1] from /models/tiny-b.safetensors\n"
    text += "Applying attention optimization: InvokeAI... done.\n"
    assert _stages(text)[-1] == ("started", "loading")
    assert _stages(text + "Weights loaded in 0.4s (apply weights to model: 0.3s).\n")[-1] == ("started", "loaded")


def test_without_a_ui_the_port_opens_after_the_start() -> None:
    text = "Launching API server with arguments: --nowebui\nStartup time: 15.3s (a: 1s).\n"
    text += "INFO:     Uvicorn running on http://0.0.0.0:7861 (Press CTRL+C to quit)\n"
    assert _stages(text)[-1] == ("started", "unknown")
    watcher = _watcher()
    watcher.feed(text)
    assert watcher.progress.url == "http://0.0.0.0:7861"


def test_a_ui_that_restarts_is_not_ready_any_more() -> None:
    watcher = _watcher()
    watcher.feed(START)
    assert watcher.progress.stage == "started"
    assert "launching" in watcher.feed("Launching Web UI with arguments: --api\n")
    assert watcher.progress == watcher.progress._replace(stage="launching", model="unknown")


def test_a_model_that_forge_does_not_know_has_failed() -> None:
    watcher = Watcher(Patterns(*(getattr(load_webui("forge").log, name) for name in Patterns._fields)))
    watcher.feed(
        START + "    raise ValueError('Failed to recognize model type!')\nValueError: Failed to recognize model type!\n"
    )
    assert watcher.progress.model == "failed"


def test_what_is_done_is_told_while_one_waits_and_not_later() -> None:
    watcher = _watcher()
    watcher.feed("\x1b[32mInstalling torch and torchvision\x1b[0m\n")
    assert watcher.progress.doing == "Installing torch and torchvision"
    watcher.feed(START)
    before = watcher.progress.doing
    watcher.feed("Downloading: something\n")
    assert watcher.progress.doing == before


def test_a_line_behind_a_progress_bar_is_seen() -> None:
    watcher = _watcher()
    watcher.feed("100%|####| 1/1\rStartup time: 1.0s (x)\n")
    assert watcher.progress.stage == "started"


def test_a_failed_model_is_not_a_loaded_one() -> None:
    watcher = _watcher()
    watcher.feed(START.replace("Model loaded in 1.5s", "Stable diffusion model failed to load\nfoo"))
    assert watcher.progress.model == "failed"


SDNEXT = """\
Launch: venv/bin/python3
23:08:21-835258 INFO     Starting SD.Next
23:08:27-298089 INFO     Command line args: ['-f', '--api', '--port', '7971']
23:09:56-549702 INFO     Local URL: http://127.0.0.1:7971/
23:09:56-551944 INFO     API docs: http://127.0.0.1:7971/docs
23:09:57-276267 INFO     Model: autoload=True selected="random"
"""
SDNEXT_LOADING = "23:15:35-090950 INFO     Load model: select='random'\n"
SDNEXT_LOADED = (
    "23:15:55-819168 INFO     Load model: family=sd time={'total': 18.95, 'load': 18.91} native=512 memory={}\n"
)
SDNEXT_STARTED = "23:09:57-297891 INFO     Startup time: total=136.41 libraries=36.11 installer=35.03\n"


def test_sdnext_loads_its_model_before_it_has_started() -> None:
    assert _stages(SDNEXT + SDNEXT_LOADING + SDNEXT_LOADED + SDNEXT_STARTED, "sdnext") == [
        ("preparing", "unknown"),
        ("launching", "unknown"),
        ("listening", "unknown"),
        ("listening", "loading"),
        ("listening", "loaded"),
        ("started", "loaded"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        "23:09:57-284302 ERROR    No models found",
        "23:14:23-871338 ERROR    Load model: name='random-sd15' not loaded",
        # As it is broken at 80 columns, where somebody else started it.
        "23:14:19-602396 ERROR    Load model:                                            ",
        "23:14:24-000001 INFO     Load model: family=none time={'total': 0.2} native=0 memory={}",
    ],
)
def test_sdnext_says_in_many_words_that_its_model_failed(failure: str) -> None:
    assert _stages(f"{SDNEXT}{SDNEXT_LOADING}{failure}\n{SDNEXT_STARTED}", "sdnext")[-1] == ("started", "failed")


def test_sdnext_replaces_its_own_process_when_it_restarts() -> None:
    watcher = _watcher("sdnext")
    watcher.feed(SDNEXT + SDNEXT_STARTED)
    assert watcher.progress.url == "http://127.0.0.1:7971", "paths are put behind it"
    again = watcher.feed("23:10:43-017743 CRITICAL Restarting process...\n23:10:43-756490 INFO     Starting SD.Next\n")
    assert (again, watcher.progress.stage) == (["launching"], "launching")


def test_reforge_names_the_model_that_it_loaded() -> None:
    loading = "Loading weights [6de291cce1] from /models/random.safetensors\n"
    for title in ("random.safetensors [6de291cce1]", "random.safetensors"):
        loaded = f"Model {title} loaded in 24.5s (memory cleanup: 1.8s, calculate hash: 7.0s).\n"
        assert _stages(START + loading + loaded, "reforge")[-1] == ("started", "loaded")
    assert _stages(START + loading + "Error: Model failed to load\n", "reforge")[-1] == ("started", "failed")


@pytest.mark.parametrize(
    ("line", "speaks"),
    [
        ("23:16:16-699202 INFO     API user=None code=404 http/1.0 GET /internal/ping 127.0.0.1 0.0009", False),
        ("23:15:46-541593 TRACE    Server: alive=True requests=35 memory=4.17/23.54 status='running'", False),
        ("23:16:07-177940 INFO     Processing modifiers: apply", True),
    ],
)
def test_who_only_looks_or_only_lives_says_nothing_of_a_job(line: str, speaks: bool) -> None:
    assert is_speech(line) is speaks
