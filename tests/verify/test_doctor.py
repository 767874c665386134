"""Doctor: each fault put in on purpose is found with its remedy, and what is safe is mended."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdlauncher.core.hardware import Driver, Gpu, GpuProcess, Hardware, Host
from sdlauncher.core.settings import Settings
from sdlauncher.core.verdict import Level
from sdlauncher.machine.paths import InstancePaths
from sdlauncher.verify import doctor
from sdlauncher.verify.doctor import examine
from sdlauncher.verify.examine_environment import check_environment
from sdlauncher.verify.examine_machine import check_gpu
from sdlauncher.verify.finding import Patient, finding
from tests.conftest import Cli, Ran, free_port

GIB = 1 << 30
Examine = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that is laid out like a checkout of AUTOMATIC1111, under git, with a readable model."""
    folder = tmp_path / "webui"
    (folder / "models" / "Stable-diffusion").mkdir(parents=True)
    (folder / "webui.sh").write_text("#!/bin/bash\n")
    (folder / "launch.py").write_text("print()\n")
    (folder / "webui-user.sh").write_text("#!/bin/bash\n")
    git(folder, "init", "-q")
    git(folder, "add", "webui.sh", "launch.py", "webui-user.sh")
    git(folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    header = json.dumps({"model.diffusion_model.x": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    model(folder, "good.safetensors", struct.pack("<Q", len(header)) + header + b"\0" * 4)
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, timeout=30)


def model(folder: Path, name: str, data: bytes) -> None:
    (folder / "models" / "Stable-diffusion" / name).write_bytes(data)


@pytest.fixture
def look(cli: Cli, checkout: Path) -> Examine:
    """Run doctor on the checkout and return its findings by code; its port is one that nobody has."""
    config = cli.home / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text(f"port = {free_port()}\n")

    def run(*words: object, env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
        ran = cli("doctor", "--webui", "a1111", "--dir", checkout, "--json", *words, env=env)
        assert "SDL-DOCTOR-BROKEN" not in ran.out, ran.out
        return {one["code"]: one for one in ran.data["findings"]}

    return run


def test_a_sound_checkout_has_no_error_but_lacks_its_environment(look: Examine) -> None:
    found = look()
    assert {code for code, one in found.items() if one["level"] == "error"} == set()
    assert {"SDL-DOCTOR-CHECKOUT", "SDL-DOCTOR-MODELS", "SDL-DOCTOR-VENV-NONE", "SDL-DOCTOR-LOCAL"} <= set(found)


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html>Sign in</html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        b"",
        b"\x19\xda'{\x1a\xff\xa6\x92\x05\xff",
        struct.pack("<Q", 40) + b'{"x":{"dtype":"F16","shape":[9],"data_of',
    ],
)
def test_a_model_that_is_none_is_named(look: Examine, checkout: Path, data: bytes) -> None:
    model(checkout, "bad.safetensors", data)
    bad = look()["SDL-DOCTOR-MODEL-BAD"]
    assert bad["level"] == "error" and "bad.safetensors" in bad["detail"] and bad["hint"]


def test_a_half_clone_is_found_and_deleted_on_demand(look: Examine, checkout: Path) -> None:
    half = checkout / "repositories" / "stable-diffusion-stability-ai"
    half.mkdir(parents=True)
    git(half, "init", "-q")
    whole = checkout / "repositories" / "k-diffusion"
    whole.mkdir()
    (whole / "file.py").write_text("")
    assert look()["SDL-DOCTOR-HALF-CLONE"]["fixable"]
    assert half.exists(), "nothing is done without --fix"
    assert "SDL-DOCTOR-HALF-CLONE" not in look("--fix")
    assert not half.exists() and whole.exists()


def test_a_configuration_that_drifted_is_written_on_demand(look: Examine, checkout: Path) -> None:
    assert "SDL-DOCTOR-DRIFT" in look()
    assert "SDL-DOCTOR-CONFIGURED" in look("--fix")
    assert "--api" in (checkout / "webui-user.sh").read_text()


def test_a_password_in_the_script_local_changes_and_proxies_are_seen(look: Examine, checkout: Path) -> None:
    (checkout / "webui-user.sh").write_text('#!/bin/bash\nexport COMMANDLINE_ARGS="--api-auth u:p"\n')
    (checkout / "launch.py").write_text("print(1)\n")
    found = look(env={"https_proxy": "http://proxy:3128", "no_proxy": "", "NO_PROXY": ""})
    assert found["SDL-DOCTOR-SECRET"]["level"] == "error"
    detail = found["SDL-DOCTOR-CHANGED"]["detail"]
    assert "launch.py" in detail
    assert "webui-user.sh" not in detail, "the user's own file, which configuring changes"
    assert found["SDL-DOCTOR-PROXY-LOOPBACK"]["level"] == "warning"
    (checkout / "webui-user.sh").write_text("# --api-auth u:p\n")
    found = look(env={"https_proxy": "http://proxy:3128", "no_proxy": "localhost,127.0.0.1"})
    assert "SDL-DOCTOR-SECRET" not in found and found["SDL-DOCTOR-PROXY"]["level"] == "ok"


def test_a_password_that_our_block_reads_from_its_file_is_none_in_the_script(
    look: Examine, cli: Cli, checkout: Path
) -> None:
    assert cli("configure", "--webui", "a1111", "--dir", checkout, "--listen").code == 0
    assert "--api-auth" in (checkout / "webui-user.sh").read_text()
    assert "SDL-DOCTOR-SECRET" not in look()
    with (checkout / "webui-user.sh").open("a") as script:
        script.write('export COMMANDLINE_ARGS="$COMMANDLINE_ARGS --api-auth u:p"\n')
    assert "SDL-DOCTOR-SECRET" in look()


def test_extensions_that_changed_since_last_time_are_named(look: Examine, checkout: Path, cli: Cli) -> None:
    (cli.home / "state" / "default").mkdir(parents=True)
    (checkout / "extensions" / "old").mkdir(parents=True)
    assert "SDL-DOCTOR-EXTENSIONS-CHANGED" not in look()
    (checkout / "extensions" / "old").rmdir()
    (checkout / "extensions" / "new").mkdir()
    changed = look()["SDL-DOCTOR-EXTENSIONS-CHANGED"]["detail"]
    assert "+new" in changed and "-old" in changed
    assert "SDL-DOCTOR-EXTENSIONS-CHANGED" not in look()


def test_no_checkout_and_errors_end_with_one(cli: Cli, tmp_path: Path) -> None:
    ran: Ran = cli("doctor", "--webui", "a1111", "--dir", tmp_path / "nothing", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-DOCTOR-FAILED")
    assert "SDL-DOCTOR-CHECKOUT-NONE" in {one["code"] for one in ran.data["findings"]}


def patient(tmp_path: Path, *gpus: Gpu, driver: str = "550.54.14", cuda: tuple[int, int] = (12, 4)) -> Patient:
    hardware = Hardware(Host("linux"), Driver(driver, cuda) if gpus else None, gpus)
    files = InstancePaths("default", tmp_path / "state")
    return Patient(files, Settings(webui="a1111"), tmp_path / "webui", "a1111", hardware)


GPU = Gpu(0, "GPU-1", "NVIDIA GeForce RTX 4090", (8, 9), 24 * GIB, 20 * GIB)
BLACKWELL = Gpu(0, "GPU-2", "NVIDIA GeForce RTX 5090", (12, 0), 32 * GIB, 32 * GIB)
ARCHS = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]


def test_a_gpu_in_trouble_is_told_from_a_good_one(tmp_path: Path) -> None:
    processes = (GpuProcess(1, "game", 4 * GIB), GpuProcess(2, "desktop", GIB // 8))
    bad = replace(GPU, throttled=("heat",), temperature_celsius=94, ecc_errors=2, processes=processes)
    assert {one.verdict.code for one in check_gpu(patient(tmp_path, GPU))} == {"SDL-DOCTOR-GPU"}
    found = {one.verdict.code: one for one in check_gpu(patient(tmp_path, bad))}
    assert set(found) == {"SDL-DOCTOR-GPU", "SDL-DOCTOR-THROTTLED", "SDL-DOCTOR-ECC", "SDL-DOCTOR-GPU-SHARED"}
    assert found["SDL-DOCTOR-ECC"].level is Level.ERROR
    assert "game (pid 1)" in found["SDL-DOCTOR-GPU-SHARED"].describe()[0]
    assert [one.level for one in check_gpu(patient(tmp_path))] == [Level.INFO]


# What doctor needs of torch, for a machine that has neither GPU nor 5 GB to install the real one.
TORCH = """
import types
__version__ = {version!r}
version = types.SimpleNamespace(cuda={cuda!r}, hip={hip!r})
cuda = types.SimpleNamespace(is_available=lambda: {available}, get_arch_list=lambda: {archs!r})
class Tensor:
    def __matmul__(self, other):
        if {fault!r}:
            raise RuntimeError({fault!r})
        return self
    def sum(self):
        return 64.0 ** 3
def ones(*shape, device):
    return Tensor()
"""


def make_environment(checkout: Path, *, setuptools: str = "69.5.1", **torch: object) -> None:
    checkout.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / "venv"], check=True, timeout=60)
    (site,) = (checkout / "venv").glob("lib/python3*/site-packages")
    facts = {"version": "2.1.2+cu121", "cuda": "12.1", "hip": None, "available": True, "archs": ARCHS, "fault": ""}
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(TORCH.format(**{**facts, **torch}))
    for name in ("torch-2.1.2", f"setuptools-{setuptools}"):
        (site / f"{name}.dist-info").mkdir()
    (checkout / "requirements_versions.txt").write_text("setuptools==69.5.1  # temp fix\nnumpy==1.26.2\n")


@pytest.mark.parametrize(
    ("gpu", "torch", "code"),
    [
        (GPU, {}, "SDL-DOCTOR-TORCH"),
        (None, {"available": False}, "SDL-DOCTOR-TORCH"),
        (BLACKWELL, {}, "SDL-DOCTOR-TORCH-ARCH"),
        (GPU, {"cuda": None, "version": "2.1.2+cpu", "available": False}, "SDL-DOCTOR-TORCH-CPU"),
        (GPU, {"cuda": None, "hip": "5.7", "available": False}, "SDL-DOCTOR-TORCH-CPU"),
        (GPU, {"available": False}, "SDL-DOCTOR-TORCH-BLIND"),
        (GPU, {"cuda": "13.0"}, "SDL-DOCTOR-DRIVER-OLD"),
        (GPU, {"fault": "CUDA error: no kernel image is available"}, "SDL-DOCTOR-KERNEL"),
        (GPU, {"archs": ["sm_80"]}, "SDL-DOCTOR-TORCH"),  # 8.0 code runs on 8.9
        (BLACKWELL, {"archs": ["compute_90"]}, "SDL-DOCTOR-TORCH"),  # PTX is compiled for what is newer
    ],
)
def test_torch_is_asked_in_its_own_environment(
    tmp_path: Path, gpu: Gpu | None, torch: dict[str, object], code: str
) -> None:
    make_environment(tmp_path / "webui", **torch)
    found = [one.verdict.code for one in check_environment(patient(tmp_path, *([gpu] if gpu else [])))]
    assert code in found


def test_a_replaced_package_a_broken_torch_and_a_lost_python_are_told(tmp_path: Path) -> None:
    make_environment(tmp_path / "webui", setuptools="82.0.0")
    found = {one.verdict.code: one for one in check_environment(patient(tmp_path, GPU))}
    assert "69.5.1" in found["SDL-DOCTOR-PIN"].describe()[0]
    (torch,) = (tmp_path / "webui" / "venv").glob("lib/python3*/site-packages/torch/__init__.py")
    torch.write_text("import does_not_exist")
    assert "SDL-DOCTOR-TORCH-BROKEN" in {one.verdict.code for one in check_environment(patient(tmp_path, GPU))}
    torch.write_text("import os; os.abort()  # of another length: what was compiled within the same second would do")
    assert "SDL-DOCTOR-TORCH-CRASHED" in {one.verdict.code for one in check_environment(patient(tmp_path, GPU))}
    (tmp_path / "webui" / "venv" / "bin" / "python").unlink()
    assert [one.verdict.code for one in check_environment(patient(tmp_path, GPU))] == ["SDL-DOCTOR-VENV-BROKEN"]


def test_a_check_that_breaks_stops_no_other(tmp_path: Path) -> None:
    def broken(_: Patient) -> list[doctor.Finding]:
        raise ZeroDivisionError("on purpose")

    def fine(_: Patient) -> list[doctor.Finding]:
        return [finding("git", "SDL-DOCTOR-GIT-NONE", Level.WARNING)]

    found = examine(patient(tmp_path), [("gpu", broken), ("git", fine)])
    assert [one.verdict.code for one in found] == ["SDL-DOCTOR-BROKEN", "SDL-DOCTOR-GIT-NONE"]
    assert "on purpose" in found[0].describe()[0]
    assert doctor.worst(found) is Level.WARNING
