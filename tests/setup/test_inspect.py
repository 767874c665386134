"""What `inspect` says of an installation that is whole, and of one that somebody has been at."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import Cli
from tests.setup.world import World


def test_an_installation_that_is_as_it_should_be(cli: Cli, world: World) -> None:
    cli("install", "--webui", "a1111")
    found = cli("inspect", "--json").data
    assert found["as_released"] is True
    assert (found["webui"], found["commit"], found["release"]["commit"]) == ("a1111", world.program, world.program)
    assert found["repositories"] == [{"folder": "repositories/k-diffusion", "commit": world.side, "pinned": world.side}]
    assert (found["torch"], found["changed"], found["differing"]) == ("2.1.2", [], [])
    assert found["lock"].startswith("small-")


def test_what_somebody_changed_is_named(cli: Cli, world: World) -> None:
    checkout = Path(cli("install", "--webui", "a1111", "--json").data["dir"])
    (checkout / "webui.py").write_text("import modules  # mine\n")
    shutil.rmtree(next((checkout / "venv").glob("lib/python*/site-packages/openai_clip-*")))
    shutil.rmtree(checkout / "repositories" / "k-diffusion")
    ran = cli("inspect", "--json")
    assert ran.data["as_released"] is False
    assert ran.data["changed"] == ["webui.py"]
    assert ran.data["differing"] == [{"name": "openai-clip", "installed": None, "locked": "1.0.1"}]
    assert ran.data["repositories"][0]["commit"] is None
    text = cli("inspect").out
    assert "openai-clip" in text
    assert "- -> 1.0.1" in text


def test_what_comes_with_us_has_no_recipe_and_that_is_said(cli: Cli) -> None:
    cli("install", "--webui", "mini")
    for words in (("inspect",), ("repair",), ("bundle", "--webui", "mini")):
        ran = cli(*words, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (1, "SDL-INSTALL-NO-RECIPE")
        assert "comes with sdlauncher" in ran.json["error"]["message"]


def test_without_an_installation_it_says_so(cli: Cli, world: World) -> None:
    ran = cli("inspect", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "SDL-NOT-INSTALLED")
