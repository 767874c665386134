"""flags check on a checkout: its parsers and its extensions' are read, and not one line of them is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdlauncher.core.flags import ACCEPTED, REJECTED, UNKNOWN
from sdlauncher.setup.checkout_flags import check_flags, read_grammar

BOOBY_TRAP = "import sys, torch_that_is_not_there\nsys.exit('this must not be run')\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fork whose parser begins in another module, as Forge's and reForge's do."""
    files = {
        "modules/cmd_args.py": BOOBY_TRAP
        + "from backend.args import parser\nfrom other.modules import args_parser\n"
        + 'parser.add_argument("--api", action="store_true")\nparser.add_argument("--port", type=int)\n',
        "backend/args.py": BOOBY_TRAP + 'parser.add_argument("--always-gpu", action="store_true")\n',
        "other/modules/args_parser.py": BOOBY_TRAP + 'parser.add_argument("--fast", nargs="*")\n',
        "modules/elsewhere.py": 'parser.add_argument("--not-part-of-it", action="store_true")\n',
        "extensions-builtin/Lora/preload.py": BOOBY_TRAP + 'def preload(p):\n    p.add_argument("--lora-dir")\n',
        "extensions/good/preload.py": 'def preload(p):\n    p.add_argument("--good-dir", type=str)\n',
        "extensions/switched-off/preload.py": 'def preload(p):\n    p.add_argument("--off-dir", type=str)\n',
        "extensions/broken/preload.py": "def preload(:\n",
        "extensions/no-flags/scripts.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "config.json").write_text(json.dumps({"disabled_extensions": ["switched-off"]}))
    return tmp_path


def status(checkout: Path, *words: str) -> list[str]:
    return [answer.status for answer in check_flags(words, checkout=checkout, webui="forge")]


def test_every_parser_that_adds_up_to_the_checkouts_own_is_read(checkout: Path) -> None:
    assert set(read_grammar(checkout, "forge").options) == {
        "-h", "--help", "--api", "--port", "--always-gpu", "--fast", "--lora-dir", "--good-dir"
    }  # fmt: skip
    assert status(checkout, "--api", "--port", "1", "--always-gpu", "--fast", "a", "b") == [ACCEPTED] * 4


def test_the_checkout_has_the_last_word_and_not_the_catalog(checkout: Path) -> None:
    assert status(checkout, "--xformers") == [REJECTED]
    assert [answer.status for answer in check_flags(["--xformers"], checkout=None, webui="forge")] == [ACCEPTED]


def test_flags_of_an_extension_live_and_die_with_it(checkout: Path) -> None:
    assert status(checkout, "--good-dir", "x", "--lora-dir", "y") == [ACCEPTED, ACCEPTED]
    assert status(checkout, "--off-dir", "x") == [UNKNOWN]
    assert status(checkout, "--good-dir", "x", "--disable-all-extensions") == [UNKNOWN, REJECTED]
    (checkout / "config.json").write_text(json.dumps({"disable_all_extensions": "extra"}))
    assert status(checkout, "--good-dir", "x") == [UNKNOWN]
    (checkout / "config.json").write_text("broken")
    assert status(checkout, "--off-dir", "x") == [ACCEPTED]


def test_extensions_are_looked_for_where_the_data_is(checkout: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "extensions" / "far").mkdir(parents=True)
    (data / "extensions" / "far" / "preload.py").write_text('def preload(p): p.add_argument("--far")\n')
    assert status(checkout, "--far", "x", "--data-dir", str(data))[0] == ACCEPTED
    assert status(checkout, "--far", "x") == [UNKNOWN]


def test_a_checkout_without_a_parser_is_answered_from_the_catalog_and_its_extensions(tmp_path: Path) -> None:
    (tmp_path / "extensions" / "one").mkdir(parents=True)
    (tmp_path / "extensions" / "one" / "preload.py").write_text('def preload(p): p.add_argument("--one")\n')
    answers = check_flags(["--medvram", "--one", "x", "--two"], checkout=tmp_path, webui="mini")
    assert [answer.status for answer in answers] == [ACCEPTED, ACCEPTED, UNKNOWN]
