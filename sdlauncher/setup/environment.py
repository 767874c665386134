"""A WebUI's Python environment: interpreter, torch for this GPU, locked packages, and the proof that they work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sdlauncher.core.recipe import parse_lock
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, read_text, write_bytes, write_json
from sdlauncher.machine.python import Interpreter, environment_python, find_python, normalise, read_environment
from sdlauncher.machine.uv import find_provided_python, uv_command
from sdlauncher.setup.packages import (
    SYSTEM,
    choose_lock,
    digest_of,
    foreseen,
    held_back,
    install_words,
    last_words,
    read_packages,
    step_failed,
    unlocked,
    uv_settings,
)
from sdlauncher.setup.parts import has_parts, install_parts
from sdlauncher.setup.site import Site
from sdlauncher.setup.steps import Step
from sdlauncher.setup.torch_source import choose_torch_source, remember_torch_source, xformers_of

# Runs in the WebUI's own environment: each module is imported, and torch computes on what it will compute on.
_PROOF: Final = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
report = {"failed": {}, "versions": {}}
for name in json.loads(sys.argv[1]):
    try:
        module = importlib.import_module(name)
        report["versions"][name] = str(getattr(module, "__version__", ""))
    except BaseException as error:
        report["failed"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
if "torch" in report["versions"]:
    import torch
    try:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        x = torch.ones(64, 64, device=device)
        assert float((x @ x).sum()) == 64.0 ** 3
        report.update(device=device, cuda=torch.version.cuda)
    except BaseException as error:
        report["failed"]["torch kernel"] = f"{type(error).__name__}: {error}".splitlines()[0]
print(json.dumps(report))
"""


def environment_steps(site: Site) -> tuple[Step, ...]:
    """Return the steps that make the environment, in order."""
    return (
        Step("environment", lambda: _is_made(site), lambda: _make(site)),
        Step("torch", lambda: _has_torch(site), lambda: _install_torch(site)),
        Step("requirements", lambda: _has_requirements(site), lambda: _install_requirements(site)),
        *([Step("parts", lambda: has_parts(site), lambda: install_parts(site))] if site.recipe.packages else []),
        Step("proof", lambda: _is_proved(site), lambda: _prove(site)),
    )


def is_foreign(site: Site) -> bool:
    """Tell whether the environment is somebody else's work, which an installation leaves as it is."""
    if site.stamp.exists():
        return False
    environment = read_environment(site.venv)
    return environment is not None and "torch" in environment.packages


def _is_made(site: Site) -> bool:
    whole = environment_python(site.venv).exists() and (site.venv / "pyvenv.cfg").is_file() and site.stamp.exists()
    return whole and all(read_text(file) == text for file, text in _pip_files(site).items())


def _pip_files(site: Site) -> dict[Path, str]:
    """Return what pip reads in this environment, whoever starts it there: the WebUI, or an extension's installer.

    It holds the cures' constraints (pip 25.3 and later asks apart for those of builds) and the index that was chosen.
    """
    held = site.venv / "sdlauncher-constraints.txt"
    lines = [f"constraint = {held}", f"build-constraint = {held}"] if site.cures.constraints else []
    index = _index_for_pip(site)
    first = [f"index-url = {index}"] if index else []
    settings = "\n".join(["[global]", "no-input = true", *first, "[install]", *lines, "[wheel]", *lines, ""])
    constraints = "".join(f"{line}\n" for line in site.cures.constraints)
    return {site.venv / ("pip.ini" if SYSTEM == "windows" else "pip.conf"): settings, held: constraints}


def _index_for_pip(site: Site) -> str | None:
    """Return the index that was chosen now, or by an option of an earlier run; a bundle's does not stay."""
    before = site.read_stamp().get("index")
    if site.bundle is not None or "packages" not in site.mirrors.chosen or before in site.mirrors.packages:
        return before
    return site.mirrors.packages[0]


def _make(site: Site) -> None:
    if not site.stamp.exists() or read_environment(site.venv) is None:
        _create(site)
    if (index := _index_for_pip(site)) is not None:
        site.add_to_stamp(index=index)
    for file, text in _pip_files(site).items():
        write_bytes(file, text.encode())


def _create(site: Site) -> None:
    python = provide_python(site)
    # A folder without a working interpreter holds nothing worth keeping, and uv does not write over it by itself.
    words = [uv_command(), "venv", "--no-project", "--clear", "--python", str(python.executable), str(site.venv)]
    done = site.follow(words, env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "environment", done.stdout)
    site.add_to_stamp(python=python.version)


def provide_python(site: Site) -> Interpreter:
    """Find a Python that the WebUI runs on, or have uv bring one. Raises SDL-PYTHON-MISSING, SDL-PYTHON-NAMED."""
    versions = site.recipe.pythons
    if (found := find_interpreter(site)) is not None:
        return found
    environment = _with_our_pythons(site)
    answers = []
    for source in site.mirrors.pythons if not site.offline else ():
        words = [uv_command(), "python", "install", "--no-bin", "--mirror", source, versions[0]]
        done = site.follow(words, env=environment)
        provided = find_provided_python(versions[0], environment) if done.ok else None
        if provided is not None:
            return provided
        answers.append(f"{source}: {last_words(done.stdout)}")
    evidence = "; ".join(answers) or "this installation may not use the network"
    raise SdLauncherError("SDL-PYTHON-MISSING", versions=" or ".join(versions), evidence=evidence)


def find_interpreter(site: Site) -> Interpreter | None:
    """Find a Python that the WebUI runs on, on this machine alone. Raises SDL-PYTHON-NAMED.

    A bundle's packages fit one version of Python only.
    """
    versions = (site.bundle.python,) if site.bundle is not None else site.recipe.pythons
    if (found := find_python(versions, site.settings.python)) is not None:
        return found
    environment = _with_our_pythons(site)
    return next((known for it in versions if (known := find_provided_python(it, environment)) is not None), None)


def _with_our_pythons(site: Site) -> dict[str, str]:
    return {**uv_settings(site), "UV_PYTHON_INSTALL_DIR": str(site.paths.data / "python")}


def _has_torch(site: Site) -> bool:
    stamp = site.read_stamp()
    if "torch" not in stamp:
        return False
    packages = read_packages(site)
    return all(packages.get(name) == version for name, version in stamp["torch"]["packages"].items())


def _install_torch(site: Site) -> None:
    from sdlauncher.setup.configure import plan_for

    plan = plan_for(site.hardware(), site.settings)
    torch = plan.torch
    source, label = choose_torch_source(site, torch.version.partition("+")[0], torch.channel)
    words = [*install_words(site), *held_back(site), *foreseen(site)]
    if label:
        words += ["--index", source, "--index-strategy", "unsafe-best-match"]
    versions = {"torch": torch.version, "torchvision": torch.torchvision}
    wanted = [f"{name}=={version.partition('+')[0]}{label}" for name, version in versions.items() if version]
    if torch.xformers:
        wanted.append(xformers_of(torch.xformers))
    done = site.follow([*words, *wanted], env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "torch", done.stdout)
    remember_torch_source(site, torch.version.partition("+")[0], torch.channel, source, label)
    packages = read_packages(site)
    names = [name for name in ("torch", "torchvision", "xformers") if name in packages]
    site.add_to_stamp(
        torch={"channel": torch.channel, "source": source, "packages": {name: packages[name] for name in names}}
    )


def _has_requirements(site: Site) -> bool:
    stamp = site.read_stamp()
    if stamp.get("requirements") != _requirements_digest(site):
        return False
    installed = read_packages(site)
    return all(normalise(name) in installed for name in stamp.get("packages", ()))


def _install_requirements(site: Site) -> None:
    words = install_words(site)
    lock = choose_lock(site)
    builds = site.cures.build_constraints
    if builds:
        file = site.paths.cache / "constraints" / f"build-{digest_of(*builds)}.txt"
        write_bytes(file, "".join(f"{line}\n" for line in builds).encode())
        words += ["--build-constraints", str(file)]
    if lock is not None:
        words += ["--no-deps", "--require-hashes", "--requirements", str(lock)]
    else:
        words += [*unlocked(site), *site.cures.packages, *(site.recipe.extra or ("pip", "wheel"))]
    done = site.follow(words, env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "requirements", done.stdout)
    names = sorted(parse_lock(lock.read_text(encoding="utf-8"))) if lock else sorted(read_packages(site))
    site.add_to_stamp(requirements=_requirements_digest(site), packages=names)


def _requirements_digest(site: Site) -> str:
    """Name what the requirements are: the lock, or the checkout's own file where no lock fits it."""
    file = choose_lock(site) or site.directory / site.recipe.requirements
    return digest_of(file.read_text(encoding="utf-8")) if file.is_file() else "none"


def _is_proved(site: Site) -> bool:
    stamp = site.read_stamp()
    return "proof" in stamp and stamp["proof"] == _proof_digest(site)


def _proof_digest(site: Site) -> str:
    """Name what was proved: the interpreter and what we installed for it."""
    stamp = site.read_stamp()
    parts = [stamp.get(key) for key in ("python", "torch", "requirements")]
    parts += [stamp["parts"]] if "parts" in stamp else []
    return digest_of(json.dumps([*parts, site.recipe.proof], sort_keys=True))


def _prove(site: Site) -> None:
    # The same packages out of the same cache on the same machine need no second proof (it costs half a minute).
    known = site.paths.cache / "proofs" / f"{_proof_digest(site)}.json"
    if (report := read_json(known)) is None:
        report = _import_everything(site)
        write_json(known, report)
    site.add_to_stamp(proof=_proof_digest(site), device=report.get("device"), cuda=report.get("cuda"))


def _import_everything(site: Site) -> dict[str, Any]:
    names = [*site.recipe.proof, *(["xformers"] if "xformers" in read_packages(site) else [])]
    environment = {**uv_settings(site), "PYTHONDONTWRITEBYTECODE": "", "HF_HUB_OFFLINE": "1"}
    python = environment_python(site.venv)
    done = site.follow([str(python), "-I", "-c", _PROOF, json.dumps(names)], env=environment, timeout=900)
    report = _last_object(done.stdout)
    if report is None:
        raise step_failed(site, "proof", done.stdout or f"exit status {done.returncode}")
    if report["failed"]:
        evidence = "; ".join(f"{name}: {what}" for name, what in report["failed"].items())
        raise SdLauncherError("SDL-PROOF-FAILED", evidence=evidence, log=site.log)
    return report


def _last_object(output: str) -> dict[str, Any] | None:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                return None
            return value if isinstance(value, dict) else None
    return None
