"""Settings on disk: the user's file is read and never written, an instance remembers what it was told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.paths import Paths, locate_paths
from sdlauncher.machine.settings import read_settings, remember


@pytest.fixture
def paths(home: Path) -> Paths:
    return locate_paths()


def _config(paths: Paths, text: str | bytes) -> None:
    paths.config.mkdir(parents=True)
    paths.config_file.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_the_command_line_beats_memory_beats_the_instance_table_beats_the_file(paths: Paths) -> None:
    _config(paths, 'port = 1\nwebui = "forge"\nmodel = "sdxl"\n[instances.a]\nport = 2\nwebui = "mini"\n')
    assert read_settings(paths, "b").port == 1
    assert read_settings(paths, "a").port == 2
    remember(paths.instance("a"), {"port": 3})
    assert read_settings(paths, "a").port == 3
    spoken = read_settings(paths, "a", {"port": 4, "webui": None})
    assert (spoken.port, spoken.webui, spoken.model) == (4, "mini", "sdxl")
    assert spoken.places["port"] == "the command line"
    assert spoken.places["webui"].endswith("config.toml [instances.a]")


def test_memory_keeps_what_was_not_said_again(paths: Paths) -> None:
    files = paths.instance("a")
    remember(files, {"webui": "mini", "dir": "some/where", "port": 7861})
    remember(files, {"port": 7862})
    settings = read_settings(paths, "a")
    assert (settings.webui, settings.port) == ("mini", 7862)
    assert settings.dir == str(Path("some/where").absolute())


def test_a_broken_file_is_named_with_its_line_and_left_alone(paths: Paths) -> None:
    _config(paths, 'port = 7860\nwebui = "mini\n')
    with pytest.raises(SdLauncherError) as caught:
        read_settings(paths, "a")
    assert caught.value.code == "SDL-CONFIG-SYNTAX"
    assert str(paths.config_file) in str(caught.value)
    assert "line 2" in str(caught.value)
    assert paths.config_file.read_text() == 'port = 7860\nwebui = "mini\n'


def test_a_file_with_a_byte_order_mark_is_read(paths: Paths) -> None:
    _config(paths, b"\xef\xbb\xbfport = 7865\r\n")
    assert read_settings(paths, "a").port == 7865


def test_a_file_in_another_encoding_is_refused_in_one_sentence(paths: Paths) -> None:
    _config(paths, "dir = 'd:/模型目录'".encode("gbk"))
    with pytest.raises(SdLauncherError) as caught:
        read_settings(paths, "a")
    assert caught.value.code == "SDL-FILE-READ"


def test_an_instance_table_that_is_no_table_is_refused(paths: Paths) -> None:
    _config(paths, "[instances]\na = 3\n")
    with pytest.raises(SdLauncherError) as caught:
        read_settings(paths, "a")
    assert caught.value.code == "SDL-CONFIG-VALUE"


def test_memory_that_a_crash_tore_is_forgotten_not_fatal(paths: Paths) -> None:
    files = paths.instance("a")
    remember(files, {"port": 7861})
    files.remembered.write_text('{"port": 78')
    assert read_settings(paths, "a").port is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_a_name_that_is_no_folder_name_is_refused(paths: Paths, name: str) -> None:
    with pytest.raises(SdLauncherError) as caught:
        read_settings(paths, name)
    assert caught.value.code == "SDL-INSTANCE-NAME"
