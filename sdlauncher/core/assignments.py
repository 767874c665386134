"""What a webui-user file of the user's sets: its assignments understood without running it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from sdlauncher.core.quoting import split_words
from sdlauncher.core.script import ARGUMENTS, take_out_block
from sdlauncher.core.wishes import Yours
from sdlauncher.errors import SdLauncherError

_BASH_START: Final = re.compile(r"(?:(?:export|declare[ \t]+-x|typeset[ \t]+-x)[ \t]+)?(?=[A-Za-z_]\w*\+?=)")
_BASH_NAME: Final = re.compile(r"([A-Za-z_]\w*)(\+?)=")
_BASH_PART: Final = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<bare>[^\s;&|<>()'"\\]+|\r(?=\n))""",
    re.DOTALL,
)
# A `$` or a backtick that stands for anything but a variable's value names no variable we know.
_BASH_EXPANSION: Final = re.compile(
    r"\\(?P<escape>[$`\"\\\n])|\$\{(?P<braced>[A-Za-z_]\w*)(?::?-)?\}|\$(?P<name>[A-Za-z_]\w*)|[$`]"
)
_CMD_SET: Final = re.compile(r'@?set[ \t]+("?)([^="\s]+)=(.*)', re.IGNORECASE)


class _Opaque(Exception):  # noqa: N818  a signal inside this module
    """The value depends on something that only the shell can tell."""


def read_yours(text: str, shell: str, names: frozenset[str], place: str, known: Mapping[str, str]) -> Yours:
    """Understand what a file sets outside our block: the WebUI's arguments, and those of `names` that it sets.

    `known` are variables that its values may refer to. A value that depends on a command, a condition or an unknown
    variable makes its name opaque. Raises SDL-SCRIPT-BLOCK for a damaged block of ours.
    """
    outside = take_out_block(text)
    wanted = names | {ARGUMENTS}
    values: dict[str, str] = {}
    opaque: set[str] = set()
    scan = _scan_bash if shell == "sh" else _scan_cmd
    for name, value in scan(outside, wanted, known):
        if value is None:
            opaque.add(name)
        else:
            values[name] = value
    arguments = values.pop(ARGUMENTS, "")
    try:
        words = split_words(arguments)
    except SdLauncherError:
        words = ()
        opaque.add(ARGUMENTS)
    if ARGUMENTS in opaque:
        words = ()
    env = {name: value for name, value in values.items() if value and name not in opaque}
    return Yours(place, words, env, frozenset(opaque))


def _scan_bash(text: str, names: frozenset[str], known: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield (name, value) of each assignment in order; the value is None where only the shell can tell it."""
    seen = dict(known)
    at = 0
    while at < len(text):
        start = _BASH_START.match(text, at)
        if start is None:
            end = _end_of_line(text, at)
            yield from _find_hidden(text[at:end], names, "#")
            at = end + 1
            continue
        at = start.end()
        given: list[tuple[str, str]] = []
        while (found := _BASH_NAME.match(text, at)) is not None:
            name, is_more = found[1], found[2] == "+"
            try:
                value, at = _read_bash_word(text, found.end(), seen)
                if is_more:
                    if name in names and name not in seen:
                        raise _Opaque
                    value = seen.get(name, "") + value
            except _Opaque:
                seen.pop(name, None)
                if name in names:
                    yield name, None
                at = _end_of_line(text, found.end())
                break
            seen[name] = value
            given.append((name, value))
            at = _skip_blanks(text, at)
        rest = text[at : _end_of_line(text, at)]
        if not rest.strip("\r") or rest.startswith((";", "#")):
            yield from ((name, value) for name, value in given if name in names)
        else:
            # `NAME=value command` sets it for that command alone, and what `&&` or `|` do only the shell can tell.
            for name, _ in given:
                seen.pop(name, None)
            yield from ((name, None) for name, _ in given if name in names)
        if rest.startswith(";"):
            at = _skip_blanks(text, at + 1)
            continue
        yield from _find_hidden(rest, names, "#")
        at = _end_of_line(text, at) + 1


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _read_bash_word(text: str, at: int, seen: Mapping[str, str]) -> tuple[str, int]:
    """Read one word of bash from `at`; return its value and where it ends."""
    parts: list[str] = []
    while (found := _BASH_PART.match(text, at)) is not None:
        if found["single"] is not None:
            parts.append(found["single"])
        elif found["escaped"] is not None:
            parts.append(found["escaped"] if found["escaped"] != "\n" else "")
        else:
            parts.append(_expand_bash(found["double"] or found["bare"] or "", seen))
        at = found.end()
    if at < len(text) and text[at] in "'\"":
        raise _Opaque
    return "".join(parts), at


def _expand_bash(text: str, seen: Mapping[str, str]) -> str:
    """Put variables and escapes of a double-quoted or bare piece in place."""

    def put(match: re.Match[str]) -> str:
        if match["escape"] is not None:
            return "" if match["escape"] == "\n" else match["escape"]
        name = match["braced"] or match["name"]
        if name not in seen:
            raise _Opaque
        return seen[name]

    return _BASH_EXPANSION.sub(put, text).replace("\r", "")


def _scan_cmd(text: str, names: frozenset[str], known: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield (name, value) of each `set` line in order; a caret at the end of a line goes on with the next."""
    # Names of variables do not distinguish case in cmd.
    seen = {name.upper(): value for name, value in known.items()}
    for line in re.sub(r"\^[ \t]*\r?\n", "", text).splitlines():
        found = _CMD_SET.match(line)
        if found is None:
            yield from _find_hidden(line, names, "rem", "@rem", "::")
            continue
        name = next((item for item in names if item.upper() == found[2].upper()), found[2])
        raw = found[3].rpartition('"')[0] if found[1] else found[3].rstrip("\r")
        if found[1] and '"' not in found[3]:
            raw = found[3]
        unknown = [ref for ref in re.findall(r"%([^%]+)%", raw) if ref.upper() not in seen]
        if unknown or (not found[1] and re.search(r"[&|<>]", re.sub(r'"[^"]*"', "", raw))):
            seen.pop(name.upper(), None)
            if name in names:
                yield name, None
            continue
        value = re.sub(r"%([^%]+)%", lambda match: seen[match[1].upper()], raw).replace("%%", "%")
        seen[name.upper()] = value
        if name in names:
            yield name, value


def _find_hidden(line: str, names: frozenset[str], *comments: str) -> Iterator[tuple[str, None]]:
    """Yield names that a line may set in a way we do not understand, such as inside a condition."""
    if line.strip().lower().startswith(comments):
        return
    for name in names:
        if re.search(rf"(?<![\w%${{]){re.escape(name)}\+?=", line):
            yield name, None
