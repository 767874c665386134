"""The contenders of scripts/bench: ours, the rivals, and the floor (a supervisor of a few lines), behind one face."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The command as it is installed, which is how rivals are measured too.
OURS = str(Path(sys.executable).parent / "sdlauncher")
LOG_SIZE = 16 << 20
LOG_FILES = 40


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (said := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        time.sleep(0.005)
    return said


def find_tools(folder: Path) -> dict[str, Path]:
    """Install the rivals below `folder` through their own package managers, and return what is there by name."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "py" / "bin" / "python"
    if not (python.parent / "supervisord").exists():
        _try(
            sys.executable, "-m", "uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder / "py"
        )
        _try(
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "supervisor",
            "circus",
            "setuptools<81",
        )
    if shutil.which("npm") and not (folder / "pm2" / "node_modules").exists():
        (folder / "pm2").mkdir(exist_ok=True)
        (folder / "pm2" / "package.json").write_text('{"private": true}')
        _try("npm", "install", "--silent", "--prefix", folder / "pm2", "pm2")
    if shutil.which("apt-get") and not (folder / "root").exists():
        packages = ("runit", "s6", "execline", "libskarnet2.13", "libexecline2.9", "libs6-2.11")
        _try("apt-get", "-q", "download", *packages, cwd=folder)
        for package in folder.glob("*.deb"):
            _try("dpkg", "-x", package, folder / "root")
    places = [python.parent, folder / "pm2" / "node_modules" / ".bin", folder / "root" / "usr" / "bin"]
    names = ("supervisord", "supervisorctl", "circusd", "circusctl", "pm2", "runsv", "sv", "svlogd")
    names += ("s6-supervise", "s6-svc", "s6-log", "s6-svstat")
    return {name: place / name for name in names for place in places if (place / name).exists()}


def _try(*words: str | Path, cwd: Path | None = None) -> None:
    try:
        subprocess.run([str(word) for word in words], cwd=cwd, check=False, timeout=300, capture_output=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{words[0]}: {error}", file=sys.stderr)


class Contender:
    """One way to keep a program alive. `grace` is what it gives a program that ignores SIGTERM, in seconds."""

    name = ""

    def __init__(self, work: Path, tools: dict[str, Path], argv: Sequence[str], *, grace: float, log: bool) -> None:
        self.work = work / self.name
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.tools = tools
        self.argv = list(argv)
        self.grace = grace
        self.log = log
        self.env = {**os.environ}
        self.daemon: subprocess.Popen[bytes] | None = None

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return True

    def start(self) -> None:
        raise NotImplementedError

    def stop_words(self) -> list[str]:
        raise NotImplementedError

    def status_words(self) -> list[str] | None:
        return None

    def logged(self) -> bytes:
        files = [*self.work.rglob("log*"), *self.work.rglob("@*.[su]"), *self.work.rglob("current")]
        return b"".join(file.read_bytes() for file in files if file.is_file())

    def supervisors(self) -> list[int]:
        assert self.daemon is not None
        return [self.daemon.pid]

    def close(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait(20)

    def _daemon(self, *words: str | Path) -> None:
        out = (self.work / "daemon.out").open("wb")
        self.daemon = subprocess.Popen([str(w) for w in words], cwd=self.work, env=self.env, stdout=out, stderr=out)


class Floor(Contender):
    """The least a supervisor can do: what is measured against."""

    name = "floor"

    def start(self) -> None:
        self._daemon(sys.executable, "-I", "-S", __file__, "floor", self.work / "log", str(self.grace), *self.argv)

    def stop_words(self) -> list[str]:
        assert self.daemon is not None
        pid = self.daemon.pid
        # What any command line in Python with click costs, and the one signal.
        code = f"import click, os, select; fd = os.pidfd_open({pid}); os.kill({pid}, 15); select.select([fd], [], [])"
        return [sys.executable, "-c", code]


class Ours(Contender):
    name = "sdlauncher"

    def start(self) -> None:
        from sdlauncher.core.lifecycle import Policy
        from sdlauncher.core.readiness import Patterns
        from sdlauncher.machine.paths import InstancePaths
        from sdlauncher.supervise import control
        from sdlauncher.supervise.spec import LaunchSpec

        self.env["SDLAUNCHER_HOME"] = str(self.work)
        self.files = InstancePaths("default", self.work / "state" / "default")
        never = Patterns(*["(?!)"] * 6)
        policy = Policy(backoff_first=0.0, stop_timeout=self.grace, restart_limit=10**6, log_files=LOG_FILES)
        spec = LaunchSpec("default", "mini", str(self.work), tuple(self.argv), {}, str(self.work), "127.0.0.1", 9, "",
                          never, "none", policy)  # fmt: skip
        self.pid = control.start(self.files, spec, until_ready=False).supervisor_pid or 0

    def stop_words(self) -> list[str]:
        return [OURS, "stop"]

    def status_words(self) -> list[str]:
        return [OURS, "status"]

    def supervisors(self) -> list[int]:
        return [self.pid]

    def logged(self) -> bytes:
        from sdlauncher.supervise.tail import Stream

        stream, at, pieces = Stream(self.files.log), 0, []
        while (read := stream.read(at))[0]:
            pieces.append(read[0])
            at = read[1]
        return b"".join(pieces)

    def close(self) -> None:
        from sdlauncher.supervise import control

        control.stop(self.files, timeout=0.1)


class Supervisord(Contender):
    name = "supervisord"

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return "supervisord" in tools

    def start(self) -> None:
        log = f"stdout_logfile={self.work}/log\nstdout_logfile_maxbytes={LOG_SIZE}\nstdout_logfile_backups={LOG_FILES}"
        (self.work / "conf").write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={self.work}/daemon.log\npidfile={self.work}/pid\n"
            f"[unix_http_server]\nfile={self.work}/s\n[supervisorctl]\nserverurl=unix://{self.work}/s\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:child]\ncommand={' '.join(self.argv)}\nautorestart=true\nstartsecs=0\nstartretries=1000000\n"
            f"stopwaitsecs={max(1, round(self.grace))}\n{log if self.log else 'stdout_logfile=NONE'}\n"
        )
        self._daemon(self.tools["supervisord"], "-c", self.work / "conf")
        wait_for((self.work / "s").exists)

    def stop_words(self) -> list[str]:
        return [str(self.tools["supervisorctl"]), "-c", str(self.work / "conf"), "stop", "child"]

    def status_words(self) -> list[str]:
        return [str(self.tools["supervisorctl"]), "-c", str(self.work / "conf"), "status"]


class Circus(Contender):
    name = "circus"

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return "circusd" in tools

    def start(self) -> None:
        ends = [f"ipc://{self.work}/{name}" for name in ("e", "p", "s")]
        log = f"stdout_stream.class=FileStream\nstdout_stream.filename={self.work}/log\n"
        log += f"stdout_stream.max_bytes={LOG_SIZE}\nstdout_stream.backup_count={LOG_FILES}\n"
        (self.work / "conf").write_text(
            f"[circus]\nendpoint={ends[0]}\npubsub_endpoint={ends[1]}\nstats_endpoint={ends[2]}\nstatsd=0\n"
            f"[watcher:child]\ncmd={' '.join(self.argv)}\ncopy_env=True\nmax_retry=-1\n"
            f"graceful_timeout={self.grace:g}\n{log if self.log else ''}"
        )
        self._daemon(self.tools["circusd"], self.work / "conf")

    def _control(self, *words: str) -> list[str]:
        return [str(self.tools["circusctl"]), "--endpoint", f"ipc://{self.work}/e", "--timeout", "30", *words]

    def stop_words(self) -> list[str]:
        return self._control("stop", "child", "--waiting")

    def status_words(self) -> list[str]:
        return self._control("status")


class Pm2(Contender):
    name = "pm2"

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return "pm2" in tools

    def start(self) -> None:
        self.env["PM2_HOME"] = str(self.work / "home")
        app = {"name": "child", "script": self.argv[0], "args": self.argv[1:], "interpreter": "none"}
        app |= {"kill_timeout": round(self.grace * 1000), "max_restarts": 10**6, "min_uptime": 0, "restart_delay": 0}
        app |= {"out_file": str(self.work / "log") if self.log else "/dev/null", "error_file": "/dev/null"}
        (self.work / "apps.json").write_text(json.dumps({"apps": [app]}))
        self._run("start", self.work / "apps.json")
        self.pid = int((self.work / "home" / "pm2.pid").read_text())

    def _run(self, *words: str | Path) -> None:
        argv = [str(self.tools["pm2"]), *map(str, words)]
        subprocess.run(argv, env=self.env, check=True, capture_output=True, timeout=60)

    def stop_words(self) -> list[str]:
        return [str(self.tools["pm2"]), "stop", "child"]

    def status_words(self) -> list[str]:
        return [str(self.tools["pm2"]), "ls"]

    def supervisors(self) -> list[int]:
        return [self.pid]

    def close(self) -> None:
        self._run("kill")


class Runit(Contender):
    name = "runit"

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return "runsv" in tools

    def start(self) -> None:
        service = self.work / "service"
        (service / "log").mkdir(parents=True)
        _script(service / "run", "exec " + " ".join(self.argv))
        (self.work / "lines").mkdir()
        (self.work / "lines" / "config").write_text(f"s{LOG_SIZE}\nn{LOG_FILES}\n")
        _script(service / "log" / "run", f"exec {self.tools['svlogd']} -b 65536 {self.work}/lines")
        if not self.log:
            shutil.rmtree(service / "log")
        self._daemon(self.tools["runsv"], service)
        wait_for((service / "supervise" / "ok").exists)

    def stop_words(self) -> list[str]:
        # `force-stop` waits for -w seconds and then kills.
        service = str(self.work / "service")
        return [str(self.tools["sv"]), "-w", str(max(1, round(self.grace))), "force-stop", service]

    def status_words(self) -> list[str]:
        return [str(self.tools["sv"]), "status", str(self.work / "service")]


class S6(Contender):
    """s6-supervise and s6-log alone: s6-svscan and the waiting commands insist on being installed in /usr/bin."""

    name = "s6"

    @classmethod
    def is_there(cls, tools: dict[str, Path]) -> bool:
        return "s6-supervise" in tools

    def start(self) -> None:
        root = self.tools["s6-supervise"].parent.parent.parent
        self.env["LD_LIBRARY_PATH"] = ":".join(sorted({str(one.parent) for one in root.rglob("lib*.so.*")}))
        service = self.work / "child"
        service.mkdir()
        _script(service / "run", "exec " + " ".join(self.argv))
        (service / "timeout-kill").write_text(str(round(self.grace * 1000)))
        (self.work / "lines").mkdir()
        logger = f" | exec {self.tools['s6-log']} s{LOG_SIZE} n{LOG_FILES} {self.work}/lines" if self.log else ""
        self._daemon("/bin/sh", "-c", f"{'' if self.log else 'exec '}{self.tools['s6-supervise']} {service}{logger}")
        wait_for((service / "supervise" / "control").exists)

    def stop_words(self) -> list[str]:
        service, stat = self.work / "child", self.tools["s6-svstat"]
        wait = f'until [ "$({stat} -o up {service})" = false ]; do sleep 0.01; done'
        return ["/bin/sh", "-c", f"{self.tools['s6-svc']} -d {service}; {wait}"]

    def status_words(self) -> list[str]:
        return [str(self.tools["s6-svstat"]), str(self.work / "child")]

    def close(self) -> None:
        argv = [str(self.tools["s6-svc"]), "-xd", str(self.work / "child")]
        subprocess.run(argv, env=self.env, check=False, timeout=30, capture_output=True)
        super().close()


CONTENDERS: tuple[type[Contender], ...] = (Floor, Ours, Supervisord, Circus, Pm2, Runit, S6)


def _script(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)


def _floor(log: str, grace: float, argv: list[str]) -> None:
    """Keep one program alive with a pipe for its output: epoll, pidfd, posix_spawn and nothing else."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    wake = os.pipe()
    for end in wake:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake[1])
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll, stopping = select.epoll(), False
    poll.register(wake[0], select.EPOLLIN)
    while not stopping:
        read, write = os.pipe()
        pid = os.posix_spawn(argv[0], argv, {}, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
        os.close(write)
        poll.register(read, select.EPOLLIN)
        held, deadline = os.pidfd_open(pid), None
        poll.register(held, select.EPOLLIN)
        alive = True
        while alive:
            left = -1 if deadline is None else max(0, deadline - time.monotonic())
            ready = dict(poll.poll(left))
            if not ready and deadline is not None:
                os.kill(pid, signal.SIGKILL)
                deadline = None
            if read in ready:
                piece = os.read(read, 1 << 18)
                if piece:
                    os.write(file, piece)
                else:
                    poll.unregister(read)
            if wake[0] in ready and signal.SIGTERM in os.read(wake[0], 64):
                stopping, deadline = True, time.monotonic() + grace
                os.kill(pid, signal.SIGTERM)
            if held in ready:
                os.waitpid(pid, 0)
                alive = False
        for descriptor in (read, held):
            os.close(descriptor)


if __name__ == "__main__":
    assert re.fullmatch("floor", sys.argv[1])
    _floor(sys.argv[2], float(sys.argv[3]), sys.argv[4:])
