"""Prompt styles: the rows of styles.csv and what they add to a prompt."""

from __future__ import annotations

import csv
from pathlib import Path


def read_styles(files: list[str]) -> dict[str, dict[str, str]]:
    """Give styles by name, each with `name`, `prompt` and `negative_prompt`; files that are missing have none."""
    styles: dict[str, dict[str, str]] = {}
    for file in map(Path, files):
        if not file.is_file():
            continue
        with file.open(encoding="utf-8-sig", newline="") as handle:
            for row in csv.DictReader(handle):
                name = row.get("name") or ""
                if name and not name.startswith("#"):
                    styles[name] = {
                        "name": name,
                        "prompt": row.get("prompt") or row.get("text") or "",
                        "negative_prompt": row.get("negative_prompt") or "",
                    }
    return styles


def apply_style(prompt: str, style: str) -> str:
    """Put the prompt where the style says {prompt}, or the style after the prompt."""
    if "{prompt}" in style:
        return style.replace("{prompt}", prompt)
    return ", ".join(part for part in (prompt.strip(), style.strip()) if part)
