"""Writes that are whole or not at all, and locks that die with their holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import lock, read_json, refuse_hidden, write_bytes, write_json
from tests.conftest import as_nobody


def test_a_written_file_keeps_its_permissions_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    file.chmod(0o755)
    write_bytes(file, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o755
    assert list(tmp_path.iterdir()) == [file]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "secret", {"password": "x"}, mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SdLauncherError) as caught:
        write_bytes(tmp_path / "file" / "below" / "a", b"x")
    assert caught.value.code == "SDL-FILE-WRITE"


@pytest.mark.parametrize("torn", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_object_of_ours_reads_as_absent(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "a").write_bytes(torn)
    assert read_json(tmp_path / "a") is None


def test_a_path_that_is_not_utf8_is_kept_whole(tmp_path: Path) -> None:
    odd = os.fsdecode(b"/home/\xff\xe4")
    write_json(tmp_path / "a", {"dir": odd})
    assert read_json(tmp_path / "a") == {"dir": odd}


def test_a_file_of_another_user_is_not_taken_for_none() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "a").touch(mode=0o000)
        with as_nobody():
            with pytest.raises(SdLauncherError, match="Permission denied") as caught:
                refuse_hidden(folder / "a")
            refuse_hidden(folder / "b")
    assert caught.value.code == "SDL-FILE-ACCESS"


def test_a_lock_is_exclusive_and_a_killed_holder_releases_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from sdlauncher.machine.files import lock\n"
        "with lock(pathlib.Path(sys.argv[1])) as ours: print(ours, flush=True); sys.stdin.read()"
    )
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with lock(file) as ours:
            assert not ours
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
    with lock(file) as ours:
        assert ours
