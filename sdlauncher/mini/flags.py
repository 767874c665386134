"""The command line of Mini WebUI: every flag that AUTOMATIC1111 v1.10.1 takes, plus those that extensions declare."""

from __future__ import annotations

import argparse
import json
import os
import runpy
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "data"


def read_flag_table() -> list[dict[str, Any]]:
    """Give the flag table: each row has `flag`, `kind`, `default` and perhaps `choices`."""
    rows: list[dict[str, Any]] = json.loads((_DATA / "flags.json").read_text("utf-8"))
    return rows


def make_parser(root: Path) -> argparse.ArgumentParser:
    """Make the parser; `<root>` in a default stands for the checkout (or --data-dir, once it is known)."""
    parser = argparse.ArgumentParser(prog="launch.py")
    for row in read_flag_table():
        _add(parser, row, root)
    return parser


def declare_extension_flags(parser: argparse.ArgumentParser, root: Path) -> None:
    """Let each extensions/*/preload.py add its flags; a broken one costs a line on the log, not the start."""
    for preload in sorted((root / "extensions").glob("*/preload.py")):
        try:
            declare = runpy.run_path(str(preload)).get("preload")
            if declare is not None:
                declare(parser)
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises must not stop the start
            from sdlauncher.mini.log import complain_with_traceback

            complain_with_traceback(f"Error running preload() for {preload}", error)


def parse_strictly(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse and exit with 2 on a flag that nobody declared, unless IGNORE_CMD_ARGS_ERRORS is set."""
    if os.environ.get("IGNORE_CMD_ARGS_ERRORS") is None:
        return parser.parse_args(arguments)
    return parser.parse_known_args(arguments)[0]


def show_flags(flags: argparse.Namespace) -> dict[str, Any]:
    """Give all flags as /cmd-flags answers them: those without a default, such as the port, as text."""
    as_text = {row["flag"].lstrip("-").replace("-", "_") for row in read_flag_table() if row["default"] is None}
    return {name: str(value) if name in as_text and value is not None else value for name, value in vars(flags).items()}


def _add(parser: argparse.ArgumentParser, row: dict[str, Any], root: Path) -> None:
    flag, kind, default = row["flag"], row["kind"], _rooted(row["default"], root)
    if kind == "switch":
        parser.add_argument(flag, action="store_true", default=default)
    elif kind == "switch-off":
        parser.add_argument(flag, action="store_false", default=default)
    elif kind == "integer":
        parser.add_argument(flag, type=int, default=default)
    elif kind == "json":
        parser.add_argument(flag, type=json.loads, default=default)
    elif kind == "words":
        parser.add_argument(flag, nargs="+", type=str.lower, default=default)
    elif kind == "repeated":
        parser.add_argument(flag, action="append", default=default)
    else:
        parser.add_argument(flag, type=str, default=default, choices=row.get("choices"))


def _rooted(default: Any, root: Path) -> Any:
    if isinstance(default, str):
        return default.replace("<root>", str(root))
    if isinstance(default, list):
        return [_rooted(item, root) for item in default]
    return default
