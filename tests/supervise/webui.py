"""A WebUI of a few lines, for faults: says what a real one says, serves two addresses, and misbehaves as FAKE says.

Words of FAKE, separated by commas: before=S (seconds before the start is over), exit=N and signal=N (at ready, or at
`at=launch`), after=S (seconds of serving before that), never, ignore-term, daemon, flood=MB, garbage, close-stdout,
deaf=S (S seconds after its first answer it gives no more), grow=MB, no-port, loop (leaves a restart file
at every start), retry=S (says every S seconds that it tries again), access-log.
A file `again` asks for a restart from inside, a file `halt` for an end. A file `job` says that a job runs, at the step
that it holds.
"""

# Imports next to nothing, so that it starts in 20 ms; hence no pathlib.
# ruff: noqa: PTH103, PTH108, PTH110, PTH123, SIM105, UP031

import os
import signal
import socket
import sys
import time

WORDS = dict(word.partition("=")[::2] for word in filter(None, os.environ.get("FAKE", "").split(",")))
PORT = int(sys.argv[1])


def say(text):
    os.write(1, text.encode() + b"\n")


def end():
    if "signal" in WORDS:
        os.kill(os.getpid(), int(WORDS["signal"]))
        time.sleep(60)
    sys.exit(int(WORDS.get("exit", 0)))


def answer(client):
    path = client.recv(4096).split(b" ")[1]
    if "access-log" in WORDS:
        os.write(1, b'INFO:     127.0.0.1:38492 - "GET %s HTTP/1.1" 200 OK\n' % path)
    answers.append(time.monotonic())
    if "deaf" in WORDS and answers[-1] - answers[0] > float(WORDS["deaf"]):
        waiting.append(client)
        return
    body = b"{}"
    if path.startswith(b"/sdapi/v1/progress"):
        try:
            with open("job") as file:
                step, job = int(file.read() or 0), "scripts_txt2img"
        except FileNotFoundError:
            step, job = 0, ""
        body = b'{"progress": 0.1, "state": {"job": "%s", "job_count": %d, "job_no": 0, "sampling_step": %d}}' % (
            job.encode(),
            bool(job),
            step,
        )
    elif path.startswith(b"/internal/pending-tasks"):
        body = b'{"size": %d, "tasks": []}' % os.path.exists("job")
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    client.close()


waiting = []
answers = []
if "ignore-term" in WORDS:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if "daemon" in WORDS and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
say("Launching Web UI with arguments: --port %d" % PORT)
time.sleep(float(WORDS.get("before", 0)))
if "loop" in WORDS:
    os.makedirs("tmp", exist_ok=True)
    open("tmp/restart", "w").close()
if WORDS.get("at") == "launch":
    end()
if "never" in WORDS:
    time.sleep(600)
if "close-stdout" in WORDS:
    say("Startup time: 0.1s (x)")
    os.close(1)
    os.close(2)
server = socket.socket()
if "no-port" not in WORDS:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", PORT))
    except OSError:
        say("OSError: Cannot find empty port in range: %d-%d." % (PORT, PORT))
        sys.exit(1)
server.listen(16)
if "close-stdout" not in WORDS:
    say("Running on local URL:  http://127.0.0.1:%d" % PORT)
    say("Startup time: 0.1s (x)")
    say("Model loaded in 0.1s (x)")
if "garbage" in WORDS:
    os.write(1, b"\xff\xfe\x00 caf\xe9 \x80\n" * 100)
if "flood" in WORDS:
    line = b"%09d " + b"x" * 89 + b"\n"
    count = int(float(WORDS["flood"]) * 10000)
    for first in range(0, count, 1000):
        os.write(1, b"".join(line % number for number in range(first, min(first + 1000, count))))
    say("flood is over")
if "grow" in WORDS:
    ballast = bytearray(os.urandom(1024) * 1024 * int(WORDS["grow"]))
began = said = time.monotonic()
server.settimeout(0.05)
while True:
    try:
        answer(server.accept()[0])
    except TimeoutError:
        pass
    if "retry" in WORDS and time.monotonic() - said > float(WORDS["retry"]):
        said = time.monotonic()
        say("Retrying in 1s [Retry 1/5].")
    if os.path.exists("halt"):
        os.unlink("halt")
        say("Stopping server...")
        sys.exit(0)
    if os.path.exists("again"):
        os.unlink("again")
        os.makedirs("tmp", exist_ok=True)
        open("tmp/restart", "w").close()
        sys.exit(0)
    if ("exit" in WORDS or "signal" in WORDS) and time.monotonic() - began >= float(WORDS.get("after", 0)):
        end()
