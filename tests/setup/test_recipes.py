"""The recipes of the catalog: complete, locked for each of their Pythons, and at one with the rest of the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sdlauncher.catalog
from sdlauncher.catalog import NAMES
from sdlauncher.catalog.planning import load_dialect
from sdlauncher.catalog.recipe import find_lock, load_recipe
from sdlauncher.core.recipe import Recipe, choose_overrides, parse_hashes, parse_lock, restate

INSTALLED = [name for name in NAMES if name != "mini"]


def recipe_of(webui: str) -> Recipe:
    recipe = load_recipe(webui)
    assert recipe is not None
    return recipe


@pytest.mark.parametrize("webui", INSTALLED)
def test_every_webui_has_a_recipe_whose_pins_are_commits(webui: str) -> None:
    recipe = recipe_of(webui)
    for repository in (recipe.program, *recipe.repositories, *recipe.packages):
        assert re.fullmatch(r"[0-9a-f]{40}", repository.commit), repository
        assert repository.url.startswith("https://github.com/")
        assert repository.url.endswith(".git")


@pytest.mark.parametrize("webui", INSTALLED)
def test_the_python_that_is_planned_is_one_that_is_installed(webui: str) -> None:
    assert load_dialect(webui).python_version in recipe_of(webui).pythons


@pytest.mark.parametrize("webui", INSTALLED)
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_each_python_has_a_lock_with_hashes_and_without_torch(webui: str, system: str) -> None:
    recipe = recipe_of(webui)
    for python in recipe.pythons:
        lock = find_lock(recipe, python, system)
        assert lock is not None, (python, system)
        text = lock.read_text()
        pinned, hashes = parse_lock(text), parse_hashes(text)
        assert {"gradio", "fastapi", "numpy", "pip"} <= set(pinned)
        assert set(hashes) == set(pinned)
        assert all(hashes.values())
        foreign = [name for name in pinned if re.match(r"(torch|torchvision|triton|xformers|nvidia-|cuda-)\b", name)]
        assert foreign == [], "torch and what only torch brings are chosen for the GPU"
        assert not {package.folder for package in recipe.packages} & set(pinned), "they come from their repositories"


def test_no_lock_names_an_index_and_none_is_left_over() -> None:
    folder = Path(sdlauncher.catalog.__file__).parent / "locks"
    used = {
        find_lock(recipe_of(webui), python, system)
        for webui in INSTALLED
        for python in recipe_of(webui).pythons
        for system in ("linux", "windows")
    }
    assert {file for file in folder.iterdir() if file.suffix == ".txt"} == used
    for file in used:
        assert file is not None
        assert "://" not in file.read_text()
        assert "index-url" not in file.read_text()


def test_a_newer_checkout_has_the_last_word_over_the_overrides() -> None:
    recipe = recipe_of("sdnext")
    assert "pillow==12.2.0" in recipe.override
    chosen = choose_overrides(recipe, "# standard\nPillow==12.9.0  # newer\nwebsockets\n")
    assert "Pillow==12.9.0" in chosen
    assert "websockets" in chosen
    assert "numpy==2.1.2" in chosen
    assert not any(line.startswith(("diffusers", "transformers")) for line in recipe.extra)


def test_what_a_webui_never_finds_met_is_told_to_it_in_other_words() -> None:
    """reForge takes a comment for a package that is missing, and the wheel from GitHub is not the one in our lock."""
    asked = "setuptools==69.5.1  # a fix\n# For adetailer\n\nhttps://github.com/x/pydantic-fixreforge/y.whl\nwheel\n"
    told = restate(recipe_of("reforge"), asked).splitlines()
    assert told == ["setuptools==69.5.1  # a fix", "wheel", "pydantic==1.10.26"]
    own = "einops==0.8.0\n"
    assert restate(recipe_of("reforge"), own) == own


@pytest.mark.parametrize("python", recipe_of("sdnext").pythons)
@pytest.mark.parametrize("system", ["linux", "windows"])
def test_sdnext_finds_what_it_would_install_in_the_middle_of_its_first_start(python: str, system: str) -> None:
    """Its list of upscalers does so (modules/postprocess/realesrgan_model.py), which needs a network."""
    lock = find_lock(recipe_of("sdnext"), python, system)
    assert lock is not None
    assert {"addict", "yapf"} <= parse_lock(lock.read_text()).keys()
