"""The argument list of each WebUI, as its parsers had it at a named commit: one file each in arguments/."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sdlauncher.catalog import NAMES, read_table
from sdlauncher.core import toml
from sdlauncher.core.flags import Grammar, Notes, Option

_FOLDER = Path(__file__).parent / "arguments"

# Mini WebUI takes the flags of the original.
_SAME_AS = {"mini": "a1111"}


@cache
def load_grammar(webui: str) -> Grammar:
    """Return the grammar of a WebUI as of the commit that its file names. Raises SDL-WEBUI-UNKNOWN."""
    table = _read(webui)
    options: list[Option] = []
    for count, (least, most) in _COUNTS.items():
        for kind, names in table.get(count, {}).items():
            for name in names:
                choices = tuple(table.get("choices", {}).get(name, ()))
                options.append(Option(tuple(name.split()), least, most, kind, choices))
    return Grammar.of(options, takes_words=table.get("takes_words", False))


@cache
def load_notes(webui: str) -> Notes:
    """Return what is known of a WebUI's flags beyond its parser. Raises SDL-WEBUI-UNKNOWN."""
    table = _read(webui)
    return Notes(webui, frozenset(table.get("ignored", ())), table.get("instead", {}))


def load_names(*, but: str) -> Mapping[str, frozenset[str]]:
    """Return the flags of every WebUI except one."""
    return {name: frozenset(load_grammar(name).options) for name in NAMES if name not in (but, *_SAME_AS)}


def load_parser_files(webui: str) -> tuple[str, ...]:
    """Return the files of a checkout that make its parser. Raises SDL-WEBUI-UNKNOWN."""
    return tuple(read_table(webui).get("parsers", {}).get("files", ("modules/cmd_args.py",)))


# How often a value follows: the names of the tables in the files.
_COUNTS: Mapping[str, tuple[int, int | None]] = {
    "none": (0, 0),
    "one": (1, 1),
    "optional": (0, 1),
    "any": (0, None),
    "some": (1, None),
}


@cache
def _read(webui: str) -> dict[str, Any]:
    read_table(webui)
    return toml.loads((_FOLDER / f"{_SAME_AS.get(webui, webui)}.toml").read_text(encoding="utf-8"))
