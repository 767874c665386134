"""The command line as such: help, usage, the envelope, languages, and bad settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import sdlauncher
from sdlauncher.cli.main import COMMANDS
from tests.conftest import Cli


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out == f"sdlauncher, version {sdlauncher.__version__}\n"
    help_text = cli("--help").out
    assert all(f"  {name} " in help_text for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(cli: Cli, name: str) -> None:
    ran = cli(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: sdlauncher {name}")


def test_without_a_command_it_shows_help_and_calls_that_a_usage_error(cli: Cli) -> None:
    ran = cli()
    assert ran.code == 2
    assert "Commands:" in ran.err


def test_a_misspelt_command_is_answered_with_the_right_one(cli: Cli) -> None:
    ran = cli("statsu")
    assert ran.code == 2
    assert "did you mean: status" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    "words", [("gpu", "--nope"), ("statsu",), ("start", "--port", "99999"), ("start", "--port", "x")]
)
def test_a_usage_error_with_json_is_the_envelope_on_stdout(cli: Cli, words: tuple[str, ...]) -> None:
    ran = cli(*words, "--json")
    assert ran.code == 2
    assert set(ran.json) == {"schema", "command", "ok", "data", "error"}
    assert ran.json["schema"] == "sdlauncher/1"
    assert ran.json["ok"] is False
    assert ran.json["error"]["code"] == "SDL-USAGE"
    assert ran.json["error"]["hint"]


def test_what_every_command_takes_may_stand_before_it(cli: Cli) -> None:
    assert cli("--json", "list").data == cli("list", "--json").data
    assert cli("--json", "flags", "check", "--webui", "mini", "--", "--api").data["webui"] == "mini"


def test_a_broken_settings_file_ends_a_command_with_its_name(cli: Cli) -> None:
    file = cli.home / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("port = \n")
    ran = cli("start", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "SDL-CONFIG-SYNTAX"
    assert str(file) in ran.json["error"]["message"]


def test_an_option_can_be_said_in_the_environment(cli: Cli) -> None:
    ran = cli("status", env={"SDLAUNCHER_INSTANCE": "no/name", "SDLAUNCHER_JSON": "1"})
    assert ran.json["error"]["code"] == "SDL-INSTANCE-NAME"


def test_an_unknown_webui_is_answered_with_the_nearest(cli: Cli) -> None:
    ran = cli("plan", "--webui", "forg", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "SDL-WEBUI-UNKNOWN"
    assert "forge" in ran.json["error"]["hint"]


def test_common_options_alone_ask_for_help(cli: Cli) -> None:
    ran = cli("--json", "-v")
    assert (ran.code, ran.err) == (2, cli().err)


def test_colour_only_on_a_terminal(cli: Cli) -> None:
    assert "\x1b" not in cli("statsu").err


def test_errors_speak_chinese_to_a_chinese_reader(cli: Cli) -> None:
    ran = cli("status", "-i", "a/b", env={"LANG": "zh_CN.UTF-8"})
    assert "错误: `a/b` 不能作为实例名" in ran.err
    assert "提示" in ran.err


def test_a_reader_that_goes_away_costs_no_traceback(cli: Cli) -> None:
    done = subprocess.run(
        f"'{sys.executable}' -m sdlauncher --help | head -1; '{sys.executable}' -m sdlauncher gpu | true",
        shell=True,
        env=dict(cli.env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's /dev/full is a disk without room")
@pytest.mark.parametrize("words", [("status",), ("list", "--json"), ("list", "--json", "--bad"), ("--help",)])
def test_a_result_that_nobody_can_take_is_said(cli: Cli, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sdlauncher", *words],
            env=dict(cli.env),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == (2 if "--bad" in words else 1)
    assert "could not be written: No space left on device  [SDL-OUTPUT]" in done.stderr
    assert "Traceback" not in done.stderr


def _shell(cli: Cli, words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words.replace("SD", f"'{sys.executable}' -m sdlauncher"),
        shell=True,
        env={**cli.env, **env},
        cwd=cli.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_reader_that_goes_away_while_the_log_is_followed_costs_no_word(cli: Cli) -> None:
    log = cli.home / "state" / "default" / "webui.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line\n" * 40_000)  # more than a pipe holds
    done = _shell(cli, "(SD logs -f -n 40000; echo code $? >&2) | head -1", PYTHONUNBUFFERED="")
    assert done.stdout == "a line\n"
    assert done.stderr == "code 1\n"


@pytest.mark.parametrize(
    ("words", "code"), [("SD list --json >&-", 0), ("SD nope --json >&-", 2), ("SD explain - <&-", 0)]
)
def test_a_stream_that_is_closed_from_the_start_is_no_defect(cli: Cli, words: str, code: int) -> None:
    done = _shell(cli, words)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's /dev/full is a disk without room")
def test_where_nobody_takes_what_is_said_the_command_runs_on_and_keeps_its_exit_code(cli: Cli) -> None:
    assert _shell(cli, "SD nope 2>/dev/full").returncode == 2
    done = _shell(cli, "SD install --webui mini --json 2>/dev/full")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs script(1) of util-linux for a terminal")
@pytest.mark.parametrize(("words", "env"), [("SD nope", {"NO_COLOR": "1"}), ("SD logs --no-color", {})])
def test_no_colour_counts_for_errors_too(cli: Cli, words: str, env: dict[str, str]) -> None:
    assert "\x1b" in _shell(cli, f'script -qc "{words.removesuffix(" --no-color")}" /dev/null').stdout
    told = _shell(cli, f'script -qc "{words}" /dev/null', **env).stdout
    assert "error: " in told and "\x1b" not in told


@pytest.mark.parametrize(
    ("words", "env", "code"),
    [
        ("SD list", {"SDLAUNCHER_HOME": "~nobody-of-that-name/x"}, "SDL-PATH-HOME"),
        ("SD start --dir '~nobody-of-that-name/x'", {}, "SDL-PATH-HOME"),
        ("mkdir gone; cd gone; rmdir ../gone; SD up --webui mini", {}, "SDL-FOLDER-GONE"),
        ("mkdir -p state/default/webui.log; SD logs", {}, "SDL-FILE-ACCESS"),
        ("SD model dir /proc/nowhere", {}, "SDL-FILE-ACCESS"),
    ],
)
def test_a_place_that_cannot_be_used_is_named_and_no_defect(
    cli: Cli, words: str, env: dict[str, str], code: str
) -> None:
    done = _shell(cli, f"{words} --json", **env)
    told = json.loads(done.stdout)["error"]
    assert told["code"] == code
    assert "Errno" not in told["message"]


@pytest.mark.parametrize(
    "words", ["health --timeout inf", "health --wait nan", "smoke --cfg-scale nan", "stop --timeout inf"]
)
def test_a_number_that_is_none_is_a_usage_error(cli: Cli, words: str) -> None:
    assert cli(*words.split(), "--json").json["error"]["code"] == "SDL-USAGE"


def test_what_is_registered_for_the_end_runs_and_output_is_whole(cli: Cli) -> None:
    code = (
        "import atexit, sys; from sdlauncher.cli.main import main; "
        "atexit.register(print, 'last words'); print('x' * 100_000); main(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(cli.env), capture_output=True, text=True, timeout=60, check=True
    )
    first, version, last = done.stdout.splitlines()
    assert (len(first), last) == (100_000, "last words")
    assert version.startswith("sdlauncher")


def test_no_command_pays_for_another_ones_imports(cli: Cli) -> None:
    heavy = ("requests", "psutil", "pynvml", "platformdirs", "PIL", "numpy", "tomllib")
    code = (
        "import sys; from sdlauncher.cli.main import run; run(['--help']); "
        f"print(*[name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(cli.env), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
