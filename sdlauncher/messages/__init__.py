"""Every sentence the product says by code: English and Chinese, with its hint and exit code, from the TOML files here.

One file per wing. A table is named by its code:

    [SDL-PORT-TAKEN]
    exit = 1                                  # only errors have one; 0 means the code never ends a command
    en = ["port {port} is taken: ...", "..."] # the sentence with its evidence, then the hint (may be empty)
    zh = ["端口 {port} 已被占用：…", "…"]

Progress sentences are tables too; their names begin with `say.` in the code and `[say.NAME]` in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

LANGUAGES = ("en", "zh")
_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/]*@")


class Text(NamedTuple):
    """One rendered message: what happened, and what to do about it (may be empty)."""

    sentence: str
    hint: str


class Entry(NamedTuple):
    """One row of the registry."""

    code: str
    exit_code: int
    templates: Mapping[str, tuple[str, str]]


@cache
def registry() -> Mapping[str, Entry]:
    """Read every message file once per process, by code."""
    from sdlauncher.core import toml

    entries: dict[str, Entry] = {}
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        tables = toml.loads(file.read_text(encoding="utf-8"))
        said = {f"say.{name}": table for name, table in tables.pop("say", {}).items()}
        for code, table in {**tables, **said}.items():
            if code in entries:
                raise ValueError(f"{file.name}: {code} is registered twice")
            entries[code] = _entry(code, table)
    return entries


@cache
def lookup(code: str) -> Entry:
    """Return the registered message. Raises KeyError for a code that no file holds.

    A command says a few sentences of hundreds, so only the table of this one is parsed.
    """
    head = f"\n[{code}]\n"
    for text in _texts():
        start = text.find(head)
        if start >= 0:
            from sdlauncher.core import toml

            body = text[start + len(head) :].partition("\n[")[0]
            return _entry(code, toml.loads(body))
    raise KeyError(code)


@cache
def _texts() -> tuple[str, ...]:
    return tuple("\n" + file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.toml")))


def describe(code: str, facts: Mapping[str, object], language: str = "en") -> Text:
    """Render the message of `code` with `facts` in `language`."""
    templates = lookup(code).templates
    sentence, hint = templates.get(language, templates["en"])
    # A sentence ends up on shared screens and in the logs of others; an address that it names may hold a password.
    return Text(*(_PASSWORD.sub(r"\1:***@", template.format_map(facts)) for template in (sentence, hint)))


def choose_language(environment: Mapping[str, str]) -> str:
    """Choose "zh" or "en" from SDLAUNCHER_LANG, else from the POSIX locale variables in their order of precedence."""
    for name in ("SDLAUNCHER_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def _entry(code: str, table: Mapping[str, Any]) -> Entry:
    def pair(value: str | list[str]) -> tuple[str, str]:
        return (value, "") if isinstance(value, str) else (value[0], value[1])

    return Entry(code, int(table.get("exit", 0)), {language: pair(table[language]) for language in LANGUAGES})
