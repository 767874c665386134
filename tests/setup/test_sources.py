"""Where things come from: options beside config.toml, what answers, what is kept, and packages from repositories."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.setup.repositories import commit, git
from tests.setup.world import World, add_wheel

INSTALL = ("install", "--webui", "a1111", "--json")
# Builds a package of one module and needs nothing for it (PEP 517).
BUILDER = """
import pathlib, zipfile
def build_wheel(directory, settings=None, metadata=None):
    name = "brush-2.0.dev0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(directory) / name, "w") as wheel:
        wheel.write("brush.py")
        info = "brush-2.0.dev0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: brush\\nVersion: 2.0.dev0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", f"brush.py,,\\n{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n")
    return name
"""
PACKAGE = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "builder"\nbackend-path = ["."]\n',
    "builder.py": BUILDER,
    "brush.py": "SIZE = 3",
}


@pytest.fixture
def served(world: World) -> Iterator[str]:
    """The world over HTTP, as a mirror would serve it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(world.root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def without_mirrors(world: World) -> None:
    (world.home / "config" / "config.toml").write_text('[mirrors]\ntorch = "packages"\n')


def test_options_name_sources_instead_of_the_file(cli: Cli, world: World, served: str) -> None:
    without_mirrors(world)
    words = ("--git-mirror", f"https://example.org/={world.git}/", "--index", f"{served}/simple")
    ran = cli(*INSTALL, *words)
    assert ran.code == 0, ran.out + ran.err
    assert f"packages: from {served}/simple" in ran.err
    assert f"webui: from {world.git}/webui" in ran.err
    settings = Path(ran.data["dir"]) / "venv" / "pip.conf"
    assert f"index-url = {served}/simple" in settings.read_text(), "the WebUI's own pip asks there too"
    again = cli("install", "--json")
    assert again.data["changed"] is False, "what was chosen once stays for that environment"


def test_the_environment_names_sources_too(cli: Cli, world: World) -> None:
    without_mirrors(world)
    twins = {"SDLAUNCHER_GIT_MIRROR": f"https://example.org/={world.git}/", "SDLAUNCHER_INDEX": world.index.as_uri()}
    ran = cli(*INSTALL, env=twins)
    assert ran.code == 0, ran.out + ran.err


def test_a_mirror_that_says_nothing_of_what_it_mirrors_is_refused(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL, "--git-mirror", "https://mirror.example.org/")
    assert (ran.code, ran.json["error"]["code"]) == (2, "SDL-MIRROR-FORM")


def test_an_index_that_does_not_answer_is_left_out_and_costs_nothing(cli: Cli, world: World, served: str) -> None:
    began = time.monotonic()
    ran = cli(*INSTALL, "--index", f"{served}/simple", "--index", "http://127.0.0.1:9/simple")
    assert ran.code == 0, ran.out + ran.err
    assert "http://127.0.0.1:9/simple does not answer" in ran.err
    assert time.monotonic() - began < 60


def test_the_second_index_serves_where_the_first_is_down(cli: Cli, world: World, served: str) -> None:
    config = world.home / "config" / "config.toml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("packages")))
    ran = cli(*INSTALL, "--index", "http://127.0.0.1:9/simple", "--index", f"{served}/simple")
    assert ran.code == 0, ran.out + ran.err
    assert cli("install", "--json").data["changed"] is False


def test_without_any_index_that_is_said_before_anything_is_fetched(cli: Cli, world: World) -> None:
    ran = cli(*INSTALL, "--index", "http://127.0.0.1:9/simple")
    assert ran.json["error"]["code"] == "SDL-INDEX-UNREACHABLE"
    assert not (cli.home / "data").exists()


def test_a_mirror_of_the_hub_is_for_the_webui_too(cli: Cli, world: World, served: str) -> None:
    ran = cli(*INSTALL, "--hub", f"{served}/")
    assert ran.code == 0, ran.out + ran.err
    assert f"models: from {served}" in ran.err
    planned = cli("plan", "--json").data["env"]
    assert {"name": "HF_ENDPOINT", "value": served} in [{key: it[key] for key in ("name", "value")} for it in planned]


def test_what_came_over_the_network_is_kept_for_the_next_installation(cli: Cli, world: World) -> None:
    config = world.home / "config" / "config.toml"
    config.write_text(config.read_text().replace(f'"{world.git}/"', f'"file://{world.git}/"'))
    assert cli(*INSTALL).code == 0
    world.git.rename(world.root / "gone")
    ran = cli(*INSTALL, "--dir", cli.home / "second")
    assert ran.code == 0, ran.out + ran.err
    checkout = Path(ran.data["dir"])
    assert git(checkout, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(checkout, "log", "--format=%H") == world.program, "the history ends there, and git knows"
    assert git(checkout, "fsck", "--connectivity-only") == ""


def test_a_package_without_a_lock_comes_with_what_the_program_installs_by_itself(cli: Cli, world: World) -> None:
    """gradio stands in no requirements file of Forge Classic, and asks for an older package than that file does."""
    add_wheel(world.index, "easel", "1.0", {"easel.py": ""}, requires=("numpy<1.26",))
    recipe = world.home / "config" / "recipes" / "a1111.toml"
    text = recipe.read_text().replace('lock = "small"', 'lock = ""')
    recipe.write_text(text + '[locked]\nextra = ["easel"]\noverride = ["numpy"]\n')
    ran = cli(*INSTALL)
    assert ran.code == 0, ran.out + ran.err
    folders = {it.name for it in (Path(ran.data["dir"]) / "venv").glob("lib/python*/site-packages/*.dist-info")}
    assert {"easel-1.0.dist-info", "numpy-1.26.2.dist-info"} <= folders


def test_submodules_and_packages_from_repositories_come_at_their_commits(cli: Cli, world: World) -> None:
    panel = commit(world.git / "panel", {"panel.js": ""})
    brush = commit(world.git / "brush", PACKAGE)
    commit(world.git / "brush", {"brush.py": "SIZE = 4"})
    git(world.git / "webui", "update-index", "--add", "--cacheinfo", f"160000,{panel},extensions-builtin/panel")
    git(world.git / "webui", "commit", "-q", "-m", "with a panel")
    world.program = git(world.git / "webui", "rev-parse", "HEAD")
    git(world.git / "webui", "tag", "-f", "v1.10.1")
    world.write()
    recipe = world.home / "config" / "recipes" / "a1111.toml"
    recipe.write_text(
        recipe.read_text()
        + '[[repository]]\nfolder = "extensions-builtin/panel"\nurl = "https://example.org/panel"\n'
        + f'commit = "{"0" * 40}"\nsubmodule = true\n'
        + f'[[package]]\nfolder = "brush"\nurl = "https://example.org/brush"\ncommit = "{brush}"\n'
    )
    ran = cli(*INSTALL)
    assert ran.code == 0, ran.out + ran.err
    checkout = Path(ran.data["dir"])
    assert git(checkout / "extensions-builtin" / "panel", "rev-parse", "HEAD") == panel, "as the checkout's tree says"
    installed = next((checkout / "venv").glob("lib/python*/site-packages/brush-*.dist-info"))
    origin = json.loads((installed / "direct_url.json").read_text())
    assert origin["vcs_info"]["commit_id"] == brush, "SD.Next's installer goes by that"
    assert (installed.parent / "brush.py").read_text() == "SIZE = 3"
    assert cli("install", "--json").data["changed"] is False
    assert cli("repair", "--dry-run", "--json").data["findings"] == []

    snapshot = cli("snapshot", "take", "--json").data["id"]
    git(checkout / "extensions-builtin" / "panel", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q",
        "--allow-empty", "-m", "moved")  # fmt: skip
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: brush\nVersion: 3.0\n")
    installed.rename(installed.with_name("brush-3.0.dist-info"))
    assert cli("rollback", snapshot, "--json").code == 0
    assert git(checkout / "extensions-builtin" / "panel", "rev-parse", "HEAD") == panel
    assert cli("uninstall", "--yes", "--json").code == 0
    assert not (checkout / "extensions-builtin").exists()
