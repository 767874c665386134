"""Installing: Mini WebUI as it is shipped, wrong places, and what is said about them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.setup.repositories import FILES, write_tree


def test_mini_is_installed_and_a_second_time_there_is_nothing_to_do(cli: Cli) -> None:
    first = cli("install", "--webui", "mini", "--json")
    assert first.code == 0
    assert (Path(first.data["dir"]) / "webui.sh").stat().st_mode & 0o111
    assert first.data["changed"] is True
    second = cli("install", "--json")
    assert second.data["changed"] is False
    assert second.data["webui"] == "mini", "the instance remembers what was installed"


def test_a_file_that_was_lost_is_put_back_and_the_users_files_are_kept(cli: Cli) -> None:
    checkout = Path(cli("install", "--webui", "mini", "--json").data["dir"])
    (checkout / "webui-user.sh").write_text("export COMMANDLINE_ARGS=--medvram\n")
    (checkout / "launch.py").write_text("import sdlauncher.mini  # cut of")
    assert cli("install", "--webui", "mini", "--json").data["changed"] is True
    assert "sdlauncher.mini.server" in (checkout / "launch.py").read_text()
    assert "--medvram" in (checkout / "webui-user.sh").read_text()


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    ran = cli("install", "--webui", "mini", "--dry-run", "--json")
    assert [step["outcome"] for step in ran.data["steps"]] == ["planned"]
    assert not (cli.home / "data").exists()
    assert not (cli.home / "state").exists()


@pytest.mark.parametrize("in_the_way", ["folder", "file"])
def test_a_place_that_holds_something_else_is_left_alone(cli: Cli, tmp_path: Path, in_the_way: str) -> None:
    place = tmp_path / "photos"
    if in_the_way == "folder":
        write_tree(place, {"holiday.jpg": "x"})
    else:
        place.write_text("x")
    ran = cli("install", "--webui", "mini", "--dir", place, "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "SDL-DIR-NOT-EMPTY"
    assert in_the_way == "file" or [entry.name for entry in place.iterdir()] == ["holiday.jpg"]


def test_another_webui_in_that_place_is_named(cli: Cli, tmp_path: Path) -> None:
    write_tree(tmp_path / "w", FILES["forge"])
    ran = cli("install", "--webui", "mini", "--dir", tmp_path / "w", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "SDL-CHECKOUT-OTHER"
    assert "forge" in ran.json["error"]["message"]


def test_a_folder_that_cannot_be_written_is_named(cli: Cli) -> None:
    ran = cli("install", "--webui", "mini", "--dir", "/proc/nowhere/mini", "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "SDL-FILE-WRITE"


def test_missing_packages_of_mini_are_said_with_the_command_that_brings_them(cli: Cli, tmp_path: Path) -> None:
    # A module search path in which `uvicorn` is not found, as in an installation without the extra.
    write_tree(
        tmp_path / "block",
        {
            "sitecustomize.py": "from importlib.machinery import PathFinder\n"
            "find = PathFinder.find_spec\n"
            "def hide(name, path=None, target=None): return None if name == 'uvicorn' else find(name, path, target)\n"
            "PathFinder.find_spec = hide\n"
        },
    )
    ran = cli("install", "--webui", "mini", "--json", env={"PYTHONPATH": str(tmp_path / "block")})
    assert ran.code == 5
    assert ran.json["error"]["code"] == "SDL-MINI-EXTRA"
    assert "uvicorn" in ran.json["error"]["message"]
    assert "sdlauncher[mini]" in ran.json["error"]["hint"]


@pytest.mark.parametrize("left", ["uninstalled", "cut off"])
def test_what_was_uninstalled_or_cut_off_can_be_installed_again(cli: Cli, left: str) -> None:
    checkout = Path(cli("install", "--webui", "mini", "--json").data["dir"])
    if left == "uninstalled":
        assert cli("uninstall", "--yes").code == 0
    else:
        # As a full disk leaves it: some folders, some files, the mark that is written first.
        (checkout / ".sdlauncher-unfinished").write_text("mini\n")
        for name in ("launch.py", "webui.sh", "interpreter.txt"):
            (checkout / name).unlink()
    again = cli("install", "--webui", "mini", "--json")
    assert again.code == 0, again.out
    assert (checkout / "launch.py").is_file()
    assert not (checkout / ".sdlauncher-unfinished").exists()


def test_a_full_disk_leaves_no_half_model_and_the_next_run_goes_on(cli: Cli, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
        "from sdlauncher.cli.main import main; main(sys.argv[1:])"
    )
    place = tmp_path / "w"
    words = [sys.executable, "-c", code, "install", "--webui", "mini", "--dir", str(place), "--json"]
    done = subprocess.run(words, env=dict(cli.env), capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["error"]["code"] == "SDL-FILE-WRITE"
    assert not list(place.rglob("*.safetensors*"))
    assert cli("install", "--webui", "mini", "--dir", place).code == 0
    assert (place / "launch.py").is_file()
