"""What the user wants beside our choices: by settings, and by their own lines of a webui-user file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from sdlauncher.core.launch import Flag, Reason
from sdlauncher.core.quoting import split_words


class Yours(NamedTuple):
    """What a webui-user file sets outside our block.

    `opaque` names variables whose value only the shell can tell, e.g. because it comes from a command.
    """

    place: str = ""
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = MappingProxyType({})
    opaque: frozenset[str] = frozenset()


NOTHING_YOURS = Yours()


def group_words(words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Cut an argument vector into options with their values: (--a x --b) becomes ((--a, x), (--b,))."""
    groups: list[list[str]] = []
    for word in words:
        if is_option(word) or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return tuple(tuple(group) for group in groups)


def is_option(word: str) -> bool:
    """Tell whether argparse takes a word for an option: it begins with a dash and is no negative number."""
    if len(word) < 2 or word[0] != "-":
        return False
    return not word[1:].replace(".", "", 1).isdigit()


def name_of(group: Sequence[str]) -> str:
    """Return the option's name alone: `--port=7860` is `--port`."""
    return group[0].partition("=")[0]


def value_of(group: Sequence[str]) -> str:
    """Return the option's value, "" if it has none."""
    return group[0].partition("=")[2] or (group[1] if len(group) > 1 else "")


def read_texts(texts: Iterable[str], reason: Reason) -> tuple[Flag, ...]:
    """Read settings such as "--theme dark" as flags. Raises SDL-ARGS-QUOTES."""
    words = [word for text in texts for word in split_words(text)]
    return tuple(Flag.of(*group, reason=reason) for group in group_words(words))


def normalize_name(name: str) -> str:
    """Return an option's name with its dashes: `medvram` is `--medvram`, `f` is `-f`."""
    if name.startswith("-"):
        return name.partition("=")[0]
    return f"-{name}" if len(name) == 1 else f"--{name}"
