"""How a prompt is read: the WebUI's emphasis, and which word belongs to what in the picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sdlauncher.mini.model.vocabulary import (
    COLOURS,
    EFFECTS,
    GROUNDS,
    INDEX,
    LEADING_TO_GROUND,
    PLACES,
    SCENES,
    SHAPES,
    SILENT,
    SIZES,
    SYNONYMS,
    TEXTURES,
)

_KINDS: dict[str, str] = {
    word: kind
    for kind, words in (
        ("shape", SHAPES), ("colour", tuple(COLOURS)), ("texture", TEXTURES), ("size", SIZES),
        ("place", PLACES), ("effect", EFFECTS), ("scene", SCENES),
    )
    for word in words
}  # fmt: skip
_OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}

_EXTRA_NETWORK = re.compile(r"<[^<>:]+:[^<>]*>")
_SCHEDULED = re.compile(r"\[([^\[\]:|]*):([^\[\]:|]*):\s*[\d.]+\s*\]")
_ALTERNATING = re.compile(r"\[([^\[\]|]*)\|[^\[\]]*\]")
_EMPHASIS = re.compile(r"\\[()\[\]\\]|\(|\[|:\s*([+-]?\d*\.?\d+)\s*\)|\)|\]|[^\\()\[\]:]+|\\|:")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[,.;]")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a prompt says: rows of the model's vocabulary with their weights, and the words it does not know."""

    weights: dict[int, float]
    unknown: tuple[str, ...]


def split_emphasis(prompt: str) -> list[tuple[str, float]]:
    """Part a prompt into pieces of text and their weights, after AUTOMATIC1111's rules.

    `(text)` weighs 1.1, `[text]` 1 / 1.1, `(text:1.3)` 1.3; `\\(` is a plain bracket; brackets left open count as
    closed at the end. Extra networks (`<lora:name:1>`) and BREAK are taken out. Of `[from:to:when]` the `to` remains,
    of `[one|other]` the first: this model reads its prompt once.
    """
    prompt = re.sub(r"\b(?:BREAK|AND)\b", ",", _EXTRA_NETWORK.sub(" ", prompt))
    prompt = _ALTERNATING.sub(r"\1", _SCHEDULED.sub(r"\2", prompt))
    pieces: list[tuple[str, float]] = []
    round_open: list[int] = []
    square_open: list[int] = []

    def weigh(since: int, factor: float) -> None:
        pieces[since:] = [(text, weight * factor) for text, weight in pieces[since:]]

    for match in _EMPHASIS.finditer(prompt):
        text, factor = match.group(), match.group(1)
        if text == "(":
            round_open.append(len(pieces))
        elif text == "[":
            square_open.append(len(pieces))
        elif factor is not None and round_open:
            weigh(round_open.pop(), float(factor))
        elif text == ")" and round_open:
            weigh(round_open.pop(), 1.1)
        elif text == "]" and square_open:
            weigh(square_open.pop(), 1 / 1.1)
        else:
            pieces.append((text.removeprefix("\\"), 1.0))
    for since in round_open:
        weigh(since, 1.1)
    for since in square_open:
        weigh(since, 1 / 1.1)
    return pieces


def _known(word: str) -> str:
    """Give the model's own word for a word, its plural or its synonym; or the word itself."""
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        meant = SYNONYMS.get(form, form)
        if meant in _KINDS:
            return meant
    return word


def _words(prompt: str) -> Iterator[tuple[str, str, float]]:
    """Yield each word of a prompt as it stands, the model's word for it, and its weight."""
    for text, weight in split_emphasis(prompt):
        for match in _WORD.finditer(text):
            whole = match.group()
            for part in [whole] if _known(whole.lower()) in _KINDS else re.split("[-'’]", whole):
                yield part, _known(part.lower()), weight


@dataclass(slots=True)
class _Sentence:
    """What has been understood so far."""

    tokens: dict[str, float] = field(default_factory=dict)
    waiting: list[tuple[str, str, float]] = field(default_factory=list)  # adjectives that look for their noun
    subjects: int = 0
    after_on: bool = False

    def say(self, role: str, word: str, weight: float) -> None:
        if not any(token.startswith(f"{role}:") for token in self.tokens) or role in ("place", "effect"):
            self.tokens.setdefault(f"{role}:{word}", weight)

    def settle(self, roles: dict[str, str]) -> None:
        """Give the waiting adjectives to a noun, whose roles by kind are given; it has no use for the others."""
        for kind, word, weight in self.waiting:
            if kind in roles:
                self.say(roles[kind], word, weight)
        self.waiting.clear()


_FIRST = {kind: kind for kind in ("colour", "texture", "size", "effect")}
_SECOND = {"colour": "second_colour"}
_GROUND = {"colour": "ground", "texture": "ground_texture"}


def read_prompt(prompt: str) -> Reading:
    """Understand a prompt: adjectives belong to the noun after them, what is left over to the subject or the ground."""
    sentence = _Sentence()
    unknown: dict[str, None] = {}
    night = any(word == "night" for _, word, _ in _words(prompt))
    for written, word, weight in _words(prompt):
        kind = _KINDS.get(word)
        if kind == "shape" and f"shape:{word}" in sentence.tokens and not sentence.waiting:
            continue
        if kind == "shape" and word == "star" and night and written.lower() == "stars":
            continue  # "a night sky full of stars" has them already
        if kind == "shape" and sentence.subjects < 2:
            sentence.after_on = False
            sentence.say("second_shape" if sentence.subjects else "shape", word, weight)
            sentence.settle(_SECOND if sentence.subjects else _FIRST)
            sentence.subjects += 1
        elif kind == "scene":
            sentence.say("scene", word, weight)
            if sentence.after_on or sentence.subjects:
                sentence.settle({})
            sentence.after_on = False
        elif kind == "place":
            if sentence.subjects < 2:
                sentence.say("place", word, weight)
            elif word in _OPPOSITE:
                sentence.say("place", _OPPOSITE[word], weight)
        elif kind in _FIRST:
            sentence.waiting.append((str(kind), word, weight))
        elif word in GROUNDS:
            sentence.settle(_GROUND)
            sentence.after_on = False
        elif word in LEADING_TO_GROUND:
            if sentence.subjects == 1:
                sentence.settle(_FIRST)
            sentence.after_on = True
        elif word in {",", ".", ";", "and"}:
            if sentence.after_on and sentence.waiting:
                sentence.settle(_GROUND)
            sentence.after_on = False
        elif word not in SILENT:
            unknown.setdefault(written)
    sentence.settle(_GROUND if sentence.after_on else _FIRST)
    if any(token.startswith("second_shape:") for token in sentence.tokens) and "place:centre" in sentence.tokens:
        del sentence.tokens["place:centre"]
    return Reading({INDEX[token]: weight for token, weight in sentence.tokens.items()}, tuple(unknown))
