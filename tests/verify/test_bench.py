"""Bench against a server whose speed is known: kept, compared, and stopped before memory runs out."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.conftest import Cli
from tests.verify.hostile import Visit, answer_json, hostile_server, pictures, webui


def _slow(asked: list[int], delay: list[float]) -> object:
    def behave(visit: Visit) -> None:
        asked.append(visit.json["width"] * visit.json["batch_size"])
        visit.server.over.wait(delay[0])
        from tests.verify.hostile import picture

        pictures(*[picture(8, 8)] * visit.json["batch_size"])(visit)

    return behave


def test_runs_are_kept_compared_and_drawn(cli: Cli, tmp_path: Path) -> None:
    asked: list[int] = []
    delay = [0.05]
    plot = tmp_path / "bench.svg"
    with hostile_server(webui(txt2img=_slow(asked, delay))) as server:  # type: ignore[arg-type]
        words = ("bench", "--url", server.url, "--size", "64", "--size", "128x64", "--batch", 1, "--batch", 2,
                 "--steps", 10, "--json")  # fmt: skip
        first = cli(*words)
        assert first.code == 0, first.err
        assert [(one["width"], one["batch_size"]) for one in first.data["cases"]] == [
            (64, 1),
            (64, 2),
            (128, 1),
            (128, 2),
        ]
        assert all(one["ratio"] is None and one["steps_per_second"] > 0 for one in first.data["cases"])
        delay[0] = 0.25
        second = cli(*words, "--plot", plot)
        assert all(one["regression"] for one in second.data["cases"])
        assert "slower than before" in cli(*words[:-1]).out
    assert len(ET.fromstring(plot.read_text())) > 4
    assert len(set(asked[:1])) == 1 and asked[0] == 64, "a warm-up comes first"


def test_an_out_of_memory_error_ends_the_run_and_keeps_what_was_measured(cli: Cli) -> None:
    def limited(visit: Visit) -> None:
        from tests.verify.hostile import picture

        if visit.json["width"] > 64:
            answer_json({"error": "OutOfMemoryError", "errors": "CUDA out of memory. Tried to allocate"}, 500)(visit)
        else:
            pictures(picture(8, 8))(visit)

    with hostile_server(webui(txt2img=limited)) as server:
        ran = cli("bench", "--url", server.url, "--size", 64, "--size", 128, "--batch", 1, "--json")
    assert ran.code == 0 and ran.data["stopped"] == "SDL-SMOKE-OUT-OF-MEMORY"
    assert [one["width"] for one in ran.data["cases"]] == [64]


def test_what_is_no_size_is_said(cli: Cli) -> None:
    for size in ("banana", "100", "0", "512x-8"):
        ran = cli("bench", "--size", size, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "SDL-BENCH-SIZE")
