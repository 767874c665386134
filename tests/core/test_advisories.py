"""Known breaks: whom they hit, how their cures combine, and that the catalog of them is sound."""

from __future__ import annotations

import re

import pytest

from sdlauncher.catalog import NAMES
from sdlauncher.catalog.recipe import describe_advisories, find_lock, load_advisories, load_recipe
from sdlauncher.catalog.signatures import load_signatures
from sdlauncher.core.advisories import Advisory, choose_advisories, combine
from sdlauncher.core.recipe import follow_pins, parse_lock

RECIPES = [name for name in NAMES if load_recipe(name) is not None]
GONE = Advisory("gone", ("x",), ("https://e/1",), webuis=("a1111",), before="1.10.2")


@pytest.mark.parametrize(
    ("webui", "version", "system", "off", "hit"),
    [
        ("a1111", "1.10.1", "linux", (), True),
        ("a1111", "v1.10.1", "linux", (), True),
        ("a1111", "1.10.2", "linux", (), False),
        ("a1111", "1.11.0", "linux", (), False),
        ("a1111", "1.9.4", "linux", (), True),
        ("a1111", "", "linux", (), True),
        ("forge", "1.10.1", "linux", (), False),
        ("a1111", "1.10.1", "linux", ("gone",), False),
        ("a1111", "1.10.1", "linux", ("other",), True),
    ],
)
def test_an_advisory_hits_whom_it_names(webui: str, version: str, system: str, off: tuple[str, ...], hit: bool) -> None:
    assert bool(choose_advisories([GONE], webui=webui, version=version, system=system, off=off)) is hit


def test_cures_combine_and_the_first_wins() -> None:
    one = Advisory("one", (), (), constraints=("numpy<2",), environment={"A": "1"}, repositories={"u": ("x",)})
    two = Advisory("two", (), (), constraints=("numpy<2", "torch<3"), environment={"A": "2", "B": "3"})
    cures = combine([one, two])
    assert cures.applied == ("one", "two")
    assert cures.constraints == ("numpy<2", "torch<3")
    assert cures.environment == {"A": "1", "B": "3"}
    assert cures.repositories == {"u": ("x",)}


def test_every_advisory_says_what_it_does_and_where_that_is_told() -> None:
    known = {signature.id for signature in load_signatures()}
    for advisory in load_advisories():
        texts = describe_advisories()[advisory.id]
        assert texts["en"], advisory.id
        assert texts["zh"], advisory.id
        assert all(reference.startswith("https://") for reference in advisory.references)
        assert advisory.references, advisory.id
        assert set(advisory.webuis) <= set(NAMES)
        assert set(advisory.signatures) <= known, advisory.id
        cures = (advisory.repositories, advisory.constraints, advisory.build_constraints, advisory.environment)
        assert any(cures), f"{advisory.id} cures nothing"
    assert len({advisory.id for advisory in load_advisories()}) == len(load_advisories())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_pins_commits_and_has_a_lock_for_every_python(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe is not None
    for repository in (recipe.program, *recipe.repositories):
        assert re.fullmatch(r"[0-9a-f]{40}", repository.commit)
        assert repository.url.startswith("https://")
    cures = combine(choose_advisories(load_advisories(), webui=name, version=recipe.version, system="linux"))
    for python in recipe.pythons:
        for system in ("linux", "windows"):
            lock = find_lock(recipe, python, system)
            assert lock is not None, (python, system)
            text = lock.read_text(encoding="utf-8")
            pinned = parse_lock(text)
            if "clip-build" in cures.applied:
                assert pinned["setuptools"] == "69.5.1", "newer ones break the build of CLIP"
                assert "openai-clip" in pinned
            assert pinned["numpy"].startswith("1.") or "numpy-2" not in cures.applied
            assert "torch" not in pinned, "which torch is right depends on the GPU"
            assert text.count("--hash=sha256:") >= len(pinned)
    assert ("setuptools<70" in cures.build_constraints) == ("clip-build" in cures.applied)


def test_pins_of_the_checkouts_own_text_win() -> None:
    recipe = load_recipe("a1111")
    assert recipe is not None
    other = "0" * 39 + "1"
    text = f"""k = os.environ.get('K_DIFFUSION_COMMIT_HASH', "{other}")\nx = os.environ.get('ASSETS_HASH', '{other}')"""
    pins = {it.variable: it.commit for it in follow_pins(recipe, text)}
    assert pins["K_DIFFUSION"] == other
    assert pins["ASSETS"] == other
    assert pins["BLIP"] == "48211a1594f1321b00f14c9f7a5b4813144b2fb9"
