"""What the machine does differently on Windows: locks, spawning into a job object, handles and waiting.

A job object holds every process of a launch, so that none is orphaned. It does not kill them when its last handle is
closed: a supervisor that dies must not take the WebUI with it.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import _winapi
    import ctypes
    import msvcrt
    import os
    import signal
    import subprocess  # noqa: TID251  the one way to a process group and inherited handles without a compiler
    import time
    from collections.abc import Mapping, Sequence
    from ctypes import wintypes

    from sdlauncher.core.crash import name_status
    from sdlauncher.core.process import ProcessId
    from sdlauncher.machine._psutil import read_row

    TERM, KILL = int(signal.SIGTERM), 9
    WRITTEN = -1  # writes are not told here; the log is looked at in short intervals
    _POLL = 0.02  # seconds between two looks at a socket, for which there is no handle to wait on
    _MOST_HANDLES = 63
    _SYNCHRONIZE, _TERMINATE, _QUERY, _SET_QUOTA = 0x100000, 0x1, 0x1000, 0x100
    _EVENT_MODIFY = 0x2
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    for _name in ("OpenProcess", "CreateEventW", "OpenEventW", "CreateJobObjectW"):
        getattr(_kernel, _name).restype = wintypes.HANDLE

    _children: dict[int, subprocess.Popen[bytes]] = {}
    _jobs: dict[int, int] = {}

    def try_lock(descriptor: int) -> bool:
        """Take an exclusive lock on an open file without waiting; False if another process holds it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def wait_lock(descriptor: int, *, shared: bool) -> None:
        """Take a lock on an open file, waiting for it; a shared one is as good as an exclusive one here."""
        while not try_lock(descriptor):
            time.sleep(_POLL)

    def become_subreaper() -> None:
        """Nothing to do: the job object keeps the tree together."""

    def spawn(argv: Sequence[str], env: Mapping[str, str], output: int | None) -> int:
        """Start a program in a process group and a job of its own; raises OSError when it cannot be started.

        It reads from NUL, so that the `pause` at the end of webui.bat returns at once instead of waiting for a key.
        """
        target = subprocess.DEVNULL if output is None else output
        child = subprocess.Popen(
            list(argv),
            env={"SYSTEMROOT": os.environ.get("SYSTEMROOT", r"C:\\Windows"), **env},
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        job = _kernel.CreateJobObjectW(None, None)
        # Between start and assignment cmd.exe has not read its script yet, let alone started a child.
        if job and _kernel.AssignProcessToJobObject(job, int(child._handle)):  # type: ignore[attr-defined]
            _jobs[child.pid] = job
        _children[child.pid] = child
        return child.pid

    def detach(argv: Sequence[str], keep: int, trouble: str) -> None:
        """Start a program without our console and outside our job; raises OSError when it cannot be started."""
        handle = msvcrt.get_osfhandle(keep)
        os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        with open(trouble, "wb") as errors:  # noqa: PTH123
            for extra in (subprocess.CREATE_BREAKAWAY_FROM_JOB, 0):
                try:
                    subprocess.Popen(
                        list(argv),
                        stdin=subprocess.DEVNULL,
                        stdout=errors,
                        stderr=errors,
                        close_fds=True,
                        startupinfo=startup,
                        creationflags=flags | extra,
                    )
                    return
                except PermissionError:
                    # Whoever put us into a job may forbid to leave it.
                    if not extra:
                        raise

    def shell(command: str) -> list[str]:
        """Return the argument vector that gives a command to the user's shell."""
        return [os.environ.get("COMSPEC", "cmd.exe"), "/d", "/c", command]

    def send(process: ProcessId, number: int) -> bool:
        """End exactly this process; False when it has gone. Asking is only possible of the head of a group of ours."""
        handle = hold(process, _TERMINATE)
        if handle is None:
            return False
        try:
            if number == KILL:
                if process.pid in _jobs:
                    _kernel.TerminateJobObject(_jobs[process.pid], 1)
                return bool(_kernel.TerminateProcess(handle, 1))
            if process.pid in _children:
                os.kill(process.pid, signal.CTRL_BREAK_EVENT)
            return True
        except OSError:
            return False
        finally:
            let_go(handle)

    def hold(process: ProcessId, rights: int = 0) -> int | None:
        """Open a handle that tells when the process ends; None when it has ended."""
        handle = _kernel.OpenProcess(_SYNCHRONIZE | _QUERY | rights, False, process.pid)
        if not handle:
            return None
        row = read_row(process.pid)
        if row is None or row.id != process:
            let_go(handle)
            return None
        return int(handle)

    def let_go(handle: int) -> None:
        """Close what `hold` opened."""
        _winapi.CloseHandle(handle)

    def wait_end(handle: int, seconds: float) -> bool:
        """Wait until a process that is held has ended; False when the time is over."""
        return _winapi.WaitForSingleObject(handle, int(seconds * 1000)) == _winapi.WAIT_OBJECT_0

    def wait_readable(descriptor: int, seconds: float) -> bool:
        """Wait until a pipe can be read or is at its end; False when the time is over."""
        handle, deadline = msvcrt.get_osfhandle(descriptor), time.monotonic() + seconds
        while True:
            try:
                if _winapi.PeekNamedPipe(handle, 0)[0]:
                    return True
            except OSError:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)

    def give(descriptor: int) -> int:
        """Return the number by which a child knows a descriptor that it inherits."""
        return msvcrt.get_osfhandle(descriptor)

    def take_inherited(number: int) -> int:
        """Take a handle that our parent gave us; our own children do not get it."""
        os.set_handle_inheritable(number, False)
        return msvcrt.open_osfhandle(number, os.O_WRONLY)

    def never_wait(descriptor: int) -> None:
        """Leave it as it is: what we tell fits into the pipe's buffer, and its reader reads."""

    def takes_output(descriptor: int) -> bool:
        """Whether an open file takes a small write now without waiting: nobody tells, so it is tried."""
        return True

    def send_datagram(address: str, data: bytes) -> None:
        """Nothing: no service manager of Windows listens on a local socket."""

    def fork() -> int:
        """Fail: there is no fork here, and nobody asks for it (see LogWatch)."""
        raise OSError("no fork on Windows")

    def free_bytes(path: str) -> int | None:
        """Return how much room is left for us where `path` lies."""
        free = ctypes.c_ulonglong()
        return free.value if _kernel.GetDiskFreeSpaceExW(path, ctypes.byref(free), None, None) else None

    def reap() -> tuple[dict[int, int], bool]:
        """Collect every child that has ended: exit codes by pid, and whether any child is left."""
        ended = {pid: code for pid, child in _children.items() if (code := child.poll()) is not None}
        for pid in ended:
            del _children[pid]
            if pid in _jobs:
                let_go(_jobs.pop(pid))
        return ended, bool(_children)

    def decode(status: int) -> tuple[int | None, str | None]:
        """Return the exit code, or the name of the exception that ended a process."""
        name = name_status(status)
        return (None, name) if name else (status, None)

    def keep_descriptors() -> None:
        """Nothing to do: handles are inherited only where that is asked for."""

    class Waker:
        """The one place where the supervisor sleeps: until a request, the end of a process, a socket or a time."""

        def __init__(self, control: str, folder: str, signals: Sequence[int]) -> None:
            self._control = _kernel.CreateEventW(None, False, False, _event_name(control))
            self._handles: list[int] = []
            self._sockets: set[int] = set()
            self._came: set[int] = set()
            for number in (signal.SIGINT, signal.SIGBREAK):
                signal.signal(number, lambda number, frame: self._came.add(2))

        def watch_output(self) -> bool:
            """Ask to be woken at the next write: Windows does not tell, so the log is looked at."""
            return False

        def watch(self, descriptor: int, *, writing: bool | None = None) -> None:
            """Wake when a process ends (a handle) or, with `writing` given, when a socket may be ready."""
            if writing is None:
                self._handles.append(descriptor)
            else:
                self._sockets.add(descriptor)

        def forget(self, descriptor: int) -> None:
            """Stop watching."""
            self._sockets.discard(descriptor)
            if descriptor in self._handles:
                self._handles.remove(descriptor)

        def wait(self, seconds: float | None) -> tuple[set[int], set[int]]:
            """Sleep; return the signals that came and the descriptors that are ready. A request is signal 0."""
            # Signals interrupt no wait here, and children of ours that nobody holds are polled: a second at most.
            seconds = min(1.0 if seconds is None else seconds, _POLL if self._sockets else 1.0)
            handles = [self._control, *self._handles[:_MOST_HANDLES]]
            which = _winapi.WaitForMultipleObjects(handles, False, int(seconds * 1000)) - _winapi.WAIT_OBJECT_0
            signals, self._came = self._came, set()
            ready = set(self._sockets)
            if which == 0:
                signals.add(0)
            elif 0 < which < len(handles):
                ready.add(handles[which])
            return signals, ready

    def knock(path: str) -> bool:
        """Wake the supervisor that listens at `path`; False when nobody does."""
        event = _kernel.OpenEventW(_EVENT_MODIFY, False, _event_name(path))
        if not event:
            return False
        _kernel.SetEvent(event)
        let_go(event)
        return True

    def _event_name(path: str) -> str:
        return "Local\\sdlauncher-" + path.lower().replace("\\", "/").replace("/", "|")[-200:]
