"""Doctor's look into the WebUI's own environment: its Python, torch on this GPU, xformers, pins, OpenCV."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sdlauncher.catalog.recipe import load_recipe
from sdlauncher.core.verdict import Level
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.command import run
from sdlauncher.machine.python import Environment, normalise, read_environment
from sdlauncher.verify.finding import Check, Finding, Patient, finding

# Importing torch takes 2 s on a fast disk and half a minute on a cold, slow one.
_SECONDS: Final = 120
_PINNED: Final = ("setuptools", "numpy", "gradio", "fastapi", "pydantic", "pillow", "transformers", "protobuf")

# Runs inside the WebUI's environment: a real kernel is started, because torch.cuda.is_available() says yes to a GPU
# that this torch has no code for.
_PROBE: Final = r"""
import json, sys
out = {"python": sys.version.split()[0]}
def attempt(name, work):
    try:
        work()
    except BaseException as error:
        out[name] = (type(error).__name__ + ": " + str(error)).strip()[:300]
def look_at_torch():
    import torch
    out["torch"], out["cuda"], out["hip"] = torch.__version__, torch.version.cuda, getattr(torch.version, "hip", None)
    out["available"] = torch.cuda.is_available()
    out["archs"] = torch.cuda.get_arch_list() if out["available"] else []
    def kernel():
        device = "cuda" if out["available"] else "cpu"
        sum_ = float((torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)).sum())
        assert sum_ == 64.0 ** 3, sum_
        out["kernel"] = device
    attempt("kernel_error", kernel)
def look_at_xformers():
    import torch, xformers, xformers.ops
    out["xformers"] = xformers.__version__
    if out.get("available"):
        q = torch.zeros(1, 16, 1, 64, device="cuda", dtype=torch.float16)
        xformers.ops.memory_efficient_attention(q, q, q)
attempt("torch_error", look_at_torch)
if "--xformers" in sys.argv and "torch_error" not in out:
    attempt("xformers_error", look_at_xformers)
print("\n" + json.dumps(out))
"""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the probe told; `crash` is how it ended when it told nothing."""

    told: dict[str, Any]
    crash: str = ""


def check_environment(patient: Patient) -> Iterator[Finding]:
    """The venv, its torch against this GPU with a real kernel, and xformers where it is used."""
    if load_recipe(patient.webui) is None or not patient.checkout.is_dir():
        return
    environment = read_environment(patient.checkout / "venv")
    if environment is None:
        is_there = (patient.checkout / "venv").exists()
        code = "SDL-DOCTOR-VENV-BROKEN" if is_there else "SDL-DOCTOR-VENV-NONE"
        yield finding("python", code, Level.ERROR if is_there else Level.WARNING, path=patient.checkout / "venv")
        return
    yield from _check_pins(patient, environment)
    if "torch" not in environment.packages:
        yield finding("torch", "SDL-DOCTOR-TORCH-NONE", Level.ERROR, path=environment.root)
        return
    wants_xformers = patient.plan is not None and "--xformers" in patient.plan.arguments
    answer = _ask(environment, ["--xformers"] if wants_xformers else [])
    if answer.crash:
        yield finding("torch", "SDL-DOCTOR-TORCH-CRASHED", Level.ERROR, evidence=answer.crash)
        return
    told = answer.told
    yield finding("python", "SDL-DOCTOR-PYTHON", Level.OK, version=told["python"], path=environment.python)
    if "torch_error" in told:
        yield finding("torch", "SDL-DOCTOR-TORCH-BROKEN", Level.ERROR, evidence=told["torch_error"])
        return
    yield from _judge_torch(patient, told)
    if wants_xformers:
        yield from _judge_xformers(patient, told)


def _ask(environment: Environment, words: list[str]) -> _Answer:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    try:
        done = run([environment.python, "-c", _PROBE, *words], timeout=_SECONDS, env=clean)
    except SdLauncherError as error:
        return _Answer({}, str(error))
    try:
        told = json.loads(done.stdout.rstrip().rsplit("\n", 1)[-1])
    except ValueError:
        told = None
    if not isinstance(told, dict):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return _Answer({}, f"exit code {done.returncode}: {last[:200]}")
    return _Answer(told)


def _judge_torch(patient: Patient, told: dict[str, Any]) -> Iterator[Finding]:
    torch, cuda = told["torch"], told.get("cuda")
    gpus = patient.hardware.gpus
    gpu = (patient.plan.gpu if patient.plan is not None else None) or (gpus[0] if gpus else None)
    facts = {"torch": torch, "gpu": gpu.name if gpu else "-"}
    if gpu is not None and cuda is None:
        yield finding("torch", "SDL-DOCTOR-TORCH-CPU", Level.ERROR, build="ROCm" if told.get("hip") else "CPU", **facts)
        return
    driver = patient.hardware.driver
    if gpu is not None and driver is not None and driver.cuda_version is not None and cuda is not None:
        major = int(str(cuda).split(".")[0])
        if major > driver.cuda_version[0]:
            have = ".".join(map(str, driver.cuda_version))
            older = {"torch": torch, "cuda": cuda, "driver": driver.version, "have": have}
            yield finding("torch", "SDL-DOCTOR-DRIVER-OLD", Level.ERROR, **older)
    if gpu is not None and told.get("archs") and not _has_code(gpu.compute_capability, told["archs"]):
        archs = " ".join(told["archs"])
        yield finding("torch", "SDL-DOCTOR-TORCH-ARCH", Level.ERROR, sm=gpu.sm, archs=archs, **facts)
    if gpu is not None and not told.get("available"):
        yield finding("torch", "SDL-DOCTOR-TORCH-BLIND", Level.ERROR, cuda=cuda, **facts)
    if "kernel_error" in told:
        yield finding("torch", "SDL-DOCTOR-KERNEL", Level.ERROR, evidence=told["kernel_error"], **facts)
    else:
        yield finding("torch", "SDL-DOCTOR-TORCH", Level.OK, torch=torch, device=told["kernel"], cuda=cuda or "-")


def _has_code(capability: tuple[int, int], archs: list[str]) -> bool:
    """Whether a torch built for `archs` runs on a GPU: binaries of the same major up to its minor, or older PTX."""
    major, minor = capability
    for arch in archs:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch)
        if match is None:
            continue
        built = (int(match[2]), int(match[3]))
        if (match[1] == "sm" and built[0] == major and built[1] <= minor) or (
            match[1] == "compute" and built <= capability
        ):
            return True
    return False


def _judge_xformers(patient: Patient, told: dict[str, Any]) -> Iterator[Finding]:
    if not patient.hardware.gpus:
        yield finding("xformers", "SDL-DOCTOR-XFORMERS-CPU", Level.ERROR)
    elif "xformers_error" in told:
        facts = {"torch": told["torch"], "evidence": told["xformers_error"]}
        yield finding("xformers", "SDL-DOCTOR-XFORMERS-BROKEN", Level.ERROR, **facts)
    else:
        yield finding("xformers", "SDL-DOCTOR-XFORMERS", Level.OK, version=told["xformers"], torch=told["torch"])


def _check_pins(patient: Patient, environment: Environment) -> Iterator[Finding]:
    """Packages that an extension or a careless pip replaced, against the versions that this checkout pins."""
    pins = _read_pins(patient.checkout / "requirements_versions.txt")
    wrong = []
    for name in _PINNED:
        wanted, have = pins.get(name), environment.packages.get(name)
        if wanted is not None and have is not None and have != wanted:
            wrong.append(name)
            is_worse = have.split(".")[0] != wanted.split(".")[0]
            level = Level.ERROR if is_worse and name in ("numpy", "gradio", "pydantic") else Level.WARNING
            yield finding("packages", "SDL-DOCTOR-PIN", level, package=name, have=have, wanted=wanted)
    if pins and not wrong:
        yield finding("packages", "SDL-DOCTOR-PINS", Level.OK, count=sum(1 for name in _PINNED if name in pins))


def _read_pins(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    matches = (re.match(r"\s*([A-Za-z0-9._-]+)\s*==\s*([^\s;#]+)", line) for line in lines)
    return {normalise(match[1]): match[2] for match in matches if match}


def check_opencv(patient: Patient) -> Iterator[Finding]:
    """OpenCV, which needs libGL and glib of the system."""
    environment = read_environment(patient.checkout / "venv")
    if environment is None or not any(name.startswith("opencv-python") for name in environment.packages):
        return
    done = run([environment.python, "-c", "import cv2"], timeout=_SECONDS)
    if not done.ok:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        yield finding("libraries", "SDL-DOCTOR-OPENCV", Level.ERROR, evidence=last[:200])
    else:
        yield finding("libraries", "SDL-DOCTOR-OPENCV-OK", Level.OK)


CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("torch", check_environment),
    ("libraries", check_opencv),
)
