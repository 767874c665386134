"""How far a WebUI is, from the lines that real ones wrote."""

from __future__ import annotations

from sdlauncher.catalog import load_webui
from sdlauncher.core.readiness import Patterns, Watcher

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


def _stages(text: str) -> list[tuple[str, str]]:
    watcher, seen = _watcher(), []
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
