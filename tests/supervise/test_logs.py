"""The log: bounded, whole, and readable across rotations and restarts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sdlauncher.supervise.logs import open_log, read_layout, write_layout
from sdlauncher.supervise.rotation import rotate, start_afresh
from sdlauncher.supervise.tail import Stream, follow, plain
from tests.supervise.conftest import Instance, wait_for

MIB = 1 << 20
# A file system that can take blocks off the front of a file, and one that can only make a hole there.
FOLDERS = [pytest.param(None, id="disk"), pytest.param(Path("/dev/shm"), id="tmpfs")]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place: Path | None = request.param
    if place is None:
        return tmp_path
    made = place / f"sdlauncher-test-{os.getpid()}-{tmp_path.name}"
    made.mkdir()
    request.addfinalizer(lambda: [*map(Path.unlink, made.iterdir()), made.rmdir()])
    return made


def _lines(first: int, count: int) -> bytes:
    return b"".join(b"%09d %s\n" % (number, b"x" * (number % 150)) for number in range(first, first + count))


def _all(log: Path) -> bytes:
    stream, at, pieces = Stream(log), 0, []
    while (read := stream.read(at))[0]:
        pieces.append(read[0])
        at = read[1]
    return b"".join(pieces)


@pytest.mark.parametrize("folder", FOLDERS, indirect=True)
def test_rotation_under_a_writer_loses_and_tears_nothing(folder: Path) -> None:
    log = folder / "webui.log"
    script = (
        "import os\nfor first in range(0, 40000, 100):\n"
        " os.write(1, b''.join(b'%09d %s\\n' % (n, b'x' * (n % 150)) for n in range(first, first + 100)))"
    )
    output = open_log(str(log))
    writer = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], stdout=output)
    os.close(output)
    while writer.poll() is None:
        rotate(str(log), upto=read_layout(str(log)).removed + log.stat().st_size, size=MIB // 4, keep=1000)
    rotate(str(log), upto=read_layout(str(log)).removed + log.stat().st_size, size=MIB // 4, keep=1000)
    assert _all(log) == _lines(0, 40000)
    rotated = sorted(log.parent.glob("webui.log.[0-9]*"))
    assert len(rotated) > 8
    for part in rotated:
        assert re.match(rb"\d{9} x*\n", part.read_bytes())
        assert part.read_bytes().endswith(b"\n")
    # What people see in the live file with any other program: whole lines behind blanks (or a hole).
    live = log.read_bytes().lstrip(b"\0").lstrip(b" ").lstrip(b"\n")
    assert _lines(0, 40000).endswith(live)
    assert log.stat().st_blocks * 512 < MIB


@pytest.mark.parametrize("folder", FOLDERS, indirect=True)
def test_old_files_are_dropped(folder: Path) -> None:
    log = folder / "webui.log"
    log.write_bytes(_lines(0, 40000))
    rotate(str(log), upto=log.stat().st_size, size=MIB // 4, keep=2)
    assert len(list(folder.glob("webui.log.[0-9]*"))) == 2
    assert _lines(0, 40000).endswith(_all(log))
    assert len(_all(log)) > MIB // 2


def test_a_rotation_that_was_killed_is_undone_or_finished(tmp_path: Path) -> None:
    log = tmp_path / "webui.log"
    log.write_bytes(_lines(0, 20000))
    end = 10 * 65536 + 17
    # Killed before the front was cut off: the copy goes.
    (tmp_path / "webui.log.1").write_bytes(log.read_bytes()[:end])
    write_layout(str(log), read_layout(str(log))._replace(pending=end))
    rotate(str(log), upto=0, size=MIB, keep=3)
    assert _all(log) == _lines(0, 20000)
    assert not (tmp_path / "webui.log.1").exists()
    # Killed after it: the note is made up for.
    whole = log.read_bytes()
    (tmp_path / "webui.log.1").write_bytes(whole[:end])
    write_layout(str(log), read_layout(str(log))._replace(pending=end))
    log.write_bytes(whole[10 * 65536 :])
    rotate(str(log), upto=0, size=MIB, keep=3)
    assert _all(log) == _lines(0, 20000)


def test_a_rotation_that_was_killed_behind_its_hole_is_finished(tmp_path: Path) -> None:
    log = tmp_path / "webui.log"
    end = 10 * 65536 + 17
    (tmp_path / "webui.log.1").write_bytes(_lines(0, 20000)[:end])
    log.write_bytes(b"\0" * (10 * 65536) + _lines(0, 20000)[10 * 65536 :])
    write_layout(str(log), read_layout(str(log))._replace(pending=end))
    rotate(str(log), upto=0, size=MIB, keep=3)
    assert _all(log) == _lines(0, 20000)


def test_where_nothing_can_be_cut_the_log_begins_afresh(tmp_path: Path) -> None:
    log = tmp_path / "webui.log"
    log.write_bytes(_lines(0, 1000))
    start_afresh(str(log), keep=3)
    assert not log.exists()
    log.write_bytes(_lines(1000, 1000))
    assert _all(log) == _lines(0, 2000)


def test_the_last_lines_reach_into_rotated_files(tmp_path: Path) -> None:
    log = tmp_path / "webui.log"
    log.write_bytes(_lines(0, 20000))
    rotate(str(log), upto=log.stat().st_size, size=MIB // 8, keep=100)
    stream = Stream(log)
    for count in (0, 1, 7, 19999, 20000, 30000):
        assert stream.last_lines(count)[0] == _lines(max(0, 20000 - count), min(count, 20000))


def test_following_goes_on_across_rotations(tmp_path: Path) -> None:
    log = tmp_path / "webui.log"
    log.write_bytes(b"")
    over = threading.Event()
    heard: list[bytes] = []
    follower = threading.Thread(target=lambda: heard.extend(follow(Stream(log), 0, until=over.is_set)))
    follower.start()
    output = open_log(str(log))
    for first in range(0, 20000, 500):
        os.write(output, _lines(first, 500))
        end = read_layout(str(log)).removed + log.stat().st_size
        rotate(str(log), upto=end, size=MIB // 8, keep=100)
    os.close(output)
    over.set()
    follower.join(10)
    assert b"".join(heard) == _lines(0, 20000)


def test_of_a_progress_bar_a_pipe_gets_the_last_picture() -> None:
    assert plain("  0%|   | 0/2\r 50%|#  | 1/2\r100%|###| 2/2\nnext\n") == "100%|###| 2/2\nnext\n"
    assert plain("Total: 1/2\x1b[A\r\n") == "Total: 1/2\n"
    assert plain("INFO     Starting SD.Next          \n  in the next") == "INFO     Starting SD.Next\n  in the next"
    assert plain("\x1b[31mred\x1b[0m stays\n") == "\x1b[31mred\x1b[0m stays\n"


def test_a_flood_is_bounded_whole_and_no_trouble(instance: Instance) -> None:
    instance.start("flood=20", log_size_mib=1, log_files=1000)
    wait_for(lambda: _all(instance.files.log).endswith(b"flood is over\n"), 30)
    numbers = [int(line[:9]) for line in _all(instance.files.log).splitlines() if re.match(rb"\d{9} x{89}$", line)]
    assert numbers == list(range(200000))
    wait_for(lambda: instance.files.log.stat().st_blocks * 512 < 2 * MIB)
    assert instance.status().state == "running"


def test_a_flood_with_few_files_takes_little_disk(instance: Instance) -> None:
    instance.start("flood=10", log_size_mib=1, log_files=3)
    wait_for(lambda: _all(instance.files.log).endswith(b"flood is over\n"), 30)
    wait_for(lambda: _disk(instance.files.root) < 5 * MIB)
    assert all(oct(file.stat().st_mode)[-3:] == "600" for file in instance.files.root.glob("webui.log*"))


def _disk(folder: Path) -> int:
    # Measured while files come and go.
    sizes = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, timeout=10, check=False).stdout
    return int(sizes.split()[0]) << 10
