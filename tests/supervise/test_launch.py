"""What a checkout is started with: its own script, the plan's words, and nothing that other Pythons left behind."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from sdlauncher.catalog import load_webui
from sdlauncher.core.hardware import Hardware
from sdlauncher.core.settings import Settings
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.gpu import detect_host
from sdlauncher.machine.paths import locate_paths
from sdlauncher.setup.configure import plan_for
from sdlauncher.setup.run import build_spec
from sdlauncher.supervise.launch import clean_environment, prepare, start_words
from sdlauncher.supervise.spec import LaunchSpec, read_spec, write_spec


@pytest.fixture
def checkout(tmp_path: Path, home: Path) -> Path:
    folder = tmp_path / "with space" / "webui"
    folder.mkdir(parents=True)
    (folder / "webui.sh").write_text("#!/usr/bin/env bash\n")
    return folder


def _spec(checkout: Path, *, credentials: str | None = None, **settings: object) -> LaunchSpec:
    wanted = Settings(webui="a1111", dir=str(checkout), port=7999, **settings)  # type: ignore[arg-type]
    plan = plan_for(Hardware(detect_host()), wanted)
    return prepare(wanted, plan, checkout, load_webui("a1111"), credentials=credentials)


def test_its_own_script_runs_with_the_words_of_the_plan(checkout: Path) -> None:
    spec = _spec(checkout, flags=("--ckpt-dir '/models/my own'",))
    assert spec.argv[0].endswith("/bash")
    assert spec.argv[1] == str(checkout / "webui.sh")
    assert spec.argv[2:] == (("-f",) if os.geteuid() == 0 else ())
    words = shlex.split(spec.env["SDLAUNCHER_COMMANDLINE_ARGS"])
    assert words[words.index("--port") + 1] == "7999"
    assert words[words.index("--ckpt-dir") + 1] == "/models/my own"
    assert (spec.host, spec.port, spec.url) == ("127.0.0.1", 7999, "http://127.0.0.1:7999")
    assert spec.env["PYTHONUNBUFFERED"] == "1"
    assert int(spec.env["COLUMNS"]) > 300, "SD.Next breaks its lines at 80 without a terminal"


def test_a_checkout_without_a_git_folder_is_not_cloned_anew(checkout: Path) -> None:
    spec = _spec(checkout)
    assert (spec.env["install_dir"], spec.env["clone_dir"]) == (str(checkout.parent), "webui")
    (checkout / ".git").mkdir()
    assert "install_dir" not in _spec(checkout).env


def test_a_fork_that_never_finds_its_requirements_met_is_told_of_some_that_are(checkout: Path) -> None:
    """Each start of reForge runs pip otherwise, and ends there where GitHub cannot be reached."""
    (checkout / "requirements_versions.txt").write_text(
        "# For adetailer\neinops==0.8.0\nhttps://github.com/x/pydantic-fixreforge/pydantic-1.10.15-py3-none-any.whl\n"
    )
    wanted = Settings(webui="reforge", dir=str(checkout), port=7999)
    assert "REQS_FILE" not in build_spec(locate_paths(), wanted).env, "that environment is not of our making"
    (checkout / "venv").mkdir()
    (checkout / "venv" / ".sdlauncher.json").write_text("{}")
    file = Path(build_spec(locate_paths(), wanted).env["REQS_FILE"])
    assert file.read_text() == "einops==0.8.0\npydantic==1.10.26\n"
    assert "REQS_FILE" not in _spec(checkout).env


def test_no_script_no_checkout(checkout: Path) -> None:
    (checkout / "webui.sh").unlink()
    with pytest.raises(SdLauncherError) as caught:
        _spec(checkout)
    assert caught.value.code == "SDL-SCRIPT-MISSING"


def test_what_other_pythons_left_behind_is_taken_out(tmp_path: Path) -> None:
    venv = str(tmp_path / "venv")
    clean = clean_environment(
        {
            "PATH": f"{venv}/bin:/usr/bin", "VIRTUAL_ENV": venv, "PYTHONPATH": "/x", "PYTHONHOME": "/y",
            "CONDA_PREFIX": "/conda", "HOME": "/home/me", "SD_WEBUI_RESTART": "tmp/restart", "NOTIFY_SOCKET": "/run/n",
        }
    )  # fmt: skip
    assert clean == {"PATH": "/usr/bin", "HOME": "/home/me"}


def test_windows_goes_through_cmd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMSPEC", r"C:\Windows\system32\cmd.exe")
    words = start_words(Path("webui-user.bat"), windows=True)
    assert words == (r"C:\Windows\system32\cmd.exe", "/d", "/c", "webui-user.bat")


def test_the_launch_is_written_for_its_owner_only_and_read_back(checkout: Path, tmp_path: Path) -> None:
    spec = _spec(checkout)
    write_spec(str(tmp_path / "launch.json"), spec)
    assert (tmp_path / "launch.json").stat().st_mode & 0o777 == 0o600
    assert read_spec(str(tmp_path / "launch.json")) == spec
    (tmp_path / "launch.json").write_text("{}")
    assert read_spec(str(tmp_path / "launch.json")) is None
