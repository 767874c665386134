"""Flag checks: they agree with what every program's own parser said, and with argparse on arguments at random."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlauncher import messages
from sdlauncher.catalog import NAMES
from sdlauncher.catalog.flags import load_grammar, load_names, load_notes
from sdlauncher.core.flags import ACCEPTED, IGNORED, REJECTED, UNKNOWN, FlagCheck, Grammar, Notes, check_words
from sdlauncher.core.parsers import read_declarations

ARGUMENTS: dict[str, dict[str, str]] = json.loads((Path(__file__).parents[1] / "data" / "acceptance.json").read_text())[
    "arguments"
]


def check(webui: str, *words: str) -> tuple[FlagCheck, ...]:
    return check_words(words, load_grammar(webui), load_notes(webui), load_names(but=webui))


@pytest.mark.parametrize("webui", [name for name in NAMES if name != "mini"])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_the_answer_is_that_of_the_programs_own_parser(webui: str, argument: str) -> None:
    found = check(webui, *argument.split())
    assert [answer.status for answer in found] == [ARGUMENTS[argument][webui]]


@pytest.mark.parametrize("webui", NAMES)
def test_every_suggestion_is_itself_accepted(webui: str) -> None:
    notes = load_notes(webui)
    for flag, instead in notes.instead.items():
        words = shlex.split(instead)
        if "=" not in instead and load_grammar(webui).options[words[0]].least and len(words) == 1:
            words.append("1")
        assert [answer.status for answer in check(webui, *words)] == [ACCEPTED], (flag, instead)


@pytest.mark.parametrize(
    ("words", "status", "suggestion"),
    [
        (("--xfomers",), UNKNOWN, "--xformers"),
        (("--med-vram",), UNKNOWN, "--medvram"),
        (("--no_half_vae",), UNKNOWN, "--no-half-vae"),
        (("--XFORMERS",), UNKNOWN, "--xformers"),
        (("--completely-different",), UNKNOWN, ""),
        (("--freeze-settings-in-sec=x",), ACCEPTED, "--freeze-settings-in-sections"),
        (("--opt-s",), REJECTED, "--opt-sdp-attention"),
        (("--use-xformers",), REJECTED, "--xformers"),
        (("--always-offload-from-vram",), REJECTED, ""),
        (("--port",), REJECTED, ""),
        (("--port", "web"), REJECTED, ""),
        (("--port=7861",), ACCEPTED, ""),
        (("--api=yes",), REJECTED, ""),
        (("--precision", "double"), REJECTED, ""),
        (("--ngrok-options", "{}"), ACCEPTED, ""),
        (("--ngrok-options", "{"), REJECTED, ""),
        (("stray",), UNKNOWN, ""),
    ],
)
def test_what_an_argument_is_told(words: tuple[str, ...], status: str, suggestion: str) -> None:
    answers = check("a1111", *words)
    assert [(answer.status, answer.suggestion) for answer in answers] == [(status, suggestion)]
    for language in messages.LANGUAGES:
        assert messages.describe(answers[0].reason.code, answers[0].reason.facts, language).sentence


def test_words_behind_a_switch_belong_to_no_flag() -> None:
    assert [(answer.flag, answer.status) for answer in check("a1111", "--api", "yes", "--xformers")] == [
        ("--api", ACCEPTED), ("yes", UNKNOWN), ("--xformers", ACCEPTED)
    ]  # fmt: skip


def test_flags_that_a_fork_only_swallows_are_ignored_and_no_reason_to_fail() -> None:
    (answer,) = check("forge", "--medvram")
    assert (answer.status, answer.is_fatal) == (IGNORED, False)


def test_values_of_one_flag_can_differ_in_what_they_do() -> None:
    assert [answer.status for answer in check("reforge", "--precision", "full")] == [IGNORED]
    assert [answer.status for answer in check("reforge", "--precision", "half")] == [ACCEPTED]


SOURCE = """
import argparse, enum, json
class Speed(enum.Enum):
    FAST = "fast"
    SLOW = "slow"
parser = argparse.ArgumentParser()
group = parser.add_argument_group("a group")
one_of = parser.add_mutually_exclusive_group()
parser.add_argument("--switch", action="store_true")
parser.add_argument("--switched-off", action="store_false")
group.add_argument("--number", type=int, default=1)
group.add_argument("--share-of", type=float)
parser.add_argument("--name", "--alias", "-n", type=str)
parser.add_argument("--maybe", nargs="?", const="x")
parser.add_argument("--several", nargs="+", type=str.lower)
parser.add_argument("--any-number", nargs="*")
parser.add_argument("--pair", nargs=2)
parser.add_argument("--again", action="append")
parser.add_argument("--level", choices=["high", "low"])
parser.add_argument("--speed", type=Speed)
parser.add_argument("--options", type=json.loads)
parser.add_argument("--tri", action=argparse.BooleanOptionalAction)
one_of.add_argument("--left", action="store_true")
one_of.add_argument("--right", action="store_true")
# parser.add_argument("--commented-out")
"""
FLAGS = ["--switch", "--switched-off", "--number", "--share-of", "--name", "--alias", "-n", "--maybe", "--several",
         "--any-number", "--pair", "--again", "--level", "--speed", "--options", "--tri", "--no-tri", "--left",
         "--right", "--commented-out", "--sw", "--s", "--nam", "--n", "-f", "-x"]  # fmt: skip
VALUES = ["1", "-1", "1.5", "-1.5", "word", "high", "fast", "{}", "", "two words", "--two words", "-"]
word_lists = st.lists(
    st.one_of(
        st.sampled_from(FLAGS),
        st.sampled_from(VALUES),
        st.builds(lambda flag, value: f"{flag}={value}", st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    ),
    max_size=6,
)


@cache
def _grammar() -> Grammar:
    declared = read_declarations(SOURCE, "cmd_args.py")
    return Grammar.of(declared.options)


@cache
def _parser() -> argparse.ArgumentParser:
    names: dict[str, object] = {}
    exec(SOURCE, names)
    made = names["parser"]
    assert isinstance(made, argparse.ArgumentParser)
    return made


def _accepts(parser: argparse.ArgumentParser, words: Iterable[str]) -> bool:
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            parser.parse_args(list(words))
        except SystemExit:
            return False
    return True


@settings(max_examples=400, deadline=None)
@given(word_lists)
def test_argparse_itself_says_the_same(words: list[str]) -> None:
    answers = check_words(words, _grammar(), Notes("test"), {})
    assert any(answer.is_fatal for answer in answers) != _accepts(_parser(), words), answers


def test_names_made_at_run_time_are_admitted_to_be_unreadable() -> None:
    declared = read_declarations('for n in "ab": parser.add_argument(f"--{n}")', "preload.py")
    assert not declared.is_complete
    grammar = Grammar.of(declared.options, is_complete=declared.is_complete)
    assert check_words(["--a"], grammar, Notes("test"), {})[0].reason.code == "SDL-FLAG-UNREADABLE"
