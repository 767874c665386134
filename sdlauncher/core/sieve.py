"""A sieve for large logs: which kinds of line hold one of many texts, without looking at every line for each text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

Owner = TypeVar("Owner")

_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_HEAD_LENGTH: Final = 14
_LONGEST_LINE: Final = 2048
_MOST_HARMLESS_BYTES: Final = 16 * 1024**2
_MOST_TELLING: Final = 4096


def shapes_of(block: bytes) -> list[bytes]:
    """Split a block into lines whose digits are all 0.

    Lines that differ in digits alone have one shape: the steps of a progress bar, an access log, a counter.
    """
    return block.translate(_DIGITS).replace(b"\r", b"\n").split(b"\n")


def newlines_before(block: bytes, shapes: list[bytes]) -> Sequence[int]:
    """Return how many newlines stand before each part of a block that carriage returns part, too."""
    numbers: list[int] = []
    offset = counted = newlines = 0
    for shape in shapes:
        if offset > counted:
            newlines += block.count(b"\n", counted, offset)
            counted = offset
        numbers.append(newlines)
        offset += len(shape) + 1
    return numbers


class Sieve(Generic[Owner]):
    """Finds the shapes that hold a needle, and remembers those that hold none, in bounded memory."""

    def __init__(self, owners: Mapping[bytes, Iterable[Owner]]) -> None:
        """Take the owners of each needle; needles are compared without regard to which digits they hold."""
        self._heads: dict[bytes, list[Owner]] = {}
        self._plain: dict[bytes, list[Owner]] = {}
        for needle, them in owners.items():
            shape = needle.translate(_DIGITS)
            # The expression engine passes quickly over text that cannot begin a match: so a needle is cut to begin
            # with a capital or a sign. Those of small letters alone are searched one by one.
            rare = re.search(rb"[A-Z\['`/$(:\-\"\\].{3,}", shape)
            table, key = (self._plain, shape) if rare is None else (self._heads, rare[0][:_HEAD_LENGTH])
            table.setdefault(key, []).extend(them)
        self._scanner = _make_scanner(self._heads)
        self._harmless: set[bytes] = set()
        self._harmless_bytes = 0
        self._telling: dict[bytes, tuple[Owner, ...]] = {}

    def sift(self, shapes: Sequence[bytes]) -> Mapping[bytes, tuple[Owner, ...]]:
        """Return those of the shapes that hold a needle, each with the owners of all needles it may hold."""
        fresh = set(shapes) - self._harmless
        known = {shape: self._telling[shape] for shape in fresh if shape in self._telling}
        new = fresh.difference(known)
        if not new:
            return known
        found = {shape: tuple(owners) for shape, owners in self._suspects(b"\n".join(new)).items()}
        if len(self._telling) > _MOST_TELLING:
            self._telling.clear()
        self._telling.update(found)
        # Where most lines are unlike all before, the next ones will be, too: to remember them would only cost.
        if len(new) < len(shapes) // 2:
            self._forgive(new.difference(found))
        return {**known, **found}

    def _suspects(self, text: bytes) -> dict[bytes, dict[Owner, None]]:
        lines: dict[bytes, dict[Owner, None]] = {}

        def add(position: int, owners: list[Owner]) -> None:
            end = text.find(b"\n", position)
            line = text[text.rfind(b"\n", 0, position) + 1 : end if end >= 0 else len(text)]
            lines.setdefault(line, {}).update(dict.fromkeys(owners))

        for match in self._scanner.finditer(text):
            add(match.start(), self._heads[match[0]])
        for needle, owners in self._plain.items():
            position = text.find(needle)
            while position >= 0:
                add(position, owners)
                position = text.find(needle, position + 1)
        return lines

    def _forgive(self, shapes: set[bytes]) -> None:
        harmless = [shape for shape in shapes if len(shape) <= _LONGEST_LINE]
        self._harmless_bytes += sum(map(len, harmless))
        if self._harmless_bytes > _MOST_HARMLESS_BYTES:
            self._harmless.clear()
            self._harmless_bytes = 0
        else:
            self._harmless.update(harmless)


def _make_scanner(heads: Iterable[bytes]) -> re.Pattern[bytes]:
    """Return one pattern for all heads, grouped by their first character; the longest of a group is tried first."""
    groups: dict[bytes, list[bytes]] = {}
    for head in sorted(heads, key=len, reverse=True):
        groups.setdefault(head[:1], []).append(re.escape(head[1:]))
    parts = [re.escape(first) + b"(?:" + b"|".join(rest) + b")" for first, rest in groups.items()]
    return re.compile(b"|".join(parts) or b"(?!)")
