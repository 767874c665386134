"""The catalog of what log lines mean, read into values."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdlauncher.core import toml
from sdlauncher.core.diagnosis import Signature


@cache
def load_signatures() -> tuple[Signature, ...]:
    """Return every known signature."""
    tables = toml.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(
        Signature(
            id=name,
            stage=table["stage"],
            severity=table["severity"],
            regex=table["regex"],
            needles=tuple(table["needles"]),
            overcome=table.get("overcome", ""),
            unless=table.get("unless", ""),
            echo=table.get("echo", False),
            explains=tuple(table.get("explains", ())),
            texts={language: (table[language][0], table[language][1]) for language in ("en", "zh")},
        )
        for name, table in tables.items()
    )
