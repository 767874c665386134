"""Plain text in aligned columns, for terminals in which a Chinese character takes two cells."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def render_table(rows: Sequence[Sequence[str]], *, indent: int = 0) -> str:
    """Align the cells of rows of equal length; the last column is left ragged."""
    if not rows:
        return ""
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(rows[0]))]
    margin = " " * indent
    return "\n".join(
        margin + "  ".join(_pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def width_of(text: str) -> int:
    """The number of terminal cells that `text` takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def gibibytes(size: int | None) -> str:
    """Write a size in bytes for people, e.g. `23.5 GiB`; `-` for one that is not known."""
    return "-" if size is None else f"{size / 2**30:.1f} GiB"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))
