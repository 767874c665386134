"""The decision tables of planning.toml and the dialect of a WebUI's own file, read into values."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdlauncher.catalog import read_table
from sdlauncher.core import toml
from sdlauncher.core.dialect import Dialect, EnvironmentRow, Tables, Translation
from sdlauncher.core.rules import read_conditions, read_rule, read_torch_rule

_FILE = Path(__file__).parent / "planning.toml"


@cache
def load_tables(webui: str) -> Tables:
    """Return what planning for `webui` decides by. Raises SDL-WEBUI-UNKNOWN."""
    dialect = load_dialect(webui)
    table = toml.loads(_FILE.read_text(encoding="utf-8"))
    return Tables(
        tiers=tuple((float(start), int(tier)) for start, tier in table["tiers"]),
        unsupported=tuple(read_rule(row) for row in table["unsupported"]),
        attention=tuple(read_rule(row) for row in table["attention"]),
        precision=tuple(read_rule(row) for row in table["precision"]),
        memory=tuple(read_rule(row) for row in table["memory"]),
        cpu=tuple(zip(table["cpu"]["flags"], table["cpu"]["because"], strict=True)),
        groups={name: frozenset(flags) for name, flags in table["groups"].items()},
        dialect=dialect,
    )


@cache
def load_dialect(webui: str) -> Dialect:
    """Return how one WebUI is told things. Raises SDL-WEBUI-UNKNOWN."""
    table = read_table(webui)
    shell, secrets, python = table["shell"], table["secrets"], table["python"]
    cpu = table.get("torch_cpu", {})
    return Dialect(
        name=webui,
        python_version=python["version"],
        python_because=python["because"],
        python_variable=shell["python"],
        venv_variable=shell["venv"],
        reversed_scripts=shell.get("reversed", False),
        prefers_xformers=table["planning"]["prefers_xformers"],
        needs_torch=table["planning"].get("needs_torch", True),
        downloads_model=table["planning"].get("downloads_model", False),
        bare_torch_command=table["planning"].get("bare_torch_command", False),
        secret_file=secrets["file"],
        secret_argument=secrets.get("argument", ""),
        torch=tuple(read_torch_rule(row) for row in table.get("torch", ())),
        torch_cpu=(cpu.get("version", ""), cpu.get("torchvision", "")),
        translations={
            flag: Translation(tuple(row["to"]), row["because"]) for flag, row in table.get("translate", {}).items()
        },
        environment=tuple(
            EnvironmentRow(
                row["name"],
                row["value"],
                row["because"],
                read_conditions({key: value for key, value in row.items() if key != "name"}),
                row.get("advisory", ""),
                row.get("cuda", False),
            )
            for row in table.get("environment", ())
        ),
    )
