"""What Mini WebUI prints: the lines that launchers look for, errors and progress bars, in the form of the real one."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
import traceback

_BAR_WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"


_muted = threading.Event()


def say(text: str) -> None:
    """Print one line on standard output; without `python -u` it stays in the buffer of a file, as in the real one."""
    if not _muted.is_set():
        sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """Print one line on standard error."""
    if not _muted.is_set():
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def mute(*, muted: bool) -> None:
    """Stop or resume all printing."""
    if muted:
        _muted.set()
    else:
        _muted.clear()


def complain_with_traceback(text: str, error: BaseException) -> None:
    """Print a message, the traceback indented below it and a closing rule, as the real one reports errors."""
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    complain(f"*** {text}\n{textwrap.indent(trace, '    ')}\n---")


class ProgressBars:
    """The two bars of one generation on standard error: this picture's steps and all steps of the request.

    Writing raises BrokenPipeError when the reader of a pipe is gone; the request then fails, as in the real one.
    """

    def __init__(self, total: int, *, enabled: bool = True) -> None:
        self._total = total
        self._done = 0
        self._enabled = enabled
        self._start = time.monotonic()
        self._picture_start = self._start

    def start_picture(self, steps: int) -> None:
        """Begin the bar of one picture with this many steps."""
        self._picture_start = time.monotonic()
        self._write(f"\r{_bar(0, steps, 0.0)}")

    def advance(self, step: int, steps: int) -> None:
        """Show that a step is done: both bars move."""
        self._done += 1
        now = time.monotonic()
        overall = _bar(min(self._done, self._total), self._total, now - self._start)
        self._write(f"\n\nTotal progress: {overall}\x1b[A\r{_bar(step, steps, now - self._picture_start)}")

    def end_picture(self) -> None:
        """End the line of one picture's bar."""
        self._write("\n")

    def close(self) -> None:
        """End the line of the total."""
        total = min(self._done, self._total)
        self._write(f"\nTotal progress: {_bar(total, self._total, time.monotonic() - self._start)}\n")

    def _write(self, text: str) -> None:
        if self._enabled:
            sys.stderr.write(text)
            sys.stderr.flush()


def _bar(done: int, total: int, seconds: float) -> str:
    share = done / total if total else 1.0
    full, rest = divmod(int(share * _BAR_WIDTH * 8), 8)
    blocks = ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_WIDTH)[:_BAR_WIDTH]
    if done == 0 or seconds <= 0:
        return f"{share:4.0%}|{blocks}| {done}/{total} [{_clock(seconds)}<?, ?it/s]"
    rate = done / seconds
    speed = f"{rate:5.2f}it/s" if rate >= 1 else f"{1 / rate:5.2f}s/it"
    return f"{share:4.0%}|{blocks}| {done}/{total} [{_clock(seconds)}<{_clock((total - done) / rate)}, {speed}]"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
