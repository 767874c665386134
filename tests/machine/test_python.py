"""Interpreters: found where they are, shims that fail passed over, environments read from their files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.python import ask_python, find_python, normalise, read_environment
from tests.setup.repositories import write_tree

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_running_one_is_found_first() -> None:
    found = find_python([HERE])
    assert found is not None
    assert found.minor == HERE
    assert found.executable.exists()


def shim(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def test_a_shim_that_fails_is_passed_over_for_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "3.10" if HERE != "3.10" else "3.11"
    bad = shim(tmp_path / "shims", f"python{other}", "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    answer = f"{sys.executable} {other}.9"
    shim(tmp_path / "good", f"python{other}", f"#!/bin/sh\necho '{answer}'\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'good'}:/usr/bin:/bin")
    assert ask_python(bad) is None
    found = find_python([other])
    assert found is not None
    assert found.version == f"{other}.9"


def test_the_one_that_was_named_must_run(tmp_path: Path) -> None:
    found = find_python(["3.0"], named=sys.executable)
    assert found is not None
    assert found.minor == HERE
    with pytest.raises(SdLauncherError) as caught:
        find_python(["3.0"], named=str(tmp_path / "nothing"))
    assert caught.value.code == "SDL-PYTHON-NAMED"


def test_none_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_python(["2.99"]) is None


def test_an_environment_is_read_from_its_files(tmp_path: Path) -> None:
    packages = tmp_path / "v" / "lib" / "python3.10" / "site-packages"
    write_tree(tmp_path / "v", {"pyvenv.cfg": "home = /usr/bin\nversion_info = 3.10.13\n", "bin/python": ""})
    (packages / "Open_Clip.Torch-2.20.0.dist-info").mkdir(parents=True)
    (packages / "torch-2.1.2+cu121.dist-info").mkdir()
    found = read_environment(tmp_path / "v")
    assert found is not None
    assert found.version == "3.10.13"
    assert found.packages == {"open-clip-torch": "2.20.0", "torch": "2.1.2+cu121"}
    (tmp_path / "v" / "bin" / "python").unlink()
    assert read_environment(tmp_path / "v") is None, "its interpreter is gone"
    assert read_environment(tmp_path) is None


def test_names_are_compared_as_the_index_does() -> None:
    assert normalise("Open_Clip.Torch") == "open-clip-torch"
