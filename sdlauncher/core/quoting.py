"""How words become text and text becomes words again: for the WebUI's own splitter, for bash and for cmd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

from sdlauncher.errors import SdLauncherError

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def join_words(words: Iterable[str]) -> str:
    """Join words so that POSIX shlex, which the WebUI splits with on Windows too, gives them back.

    Unlike `shlex.join` it never brings in a double quote, which cmd could not carry: an apostrophe becomes \\'.
    """
    return " ".join(_quote(word) for word in words)


def split_words(text: str) -> tuple[str, ...]:
    """Split text the way the WebUI splits COMMANDLINE_ARGS. Raises SDL-ARGS-QUOTES where quotes do not match."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise SdLauncherError("SDL-ARGS-QUOTES", text=text, evidence=str(error)) from error


def quote_for_bash(value: str, name: str) -> str:
    """Quote a value for the right side of a bash assignment. Raises SDL-VALUE-BASH for what no script can hold."""
    _refuse_control(value, name, "SDL-VALUE-BASH")
    if "'" not in value:
        return f"'{value}'"
    if not re.search(r'[$`"\\!]', value):
        return f'"{value}"'
    return "'" + value.replace("'", "'\\''") + "'"


def quote_for_cmd(value: str, name: str) -> str:
    """Return a value as it stands inside `set "NAME=..."` of a batch file.

    A percent sign is doubled; a double quote would end cmd's own quoting and let `&` or `|` behind it run as a
    command, so it is refused, as are line breaks. Raises SDL-VALUE-CMD.
    """
    _refuse_control(value, name, "SDL-VALUE-CMD")
    if '"' in value:
        raise SdLauncherError("SDL-VALUE-CMD", name=name, value=value, character='"')
    return value.replace("%", "%%")


def _refuse_control(value: str, name: str, code: str) -> None:
    if found := _CONTROL.search(value):
        raise SdLauncherError(code, name=name, value=value, character=repr(found.group())[1:-1])


def _quote(word: str) -> str:
    if word and _PLAIN.fullmatch(word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
