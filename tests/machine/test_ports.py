"""Ports: free, taken, by whom, and the next one."""

from __future__ import annotations

import os
import socket

import pytest

from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.ports import find_free, find_owner, is_free, require_free_port


def test_a_listening_port_is_taken_and_its_owner_known() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert not is_free("0.0.0.0", port)
        assert find_owner(port).pid == os.getpid()
        following = find_free("127.0.0.1", port)
        assert following is not None
        assert following > port
        with pytest.raises(SdLauncherError) as caught:
            require_free_port("127.0.0.1", port)
        assert caught.value.code == "SDL-PORT-TAKEN"
        assert f"(pid {os.getpid()})" in str(caught.value)
        assert str(following) in caught.value.describe().hint
    assert is_free("127.0.0.1", port)


def test_a_connection_of_the_last_run_that_lingers_is_no_obstacle() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # The side that closes first keeps the port in TIME_WAIT.
            server.accept()[0].close()
    require_free_port("127.0.0.1", port)
