"""Process trees on this machine: who belongs to one, who does not, and that a pid alone is never believed."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdlauncher.core.process import ProcessId
from sdlauncher.machine import process
from sdlauncher.machine.process import MARK, Tree


@pytest.fixture
def mark() -> Iterator[str]:
    made = secrets.token_hex(8)
    yield made

    def left() -> list[int]:
        process.reap()
        there = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [int(entry.name) for entry in there if f"{MARK}={made}".encode() in _environment(entry)]

    for pid in left():
        os.kill(pid, signal.SIGKILL)
    _wait(lambda: not left())


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


def _wait(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _spawn(script: str, mark: str) -> Tree:
    pid = process.spawn(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"], MARK: mark}, None)
    root = process.identify(pid)
    assert root is not None
    return Tree(root, mark, owned=False)


def test_children_grandchildren_and_the_detached_belong_to_the_tree(mark: str) -> None:
    tree = _spawn("sleep 60 & (sleep 61 &) ; setsid sleep 62 & wait", mark)
    _wait(lambda: len(tree.members()) == 4)
    assert tree.members()[0] == tree.root
    process.kill(tree.members())
    _wait(lambda: not tree.members())


def test_what_forgot_its_environment_is_known_by_its_session_or_parent(mark: str) -> None:
    tree = _spawn("env -i sleep 60 & env -i setsid sleep 61 & wait", mark)
    _wait(lambda: len(tree.members()) == 3)
    process.kill(tree.members())


def test_a_stranger_is_no_member_whatever_its_pid(mark: str) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        there = process.identify(stranger.pid)
        assert there is not None
        # The notes name its pid, as they would after a reuse: the time of its birth does not fit.
        tree = Tree(ProcessId(stranger.pid, there.create_time - 1), mark, owned=False)
        assert tree.members() == []
        process.kill([tree.root])
        process.terminate([tree.root])
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_has_ended_is_nobody(mark: str) -> None:
    tree = _spawn("sleep 0.2; exit 3", mark)
    _wait(lambda: not process.is_alive(tree.root))
    assert process.identify(tree.root.pid) is None
    assert process.hold(tree.root) is None
    ended, left = process.reap()
    assert process.decode(ended[tree.root.pid]) == (3, None)
    assert not left


def test_how_it_ended_is_told(mark: str) -> None:
    tree = _spawn("sleep 0.2; kill -SEGV $$", mark)
    _wait(lambda: not process.is_alive(tree.root))
    assert process.decode(process.reap()[0][tree.root.pid]) == (None, "SIGSEGV")


def test_usage_counts_the_whole_tree(mark: str) -> None:
    burn = f"{sys.executable} -c 'x = bytearray(50_000_000)\nwhile True: pass'"
    tree = _spawn(f"{burn} & wait", mark)
    _wait(lambda: (used := process.add_usage(tree.members())).memory_rss > 50_000_000 and used.cpu_seconds > 0.1)
    largest = process.find_largest(tree.members())
    assert largest is not None
    assert largest != tree.root
    process.kill(tree.members())


def test_what_cannot_be_started_is_an_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        process.spawn(["/no/such/program"], {}, None)


def test_who_has_lost_its_first_thread_only_is_still_there(mark: str, tmp_path: Path) -> None:
    """A WebUI that dies goes thread by thread, and has its port until the last one has gone."""
    program = """
import ctypes, socket, sys, threading, time
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(600,)).start()
open(sys.argv[1], "w").write(str(server.getsockname()[1]))
ctypes.CDLL(None).pthread_exit(None)
"""
    told = tmp_path / "port"
    pid = process.spawn([sys.executable, "-c", program, str(told)], {**os.environ, MARK: mark}, None)
    root = process.identify(pid)
    assert root is not None
    _wait(lambda: told.exists() and told.read_text() and b") Z " in Path(f"/proc/{pid}/stat").read_bytes())
    tree = Tree(root, mark, owned=True)
    assert process.is_alive(root) and tree.members() == [root]
    process.kill(tree.members())
    _wait(lambda: not process.is_alive(root))
    assert tree.members() == []
