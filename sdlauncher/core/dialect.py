"""How one WebUI differs from AUTOMATIC1111 in what it is told: its flags, its shell variables, its torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sdlauncher.core.rules import Conditions, Rule, TorchRule


class Translation(NamedTuple):
    """What stands in for one flag of AUTOMATIC1111; `because` says why, or why nothing is needed."""

    flags: tuple[str, ...]
    because: str


class EnvironmentRow(NamedTuple):
    """One environment variable that this WebUI should start with; `advisory` is the known break that it cures.

    `cuda` rows are for a WebUI that computes on a GPU, the others for every one.
    """

    name: str
    value: str
    because: str
    when: Conditions
    advisory: str = ""
    cuda: bool = False


class Dialect(NamedTuple):
    """One WebUI's way of being told things.

    `secret_file` takes the path of a file of `user:password` lines; `secret_argument` takes the words themselves and
    is empty where the file protects the API too. `reversed_scripts`: webui-user.sh starts webui.sh, not the other way.
    `bare_torch_command`: TORCH_COMMAND is what follows `pip install`.
    """

    name: str
    python_version: str
    python_because: str
    python_variable: str
    venv_variable: str
    reversed_scripts: bool
    prefers_xformers: bool
    needs_torch: bool
    downloads_model: bool
    bare_torch_command: bool
    secret_file: str
    secret_argument: str
    torch: tuple[TorchRule, ...]
    torch_cpu: tuple[str, str]
    translations: Mapping[str, Translation]
    environment: tuple[EnvironmentRow, ...]


class Tables(NamedTuple):
    """All data that planning decides by: the tables common to every WebUI, and the dialect of one."""

    tiers: tuple[tuple[float, int], ...]
    unsupported: tuple[Rule, ...]
    attention: tuple[Rule, ...]
    precision: tuple[Rule, ...]
    memory: tuple[Rule, ...]
    cpu: tuple[tuple[str, str], ...]
    groups: Mapping[str, frozenset[str]]
    dialect: Dialect
