"""Whether a checkout would accept arguments: its own parsers and its extensions' are read, never imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sdlauncher.catalog.flags import load_grammar, load_names, load_notes, load_parser_files
from sdlauncher.core import jsontext
from sdlauncher.core.flags import FlagCheck, Grammar, Option, check_words
from sdlauncher.core.parsers import Declared, read_declarations
from sdlauncher.core.wishes import group_words, name_of, value_of

# Every ArgumentParser has them.
_HELP: Final = Option(("-h", "--help"))


def check_flags(args: Sequence[str], *, checkout: Path | None, webui: str) -> tuple[FlagCheck, ...]:
    """Answer for each argument whether `webui` would take it; from the catalog where there is no checkout.

    Raises SDL-WEBUI-UNKNOWN.
    """
    grammar = load_grammar(webui) if checkout is None else read_grammar(checkout, webui, args)
    return check_words(args, grammar, load_notes(webui), load_names(but=webui))


def read_grammar(checkout: Path, webui: str, args: Sequence[str] = ()) -> Grammar:
    """Read the parsers of a checkout; `args` may say where its extensions are.

    A checkout without a parser of its own, such as Mini WebUI's, has the catalog's, and its extensions' beside it.
    """
    own = [declared for file in _find_parser_files(checkout, webui) if (declared := _read_file(file)) is not None]
    beside = [declared for file in _find_preloads(checkout, args) if (declared := _read_file(file)) is not None]
    known = load_grammar(webui)
    options = [_HELP] if own else list(known.options.values())
    options += [option for declared in (*own, *beside) for option in declared.options]
    return Grammar.of(
        options,
        takes_words=any(declared.takes_words for declared in own) if own else known.takes_words,
        is_complete=all(declared.is_complete for declared in (*own, *beside)),
    )


def _find_parser_files(checkout: Path, webui: str) -> Iterator[Path]:
    """Yield the files that make the WebUI's own parser, in the order in which they add to it."""
    for name in load_parser_files(webui):
        file = checkout / name
        if file.is_file():
            yield from _follow_imports(checkout, file)
            yield file


def _find_preloads(checkout: Path, args: Sequence[str]) -> Iterator[Path]:
    """Yield the preload.py of each extension that the WebUI would ask for flags."""
    yield from sorted((checkout / "extensions-builtin").glob("*/preload.py"))
    given = {name_of(group): value_of(group) for group in group_words(args)}
    data = checkout / given.get("--data-dir", "")
    disabled = _read_disabled(checkout / given.get("--ui-settings-file", data / "config.json"))
    if disabled is None or "--disable-all-extensions" in given or "--disable-extra-extensions" in given:
        return
    for file in sorted((data / "extensions").glob("*/preload.py")):
        if file.parent.name not in disabled:
            yield file


def _read_file(file: Path) -> Declared | None:
    """Read one file; None for one that is no Python: in the WebUI it fails too, which says so and goes on without."""
    try:
        return read_declarations(file.read_text(encoding="utf-8", errors="replace"), file.name)
    except (OSError, SyntaxError, ValueError):
        return None


def _follow_imports(checkout: Path, file: Path) -> Iterator[Path]:
    """Yield the modules of the checkout from which a parser is imported, e.g. Forge's backend/args.py."""
    declared = _read_file(file)
    for module, name in declared.imports if declared is not None else ():
        path = checkout.joinpath(*module.split("."))
        for candidate in (path / f"{name}.py", path.with_suffix(".py")):
            if candidate.is_file():
                yield candidate
                break


def _read_disabled(settings: Path) -> frozenset[str] | None:
    """Return which extensions the WebUI's own settings switch off, None for all of them."""
    try:
        stored = jsontext.loads(settings.read_text(encoding="utf-8"))
        if stored.get("disable_all_extensions", "none") != "none":
            return None
        return frozenset(stored.get("disabled_extensions", ()))
    except (OSError, ValueError, AttributeError):
        return frozenset()
