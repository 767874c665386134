"""Repairing and uninstalling: the smallest cure, and what is the user's stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.conftest import Cli
from tests.setup.repositories import commit, git
from tests.setup.world import World, add_wheel


@pytest.fixture
def checkout(cli: Cli, world: World) -> Path:
    ran = cli("install", "--webui", "a1111", "--json")
    assert ran.code == 0, ran.out + ran.err
    return Path(ran.data["dir"])


def packages_of(checkout: Path) -> Path:
    return next((checkout / "venv").glob("lib/python*/site-packages"))


def codes(cli: Cli, *words: str) -> list[str]:
    ran = cli("repair", *words, "--json")
    assert ran.code == 0, ran.out + ran.err
    return [it["code"] for it in ran.data["findings"]]


def test_what_is_whole_needs_no_repair_and_says_so(cli: Cli, checkout: Path) -> None:
    assert codes(cli) == []
    assert "nothing" in cli("repair").out
    cli("snapshot", "take")
    assert "nothing differs" in cli("rollback", "--dry-run").out


def test_a_package_that_lost_its_files_is_installed_again(cli: Cli, checkout: Path) -> None:
    module = packages_of(checkout) / "numpy" / "__init__.py"
    module = module if module.exists() else packages_of(checkout) / "numpy.py"
    before = module.read_bytes()
    module.unlink()
    assert codes(cli) == ["SDL-REPAIR-TORN"]
    assert module.read_bytes() == before
    module.unlink()
    module.write_bytes(before[: len(before) // 2])
    assert codes(cli) == ["SDL-REPAIR-TORN"]
    assert module.read_bytes() == before and codes(cli) == []


def test_a_program_file_that_was_left_empty_is_put_back(cli: Cli, checkout: Path) -> None:
    text = (checkout / "launch.py").read_text()
    (checkout / "launch.py").write_text("")
    assert codes(cli) == ["SDL-REPAIR-FILES"]
    assert (checkout / "launch.py").read_text() == text


def test_a_package_that_an_extension_replaced_is_put_back(cli: Cli, world: World, checkout: Path) -> None:
    folder = packages_of(checkout)
    python = str(checkout / "venv" / "bin" / "python")
    words = [find_uv_bin(), "pip", "install", "-q", "--python", python, "--default-index", world.index.as_uri()]
    subprocess.run([*words, "numpy==2.2.0"], check=True, timeout=60)
    dry = cli("repair", "--dry-run", "--json").data["findings"]
    assert "numpy 2.2.0 -> 1.26.2" in dry[0]["message"]
    assert codes(cli) == ["SDL-REPAIR-PACKAGES"]
    assert codes(cli) == []
    assert (folder / "numpy-1.26.2.dist-info").is_dir()


def test_files_leftovers_and_repositories_are_put_right_and_changes_by_hand_stay(
    cli: Cli, world: World, checkout: Path
) -> None:
    (checkout / "launch.py").write_text("# changed by hand\n")
    (checkout / "CHANGELOG.md").unlink()
    (checkout / ".git" / "index.lock").touch()
    shutil.rmtree(checkout / "repositories")
    assert codes(cli) == ["SDL-REPAIR-LEFTOVER", "SDL-REPAIR-FILES", "SDL-REPAIR-REPOSITORIES"]
    assert codes(cli) == []
    assert (checkout / "CHANGELOG.md").exists()
    assert (checkout / "launch.py").read_text() == "# changed by hand\n"


def test_a_broken_environment_is_made_anew_and_models_stay(cli: Cli, checkout: Path) -> None:
    model = checkout / "models" / "Stable-diffusion" / "mine.safetensors"
    model.write_text("weights")
    for name in ("python", "python3"):
        (checkout / "venv" / "bin" / name).unlink()
    assert codes(cli) == ["SDL-REPAIR-ENVIRONMENT"]
    assert codes(cli) == []
    assert model.read_text() == "weights"


def test_uninstalling_lists_first_and_keeps_what_is_the_users(cli: Cli, checkout: Path) -> None:
    mine = ["models/Stable-diffusion/mine.safetensors", "outputs/txt2img/1.png", "extensions/x/a.py", "config.json",
            "webui-user.sh", "notes.txt"]  # fmt: skip
    for name in mine:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("mine")
    asked = cli("uninstall", "--json")
    assert asked.code == 2
    assert asked.json["error"]["code"] == "SDL-UNINSTALL-ASK"
    assert {"venv", ".git", "launch.py", "repositories"} <= set(asked.data["remove"])
    assert (checkout / "launch.py").exists()

    done = cli("uninstall", "--yes", "--json")
    assert done.code == 0
    left = {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()}
    assert left == {*mine, ".sdlauncher-unfinished"}
    assert set(done.data["keep"]) == {name.split("/")[0] for name in mine}


def test_after_uninstalling_it_can_be_installed_elsewhere(cli: Cli, checkout: Path) -> None:
    assert cli("uninstall", "--yes").code == 0
    again = cli("install", "--webui", "a1111", "--dir", checkout.parent / "again", "--json")
    assert again.code == 0, again.out


def test_after_uninstalling_it_can_be_installed_in_the_same_place(cli: Cli, checkout: Path) -> None:
    mine = [checkout / name for name in ("models/Stable-diffusion/mine.safetensors", "webui-user.sh", "notes.txt")]
    for file in mine:
        file.write_text("mine")
    assert cli("uninstall", "--yes").code == 0
    again = cli("install", "--webui", "a1111", "--json")
    assert again.code == 0, again.out
    assert (checkout / "launch.py").is_file()
    assert [file.read_text() for file in mine] == ["mine"] * 3
    assert not list(checkout.glob(".webui-user*")) and not list(checkout.glob(".sdlauncher-*"))


def test_extensions_are_pinned_and_drift_is_told(cli: Cli, world: World, checkout: Path) -> None:
    first = commit(world.git / "sd-webui-thing", {"scripts/thing.py": "x = 1\n"})
    added = cli("extension", "add", "https://example.org/sd-webui-thing", "--json")
    assert added.code == 0, added.out + added.err
    assert added.data["extensions"][0]["commit"] == first
    assert added.data["extensions"][0]["drift"] is None
    folder = checkout / "extensions" / "sd-webui-thing"

    commit(world.git / "intruder", {"scripts/evil.py": ""})
    shutil.copytree(world.git / "intruder", checkout / "extensions" / "intruder")
    (folder / "scripts" / "thing.py").write_text("x = 2\n")
    drift = {it["name"]: it["drift"] for it in cli("extension", "list", "--json").data["extensions"]}
    assert drift == {"intruder": "appeared", "sd-webui-thing": "changed"}
    assert cli("extension", "remove", "sd-webui-thing", "--json").json["error"]["code"] == "SDL-EXTENSION-CHANGED"

    git(folder, "commit", "-q", "-a", "-m", "moved")
    drift = {it["name"]: it["drift"] for it in cli("extension", "pin", "intruder", "--json").data["extensions"]}
    assert drift == {"intruder": None, "sd-webui-thing": "moved"}
    cli("extension", "disable", "intruder")
    assert '"intruder"' in (checkout / "config.json").read_text()
    assert cli("extension", "remove", "sd-webui-thing").code == 0
    assert not folder.exists()


def test_settings_that_cannot_be_read_are_not_written_over(cli: Cli, checkout: Path) -> None:
    (checkout / "extensions" / "x").mkdir(parents=True)
    (checkout / "config.json").write_text("{broken")
    assert cli("extension", "disable", "x", "--json").json["error"]["code"] == "SDL-FILE-READ"
    assert (checkout / "config.json").read_text() == "{broken"


def test_a_numpy_that_came_in_is_held_back(world: World, cli: Cli, checkout: Path) -> None:
    add_wheel(world.index, "numpy", "1.26.9", {"numpy/__init__.py": ""})
    assert codes(cli) == [], "a newer package on the index is no reason to change anything"
