"""The options that Python source declares for argparse, found by reading it and never by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sdlauncher.core.flags import Option

_FLAGLIKE: Final = {"store_true", "store_false", "store_const", "append_const", "count", "help", "version"}
_KINDS: Final = {"int": "int", "float": "float", "json.loads": "json"}


class Declared(NamedTuple):
    """What one source file declares; `is_complete` is False where a name is made at run time."""

    options: tuple[Option, ...]
    takes_words: bool
    is_complete: bool
    imports: tuple[tuple[str, str], ...]


def read_declarations(source: str, place: str) -> Declared:
    """Read every `add_argument` call. `imports` are (module, name) of imported things that are named like a parser.

    Raises SyntaxError (or ValueError for null bytes) for source that is no Python.
    """
    tree = ast.parse(source)
    exclusive = _find_exclusive_groups(tree, place)
    enums = _find_enums(tree)
    options: list[Option] = []
    takes_words = False
    is_complete = True
    for call in _find_calls(tree):
        names = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        if not names or len(names) != len(call.args):
            is_complete = False
            continue
        if not names[0].startswith("-"):
            takes_words = True
            continue
        group = exclusive.get(_receiver(call), "")
        options.append(_read_option(call, tuple(names), group, enums))
    imports = tuple(
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name.endswith("parser")
    )
    return Declared(tuple(options), takes_words, is_complete, imports)


def _find_calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            yield node


def _receiver(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return ast.unparse(call.func.value)


def _find_exclusive_groups(tree: ast.AST, place: str) -> dict[str, str]:
    groups: dict[str, str] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr == "add_mutually_exclusive_group"
        ):
            for target in node.targets:
                groups[ast.unparse(target)] = f"{place}:{ast.unparse(target)}"
    return groups


def _find_enums(tree: ast.AST) -> dict[str, tuple[str, ...]]:
    """Find classes that list words: as the type of an option they say which it takes."""
    return {
        node.name: tuple(
            item.value.value
            for item in node.body
            if isinstance(item, ast.Assign)
            and isinstance(item.value, ast.Constant)
            and isinstance(item.value.value, str)
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(parent).endswith("Enum") for parent in node.bases)
    }


def _read_option(
    call: ast.Call, names: tuple[str, ...], exclusive: str, enums: Mapping[str, tuple[str, ...]]
) -> Option:
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    action = given.get("action")
    if action is not None and ast.unparse(action).endswith("BooleanOptionalAction"):
        negated = tuple(f"--no-{name[2:]}" for name in names if name.startswith("--"))
        return Option(names + negated, exclusive=exclusive)
    if isinstance(action, ast.Constant) and action.value in _FLAGLIKE:
        return Option(names, exclusive=exclusive)
    least, most = _read_count(given.get("nargs"))
    kind = ast.unparse(given["type"]) if "type" in given else "text"
    return Option(
        names,
        least,
        most,
        _KINDS.get(kind, "text"),
        enums.get(kind) or _read_choices(given.get("choices"), kind),
        exclusive,
    )


def _read_count(nargs: ast.expr | None) -> tuple[int, int | None]:
    value = nargs.value if isinstance(nargs, ast.Constant) else None
    if isinstance(value, int):
        return value, value
    counts: dict[object, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None)}
    return counts.get(value, (1, 1))


def _read_choices(choices: ast.expr | None, kind: str) -> tuple[str, ...]:
    # A type of its own may turn words into anything before they are compared.
    if kind not in ("text", "str") or not isinstance(choices, (ast.List, ast.Tuple, ast.Set)):
        return ()
    words = [item.value for item in choices.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return tuple(words) if len(words) == len(choices.elts) else ()
