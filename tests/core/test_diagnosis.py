"""What logs mean: every signature by its sample, every recorded log, and causes before their echoes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdlauncher.catalog.signatures import load_signatures
from sdlauncher.core import toml
from sdlauncher.core.diagnosis import Finding, LogReader, classify, first_decisive

SIGNATURES = load_signatures()
SAMPLES = {
    name: table["sample"]
    for name, table in toml.loads(
        (Path(__file__).parents[2] / "sdlauncher/catalog/signatures.toml").read_text(encoding="utf-8")
    ).items()
}
LOGS = Path(__file__).parents[1] / "data" / "logs"
OOM = "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB"
BEGIN = "Launching Web UI with arguments: --api"
STARTED = "Startup time: 17.2s (import torch: 8.4s)."
LOADED = "Model loaded in 2.4s (create model: 0.9s)."
CORRUPT = "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"
CLIP = "  ModuleNotFoundError: No module named 'pkg_resources'"


def ids(*lines: str) -> list[str]:
    return [it.id for it in explain(*lines)]


def explain(*lines: str) -> tuple[Finding, ...]:
    return classify(lines, SIGNATURES)


def severities(*lines: str) -> dict[str, str]:
    return {it.id: it.severity for it in explain(*lines)}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_sample_is_explained_by_its_own_signature(name: str) -> None:
    found = explain("nothing of interest", SAMPLES[name], "nor here")
    assert [it.id for it in found] == [name]
    assert found[0].line == 2 and found[0].text == SAMPLES[name].strip()
    for language in ("en", "zh"):
        assert found[0].cause(language)
        assert bool(found[0].remedy(language)) == (found[0].signature.stage != "ready")


@pytest.mark.parametrize(
    ("log", "cause", "line"),
    [
        ("badflag", "unrecognized", 83),
        ("busy_port_given", "port_busy", 22),
        ("corrupt_st", "safetensors_header", 19),
        ("cudatest_sh", "torch_no_gpu", 33),
        ("launch_first", "starlette_mw", 38),
        ("nomodel", "no_checkpoints", 23),
        ("py3.12.1", "pip_step_failed", 31),
        ("vanilla_second_launch", "clone_failed", 57),
        ("webui_sh_root", "root", 8),
    ],
)
def test_recorded_failures_are_explained_by_their_first_real_error(log: str, cause: str, line: int) -> None:
    found = read(LOGS / f"{log}.log")
    assert (found[0].id, found[0].line) == (cause, line)
    assert first_decisive(found) == found[0]


@pytest.mark.parametrize(
    "log", ["apiauth", "launch_skip_1", "nowebui_1", "restart_sh", "stop_py_gen", "webuish_1", "ckpt_missing"]
)
def test_recorded_good_runs_have_no_error_although_they_talk_of_missing_drivers(log: str) -> None:
    found = read(LOGS / f"{log}.log")
    assert first_decisive(found) is None
    assert {it.id for it in found if it.severity == "warning"} <= {"ckpt_missing"}


def read(path: Path, block: int = 1 << 20) -> tuple[Finding, ...]:
    reader = LogReader(SIGNATURES)
    data = path.read_bytes()
    for start in range(0, len(data), block):
        reader.feed(data[start : start + block])
    return reader.finish()


@pytest.mark.parametrize("block", [1, 7, 100, 4096])
def test_the_answer_does_not_depend_on_how_the_log_is_cut_into_blocks(block: int) -> None:
    for name in ("corrupt_st", "launch_first", "vanilla_second_launch"):
        path = LOGS / f"{name}.log"
        assert read(path, block) == read(path)


def test_a_reason_comes_before_the_step_that_failed_for_it() -> None:
    assert ids(BEGIN, CLIP, "RuntimeError: Couldn't install clip.") == ["clip_pkg_resources", "pip_step_failed"]
    retry = "WARNING: Retrying (Retry(total=3)) after connection broken by 'NameResolutionError("
    assert severities(retry) == {"pip_net": "warning"}
    found = explain(retry, "RuntimeError: Couldn't install torch.")
    assert [(it.id, it.severity) for it in found] == [("pip_net", "fatal"), ("pip_step_failed", "fatal")]


def test_what_the_start_overcame_was_not_fatal() -> None:
    assert severities(BEGIN, CLIP)["clip_pkg_resources"] == "fatal"
    assert severities(BEGIN, CLIP, STARTED)["clip_pkg_resources"] == "warning"


def test_a_model_that_was_loaded_in_the_end_makes_the_failure_before_it_a_warning() -> None:
    assert severities(BEGIN, CORRUPT, STARTED)["safetensors_header"] == "error"
    assert severities(BEGIN, CORRUPT, STARTED, LOADED)["safetensors_header"] == "warning"
    assert severities(BEGIN, STARTED, LOADED, CORRUPT)["safetensors_header"] == "error"
    assert severities(BEGIN, STARTED, CORRUPT, LOADED)["safetensors_header"] == "warning"
    assert severities(BEGIN, STARTED, CORRUPT, LOADED, CORRUPT)["safetensors_header"] == "error"


def test_marks_are_seen_behind_a_line_without_an_end() -> None:
    half = "Calculating sha256 for /models/a.safetensors: "
    assert severities(BEGIN, CLIP, half + STARTED)["clip_pkg_resources"] == "warning"


def test_the_last_run_is_told_before_earlier_ones() -> None:
    filler = ["."] * 80
    found = explain(BEGIN, STARTED, OOM, *filler, BEGIN, CORRUPT)
    assert [(it.id, it.is_last_run) for it in found if it.severity == "error"] == [
        ("safetensors_header", True),
        ("oom", False),
    ]
    killed = 'webui.sh: line 304: 15199 Killed                  "${python_cmd}" -u "${LAUNCH_SCRIPT}" "$@"'
    ended = explain(BEGIN, STARTED, killed, *filler, BEGIN, CORRUPT)
    assert [(it.id, it.severity) for it in ended[:2]] == [("safetensors_header", "error"), ("oom_killer", "fatal")]
    healthy = explain(BEGIN, STARTED, OOM, *filler, BEGIN, STARTED, LOADED)
    assert first_decisive(healthy) is None and healthy[0].id == "oom"


def test_an_installation_in_between_makes_no_second_run() -> None:
    begins = ("Launching launch.py...", "Python 3.10.13 (main, May 9 2026)", BEGIN)
    pip = ["Collecting x"] * 200
    found = explain(begins[0], begins[1], CLIP, *pip, begins[2], OOM)
    assert {it.id: it.is_last_run for it in found} == {"oom": True, "clip_pkg_resources": True}
    twice = explain(*begins, OOM, *begins, CORRUPT)
    assert {it.id: it.is_last_run for it in twice} == {"safetensors_header": True, "oom": False}


def test_a_benign_line_is_not_the_fault_it_looks_like() -> None:
    benign = "Warning: caught exception 'Found no NVIDIA driver on your system.', memory monitor disabled"
    assert ids(BEGIN, benign, STARTED) == ["startup_time"]
    assert "no_driver" in ids(BEGIN, benign, STARTED, "RuntimeError: Found no NVIDIA driver on your system.")


def test_a_model_that_reforge_loaded_in_the_end_overcame_what_went_before() -> None:
    loaded = "Model random.safetensors [6de291cce1] loaded in 24.5s (memory cleanup: 1.8s)."
    assert severities(BEGIN, STARTED, CORRUPT, loaded)["safetensors_header"] == "warning"


def test_sdnext_marks_its_runs_and_its_model_in_words_of_its_own() -> None:
    begin = "23:08:21-835258 INFO     Starting SD.Next"
    started = "23:09:57-297891 INFO     Startup time: total=136.41 libraries=36.11"
    offline = "23:14:19-605854 ERROR    Load: LocalEntryNotFoundError"
    loaded = (
        "23:15:55-819168 INFO     Load model: family=sd time={'total': 18.95} native=512 memory={'gpu': {'total': 0, "
        "'error': 'Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU'}}"
    )
    assert severities(begin, started, offline)["hf_max_retries"] == "error"
    assert severities(begin, started, offline, loaded) == {"hf_max_retries": "warning"}
    assert "no_checkpoints" in ids(begin, "23:09:57-284302 ERROR    No models found", started)
    fresh = '23:09:52-709295 DEBUG    Read failed: file="ui-config.json" [Errno 2] No such file or directory'
    assert "config_unread" not in ids(begin, fresh, started)
    twice = explain(begin, offline, *["."] * 80, begin, started)
    assert [(it.id, it.is_last_run) for it in twice if it.id == "hf_max_retries"] == [("hf_max_retries", False)]


def test_source_lines_of_a_traceback_are_not_the_error() -> None:
    found = explain('    raise RuntimeError("Cannot add middleware after an application has started")')
    assert found == ()
    source = """    assert length > 2, f"{filename} is not a safetensors file\""""
    frame = '  File "/opt/webui/modules/sd_models.py", line 292, in read_metadata'
    assert ids(frame, source) == []
    assert ids(frame, "    x()", "AssertionError: /m/bad.safetensors is not a safetensors file") == [
        "safetensors_header"
    ]


def test_an_error_that_nothing_explains_is_shown_without_a_claim() -> None:
    found = explain(BEGIN, "Traceback (most recent call last):", '  File "x.py", line 1', "KeyError: 'model'", STARTED)
    assert (found[0].id, found[0].text, found[0].line) == ("unknown_error", "KeyError: 'model'", 4)
    assert ids(BEGIN, "Traceback (most recent call last):", '  File "x.py"', OOM)[0] == "oom"


def test_digits_do_not_hide_a_line_that_looks_like_a_harmless_one() -> None:
    assert ids("OSError: [Errno 13] Permission denied", "OSError: [Errno 28] No space left") == ["no_space"]


def test_colours_time_stamps_and_carriage_returns_do_not_hide_a_line() -> None:
    assert ids("\x1b[1m\x1b[31mERROR: This script must not be launched as root, aborting...\x1b[0m") == ["root"]
    assert ids("2026-11-22T10:00:00.123Z Killed") == ["oom_killer"]
    reader = LogReader(SIGNATURES)
    reader.feed(b"one\n 10%|#| 1/10\r 20%|##| 2/10\r" + OOM.encode() + b"\nlast\n")
    assert [(it.id, it.line) for it in reader.finish()] == [("oom", 2)]


def test_a_line_without_an_end_is_read_in_bounded_memory() -> None:
    reader = LogReader(SIGNATURES)
    for _ in range(64):
        reader.feed(b"x" * (1 << 20))
    assert len(reader._rest) <= 2 << 20
    reader.feed(b"\n" + OOM.encode())
    assert [it.id for it in reader.finish()] == ["oom"]


def test_many_restarts_are_still_told_apart() -> None:
    run = [BEGIN, *["x"] * 70, STARTED, OOM]
    found = explain(*(run * 400), BEGIN, *["x"] * 70, CORRUPT)
    assert found[0].id == "safetensors_header" and found[0].is_last_run
    assert [it.is_last_run for it in found if it.id == "oom"] == [False]
    failing = [BEGIN, *["x"] * 70, "Traceback (most recent call last):", '  File "x.py"', OOM]
    assert "unknown_error" not in ids(*(failing * 400), BEGIN, STARTED)


def test_the_numbers_of_lines_hold_over_many_blocks() -> None:
    reader = LogReader(SIGNATURES)
    for number in range(200_000):
        reader.feed(b"step %d of many\n" % number)
    reader.feed(OOM.encode() + b"\n")
    assert reader.finish()[0].line == 200_001
