"""What the machine does differently on Linux and macOS: locks, spawning, process tables, signals and waiting."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import errno
    import fcntl
    import os
    import select
    import signal
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import contextmanager, suppress

    from sdlauncher.core.process import ProcessId

    TICKS = os.sysconf("SC_CLK_TCK")
    PAGE = os.sysconf("SC_PAGE_SIZE")
    TERM, KILL = int(signal.SIGTERM), int(signal.SIGKILL)
    WRITTEN = int(signal.SIGIO)
    _SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER

    def try_lock(descriptor: int) -> bool:
        """Take an exclusive lock on an open file without waiting; False if another process holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def wait_lock(descriptor: int, *, shared: bool) -> None:
        """Take a lock on an open file, waiting for it."""
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)

    def become_subreaper() -> None:
        """Make orphans of this process's descendants its children. Survives exec; Linux only, elsewhere nothing."""
        if sys.platform == "linux":
            import ctypes

            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def spawn(argv: Sequence[str], env: Mapping[str, str], output: int | None) -> int:
        """Start a program in a session of its own and return its pid; raises OSError when it cannot be started.

        It runs in our working directory, reads nothing and writes to the open file `output` (None: nowhere).
        """
        null = os.open(os.devnull, os.O_RDWR)
        target = null if output is None else output
        try:
            return os.posix_spawn(
                argv[0],
                list(argv),
                dict(env),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, target, 1),
                    (os.POSIX_SPAWN_DUP2, target, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGIO],
            )
        finally:
            os.close(null)

    def detach(argv: Sequence[str], keep: int, trouble: str) -> None:
        """Start a program in a session of its own whose parent is not us; raises OSError when we cannot fork."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            become_subreaper()
            null = os.open(os.devnull, os.O_RDWR)
            errors = os.open(trouble, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for target, source in ((0, null), (1, errors), (2, errors)):
                os.dup2(source, target)
            os.set_inheritable(keep, True)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execv(argv[0], list(argv))  # noqa: S606  no shell is wanted
        finally:
            os._exit(127)

    class Stat:
        """One row of the process table."""

        __slots__ = ("cpu_ticks", "pages", "parent", "pid", "session", "start", "state")

        def __init__(self, pid: int, fields: list[bytes]) -> None:
            self.pid = pid
            self.state = fields[0]
            self.parent = int(fields[1])
            self.session = int(fields[3])
            self.cpu_ticks = int(fields[11]) + int(fields[12])
            self.start = int(fields[19])
            self.pages = int(fields[21])

        @property
        def id(self) -> ProcessId:
            """Who it is."""
            return ProcessId(self.pid, self.start)

    def read_stat(pid: int) -> Stat | None:
        """Return one row of the process table, None when there is no such process."""
        text = _read(f"/proc/{pid}/stat")
        # The name stands in brackets and may hold brackets and blanks itself.
        return Stat(pid, text[text.rindex(b")") + 2 :].split()) if text else None

    def read_table() -> dict[int, Stat]:
        """Return the process table, without zombies."""
        found = {}
        for name in os.listdir("/proc"):  # noqa: PTH208  pathlib is not imported in the supervisor
            if name.isdigit() and (row := read_stat(int(name))) is not None and row.state != b"Z":
                found[row.pid] = row
        return found

    def has_environment(pid: int, entry: bytes) -> bool:
        """Whether a process was started with `NAME=value` in its environment, as far as we may look."""
        return entry in _read(f"/proc/{pid}/environ").split(b"\0")

    def moved_bytes(pid: int) -> int:
        """Return how many bytes a process has read and written so far, 0 where we may not look."""
        return sum(
            int(line.split()[1]) for line in _read(f"/proc/{pid}/io").splitlines() if line[:6] in (b"rchar:", b"wchar:")
        )

    def has_children(helpers: set[int]) -> bool:
        """Whether we have children besides `helpers`; True also where the system cannot tell."""
        text = _read(f"/proc/self/task/{os.getpid()}/children")
        if not text and not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # noqa: PTH110
            return True
        return any(int(pid) not in helpers for pid in text.split())

    def listening_sockets(port: int) -> set[str]:
        """Return the inodes of the TCP sockets that listen on a port, as `socket:[N]`."""
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in _read(table).decode().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{words[9]}]")
        return found

    def has_open(pid: int, links: set[str]) -> bool:
        """Whether a process has one of these files open, as far as we may look."""
        folder = f"/proc/{pid}/fd"
        with suppress(OSError):
            for name in os.listdir(folder):  # noqa: PTH208
                with suppress(OSError):
                    if os.readlink(f"{folder}/{name}") in links:  # noqa: PTH115
                        return True
        return False

    def shell(command: str) -> list[str]:
        """Return the argument vector that gives a command to the user's shell."""
        return ["/bin/sh", "-c", command]

    def count_oom_kills() -> int:
        """Return how many processes the kernel has killed for want of memory since boot."""
        for line in _read("/proc/vmstat").splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def boot() -> str:
        """Return what tells this boot from every other."""
        return _read("/proc/sys/kernel/random/boot_id").decode().strip()

    def _read(path: str) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return b""
        try:
            pieces = []
            while piece := os.read(descriptor, 1 << 16):
                pieces.append(piece)
            return b"".join(pieces)
        except OSError:
            return b""
        finally:
            os.close(descriptor)

    def send(process: ProcessId, number: int) -> bool:
        """Send a signal to exactly this process; False when it has gone (its pid may belong to another by now)."""
        with open_process(process) as descriptor:
            if descriptor is None:
                return False
            try:
                signal.pidfd_send_signal(descriptor, number)
            except ProcessLookupError:
                return False
            return True

    @contextmanager
    def open_process(process: ProcessId) -> Iterator[int | None]:
        """Hold a process so that its pid cannot be reused meanwhile; None when it is not there any more."""
        descriptor = hold(process)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def hold(process: ProcessId) -> int | None:
        """Open a pidfd, readable when the process ends; None when it has ended."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return None
        row = read_stat(process.pid)
        if row is None or row.start != process.create_time or row.state == b"Z":
            os.close(descriptor)
            return None
        return descriptor

    def reap() -> tuple[dict[int, int], bool]:
        """Collect every child that has ended: wait statuses by pid, and whether any child is left."""
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended, False
            if pid == 0:
                return ended, True
            ended[pid] = status

    def decode(status: int) -> tuple[int | None, str | None]:
        """Return the exit code, or the name of the signal, that a wait status tells."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            try:
                return None, signal.Signals(number).name
            except ValueError:
                return None, f"SIG{number}"
        return os.WEXITSTATUS(status), None

    class Waker:
        """The one place where the supervisor sleeps: until a signal, a request, log output, a descriptor or a time."""

        def __init__(self, control: str, folder: str, signals: Sequence[int]) -> None:
            self._poll = select.poll()
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
            for number in (*signals, signal.SIGCHLD, signal.SIGIO):
                signal.signal(number, _nothing)
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            make_fifo(control)
            # Open for reading and writing: a FIFO without a writer would be readable (at its end) for ever.
            self._control = os.open(control, os.O_RDWR | os.O_NONBLOCK)
            self._folder = os.open(folder, os.O_RDONLY)
            self._poll.register(self._pipe[0], select.POLLIN)
            self._poll.register(self._control, select.POLLIN)

        def watch_output(self) -> bool:
            """Ask to be woken once, at the next write in the folder; False where the system cannot do that."""
            try:
                fcntl.fcntl(self._folder, fcntl.F_NOTIFY, fcntl.DN_MODIFY)
            except (OSError, AttributeError):
                return False
            return True

        def watch(self, descriptor: int, *, writing: bool = False) -> None:
            """Wake when a descriptor can be read (or written)."""
            self._poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)

        def forget(self, descriptor: int) -> None:
            """Stop watching a descriptor."""
            with suppress(KeyError):
                self._poll.unregister(descriptor)

        def wait(self, seconds: float | None) -> tuple[set[int], set[int]]:
            """Sleep; return the signals that came and the descriptors that are ready. A request is signal 0."""
            ready = self._poll.poll(None if seconds is None else max(0, int(seconds * 1000 + 0.999)))
            signals: set[int] = set()
            others: set[int] = set()
            for descriptor, _ in ready:
                if descriptor == self._pipe[0]:
                    signals.update(_drain(descriptor))
                elif descriptor == self._control:
                    _drain(descriptor)
                    signals.add(0)
                else:
                    others.add(descriptor)
            return signals, others

    def _nothing(number: int, frame: object) -> None:
        """Leave a signal to the loop, which reads it from the wake-up pipe."""

    def _drain(descriptor: int) -> bytes:
        with suppress(BlockingIOError):
            return os.read(descriptor, 4096)
        return b""

    def make_fifo(path: str) -> None:
        """Make sure that `path` is a FIFO that only we can write to."""
        for _ in range(2):
            try:
                os.mkfifo(path, 0o600)
                return
            except FileExistsError:
                if (os.stat(path).st_mode & 0o170000) == 0o010000:  # noqa: PTH116
                    return
                os.unlink(path)  # noqa: PTH108

    def knock(path: str) -> bool:
        """Wake the supervisor that listens at `path`; False when nobody does."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return False
            raise
        try:
            os.write(descriptor, b".")
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return True
