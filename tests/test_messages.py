"""The registry of sentences: every code that is used is registered, in both languages, with the same facts."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

import sdlauncher
from sdlauncher import messages

PACKAGE = Path(sdlauncher.__file__).parent
REGISTRY = messages.registry()


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def _codes_in_source() -> set[str]:
    words: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        if "mini" in file.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words.update(re.findall(r"\ASDL-[A-Z0-9-]+\Z", node.value))
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "say" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    words.add(f"say.{first.value}")
    for file in (PACKAGE / "catalog").rglob("*.toml"):
        words.update(re.findall(r'"(SDL-[A-Z0-9-]+)"', file.read_text(encoding="utf-8")))
    return words


def test_every_code_that_the_product_uses_is_registered() -> None:
    assert _codes_in_source() - set(REGISTRY) == set()


def test_no_registered_message_is_dead() -> None:
    assert {code for code in REGISTRY if code.startswith("SDL-")} - _codes_in_source() == set()


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_both_languages_tell_the_same_facts(code: str) -> None:
    english, chinese = REGISTRY[code].templates["en"], REGISTRY[code].templates["zh"]
    assert {f for part in english for f in _fields(part)} == {f for part in chinese for f in _fields(part)}
    assert bool(english[1]) == bool(chinese[1]), "a hint in one language only"
    assert REGISTRY[code].exit_code in {0, 1, 2, 3, 4, 5, 130}


def test_every_raise_gives_all_facts_of_its_sentence() -> None:
    missing: list[str] = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "SdLauncherError" and node.args):
                continue
            code = node.args[0]
            if not (isinstance(code, ast.Constant) and isinstance(code.value, str)):
                continue
            if any(keyword.arg is None for keyword in node.keywords):
                continue
            wanted = {f for part in REGISTRY[code.value].templates["en"] for f in _fields(part)}
            given = {str(keyword.arg) for keyword in node.keywords}
            if wanted != given:
                missing.append(f"{file.name}:{node.lineno} {code.value}: {sorted(wanted ^ given)}")
    assert missing == []


def test_chinese_is_chosen_by_the_locale_and_by_our_own_variable() -> None:
    assert messages.choose_language({"LANG": "zh_CN.UTF-8"}) == "zh"
    assert messages.choose_language({"LANG": "zh_CN.UTF-8", "SDLAUNCHER_LANG": "en"}) == "en"
    assert messages.choose_language({}) == "en"
