"""Prompts are read as a person means them."""

from __future__ import annotations

import pytest

from sdlauncher.mini.model.prompt import read_prompt, split_emphasis
from sdlauncher.mini.model.vocabulary import INDEX, SYNONYMS, TOKENS


def said(prompt: str) -> set[str]:
    return {TOKENS[row] for row in read_prompt(prompt).weights}


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("a red circle on a blue background", "shape:circle colour:red ground:blue"),
        ("blue background, red circle", "ground:blue shape:circle colour:red"),
        ("red, circle, blue background", "ground:blue shape:circle colour:red"),
        ("circle, red", "shape:circle colour:red"),
        ("a heart on blue", "shape:heart ground:blue"),
        ("red heart against black, glowing", "shape:heart colour:red ground:black effect:glowing"),
        ("a big yellow star in the night sky", "shape:star colour:yellow size:big scene:night"),
        ("a night sky full of stars with a moon", "scene:night shape:moon"),
        ("a boat on the blue sea", "shape:boat scene:sea"),
        ("a red heart and a blue star", "shape:heart colour:red second_shape:star second_colour:blue"),
        ("a heart and a star on white", "shape:heart second_shape:star ground:white"),
        ("a cat on the left and a fish on the right", "shape:cat place:left second_shape:fish"),
        ("a cat and a fish on the left", "shape:cat second_shape:fish place:right"),
        ("tiny house in the top left corner, snow", "shape:house size:small place:top place:left scene:snow"),
        ("polka dot mushroom", "texture:dotted shape:mushroom"),
        ("striped ring, dotted pink background", "texture:striped shape:ring ground_texture:dotted ground:pink"),
        ("cat under a blue sky", "shape:cat ground:blue"),
        ("golden kittens", "shape:cat colour:yellow"),
        ("red", "colour:red"),
        ("", ""),
    ],
)
def test_words_find_what_they_belong_to(prompt: str, tokens: str) -> None:
    assert said(prompt) == set(tokens.split())


def test_words_without_meaning_are_reported_as_written() -> None:
    reading = read_prompt("masterpiece, 8k photo of a Red circle by Greg, masterpiece, 圓")
    assert reading.unknown == ("masterpiece", "8k", "Greg", "圓")
    assert {TOKENS[row] for row in reading.weights} == {"shape:circle", "colour:red"}


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("plain", [("plain", 1.0)]),
        ("(up)", [("up", 1.1)]),
        ("[down]", [("down", 1 / 1.1)]),
        ("a (very:1.5) b", [("a ", 1.0), ("very", 1.5), (" b", 1.0)]),
        ("((twice))", [("twice", 1.21)]),
        ("(left open", [("left open", 1.1)]),
        (r"\(plain\)", [("(", 1.0), ("plain", 1.0), (")", 1.0)]),
        ("<lora:thing:0.8>cat", [(" cat", 1.0)]),
        ("[red:blue:0.5]", [("blue", 1.0)]),
        ("[red|blue]", [("red", 1.0)]),
    ],
)
def test_emphasis_follows_the_webui(prompt: str, pieces: list[tuple[str, float]]) -> None:
    assert [text for text, _ in split_emphasis(prompt)] == [text for text, _ in pieces]
    assert [weight for _, weight in split_emphasis(prompt)] == pytest.approx([weight for _, weight in pieces])


def test_emphasis_reaches_the_tokens() -> None:
    weights = read_prompt("a (red:1.4) circle BREAK [blue background]").weights
    assert weights[INDEX["colour:red"]] == pytest.approx(1.4)
    assert weights[INDEX["ground:blue"]] == pytest.approx(1 / 1.1)
    assert weights[INDEX["shape:circle"]] == 1


@pytest.mark.parametrize(
    "prompt", ["((((", "]])):1.2)", "[[a:b", "(:1.5)", "\\", "<lora", "(red:1e9)", "::::", "[|]", "\0"]
)
def test_broken_markup_breaks_nothing(prompt: str) -> None:
    read_prompt(prompt)


def test_each_synonym_means_a_word_that_exists() -> None:
    words = {token.split(":")[1] for token in TOKENS}
    assert set(SYNONYMS.values()) <= words
    assert not set(SYNONYMS) & words
