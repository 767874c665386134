"""Taking over a checkout that is there: each WebUI is recognised, its state is told, nothing in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdlauncher.setup.checkout import identify
from tests.conftest import Cli
from tests.setup.repositories import FILES, commit, git, write_tree


@pytest.mark.parametrize("webui", sorted(FILES))
def test_every_webui_is_recognised_by_its_files(tmp_path: Path, webui: str) -> None:
    assert identify(write_tree(tmp_path / "somewhere", FILES[webui])) == webui


def test_mini_is_recognised_as_it_is_laid_out(cli: Cli) -> None:
    assert cli("install", "--webui", "mini", "--dir", cli.home / "m").code == 0
    assert identify(cli.home / "m") == "mini"


def test_adopting_says_what_it_found_and_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    checkout = tmp_path / "my webui ü"
    head = commit(checkout, FILES["a1111"])
    (checkout / "webui.py").write_text("import modules  # mine\n")
    (checkout / "webui-user.sh").write_text("# the user's own by design\n")
    (checkout / "notes.txt").write_text("mine")
    (checkout / "extensions" / "controlnet").mkdir(parents=True)
    before = git(checkout, "status", "--porcelain")

    ran = cli("adopt", checkout, "--json")

    assert ran.code == 0
    assert ran.data["webui"] == "a1111"
    assert ran.data["version"] == "1.10.1"
    assert (ran.data["commit"], ran.data["branch"]) == (head, "master")
    assert ran.data["changed"] == ["webui.py"]
    assert ran.data["extensions"] == ["controlnet"]
    assert ran.data["torch"] is None
    assert git(checkout, "status", "--porcelain") == before


def test_the_environment_of_the_checkout_is_read(cli: Cli, tmp_path: Path) -> None:
    checkout = tmp_path / "webui"
    commit(checkout, FILES["forge"])
    packages = checkout / "venv" / "lib" / "python3.10" / "site-packages"
    write_tree(
        checkout / "venv",
        {"pyvenv.cfg": "home = /usr/bin\nversion_info = 3.10.13\n", "bin/python": "", "bin/activate": ""},
    )
    (packages / "torch-2.3.1+cu121.dist-info").mkdir(parents=True)
    found = cli("adopt", checkout, "--json").data
    assert (found["python"], found["torch"]) == ("3.10.13", "2.3.1+cu121")


def test_the_instance_remembers_what_it_adopted(cli: Cli, tmp_path: Path) -> None:
    commit(tmp_path / "webui", FILES["reforge"])
    cli("adopt", tmp_path / "webui", "-i", "studio")
    assert '"webui": "reforge"' in (cli.home / "state" / "studio" / "instance.json").read_text()
    assert not (cli.home / "state" / "default").exists()


def test_a_downloaded_archive_is_adopted_with_a_warning(cli: Cli, tmp_path: Path) -> None:
    found = cli("adopt", write_tree(tmp_path / "webui", FILES["a1111"]), "--json").data
    assert found["commit"] is None
    assert "SDL-ADOPT-NO-GIT" in [note["code"] for note in found["notes"]]


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("nothing", "does not exist"),
        ("webui/launch.py", "is a file"),
        ("webui/models", "is a checkout"),
        ("empty", "launch.py"),
    ],
)
def test_what_is_no_checkout_is_refused_with_what_was_looked_for(
    cli: Cli, tmp_path: Path, name: str, evidence: str
) -> None:
    write_tree(tmp_path / "webui", FILES["a1111"])
    (tmp_path / "webui" / "models").mkdir()
    (tmp_path / "empty").mkdir()
    ran = cli("adopt", tmp_path / name, "--json")
    assert ran.code == 5
    assert ran.json["error"]["code"] == "SDL-NOT-A-CHECKOUT"
    assert evidence in ran.json["error"]["message"]
    assert not (cli.home / "state").exists()
