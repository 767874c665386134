"""The block in webui-user.*: what a real bash and a real cmd make of it, and that nothing else in the file changes."""

from __future__ import annotations

import random
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlauncher.core.assignments import read_yours
from sdlauncher.core.launch import EnvVar, Flag, LaunchPlan, PythonChoice, Reason, Torch
from sdlauncher.core.quoting import join_words, split_words
from sdlauncher.core.script import BEGIN, END, Script, find_block, put_block, render_block, take_out_block
from sdlauncher.core.wishes import NOTHING_YOURS, Yours
from sdlauncher.errors import SdLauncherError
from tests.shells import run_bash, run_cmd, stop_wine

TEMPLATES = Path(__file__).parents[2] / "templates"
SH = Script("sh", (TEMPLATES / "webui-user.sh.in").read_text(), own_python=("python_cmd", "venv_dir"))
CMD = Script("cmd", (TEMPLATES / "webui-user.bat.in").read_text(), own_python=("PYTHON", "VENV_DIR"))
WHY = Reason("SDL-WHY-API")

# All that shells and parsers find special, and what they do not.
ASCII = " abcXYZ019'$`!&^%|<>()[]{}*?;,=~#@+:./\\_-\t"
NASTY = ASCII + '"é中文ñ\u200b😀'


@pytest.fixture(autouse=True, scope="module")
def _wine() -> Iterator[None]:
    yield
    stop_wine()


def plan(words: Sequence[str] = (), env: dict[str, str] | None = None, **more: str) -> LaunchPlan:
    flags = tuple(Flag.of(word, reason=WHY) for word in words)
    variables = tuple(EnvVar(name, value, WHY) for name, value in (env or {}).items())
    torch = Torch("", "none", "", WHY)
    return LaunchPlan("a1111", "cpu", None, flags, variables, torch, PythonChoice("3.10", WHY), (), 7860, **more)


def invent(alphabet: str, count: int, seed: int) -> list[list[str]]:
    """Invent argument lists; every special character comes up in every place."""
    dice = random.Random(seed)
    lists = []
    for _ in range(count):
        words = ["".join(dice.choices(alphabet, k=dice.randint(0, 12))) for _ in range(dice.randint(1, 6))]
        lists.append(words)
    fixed = [
        ["--ckpt-dir", "/mnt/my models/SD 1.5"], ["--ckpt-dir", "D:/AI/models"], ["--ckpt-dir", "D:\\AI\\new\\table"],
        ["--theme", "O'Brien's"], ["''", "'", "\\'", "\\"], ["$HOME", "`id`", "$(id)", "${PATH}"], ["!!", "!x"],
        ["a&b", "a|b", "a>b", "a^b", "^", "^^"], ["%PATH%", "100%", "%%", "%1"], [""], [" "], ["#x", "~", "*"],
    ]  # fmt: skip
    return lists + [
        words for words in fixed if set("".join(words)) <= set(alphabet) | set("ADIMOPSTHrneilkowsmtdxhv15B")
    ]


def test_bash_sees_exactly_the_planned_arguments(tmp_path: Path) -> None:
    cases = invent(NASTY, 2000, seed=1)
    for number, words in enumerate(cases):
        made = plan(words, {"TORCH_COMMAND": "".join(words)})
        (tmp_path / f"{number:05}").write_text(put_block("", render_block(made, SH), SH))
    out = run_bash(
        'for file in [0-9]*; do (source ./$file; printf \'%s\\0%s\\0\' "$COMMANDLINE_ARGS" "$TORCH_COMMAND"); done',
        tmp_path,
    )
    seen = out.decode().split("\0")
    assert len(seen) == 2 * len(cases) + 1
    for number, words in enumerate(cases):
        assert shlex.split(seen[2 * number]) == words
        assert seen[2 * number + 1] == "".join(words)


def test_cmd_sees_exactly_the_planned_arguments(tmp_path: Path) -> None:
    cases = invent(ASCII, 2000, seed=2)
    lines = []
    for words in cases:
        made = plan(words, {"TORCH_COMMAND": "".join(words).strip()})
        lines += ["set TORCH_COMMAND=-", *render_block(made, CMD).splitlines(), "set COMMANDLINE_ARGS", "set TORCH_COM"]
    out = run_cmd(lines, tmp_path).decode().split("\r\n")
    arguments = [line.partition("=")[2] for line in out if line.startswith("COMMANDLINE_ARGS=")]
    torch = [line.partition("=")[2] for line in out if line.startswith("TORCH_COMMAND=")]
    assert len(arguments) == len(cases)
    for number, words in enumerate(cases):
        assert shlex.split(arguments[number]) == words, words
    assert torch == ["".join(words).strip() for words in cases if "".join(words).strip()]


def test_cmd_gets_the_bytes_of_other_scripts_unharmed(tmp_path: Path) -> None:
    words = ["--ckpt-dir", "/home/josé/模型"]
    block = render_block(plan(words), CMD)
    assert "chcp 65001" in block
    (tmp_path / "webui-user.bat").write_bytes(put_block("", block, CMD).encode())
    (tmp_path / "webui.bat").write_bytes(b"@echo off\r\nstart /wait /unix ./dump\r\n")
    (tmp_path / "dump").write_text("#!/bin/sh\nprintenv COMMANDLINE_ARGS > seen\n")
    (tmp_path / "dump").chmod(0o755)
    run_cmd(["call webui-user.bat"], tmp_path, {"LC_ALL": "C.UTF-8"})
    # wine's cmd reads batch files in code page 437 whatever chcp says; Windows' own follows it.
    assert (tmp_path / "seen").read_text().strip().encode("cp437").decode() == join_words(words)


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a\rb", "a\0b", "\x1b"])
def test_what_cmd_cannot_carry_is_refused_and_not_mangled(value: str) -> None:
    for made in (plan([value]), plan([], {"TORCH_COMMAND": value})):
        with pytest.raises(SdLauncherError) as caught:
            render_block(made, CMD)
        assert caught.value.code == "SDL-VALUE-CMD"
    if value != 'a"b':
        with pytest.raises(SdLauncherError) as caught:
            render_block(plan([value]), SH)
        assert caught.value.code == "SDL-VALUE-BASH"


def test_a_python_with_spaces_brings_its_quotes_along_for_cmd(tmp_path: Path) -> None:
    made = plan([], {"PYTHON": '"C:/Program Files (x86)/Python & Co/python.exe"'})
    (tmp_path / "webui-user.bat").write_bytes(put_block("", render_block(made, CMD), CMD).encode())
    (tmp_path / "webui.bat").write_bytes(b"@set PYTHON\r\n")
    out = run_cmd(["call webui-user.bat"], tmp_path)
    assert b'PYTHON="C:/Program Files (x86)/Python & Co/python.exe"\r\n' in out


def test_an_instance_that_was_started_by_us_brings_its_own_values_in_bash(tmp_path: Path) -> None:
    made = plan(["--port", "7860"], {"CUDA_VISIBLE_DEVICES": "GPU-a"})
    (tmp_path / "webui-user.sh").write_text(put_block("", render_block(made, SH), SH))
    show = 'source ./webui-user.sh; echo "$COMMANDLINE_ARGS / ${CUDA_VISIBLE_DEVICES-unset}"'
    assert run_bash(show, tmp_path) == b"--port 7860 / GPU-a\n"
    ours = {"SDLAUNCHER_INSTANCE": "b", "SDLAUNCHER_COMMANDLINE_ARGS": "--port 7999 --theme 'a & b'"}
    assert run_bash(show, tmp_path, ours) == b"--port 7999 --theme 'a & b' / unset\n"
    assert run_bash(show, tmp_path, {**ours, "CUDA_VISIBLE_DEVICES": "GPU-b"}).endswith(b"/ GPU-b\n")


def test_an_instance_that_was_started_by_us_brings_its_own_values_in_cmd(tmp_path: Path) -> None:
    made = plan(["--port", "7860"], {"CUDA_VISIBLE_DEVICES": "GPU-a"})
    (tmp_path / "webui-user.bat").write_bytes(put_block("", render_block(made, CMD), CMD).encode())
    (tmp_path / "webui.bat").write_bytes(b"@set C\r\n@echo given %*\r\n")
    ours = {"SDLAUNCHER_INSTANCE": "b", "SDLAUNCHER_COMMANDLINE_ARGS": "--port 7999 --theme 'a & b'"}
    out = run_cmd(["call webui-user.bat --api-auth u:p"], tmp_path, {**ours, "CUDA_VISIBLE_DEVICES": "GPU-b"}).decode()
    assert "COMMANDLINE_ARGS=--port 7999 --theme 'a & b'\r\n" in out
    assert "CUDA_VISIBLE_DEVICES=GPU-b\r\n" in out
    assert out.count("given ") == 1
    assert "given --api-auth u:p\r\n" in out


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ('export COMMANDLINE_ARGS="--medvram --theme dark"', ["--medvram", "--theme", "dark"]),
        ("COMMANDLINE_ARGS=--medvram", ["--medvram"]),
        ("export COMMANDLINE_ARGS='--ckpt-dir \"/my models\"' # mine", ["--ckpt-dir", "/my models"]),
        ('export COMMANDLINE_ARGS="--a"\nexport COMMANDLINE_ARGS="$COMMANDLINE_ARGS --b"', ["--a", "--b"]),
        ('COMMANDLINE_ARGS="--a \\\n  --b"\nexport COMMANDLINE_ARGS', ["--a", "--b"]),
        ('export COMMANDLINE_ARGS="--a"; export COMMANDLINE_ARGS+=" --b"', ["--a", "--b"]),
        ("true && export COMMANDLINE_ARGS=--a", None),
        ("COMMANDLINE_ARGS=--a true", None),
        ("export GIT=git COMMANDLINE_ARGS=--a", ["--a"]),
        ('export COMMANDLINE_ARGS="--data-dir $(pwd)"', None),
        ('if true; then\n  export COMMANDLINE_ARGS="--medvram"\nfi', None),
        ("#export COMMANDLINE_ARGS=--medvram", []),
        ('export COMMANDLINE_ARGS=""', []),
        ('export COMMANDLINE_ARGS="--medvram"\r', ["--medvram"]),
    ],
)
def test_own_lines_in_bash_are_understood_and_kept(tmp_path: Path, own: str, words: list[str] | None) -> None:
    text = f"#!/bin/bash\n{own}\n# the end\n"
    yours = read_yours(text, "sh", frozenset(), "webui-user.sh", {})
    assert (None if yours.opaque else list(yours.words)) == words
    written = put_block(text, render_block(plan(["--api", "--x=a b"]), SH, yours), SH)
    assert written.replace(written[slice(*find_block(written))], "") == text
    (tmp_path / "with").write_bytes(written.encode())
    (tmp_path / "without").write_bytes(text.encode())
    show = '; printf %s "${COMMANDLINE_ARGS-}"'
    before = shlex.split(run_bash("source ./without" + show, tmp_path).decode())
    assert words in (None, before)
    assert shlex.split(run_bash("source ./with" + show, tmp_path).decode()) == [*before, "--api", "--x=a b"]


@pytest.mark.parametrize("ours", [["--api"], ["--api", "--x=a & b"]])
@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("set COMMANDLINE_ARGS=--medvram --theme dark", ["--medvram", "--theme", "dark"]),
        ('set "COMMANDLINE_ARGS=--medvram"', ["--medvram"]),
        ('set COMMANDLINE_ARGS=--ckpt-dir "D:/my & models" --lowvram', ["--ckpt-dir", "D:/my & models", "--lowvram"]),
        ("set COMMANDLINE_ARGS=--a\r\nset COMMANDLINE_ARGS=%COMMANDLINE_ARGS% ^\r\n --b", ["--a", "--b"]),
        ("SET commandline_args=--a", ["--a"]),
        ("rem set COMMANDLINE_ARGS=--a", []),
        ("set COMMANDLINE_ARGS=", []),
    ],
)
def test_own_lines_in_cmd_are_understood_and_kept(tmp_path: Path, own: str, words: list[str], ours: list[str]) -> None:
    text = f"@echo off\r\n{own}\r\ncall webui.bat\r\n"
    yours = read_yours(text, "cmd", frozenset(), "webui-user.bat", {})
    assert list(yours.words) == words
    written = put_block(text, render_block(plan(ours), CMD, yours), CMD)
    assert take_out_block(written) == text
    (tmp_path / "webui-user.bat").write_bytes(written.encode())
    (tmp_path / "webui.bat").write_bytes(b"@set COMMANDLINE_ARGS\r\n")
    out = run_cmd(["call webui-user.bat"], tmp_path).decode().strip()
    assert shlex.split(out.partition("=")[2]) == [*words, *ours]


def test_a_variable_that_the_user_sets_is_not_set_a_second_time() -> None:
    yours = Yours("webui-user.sh", (), {"TORCH_COMMAND": "pip install torch"})
    made = plan([], {"TORCH_COMMAND": "pip install torch", "GIT_TERMINAL_PROMPT": "0"})
    block = render_block(made, SH, yours)
    assert "TORCH_COMMAND" not in block
    assert "GIT_TERMINAL_PROMPT" in block


def test_the_password_is_read_when_the_script_runs_and_not_written(tmp_path: Path) -> None:
    secret = tmp_path / "the secret"
    secret.write_text("sd:hunter2\n")
    made = plan(["--listen"], credentials=str(secret), secret_argument="--api-auth")
    for script, name in ((SH, "webui-user.sh"), (CMD, "webui-user.bat")):
        text = put_block("", render_block(made, script), script)
        assert "hunter2" not in text
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "webui.sh").write_text('source ./webui-user.sh\nprintf "%s|" "$@"\n')
    (tmp_path / "webui.bat").write_bytes(b"@echo given %*\r\n")
    assert run_bash("bash webui.sh -f", tmp_path) == b"-f|--api-auth|sd:hunter2|"
    assert run_bash("bash webui.sh -f", tmp_path, {"SDLAUNCHER_INSTANCE": "x"}) == b"-f|"
    assert run_cmd(["call webui-user.bat"], tmp_path) == b"given --api-auth sd:hunter2 \r\n"
    secret.unlink()
    assert run_bash("bash webui.sh -f 2>&1 && echo started || echo refused", tmp_path).endswith(b"refused\n")
    assert b"given" not in run_cmd(["call webui-user.bat"], tmp_path), "it must not start without its password"


def test_a_fork_whose_user_script_starts_the_webui_gets_arguments_too(tmp_path: Path) -> None:
    neo = Script("sh", SH.template, starts_webui=True, own_python=("PYTHON", "VENV_DIR"))
    text = '#!/usr/bin/env bash\nexport COMMANDLINE_ARGS="--uv"\n\nexec "$(dirname "$0")/webui.sh"\n'
    yours = read_yours(text, "sh", frozenset(), "webui-user.sh", {})
    written = put_block(text, render_block(plan(["--api"], {"PYTHON": "python3.13"}), neo, yours), neo)
    assert written.index(END) < written.rindex("exec ")
    (tmp_path / "webui-user.sh").write_text(written)
    (tmp_path / "webui.sh").write_text('#!/bin/bash\necho "$COMMANDLINE_ARGS / $PYTHON / $*"\n')
    for name in ("webui-user.sh", "webui.sh"):
        (tmp_path / name).chmod(0o755)
    assert run_bash("./webui-user.sh --api-auth u:p", tmp_path) == b"--uv --api / python3.13 / --api-auth u:p\n"


lines = st.sampled_from(
    ["", "# comment", "rem note", "set GIT=", "export GIT=git", "call webui.bat", "exec ./webui.sh", "\ttext  ",
     "caf\udce9 \udcff", "中文", "#export COMMANDLINE_ARGS=x", "set COMMANDLINE_ARGS="]
)  # fmt: skip
files = st.builds(
    lambda bom, parts, ends, last: bom + "".join(part + end for part, end in zip(parts, ends, strict=False)) + last,
    st.sampled_from(["", "﻿"]), st.lists(lines, min_size=1, max_size=8),
    st.lists(st.sampled_from(["\n", "\r\n"]), min_size=8, max_size=8), st.sampled_from(["", "last line"]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(files, st.sampled_from([SH, CMD]), st.lists(st.sampled_from(["--api", "--listen", "--port=1"]), max_size=3))
def test_everything_outside_the_block_stays_and_writing_twice_changes_nothing(
    text: str, script: Script, words: list[str]
) -> None:
    block = render_block(plan(words), script)
    once = put_block(text, block, script)
    assert put_block(once, block, script) == once
    if text:
        assert take_out_block(once) in (text, text + "\n", text + "\r\n")
    other = render_block(plan([*words, "--theme=dark"]), script)
    assert put_block(put_block(once, other, script), block, script) == once


def test_a_line_of_the_user_behind_our_block_moves_the_block_and_not_the_line() -> None:
    block = render_block(plan(["--api"]), SH)
    once = put_block("# mine\n", block, SH)
    appended = once + 'export COMMANDLINE_ARGS="--medvram"\n'
    moved = put_block(appended, block, SH)
    assert moved == '# mine\nexport COMMANDLINE_ARGS="--medvram"\n' + block


@pytest.mark.parametrize(
    "text",
    [f"# {BEGIN}\nx\n", f"x\n# {END}\n", f"# {END}\n# {BEGIN}\n", f"# {BEGIN}\n# {END}\n# {BEGIN}\n# {END}\n"],
)
def test_a_damaged_block_is_left_alone(text: str) -> None:
    with pytest.raises(SdLauncherError) as caught:
        put_block(text, "", SH)
    assert caught.value.code == "SDL-SCRIPT-BLOCK"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), max_size=5))
def test_joined_words_come_apart_again_and_bring_no_double_quote(words: list[str]) -> None:
    joined = join_words(words)
    assert split_words(joined) == tuple(words)
    assert joined.count('"') == "".join(words).count('"')


def test_nothing_yours_is_nothing() -> None:
    assert read_yours("", "sh", frozenset(), "webui-user.sh", {}) == Yours("webui-user.sh") != NOTHING_YOURS
