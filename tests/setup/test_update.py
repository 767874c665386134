"""Updating behind the gate, and going back: with a WebUI that really starts and really makes pictures."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

import sdlauncher.mini
from sdlauncher.core.hardware import Hardware, Host
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import locate_paths
from sdlauncher.machine.settings import read_settings
from sdlauncher.setup.install import open_site
from sdlauncher.setup.snapshots import list_snapshots
from sdlauncher.setup.update import look, update
from tests.conftest import Cli
from tests.setup.repositories import commit, git
from tests.setup.world import World, add_wheel, startable_files

LATER = "import modules  # the later version\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def checkout(cli: Cli, world: World) -> Path:
    """An installed WebUI that starts, with the user's own changes in it."""
    world.program = commit(world.git / "webui", startable_files(world.side))
    git(world.git / "webui", "tag", "-f", "v1.10.1")
    world.write(extra_config="")
    config = cli.home / "config" / "config.toml"
    config.write_text(f"port = {free_port()}\n" + config.read_text())
    ran = cli("install", "--webui", "a1111", "--json")
    assert ran.code == 0, ran.out + ran.err
    directory = Path(ran.data["dir"])
    weights = next((Path(sdlauncher.mini.__file__).parent / "model").glob("*.safetensors"))
    shutil.copy(weights, directory / "models" / "Stable-diffusion")
    with (directory / "webui-user.sh").open("a") as stream:
        stream.write("# my own line\n")
    return directory


def head(directory: Path) -> str:
    return git(directory, "rev-parse", "HEAD")


def numpy_of(directory: Path) -> str:
    question = "import numpy; print(numpy.__version__)"
    done = subprocess.run([directory / "venv/bin/python", "-c", question], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_update_goes_through_the_gate_and_can_be_taken_back(cli: Cli, world: World, checkout: Path) -> None:
    before = head(checkout)
    side = commit(world.git / "k-diffusion", {"k_diffusion/newer.py": ""})
    add_wheel(world.index, "numpy", "1.26.4", {"numpy/__init__.py": "__version__ = '1.26.4'"})
    files = {**startable_files(side), "webui.py": LATER, "requirements_versions.txt": "numpy==1.26.4\n"}
    later = commit(world.git / "webui", files, tag="v1.11.0")

    preview = cli("update", "--to", "v1.11.0", "--dry-run", "--json").data
    assert (preview["from"], preview["to"], preview["requirements_change"]) == (before, later, True)
    assert head(checkout) == before

    ran = cli("update", "--to", "v1.11.0", "--json", timeout=110)
    assert ran.code == 0, ran.out + ran.err
    assert head(checkout) == later
    assert head(checkout / "repositories" / "k-diffusion") == side
    assert numpy_of(checkout) == "1.26.4"
    assert "# my own line" in (checkout / "webui-user.sh").read_text()
    changed = {(it["what"], it["name"]) for it in ran.data["changes"]}
    assert {("repository", "."), ("repository", "repositories/k-diffusion"), ("package", "numpy")} <= changed
    assert cli("status", "--json").data["state"] == "stopped", "it is left as it was"

    listed = cli("snapshot", "list", "--json").data["snapshots"]
    assert [it["commit"] for it in listed] == [before]
    assert cli("rollback", "--dry-run", "--json").data["changes"]
    assert head(checkout) == later
    assert cli("start").code == 0
    assert cli("rollback", "--json").code == 0
    assert cli("status", "--json").data["state"] == "running", "it is left as it was"
    cli("stop")
    assert head(checkout) == before
    assert head(checkout / "repositories" / "k-diffusion") == world.side
    assert numpy_of(checkout) == "1.26.2"
    assert "# my own line" in (checkout / "webui-user.sh").read_text()
    assert cli("install", "--json").data["changed"] is False


def test_a_version_that_does_not_start_is_taken_back_by_itself(cli: Cli, world: World, checkout: Path) -> None:
    before = head(checkout)
    broken = {**startable_files(world.side), "launch.py": "raise RuntimeError('this version is broken')\n"}
    commit(world.git / "webui", broken, tag="v1.12.0")
    (checkout / "webui.py").write_text("import modules  # changed by hand\n")

    ran = cli("update", "--to", "v1.12.0", "--json", timeout=110)

    assert ran.code == 1
    assert ran.json["error"]["code"] == "SDL-UPDATE-ROLLED-BACK"
    assert "broken" in ran.json["error"]["message"]
    assert ran.data["rolled_back"]
    assert head(checkout) == before
    assert "changed by hand" in (checkout / "webui.py").read_text(), "stashed, and put back"
    assert "# my own line" in (checkout / "webui-user.sh").read_text()
    assert cli("status", "--json").data["pid"] is None


def test_changes_that_no_longer_fit_are_kept_in_the_stash_and_named(cli: Cli, world: World, checkout: Path) -> None:
    (checkout / "webui.py").write_text("import modules  # changed by hand\n")
    commit(world.git / "webui", {"webui.py": LATER}, tag="v1.11.0")
    ran = cli("update", "--to", "v1.11.0", "--no-check", "--json")
    assert ran.code == 0, ran.out + ran.err
    assert ran.data["stashed"] == ["webui.py"]
    assert (checkout / "webui.py").read_text() == LATER
    assert "sdlauncher" in git(checkout, "stash", "list")


def test_a_target_that_is_not_there_is_answered_with_near_names(cli: Cli, world: World, checkout: Path) -> None:
    ran = cli("update", "--to", "v1.10.2", "--json")
    assert ran.code == 2
    assert "v1.10.1" in ran.json["error"]["message"]


def test_nothing_new_is_nothing_to_do(cli: Cli, world: World, checkout: Path) -> None:
    ran = cli("update", "--json")
    assert ran.code == 0
    assert ran.data["changes"] == []
    assert cli("snapshot", "list", "--json").data["snapshots"] == []


def test_a_clear_slowdown_is_taken_back_and_a_single_slow_picture_is_not(
    cli: Cli, world: World, checkout: Path
) -> None:
    before = head(checkout)
    later = commit(world.git / "webui", {"webui.py": LATER}, tag="v1.11.0")
    paths = locate_paths()
    settings = read_settings(paths, "default")
    site = open_site(paths, settings, Hardware(Host("linux")), say=lambda *words, **facts: None)

    speeds = iter([0.4, 0.9])
    done = update(site, look(site, "v1.11.0"), gate=lambda: (None, next(speeds)), stop=lambda: None, speed=1.0)
    assert done.rolled_back is None
    assert head(checkout) == later

    git(checkout, "checkout", "-q", "-B", "master", before)
    speeds = iter([0.4, 0.5])
    done = update(site, look(site, "v1.11.0"), gate=lambda: (None, next(speeds)), stop=lambda: None, speed=1.0)
    assert isinstance(done.rolled_back, SdLauncherError)
    assert done.rolled_back.code == "SDL-UPDATE-SLOW"
    assert head(checkout) == before
    assert len(list_snapshots(paths.instance("default"))) == 2


def test_an_unknown_snapshot_is_answered_with_those_there_are(cli: Cli, world: World, checkout: Path) -> None:
    taken = cli("snapshot", "take", "--json").data["id"]
    ran = cli("rollback", "nope", "--json")
    assert ran.json["error"]["code"] == "SDL-SNAPSHOT-UNKNOWN"
    assert taken in ran.json["error"]["message"]
