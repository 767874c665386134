"""Health and smoke at the address of a Mini WebUI that fails as real ones fail: each way has its own verdict."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdlauncher.mini import lay_out
from sdlauncher.verify.health import check_health
from sdlauncher.verify.smoke import SmokeRequest, run_smoke
from sdlauncher.verify.target import find_target
from tests.conftest import free_port

ASKED = SmokeRequest(width=64, height=64, steps=4, seconds=20)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    lay_out(folder, python=Path(sys.executable))
    return folder


@contextlib.contextmanager
def running(checkout: Path, log: Path, misbehaviour: str, *flags: str) -> Iterator[str]:
    """Run it outside any supervision, wait for its log to say that the start is over, and yield its address."""
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "launch.py", "--port", str(port), *flags],
            cwd=checkout, env={**os.environ, "MINI_WEBUI_MISBEHAVE": misbehaviour}, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while b"Startup time:" not in log.read_bytes():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@pytest.mark.parametrize(
    ("misbehaviour", "seconds", "verdict"),
    [
        ("", 20, "ok"),
        ("picture=black", 20, "SDL-SMOKE-BLACK"),
        ("picture=flat", 20, "SDL-SMOKE-FLAT"),
        ("picture=noise", 20, "SDL-SMOKE-NOISE"),
        ("picture=nan-grey", 20, "SDL-SMOKE-GREY"),
        ("wrong-size", 20, "SDL-SMOKE-SIZE"),
        ("nondeterministic", 20, "SDL-SMOKE-REPEAT"),
        ("oom", 20, "SDL-SMOKE-OUT-OF-MEMORY"),
        ("errors=503", 20, "SDL-SMOKE-FAILED"),
        ("hang-at-generate", 1, "SDL-SMOKE-TIMEOUT"),
        ("crash-at=generate", 20, "SDL-HTTP-CLOSED"),
    ],
)
def test_each_way_to_fail_at_a_picture_has_its_verdict(
    checkout: Path, tmp_path: Path, misbehaviour: str, seconds: float, verdict: str
) -> None:
    with running(checkout, tmp_path / "log", misbehaviour, "--api") as url:
        asked = SmokeRequest(width=64, height=64, steps=4, seconds=seconds)
        assert run_smoke(find_target(url=url), asked, tmp_path / "x.png").verdict == verdict


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        (("--api",), "healthy"),
        ((), "SDL-API-OFF"),
        (("--api", "--api-auth", "u:p"), "SDL-AUTH-MISSING"),
        (("--api", "--nowebui"), "healthy"),
        (("--api", "--models-dir", "nowhere", "--no-download-sd-model"), "SDL-MODEL-NONE"),
    ],
)
def test_docs_answer_in_every_case_and_prove_nothing(
    checkout: Path, tmp_path: Path, flags: tuple[str, ...], verdict: str
) -> None:
    with running(checkout, tmp_path / "log", "", *flags) as url:
        found = check_health(find_target(url=url), wait=1 if verdict != "healthy" else 20)
        assert found.verdict == verdict
        assert {layer.name: layer.ok for layer in found.layers}["docs"] is True


def test_a_server_that_accepts_and_never_answers_is_not_alive(checkout: Path, tmp_path: Path) -> None:
    with running(checkout, tmp_path / "log", "hang-after=0.1", "--api") as url:
        deadline = time.monotonic() + 30
        while (found := check_health(find_target(url=url), patience=1)).failing is None or (
            found.failing.name != "liveness"
        ):
            assert time.monotonic() < deadline, found.verdict
        assert found.verdict == "SDL-HTTP-TIMEOUT"


def test_a_gpu_build_without_a_gpu_is_explained_by_the_picture_that_failed(checkout: Path, tmp_path: Path) -> None:
    with running(checkout, tmp_path / "log", "no-gpu", "--api", "--skip-torch-cuda-test") as url:
        assert run_smoke(find_target(url=url), ASKED, tmp_path / "x.png").verdict == "SDL-SMOKE-NO-GPU"


def test_a_webui_whose_output_nobody_reads_any_more_is_told_by_its_bare_500(checkout: Path, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-u", "launch.py", "--api", "--port", str(port)],
        cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        seen: set[bytes] = set()
        while len(seen) < 2:
            line = process.stdout.readline()
            assert line, "it ended"
            seen |= {mark for mark in (b"Startup time:", b"Model loaded in") if mark in line}
        process.stdout.close()
        assert run_smoke(find_target(url=f"127.0.0.1:{port}"), ASKED, tmp_path / "x.png").verdict == (
            "SDL-SMOKE-OUTPUT-GONE"
        )
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
