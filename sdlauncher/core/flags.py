"""Would a WebUI's parser take these arguments? argparse's own rules, on a grammar that was read and not run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from sdlauncher.core.launch import Reason
from sdlauncher.core.wishes import is_option

ACCEPTED: Final = "accepted"
IGNORED: Final = "ignored"
REJECTED: Final = "rejected"
UNKNOWN: Final = "unknown"


class Option(NamedTuple):
    """One option of a parser: its names, how many values it takes (`most` None: any number), and which.

    `kind` is int, float, json or text. Options of one `exclusive` group exclude each other.
    """

    names: tuple[str, ...]
    least: int = 0
    most: int | None = 0
    kind: str = "text"
    choices: tuple[str, ...] = ()
    exclusive: str = ""


class Grammar(NamedTuple):
    """All options of one WebUI. `takes_words` says that stray words are no error.

    `is_complete` is False where a parser makes option names at run time, which reading cannot see.
    """

    options: Mapping[str, Option]
    takes_words: bool = False
    is_complete: bool = True

    @classmethod
    def of(cls, options: Iterable[Option], *, takes_words: bool = False, is_complete: bool = True) -> Grammar:
        """Index options by their names; a later one takes the place of an earlier one."""
        return cls({name: option for option in options for name in option.names}, takes_words, is_complete)


class Notes(NamedTuple):
    """What is known of a WebUI's flags beyond its parser.

    `ignored` are accepted and read by nothing; `instead` names what does the same here, for flags of other WebUIs too.
    """

    webui: str
    ignored: frozenset[str] = frozenset()
    instead: Mapping[str, str] = MappingProxyType({})


class FlagCheck(NamedTuple):
    """The answer for one argument: accepted, ignored, rejected (known, but not here or not so) or unknown."""

    flag: str
    status: str
    suggestion: str
    reason: Reason

    @property
    def is_fatal(self) -> bool:
        """Whether the WebUI would refuse to start."""
        return self.status in (REJECTED, UNKNOWN)


def check_words(
    words: Sequence[str], grammar: Grammar, notes: Notes, elsewhere: Mapping[str, Iterable[str]]
) -> tuple[FlagCheck, ...]:
    """Answer for each argument of `words`; `elsewhere` maps each other WebUI to the flags that it knows."""
    results: list[FlagCheck] = []
    exclusive: dict[str, str] = {}
    takes_words = grammar.takes_words
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--" or not _is_flag(word, grammar):
            # Behind a double dash all are words, whatever they look like.
            start, at = at - 1, len(words) if word == "--" else at
            while at < len(words) and (words[at] == "--" or not _is_flag(words[at], grammar)):
                at = len(words) if words[at] == "--" else at + 1
            if not takes_words:
                results += [_stray(stray) for stray in words[start:at]]
            takes_words = False  # argparse has room for one run of words only
            continue
        found = _find_option(word, grammar)
        name = word.partition("=")[0]
        if len(found) != 1:
            start = at
            while at < len(words) and words[at] != "--" and not _is_flag(words[at], grammar):
                at += 1  # its values: the one answer says it all
            whole = " ".join((name, *words[start:at]))
            near = suggest_flag(name, grammar.options)
            if found:
                results.append(_explain_ambiguous(name, found))
            else:
                results.append(_explain_absent(name, whole, near, notes, elsewhere, is_complete=grammar.is_complete))
            continue
        full, option = found[0]
        values, taken = _take_values(word, words[at:], option, grammar)
        at += taken
        problem = _judge_values(full, option, values, has_equals="=" in word and word not in grammar.options)
        if problem is None and option.exclusive:
            first = exclusive.setdefault(option.exclusive, full)
            if first not in option.names:
                problem = Reason("SDL-FLAG-EXCLUSIVE", {"flag": full, "other": first})
        results.append(_answer(name, full, values, problem, notes))
    return tuple(results)


def suggest_flag(name: str, known: Iterable[str]) -> str:
    """Return the known flag that `name` was probably meant to be, "" if none is near."""
    wanted = name.lower().replace("_", "-")
    by_form = {flag.lower().replace("_", "-"): flag for flag in known}
    near = difflib.get_close_matches(wanted, by_form, n=1, cutoff=0.75)
    return by_form[near[0]] if near else ""


def _find_option(word: str, grammar: Grammar) -> list[tuple[str, Option]]:
    """Find the options a word may mean: argparse takes an exact name, else every one that it abbreviates."""
    if word in grammar.options:
        return [(word, grammar.options[word])]
    name = word.partition("=")[0]
    if name in grammar.options:
        return [(name, grammar.options[name])]
    if not name.startswith("--"):
        return []
    return [(full, option) for full, option in grammar.options.items() if full.startswith(name)]


def _is_flag(word: str, grammar: Grammar) -> bool:
    """Tell whether argparse takes a word for a flag: one with a space in it only if it is, or abbreviates, one."""
    return is_option(word) and (" " not in word or bool(_find_option(word, grammar)))


def _stray(word: str) -> FlagCheck:
    return FlagCheck(word, UNKNOWN, "", Reason("SDL-FLAG-STRAY", {"word": word}))


def _take_values(word: str, rest: Sequence[str], option: Option, grammar: Grammar) -> tuple[list[str], int]:
    if "=" in word and word not in option.names:
        return [word.partition("=")[2]], 0
    taken = 0
    while taken < len(rest) and (option.most is None or taken < option.most):
        if rest[taken] == "--" or _is_flag(rest[taken], grammar):
            break
        taken += 1
    return list(rest[:taken]), taken


def _judge_values(name: str, option: Option, values: Sequence[str], *, has_equals: bool) -> Reason | None:
    if option.most == 0:
        return Reason("SDL-FLAG-TAKES-NOTHING", {"flag": name}) if has_equals else None
    if len(values) < option.least:
        return Reason("SDL-FLAG-NEEDS-VALUE", {"flag": name})
    for value in values:
        if option.choices and value not in option.choices:
            return Reason("SDL-FLAG-CHOICES", {"flag": name, "value": value, "choices": ", ".join(option.choices)})
        if option.kind in _READERS:
            try:
                _READERS[option.kind](value)
            except ValueError:
                return Reason(_NOT_A[option.kind], {"flag": name, "value": value})
    return None


_READERS: Final[Mapping[str, Callable[[str], object]]] = {"int": int, "float": float, "json": json.loads}
_NOT_A: Final = {"int": "SDL-FLAG-NOT-INT", "float": "SDL-FLAG-NOT-FLOAT", "json": "SDL-FLAG-NOT-JSON"}


def _answer(name: str, full: str, values: Sequence[str], problem: Reason | None, notes: Notes) -> FlagCheck:
    # A note may be about one value of a flag: reForge reads `--precision half` and ignores `--precision full`.
    whole = " ".join((full, *values))
    instead = notes.instead.get(whole) or notes.instead.get(full, "")
    if problem is not None:
        return FlagCheck(name, REJECTED, "", problem)
    if full in notes.ignored or whole in notes.ignored:
        code = "SDL-FLAG-IGNORED-INSTEAD" if instead else "SDL-FLAG-IGNORED"
        facts: dict[str, object] = {"flag": full, "webui": notes.webui}
        return FlagCheck(name, IGNORED, instead, Reason(code, {**facts, "instead": instead} if instead else facts))
    if full != name:
        return FlagCheck(name, ACCEPTED, full, Reason("SDL-FLAG-ABBREVIATED", {"flag": name, "full": full}))
    if instead:
        return FlagCheck(name, ACCEPTED, instead, Reason("SDL-FLAG-PARTLY", {"flag": full, "instead": instead}))
    return FlagCheck(name, ACCEPTED, "", Reason("SDL-FLAG-ACCEPTED", {"webui": notes.webui}))


def _explain_ambiguous(name: str, found: Sequence[tuple[str, Option]]) -> FlagCheck:
    meanings = ", ".join(full for full, _ in found)
    return FlagCheck(name, REJECTED, found[0][0], Reason("SDL-FLAG-AMBIGUOUS", {"flag": name, "choices": meanings}))


def _explain_absent(
    name: str, whole: str, near: str, notes: Notes, elsewhere: Mapping[str, Iterable[str]], *, is_complete: bool
) -> FlagCheck:
    owners = ", ".join(webui for webui, flags in elsewhere.items() if name in flags)
    instead = notes.instead.get(whole) or notes.instead.get(name, "")
    facts: dict[str, object] = {"flag": name, "webui": notes.webui, "owners": owners or "-"}
    if instead:
        reason = Reason("SDL-FLAG-ELSEWHERE-INSTEAD", {**facts, "instead": instead})
        return FlagCheck(name, REJECTED, instead, reason)
    if owners:
        return FlagCheck(name, REJECTED, "", Reason("SDL-FLAG-ELSEWHERE", facts))
    if near:
        return FlagCheck(name, UNKNOWN, near, Reason("SDL-FLAG-TYPO", {"flag": name, "near": near}))
    code = "SDL-FLAG-UNKNOWN" if is_complete else "SDL-FLAG-UNREADABLE"
    return FlagCheck(name, UNKNOWN, "", Reason(code, {"flag": name, "webui": notes.webui}))
