"""Bundles: made where there is a network, installed where there is none, and refused when they are not right."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.setup.repositories import commit, git
from tests.setup.world import World, add_wheel

MAKE = ("bundle", "--webui", "a1111", "--channel", "cpu", "--json")
# Whoever opens a connection through these gets nothing, and says so.
NO_NETWORK = dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"
)


@pytest.fixture
def bundle(cli: Cli, world: World, tmp_path: Path) -> Path:
    """A bundle of the small world."""
    file = tmp_path / "bundle.tar"
    ran = cli(*MAKE, "--out", file)
    assert ran.code == 0, ran.out + ran.err
    return file


@pytest.fixture
def closed(world: World, tmp_path: Path, clean_env: dict[str, str]) -> Cli:
    """Another machine: a home with the recipe and nothing else, the world's repositories and packages out of reach."""
    home = tmp_path / "closed"
    recipes = home / "config" / "recipes"
    recipes.parent.mkdir(parents=True)
    (world.home / "config" / "recipes").rename(recipes)
    world.root.rename(tmp_path / "far away")
    return Cli(home, {**clean_env, **NO_NETWORK, "SDLAUNCHER_HOME": str(home), "UV_CACHE_DIR": str(home / "uv")})


def rewritten(bundle: Path, change: dict[str, object]) -> Path:
    """The bundle with another manifest."""
    other = bundle.with_name("other.tar")
    with tarfile.open(bundle) as old, tarfile.open(other, "w") as new:
        for entry in old:
            data = old.extractfile(entry).read()  # type: ignore[union-attr]
            if entry.name == "manifest.json":
                data = json.dumps({**json.loads(data), **change}).encode()
                entry.size = len(data)
            new.addfile(entry, io.BytesIO(data))
    return other


def test_a_bundle_says_what_it_holds(cli: Cli, world: World, tmp_path: Path) -> None:
    ran = cli(*MAKE, "--out", tmp_path)
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["webui"] == "a1111"
    assert ran.data["torch"] == {"version": "2.1.2", "channel": "cpu"}
    file = Path(ran.data["file"])
    assert file.name == f"sdlauncher-a1111-1.10.1-linux-py{ran.data['python']}-cpu.tar"
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert names[0] == "manifest.json"
    assert any(name.startswith(f"git/{world.program}.git/") for name in names)
    assert any(name.startswith("simple/openai-clip/openai_clip-1.0.1") for name in names)
    assert any(name.startswith("simple/torch/torch-2.1.2") for name in names)
    assert not (world.home / "cache" / "bundling").exists() or not any((world.home / "cache" / "bundling").iterdir())


def test_it_installs_without_any_connection_and_twice(bundle: Path, closed: Cli, world: World) -> None:
    ran = closed("install", "--offline", "--bundle", bundle, "--json")
    assert ran.code == 0, ran.out + ran.err
    checkout = Path(ran.data["dir"])
    assert {step["outcome"] for step in ran.data["steps"]} == {"done"}
    assert git(checkout, "rev-parse", "HEAD") == world.program
    assert git(checkout, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(checkout, "describe", "--tags") == "v1.10.1"
    assert git(checkout, "config", "remote.origin.url") == "https://example.org/webui", "git pull works later"
    assert git(checkout / "repositories" / "k-diffusion", "rev-parse", "HEAD") == world.side
    subprocess.run([checkout / "venv/bin/python", "-c", "import torch, numpy, clip"], check=True)
    assert "index-url" not in (checkout / "venv" / "pip.conf").read_text(), "the bundle is not there for ever"
    again = closed("install", "--offline", "--bundle", bundle, "--json")
    assert again.data["changed"] is False
    other = closed("install", "--offline", "--bundle", bundle, "--dir", closed.home / "second", "--json")
    assert other.code == 0, other.out + other.err


def test_it_installs_where_there_is_no_network_at_all(bundle: Path, closed: Cli) -> None:
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    # Where no namespace can be had, the closed proxies alone must do.
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        alone = []
    done = subprocess.run(
        [*alone, sys.executable, "-m", "sdlauncher", "install", "--offline", "--bundle", bundle, "--json"],
        env=dict(closed.env),
        cwd=closed.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["ok"] is True, done.stdout + done.stderr


def test_what_it_installed_is_enough_for_the_next_without_it(bundle: Path, closed: Cli) -> None:
    assert closed("install", "--offline", "--bundle", bundle, "--json").code == 0
    bundle.unlink()
    ran = closed("install", "--offline", "--webui", "a1111", "--dir", closed.home / "second", "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "SDL-OFFLINE-MISSING"
    assert "webui" not in ran.json["error"]["message"], "the repositories are kept"
    assert "openai-clip==1.0.1" in ran.json["error"]["message"]


def test_a_damaged_bundle_is_refused_before_anything_is_installed(bundle: Path, closed: Cli) -> None:
    data = bytearray(bundle.read_bytes())
    at = data.index(b"PK\x03\x04")
    data[at + 60] ^= 0xFF
    bundle.write_bytes(data)
    ran = closed("install", "--offline", "--bundle", bundle, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-BUNDLE-DAMAGED")
    assert "checksum of simple/" in ran.json["error"]["message"]
    assert not (closed.home / "data").exists()


@pytest.mark.parametrize("keep", [0, 100, 5000, -1024])
def test_a_bundle_that_was_cut_off_is_refused(bundle: Path, closed: Cli, keep: int) -> None:
    data = bundle.read_bytes()
    bundle.write_bytes(data[:keep] if keep >= 0 else data[: len(data) // 2])
    ran = closed("install", "--offline", "--bundle", bundle, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-BUNDLE-DAMAGED")
    assert not (closed.home / "data").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"system": "windows"}, "made for windows"),
        ({"machine": "arm64"}, "made for linux on arm64"),
        ({"webui": "forge"}, "it holds forge, not a1111"),
        ({"commit": "0" * 40}, "at 000000000000"),
    ],
)
def test_a_bundle_for_something_else_is_refused(
    bundle: Path, closed: Cli, change: dict[str, object], told: str
) -> None:
    ran = closed("install", "--webui", "a1111", "--offline", "--bundle", rewritten(bundle, change), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "SDL-BUNDLE-OTHER")
    assert told in ran.json["error"]["message"]


def test_a_bundle_with_another_torch_than_the_gpu_needs_is_refused(bundle: Path, closed: Cli) -> None:
    torch = {"version": "2.7.0", "torchvision": "0.22.0", "xformers": "", "channel": "cu128", "label": "+cu128"}
    ran = closed("install", "--offline", "--bundle", rewritten(bundle, {"torch": torch}), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (2, "SDL-BUNDLE-OTHER")
    assert "its torch is 2.7.0 for cu128" in ran.json["error"]["message"]


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "simple/../../escape", "simple/x\\y", "C:/x"])
def test_a_manifest_that_points_outside_is_refused(bundle: Path, closed: Cli, path: str) -> None:
    files = [{"path": path, "size": 1, "sha256": "0" * 64}]
    ran = closed("install", "--offline", "--bundle", rewritten(bundle, {"files": files}), "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-BUNDLE-DAMAGED")


def test_a_bundle_for_windows_is_made_here_and_is_not_for_here(
    cli: Cli, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    locks = world.home / "config" / "recipes" / "locks"
    lock = next(locks.iterdir())
    lock.with_name(lock.name.replace("-linux", "-windows")).write_text(lock.read_text())
    ran = cli(*MAKE, "--platform", "windows", "--out", tmp_path / "w.tar")
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["system"] == "windows"
    closed: Cli = request.getfixturevalue("closed")
    assert closed("install", "--bundle", tmp_path / "w.tar", "--json").json["error"]["code"] == "SDL-BUNDLE-OTHER"


def test_a_torch_of_an_index_of_its_own_keeps_its_label(
    cli: Cli, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The wheels of pytorch.org carry the CUDA that they are for; so do those of a mirror in a folder."""
    mirror = world.root / "torch"
    for name, version in (("torch", "2.1.2"), ("torchvision", "0.16.2")):
        wheel = next((world.index / name).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read(f"{name}/__init__.py").decode()
        add_wheel(mirror / "cu121", name, f"{version}+cu121", {f"{name}/__init__.py": text})
    add_wheel(world.index, "xformers", "0.0.23.post1", {"xformers/__init__.py": ""}, requires=("torch==2.1.2",))
    file = tmp_path / "b.tar"
    made = cli("bundle", "--webui", "a1111", "--channel", "cu121", "--torch-index", mirror, "--out", file, "--json")
    assert made.code == 0, made.out + made.err
    assert made.data["torch"] == {"version": "2.1.2+cu121", "channel": "cu121"}
    closed: Cli = request.getfixturevalue("closed")
    ran = closed("install", "--bundle", file, "--json")
    assert ran.code == 0, ran.out + ran.err
    assert closed("inspect", "--json").data["torch"] == "2.1.2+cu121"


def test_packages_from_repositories_travel_as_repositories(
    cli: Cli, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from tests.setup.test_sources import PACKAGE

    brush = commit(world.git / "brush", PACKAGE)
    # What builds packages travels too.
    add_wheel(world.index, "setuptools", "69.5.1", {"setuptools/__init__.py": ""})
    recipe = world.home / "config" / "recipes" / "a1111.toml"
    text = f'[[package]]\nfolder = "brush"\nurl = "https://example.org/brush"\ncommit = "{brush}"\n'
    recipe.write_text(recipe.read_text() + text)
    file = tmp_path / "b.tar"
    made = cli(*MAKE, "--out", file)
    assert made.code == 0, made.out + made.err
    closed: Cli = request.getfixturevalue("closed")
    ran = closed("install", "--bundle", file, "--json")
    assert ran.code == 0, ran.out + ran.err
    python = Path(ran.data["dir"]) / "venv" / "bin" / "python"
    done = subprocess.run([python, "-c", "import brush; print(brush.SIZE)"], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"


def test_a_python_that_is_not_there_is_named(bundle: Path, closed: Cli) -> None:
    ran = closed("install", "--bundle", rewritten(bundle, {"python": "3.99"}), "--json")
    assert ran.json["error"]["code"] == "SDL-OFFLINE-MISSING"
    assert "Python 3.99" in ran.json["error"]["message"]


def test_what_is_no_bundle_and_what_is_not_there(closed: Cli, tmp_path: Path) -> None:
    other = tmp_path / "page.html"
    other.write_text("<html>")
    assert closed("install", "--bundle", other, "--json").json["error"]["code"] == "SDL-BUNDLE-DAMAGED"
    assert closed("install", "--bundle", tmp_path / "none", "--json").json["error"]["code"] == "SDL-FILE-READ"


def test_without_a_bundle_it_says_all_that_is_missing(closed: Cli, world: World) -> None:
    ran = closed("install", "--webui", "a1111", "--offline", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-OFFLINE-MISSING")
    for name in ("https://example.org/webui", "https://example.org/k-diffusion", "numpy==1.26.2", "openai-clip==1.0.1"):
        assert name in ran.json["error"]["message"]
    assert "sdlauncher bundle --webui a1111" in ran.json["error"]["hint"]
    assert not (closed.home / "data").exists()


def test_offline_it_takes_what_is_on_this_machine(cli: Cli, world: World) -> None:
    assert cli("install", "--webui", "a1111", "--json").code == 0
    ran = cli("install", "--webui", "a1111", "--offline", "--dir", cli.home / "second", "--json", env=NO_NETWORK)
    assert ran.code == 0, ran.out + ran.err


def test_a_model_travels_with_it(cli: Cli, world: World, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    from tests.setup.test_models import SDXL, write_model

    model = write_model(tmp_path / "my model.safetensors", *SDXL)
    file = tmp_path / "bundle.tar"
    assert cli(*MAKE, "--out", file, "--model", model).code == 0
    closed: Cli = request.getfixturevalue("closed")
    for _ in range(2):
        ran = closed("install", "--offline", "--bundle", file, "--json")
        assert ran.code == 0, ran.out + ran.err
    there = Path(ran.data["dir"]) / "models" / "Stable-diffusion" / "my model.safetensors"
    assert there.read_bytes() == model.read_bytes()


def test_a_python_travels_with_it(home: Path, tmp_path: Path) -> None:
    """Pythons are offered as one folder in a tar.gz; a link to this one stands in for what cannot be fetched here."""
    from sdlauncher.machine.archive import unpack_python
    from sdlauncher.machine.python import ask_python

    program = tmp_path / "python" / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(sys.executable).resolve())
    with tarfile.open(tmp_path / "python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "python", "python")
    unpack_python(tmp_path / "python.tar.gz", home / "data" / "python" / "cpython-here")
    assert ask_python(home / "data" / "python" / "cpython-here" / "bin" / program.name) is not None


def test_there_is_no_bundle_without_a_lock_or_for_an_unknown_channel(cli: Cli, world: World) -> None:
    ran = cli("bundle", "--webui", "a1111", "--python", "3.99", "--json")
    assert ran.json["error"]["code"] == "SDL-BUNDLE-NO-LOCK"
    ran = cli("bundle", "--webui", "a1111", "--channel", "cu999", "--json")
    assert ran.json["error"]["code"] == "SDL-BUNDLE-CHANNEL"
    assert "cu121" in ran.json["error"]["hint"]
