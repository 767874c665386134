"""What the machine does differently on Linux and macOS: locks, spawning, process tables, signals and waiting."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    import errno
    import fcntl
    import os
    import select
    import signal
    from collections.abc import Mapping, Sequence

    from sdlauncher.core.process import ProcessId
    from sdlauncher.machine._linux import read_row

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
            # What the terminal, a pipeline or `make` lent us must not stay open as long as the program lives.
            os.closerange(3, keep)
            os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
            os.set_inheritable(keep, True)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.execv(argv[0], list(argv))  # noqa: S606  no shell is wanted
        finally:
            os._exit(127)

    def shell(command: str) -> list[str]:
        """Return the argument vector that gives a command to the user's shell."""
        return ["/bin/sh", "-c", command]

    def send(process: ProcessId, number: int) -> bool:
        """Send a signal to exactly this process; False when it has gone (its pid may belong to another by now)."""
        descriptor = hold(process)
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def hold(process: ProcessId) -> int | None:
        """Open a pidfd, readable when the process ends; None when it has ended."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return None
        row = read_row(process.pid)
        if row is None or row.id != process:
            os.close(descriptor)
            return None
        return descriptor

    def let_go(descriptor: int) -> None:
        """Close what `hold` opened."""
        os.close(descriptor)

    def wait_readable(descriptor: int, seconds: float) -> bool:
        """Wait until an open file can be read or is at its end; False when the time is over."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    wait_end = wait_readable

    def give(descriptor: int) -> int:
        """Return the number by which a child knows a descriptor that it inherits."""
        return descriptor

    def take_inherited(number: int) -> int:
        """Take a descriptor that our parent gave us; our own children do not get it."""
        os.set_inheritable(number, False)
        return number

    def never_wait(descriptor: int) -> None:
        """Let writes to an open file fail rather than wait."""
        os.set_blocking(descriptor, False)

    def free_bytes(path: str) -> int | None:
        """Return how much room is left for us where `path` lies."""
        try:
            room = os.statvfs(path)
        except OSError:
            return None
        return room.f_bavail * room.f_frsize

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

    def keep_descriptors() -> None:
        """Give no open file but stdin, stdout and stderr to any program that we start."""
        for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"):  # noqa: PTH208
            if int(name) > 2:
                try:
                    os.set_inheritable(int(name), False)
                except OSError:
                    continue  # the one that listed the folder

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

        def watch(self, descriptor: int, *, writing: bool | None = None) -> None:
            """Wake when a descriptor can be read, or written; `writing` is only given for sockets and pipes."""
            self._poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)

        def forget(self, descriptor: int) -> None:
            """Stop watching a descriptor."""
            try:
                self._poll.unregister(descriptor)
            except KeyError:
                return

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

    def takes_output(descriptor: int) -> bool:
        """Whether an open file takes a small write now without waiting."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return bool(poll.poll(0))

    def send_datagram(address: str, data: bytes) -> None:
        """Send one datagram to a local socket; one that is full or gone stops nobody."""
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            try:
                channel.sendto(data, address)
            except OSError:
                return

    def fork() -> int:
        """Go on in two processes: 0 in the new one, in ours its pid."""
        return os.fork()

    def _nothing(number: int, frame: object) -> None:
        """Leave a signal to the loop, which reads it from the wake-up pipe."""

    def _drain(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 4096)
        except BlockingIOError:
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
