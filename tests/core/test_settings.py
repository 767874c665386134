"""Whose word counts: layers of settings, and wishes that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from sdlauncher.core.settings import Layer, Settings, resolve
from sdlauncher.errors import SdLauncherError

FILE = "/home/a/config.toml"


def test_the_first_layer_that_names_a_setting_wins_and_is_named() -> None:
    settings = resolve("x", [Layer("the command line", {"port": 7861}), Layer(FILE, {"port": 7862, "listen": True})])
    assert (settings.port, settings.places["port"]) == (7861, "the command line")
    assert (settings.listen, settings.places["listen"]) == (True, FILE)


def test_a_setting_that_nobody_named_has_its_default_and_no_place() -> None:
    settings = resolve("x", [])
    assert settings == Settings(instance="x")
    assert "port" not in settings.places


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("port", "7860", "a whole number"),
        ("port", True, "a whole number"),
        ("port", 0, "between 1 and 65535"),
        ("port", 65536, "between 1 and 65535"),
        ("listen", 1, "true or false"),
        ("model", "sd3", "one of auto, sd15, sdxl"),
        ("flags", "--api", "a list of texts"),
        ("flags", ["--api", 3], "a list of texts"),
        ("env", {"A": 1}, "a table of texts"),
        ("stop_timeout", -1, "between 0 and 1000000000"),
        ("hang_timeout", float("nan"), "between 0 and"),
        ("max_age", float("inf"), "between 1 and"),
        ("log_files", 10**400, "between 1 and"),
        ("hang_timeout", "soon", "a number"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_place_key_and_value(key: str, value: Any, expected: str) -> None:
    with pytest.raises(SdLauncherError) as caught:
        resolve("x", [Layer(FILE, {key: value})])
    assert caught.value.code == "SDL-CONFIG-VALUE"
    for word in (FILE, key, repr(value), expected):
        assert word in str(caught.value)


def test_a_value_hidden_by_a_better_layer_is_still_checked() -> None:
    with pytest.raises(SdLauncherError):
        resolve("x", [Layer("the command line", {"port": 7861}), Layer(FILE, {"port": "no"})])


def test_both_ends_of_the_port_range_are_ports() -> None:
    assert [resolve("x", [Layer(FILE, {"port": port})]).port for port in (1, 65535)] == [1, 65535]


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    with pytest.raises(SdLauncherError) as caught:
        resolve("x", [Layer(FILE, {"prot": 7860})])
    assert caught.value.code == "SDL-CONFIG-KEY"
    assert caught.value.describe().hint.endswith("port")
