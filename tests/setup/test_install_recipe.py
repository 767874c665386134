"""Installing by recipe, against a small world: what ends up where, what is reused, and what survives."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.setup.repositories import git
from tests.setup.world import World

INSTALL = ("install", "--webui", "a1111", "--json")


def test_everything_is_installed_at_its_pin_and_proved(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL)
    assert ran.code == 0, ran.out + ran.err
    assert {step["name"]: step["outcome"] for step in ran.data["steps"]} == dict.fromkeys(
        ("checkout", "environment", "torch", "requirements", "proof", "repositories"), "done"
    )
    checkout = Path(ran.data["dir"])
    assert git(checkout, "rev-parse", "HEAD") == world.program
    assert git(checkout, "rev-parse", "--abbrev-ref", "HEAD") == "master", "so that git pull works"
    assert git(checkout, "describe", "--tags") == "v1.10.1"
    assert git(checkout / "repositories" / "k-diffusion", "rev-parse", "HEAD") == world.side
    assert not (checkout / "repositories" / "k-diffusion" / "assets").exists(), "what no WebUI reads is left out"
    packages = subprocess.run(
        [checkout / "venv/bin/python", "-c", "import torch, numpy, clip; print(numpy.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert packages.stdout == "1.26.2\n", "torch alone would have taken numpy 2"


def test_a_second_time_there_is_nothing_to_do(cli: Cli, world: World) -> None:
    cli(*INSTALL)
    again = cli("install", "--json")
    assert again.data["changed"] is False
    assert again.err == ""


def test_a_dry_run_names_the_steps_and_writes_nothing(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL, "--dry-run")
    assert {step["outcome"] for step in ran.data["steps"]} == {"planned"}
    assert not (cli.home / "data").exists()


def test_the_cures_are_told(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL)
    assert "clip-build" in ran.data["advisories"]
    assert "pkg_resources" in ran.err


def test_the_cures_are_told_in_the_language_of_the_user(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL, env={"SDLAUNCHER_LANG": "zh"})
    assert "CLIP 的 setup.py" in ran.err
    assert "CLIP's" not in ran.err


def test_an_advisory_can_be_switched_off(cli: Cli, world: World) -> None:
    text = (cli.home / "config" / "config.toml").read_text()
    (cli.home / "config" / "config.toml").write_text('advisories_off = ["clip-build"]\n' + text)
    ran = cli(*INSTALL)
    assert "clip-build" not in ran.data["advisories"]
    assert "pkg_resources" not in ran.err


def test_spaces_and_other_scripts_in_the_path(cli: Cli, world: World, tmp_path: Path) -> None:
    place = tmp_path / "meine Bilder" / "绘画 ü"
    ran = cli(*INSTALL, "--dir", place)
    assert ran.code == 0, ran.out + ran.err
    assert (place / "venv" / "bin" / "python").exists()
    assert cli("install", "--json").data["dir"] == str(place)


def test_a_mark_torn_by_a_kill_is_not_taken_for_somebody_elses_file(cli: Cli, world: World, tmp_path: Path) -> None:
    place = tmp_path / "webui"
    place.mkdir()
    (place / "..sdlauncher-unfinished.a1b2c3").write_bytes(b"")
    ran = cli(*INSTALL, "--dir", place)
    assert ran.code == 0, ran.out + ran.err
    assert not list(place.glob(".*unfinished*"))


MOMENTS = ("disk, memory", "fetching the WebUI", "repositories beside", "Python environment", "installing torch",
           "locked packages", "proving")  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_step_is_finished_by_the_next(
    cli: Cli, world: World, clean_env: dict[str, str], moment: str
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", *INSTALL],
        env={**clean_env, "SDLAUNCHER_HOME": str(cli.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert killed.stderr is not None
    assert any(moment in line for line in killed.stderr), "the moment was never reached"
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stderr.close()

    ran = cli(*INSTALL)

    assert ran.code == 0, ran.out + ran.err
    checkout = Path(ran.data["dir"])
    assert git(checkout, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(checkout / "repositories" / "k-diffusion", "rev-parse", "HEAD") == world.side
    stamp = json.loads((checkout / "venv" / ".sdlauncher.json").read_text())
    assert {"python", "torch", "requirements", "proof"} <= set(stamp)


def test_what_was_killed_goes_on_without_being_named_again(
    cli: Cli, world: World, clean_env: dict[str, str], tmp_path: Path
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-m", "sdlauncher", *INSTALL, "--dir", str(tmp_path / "mine")],
        env={**clean_env, "SDLAUNCHER_HOME": str(cli.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert killed.stderr is not None
    assert any("installing torch" in line for line in killed.stderr)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    ran = cli("install", "--json")
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["dir"] == str(tmp_path / "mine")


def test_two_at_once_do_not_hinder_each_other(cli: Cli, world: World, clean_env: dict[str, str]) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "sdlauncher", *INSTALL],
            env={**clean_env, "SDLAUNCHER_HOME": str(cli.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=100)[0]) for process in both]
    assert all(answer["ok"] for answer in answers), answers


def test_without_any_source_it_says_so_before_anything_is_written(cli: Cli, world: World) -> None:
    for name in ("webui", "k-diffusion"):
        (world.git / name).rename(world.git / f"{name}-away")
    config = cli.home / "config" / "config.toml"
    config.write_text(config.read_text().replace("https://example.org/", "file:///nowhere/"))
    recipe = cli.home / "config" / "recipes" / "a1111.toml"
    recipe.write_text(recipe.read_text().replace("https://example.org/", "file:///nowhere/"))
    ran = cli(*INSTALL)
    assert ran.code == 1
    assert ran.json["error"]["code"] in ("SDL-SOURCES-EXHAUSTED", "SDL-PREFLIGHT")
    assert "webui" in ran.json["error"]["message"]
    assert "k-diffusion" in ran.json["error"]["message"]
    assert not (cli.home / "data").exists()


def test_a_torch_and_a_python_that_cannot_be_had_are_said_with_all_else(cli: Cli, world: World) -> None:
    config = cli.home / "config" / "config.toml"
    nowhere = "http://127.0.0.1:9"
    text = config.read_text().replace('torch = "packages"', f'torch = "{nowhere}"\npythons = "{nowhere}"')
    config.write_text(text)
    recipe = cli.home / "config" / "recipes" / "a1111.toml"
    recipe.write_text(re.sub(r"pythons = .*", 'pythons = ["3.99"]', recipe.read_text()))
    (world.git / "k-diffusion").rename(world.git / "away")
    ran = cli(*INSTALL)
    assert ran.json["error"]["code"] == "SDL-PREFLIGHT"
    for told in ("k-diffusion", "torch 2.1.2 for cpu", "no Python 3.99"):
        assert told in ran.json["error"]["message"]
    assert not (cli.home / "data").exists()


def test_a_disk_without_room_is_said_before_anything_is_written(cli: Cli, world: World) -> None:
    world.write(disk_gib=10_000_000)
    ran = cli(*INSTALL)
    assert ran.json["error"]["code"] == "SDL-DISK-FULL"
    assert not (cli.home / "data").exists()


@pytest.mark.parametrize("folder", ["cache", "state", "data"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_fetched(
    cli: Cli, world: World, folder: str
) -> None:
    (cli.home / folder).write_text("a file where a folder should be")
    ran = cli(*INSTALL, "--dir", cli.home / "data" / "a1111")
    assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-FILE-WRITE")
    assert str(cli.home / folder) in ran.json["error"]["message"]
    assert not (cli.home / "data" / "a1111").exists()


def test_a_package_that_the_lock_does_not_know_is_refused(cli: Cli, world: World) -> None:
    from tests.setup.world import add_wheel

    add_wheel(world.index, "openai-clip", "1.0.1", {"clip/__init__.py": "print('not what was locked')"})
    ran = cli(*INSTALL)
    assert ran.code == 1
    assert ran.json["error"]["code"] == "SDL-STEP-FAILED"
    assert "hash" in ran.json["error"]["message"].lower()


def test_an_environment_that_was_deleted_or_lost_a_package_is_made_whole(cli: Cli, world: World) -> None:
    import shutil

    checkout = Path(cli(*INSTALL).data["dir"])
    shutil.rmtree(next((checkout / "venv").glob("lib/python*/site-packages/openai_clip-*")))
    again = cli("install", "--json")
    assert {step["name"] for step in again.data["steps"] if step["outcome"] == "done"} == {"requirements"}
    shutil.rmtree(checkout / "venv")
    assert cli("install", "--json").data["changed"] is True


def test_an_adopted_environment_is_left_as_it_is(cli: Cli, world: World) -> None:
    checkout = Path(cli(*INSTALL).data["dir"])
    (checkout / "venv" / ".sdlauncher.json").unlink()
    before = sorted(str(path) for path in (checkout / "venv").rglob("*"))
    again = cli("install", "--json")
    assert {step["name"] for step in again.data["steps"]} == {"checkout", "repositories"}
    assert again.data["changed"] is False
    assert sorted(str(path) for path in (checkout / "venv").rglob("*")) == before


def test_a_proof_that_fails_names_the_module(cli: Cli, world: World) -> None:
    from tests.setup.world import add_wheel

    world.hashes["openai-clip"] = add_wheel(
        world.index, "openai-clip", "1.0.1", {"clip/__init__.py": "import pkg_resources"}
    )
    world.write()
    ran = cli(*INSTALL)
    assert ran.json["error"]["code"] == "SDL-PROOF-FAILED"
    assert "clip: ModuleNotFoundError: No module named 'pkg_resources'" in ran.json["error"]["message"]


def test_another_ref_is_installed_when_it_is_asked_for(cli: Cli, world: World) -> None:
    from tests.setup.repositories import commit

    later = commit(world.git / "webui", {"webui.py": "import modules  # later\n"}, tag="v1.11.0")
    ran = cli(*INSTALL, "--ref", "v1.11.0")
    assert ran.code == 0, ran.out + ran.err
    assert git(Path(ran.data["dir"]), "rev-parse", "HEAD") == later
    wrong = cli(*INSTALL, "--dir", cli.home / "other", "--ref", "v9")
    assert "v9" in wrong.json["error"]["message"]


def test_whoever_runs_pip_in_the_environment_is_held_back(cli: Cli, world: World) -> None:
    checkout = Path(cli(*INSTALL).data["dir"])
    settings = (checkout / "venv" / "pip.conf").read_text()
    held = checkout / "venv" / "sdlauncher-constraints.txt"
    assert f"constraint = {held}" in settings
    assert f"build-constraint = {held}" in settings
    assert f"index-url = {world.index.as_uri()}" in settings, "the WebUI's own pip asks the same mirror"
    assert {"numpy<2", "setuptools<70"} <= set(held.read_text().split())
    held.unlink()
    assert [it["name"] for it in cli("install", "--json").data["steps"] if it["outcome"] == "done"] == ["environment"]
    assert held.exists()
