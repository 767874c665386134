"""configure, plan and flags check as a user meets them: files on disk, the command's own words, and secrets kept."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdlauncher.catalog import NAMES
from sdlauncher.cli.main import run
from tests.conftest import FOREIGN, Cli, Ran
from tests.nvml import NvidiaMachine
from tests.shells import run_bash

# webui-user.sh and webui-user.bat as the WebUI ships them.
STOCK_SH = '#!/bin/bash\n# Commandline arguments for webui.py\n#export COMMANDLINE_ARGS=""\n\n#python_cmd="python3"\n'
STOCK_BAT = (
    "@echo off\r\n\r\nset PYTHON=\r\nset GIT=\r\nset VENV_DIR=\r\nset COMMANDLINE_ARGS=\r\n\r\ncall webui.bat\r\n"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "my webui"
    folder.mkdir()
    (folder / "webui-user.sh").write_bytes(STOCK_SH.encode())
    (folder / "webui-user.bat").write_bytes(STOCK_BAT.encode())
    return folder


@dataclass(frozen=True, slots=True)
class InProcess:
    """Runs the command line in this process: a new one for each of so many commands would take minutes."""

    home: Path
    captured: pytest.CaptureFixture[str]

    def __call__(self, *words: object) -> Ran:
        self.captured.readouterr()
        code = run([str(word) for word in words])
        out, err = self.captured.readouterr()
        return Ran(code, out, err)


@pytest.fixture
def told(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcess:
    for name in os.environ:
        if name.startswith(FOREIGN) and name != "SDLAUNCHER_HOME":
            monkeypatch.delenv(name)
    return InProcess(home, capsys)


def arguments_of(checkout: Path, env: dict[str, str] | None = None) -> list[str]:
    show = 'source ./webui-user.sh; printf %s "${COMMANDLINE_ARGS-}"'
    return shlex.split(run_bash(show, checkout, env).decode())


def test_what_is_written_is_what_was_planned_and_what_bash_reads(cli: Cli, checkout: Path) -> None:
    done = cli("configure", "--dir", checkout, "--port", 7911, "--set", "ckpt-dir=/my models/O'Brien", "--json")
    assert done.code == 0, done.err
    planned = [word for flag in done.data["flags"] for word in shlex.split(flag["text"])]
    assert arguments_of(checkout) == planned
    assert planned[planned.index("--port") : planned.index("--port") + 2] == ["--port", "7911"]
    assert planned[-2:] == ["--ckpt-dir", "/my models/O'Brien"]
    assert "--xformers" not in planned
    assert done.data["changed"] == [str(checkout / "webui-user.sh"), str(checkout / "webui-user.bat")]
    again = cli("configure", "--dir", checkout, "--json")
    assert again.data["changed"] == []
    assert [flag["text"] for flag in again.data["flags"]] == [flag["text"] for flag in done.data["flags"]]


def test_undo_brings_both_files_back_byte_for_byte(told: InProcess, checkout: Path) -> None:
    odd = b"\xef\xbb\xbf#!/bin/bash\r\n# caf\xe9 \xd6\xd0\nexport GIT=git"
    (checkout / "webui-user.sh").write_bytes(odd)
    (checkout / "webui-user.bat").unlink()
    assert told("configure", "--dir", checkout).code == 0
    assert told("configure", "--dir", checkout, "--set", "theme=dark").code == 0
    assert (checkout / "webui-user.sh").read_bytes().startswith(odd)
    backup = checkout / "webui-user.sh.before-sdlauncher"
    assert backup.read_bytes() == odd
    assert told("configure", "--dir", checkout, "--undo").code == 0
    assert (checkout / "webui-user.sh").read_bytes() == odd
    assert sorted(path.name for path in checkout.iterdir()) == ["webui-user.sh"]


def test_undo_keeps_what_the_user_changed_since(told: InProcess, checkout: Path) -> None:
    told("configure", "--dir", checkout)
    script = checkout / "webui-user.sh"
    script.write_text(script.read_text().replace('#python_cmd="python3"', 'python_cmd="python3.10"'))
    told("configure", "--dir", checkout, "--undo")
    assert script.read_text() == STOCK_SH.replace('#python_cmd="python3"', 'python_cmd="python3.10"')


def test_a_dry_run_shows_the_difference_and_changes_nothing(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--listen", "--dry-run")
    assert done.code == 0
    assert "+++" in done.out
    assert "--listen" in done.out
    assert (checkout / "webui-user.sh").read_text() == STOCK_SH
    assert (checkout / "webui-user.bat").read_bytes() == STOCK_BAT.encode()
    assert not list((told.home / "state").rglob("credentials"))
    assert not list((told.home / "state").rglob("instance.json"))


def test_what_was_set_is_remembered_until_it_is_unset(told: InProcess, checkout: Path) -> None:
    told("configure", "--dir", checkout, "--set", "theme=dark", "--set", "no-hashing")
    told("configure", "--set", "theme=light", "--unset", "no-hashing", "--unset", "api")
    words = arguments_of(checkout)
    assert words[words.index("--theme") + 1] == "light"
    assert not {"--no-hashing", "--api", "dark"} & set(words)
    told("configure", "--set", "api")
    assert "--api" in arguments_of(checkout)


def test_listening_makes_a_password_shows_it_once_and_writes_it_nowhere_else(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--listen")
    kept = told.home / "state" / "default" / "credentials"
    words = kept.read_text().strip()
    user, password = words.split(":")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert password in done.err
    assert user in done.err
    assert len(password) == 20
    assert password not in done.out
    others = [path for path in [*checkout.rglob("*"), *told.home.rglob("*")] if path.is_file() and path != kept]
    assert others
    assert not [path for path in others if password in path.read_text(errors="replace")]
    assert arguments_of(checkout)[-2:] == ["--gradio-auth-path", str(kept)]
    again = told("configure")
    assert password not in again.out + again.err
    assert kept.read_text().strip() == words


def test_a_password_of_the_users_own_goes_into_the_file_alone(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--listen", "--set", "api-auth=me:correct-horse")
    assert (told.home / "state" / "default" / "credentials").read_text() == "me:correct-horse\n"
    assert "correct-horse" not in done.out + done.err
    assert "correct-horse" not in (checkout / "webui-user.sh").read_text()
    assert "correct-horse" not in (told.home / "state" / "default" / "instance.json").read_text()
    for bad in ("me", "me:a:b", "me:a,b", 'me:a"b', "me:a b", "me:100%"):
        refused = told("configure", "--set", f"api-auth={bad}", "--json")
        assert (refused.code, refused.json["error"]["code"]) == (2, "SDL-CREDENTIALS-FORM")
        assert bad not in refused.out + refused.err or bad == "me"


def test_insecure_is_the_only_way_to_listen_without_a_password(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--listen", "--insecure", "--json")
    assert "SDL-OPEN-TO-ALL" in {warning["code"] for warning in done.data["warnings"]}
    assert "--gradio-auth-path" not in arguments_of(checkout)
    assert not (told.home / "state" / "default" / "credentials").exists()
    refused = told("configure", "--no-insecure", "--set", "enable-insecure-extension-access", "--json")
    assert refused.json["error"]["code"] == "SDL-EXTENSIONS-EXPOSED"


def test_own_lines_are_shown_as_yours_and_never_lost(told: InProcess, checkout: Path) -> None:
    script = checkout / "webui-user.sh"
    own = 'export COMMANDLINE_ARGS="--lowvram --gradio-auth me:hunter2"\nexport TORCH_COMMAND="pip install torch"\n'
    script.write_text(STOCK_SH + own)
    done = told("configure", "--dir", checkout, "--json")
    assert script.read_text().startswith(STOCK_SH + own)
    mine = [flag for flag in done.data["flags"] if "your own lines of webui-user.sh" in flag["reason"]]
    assert [flag["text"] for flag in mine] == ["--lowvram", "--gradio-auth ***"]
    assert "hunter2" not in done.out
    assert "SDL-SECRET-IN-FILE" in {warning["code"] for warning in done.data["warnings"]}
    torch = next(item for item in done.data["env"] if item["name"] == "TORCH_COMMAND")
    assert torch["value"] == "pip install torch"
    assert arguments_of(checkout)[:3] == ["--lowvram", "--gradio-auth", "me:hunter2"]
    assert "hunter2" not in script.read_text()[len(STOCK_SH + own) :]
    refused = told("configure", "--unset", "lowvram", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (2, "SDL-UNSET-YOURS")


def test_two_instances_of_one_checkout_do_not_disturb_each_other(told: InProcess, checkout: Path) -> None:
    told("configure", "--dir", checkout, "--port", 7861)
    told("configure", "-i", "second", "--dir", checkout, "--port", 7862)
    assert "7862" in arguments_of(checkout)
    env = {"SDLAUNCHER_INSTANCE": "default", "SDLAUNCHER_COMMANDLINE_ARGS": "--port 7861"}
    assert arguments_of(checkout, env) == ["--port", "7861"]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("--dir", "/nowhere/at/all"), "SDL-CHECKOUT-ABSENT", 5),
        (("--set", "=x"), "SDL-SETTING-FORM", 2),
        (("--webui", "a111"), "SDL-WEBUI-UNKNOWN", 2),
        (("--gpu", "RTX 9090"), "SDL-GPU-ABSENT", 2),
        (("--set", "xfomers"), "SDL-FLAGS-REFUSED", 1),
        (("--set", "port=web"), "SDL-FLAGS-REFUSED-PLAIN", 1),
        (("--set", "precision=half"), "SDL-FLAGS-CONTRADICT", 2),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_changes(
    told: InProcess, checkout: Path, words: tuple[str, ...], code: str, exit_code: int
) -> None:
    where = () if "--dir" in words else ("--dir", checkout)
    done = told("configure", *where, *words, "--json")
    assert (done.json["error"]["code"], done.code) == (code, exit_code)
    assert (checkout / "webui-user.sh").read_text() == STOCK_SH
    assert not list((told.home / "state").rglob("instance.json"))


def test_force_writes_what_the_webui_would_refuse_and_says_so(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--set", "xfomers", "--force", "--json")
    assert "SDL-FLAG-WOULD-FAIL" in {warning["code"] for warning in done.data["warnings"]}
    assert "--xfomers" in arguments_of(checkout)


def test_a_script_in_utf16_is_left_alone(told: InProcess, checkout: Path) -> None:
    odd = "@echo off\r\n".encode("utf-16")
    (checkout / "webui-user.sh").write_bytes(odd)
    done = told("configure", "--dir", checkout, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "SDL-SCRIPT-ENCODING")
    assert (checkout / "webui-user.sh").read_bytes() == odd


def test_a_value_for_bash_that_cmd_cannot_hold_leaves_only_the_bat_out(told: InProcess, checkout: Path) -> None:
    done = told("configure", "--dir", checkout, "--set", 'theme=a"b', "--json")
    assert done.code == 0
    assert done.data["changed"] == [str(checkout / "webui-user.sh")]
    assert done.data["refused"][0]["code"] == "SDL-VALUE-CMD"
    assert (checkout / "webui-user.bat").read_bytes() == STOCK_BAT.encode()
    assert arguments_of(checkout)[-1] == 'a"b'


def test_a_linked_script_stays_a_link_and_an_old_one_keeps_its_mode(
    told: InProcess, checkout: Path, tmp_path: Path
) -> None:
    real = tmp_path / "dotfiles.sh"
    real.write_text(STOCK_SH)
    real.chmod(0o750)
    (checkout / "webui-user.sh").unlink()
    (checkout / "webui-user.sh").symlink_to(real)
    told("configure", "--dir", checkout)
    assert (checkout / "webui-user.sh").is_symlink()
    assert "sdlauncher" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o750


@pytest.mark.parametrize("webui", NAMES)
def test_every_webui_can_be_planned_and_configured(told: InProcess, tmp_path: Path, webui: str) -> None:
    folder = tmp_path / webui
    folder.mkdir()
    done = told("configure", "--webui", webui, "--dir", folder, "--listen", "--json", "--dry-run")
    assert done.code == 0, done.err
    assert done.data["device"] == "cpu"
    assert {flag["text"] for flag in done.data["flags"]} >= {"--api", "--listen", "--port 7860"}
    assert all(flag["reason"] for flag in done.data["flags"])


def test_the_plan_for_a_described_machine(told: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine.json"
    card = {"name": "NVIDIA GeForce RTX 4060", "compute_capability": "8.9", "memory_total_mib": 8188, "uuid": "GPU-1"}
    file.write_text(json.dumps({"os": "windows", "driver": {"version": "566.36"}, "gpus": [card]}))
    data = told("plan", "--hardware", file, "--json").data
    assert {"webui", "device", "gpu", "flags", "env", "torch", "python", "warnings"} <= set(data)
    assert (data["webui"], data["device"], data["gpu"]["uuid"]) == ("a1111", "cuda", "GPU-1")
    assert [flag["text"] for flag in data["flags"]][:3] == ["--api", "--xformers", "--medvram-sdxl"]
    assert (data["torch"]["version"], data["torch"]["channel"]) == ("2.1.2", "cu121")
    assert data["torch"]["command"].startswith("pip install torch==2.1.2+cu121 torchvision==0.16.2+cu121 ")
    assert told("plan", "--hardware", file, "--model", "sd15", "--json").data["flags"][2]["text"] != "--medvram-sdxl"
    monkeypatch.setenv("SDLAUNCHER_LANG", "zh")
    chinese = told("plan", "--hardware", file, "--json").data
    assert "计算能力 8.9" in chinese["flags"][1]["reason"]


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("{", "Expecting"),
        ("[]", "not an object"),
        ('{"gpu": []}', "gpu"),
        ('{"os": "beos"}', "beos"),
        ('{"gpus": {}}', "list"),
        ('{"gpus": [{"compute_capability": 8.9}]}', "8.9"),
        ('{"gpus": [{"compute_capability": "new"}]}', "new"),
        ('{"gpus": [{"memory_total_mib": "8 GB"}]}', "8 GB"),
        ('{"driver": "550"}', "driver"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_description_that_describes_no_machine_says_what_is_wrong(
    told: InProcess, tmp_path: Path, text: str, evidence: str
) -> None:
    file = tmp_path / "machine.json"
    file.write_text(text)
    done = told("plan", "--hardware", file, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "SDL-HARDWARE-FILE")
    assert evidence in done.json["error"]["message"]


def test_ordinary_values_stand_in_for_what_a_description_leaves_out(told: InProcess, tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_text('{"gpus": [{}]}')
    assert told("plan", "--hardware", file, "--json").data["device"] == "cuda"
    file.write_text("{}")
    assert told("plan", "--hardware", file, "--json").data["device"] == "cpu"


def test_flags_check_answers_for_scripts_and_for_people(told: InProcess) -> None:
    done = told("flags", "check", "--webui", "forge", "--json", "--", "--medvram", "--api", "--xfomers")
    assert done.code == 1
    assert [(row["flag"], row["status"], row["suggestion"]) for row in done.data["results"]] == [
        ("--medvram", "ignored", "--always-offload-from-vram"),
        ("--api", "accepted", ""),
        ("--xfomers", "unknown", "--xformers"),
    ]
    assert done.json["error"]["code"] == "SDL-FLAGS-REJECTED"
    assert told("flags", "check", "--webui", "sdnext", "--", "--api", "--lowram").code == 0
    assert "did you mean --xformers?" in told("flags", "check", "--", "--xfomers").out


def test_the_real_detection_feeds_the_plan(cli: Cli, nvidia: Callable[[], NvidiaMachine]) -> None:
    machine = nvidia().driver("550.54.14").gpu("NVIDIA GeForce GTX 1660", "7.5", 6144).gpu(uuid="GPU-best")
    done = cli("plan", "--json", env=machine.env)
    assert done.code == 0, done.err
    assert (done.data["device"], done.data["gpu"]["uuid"]) == ("cuda", "GPU-best")
    assert {"CUDA_VISIBLE_DEVICES": "GPU-best"}.items() <= {
        item["name"]: item["value"] for item in done.data["env"]
    }.items()


def test_the_environment_s_own_python_is_not_called_the_user_s_wish(told: InProcess, checkout: Path) -> None:
    python = checkout / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    planned = {one["name"]: one for one in told("plan", "--dir", checkout, "--json").data["env"]}
    chosen = planned["PYTHON" if os.name == "nt" else "python_cmd"]
    assert chosen["value"] == str(python)
    assert "yours" not in chosen["reason"] and "own Python" in chosen["reason"]
