"""Log lines to findings: which known faults a log shows, in which run, and which of them is the cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sdlauncher.core.sieve import Sieve, newlines_before, shapes_of

SEVERITIES: Final = ("fatal", "error", "warning", "info")
# What a log begins a run with, in this order: webui.sh, launch.py, and its end. Installing can lie between any two.
_RUN: Final = re.compile(
    r"^(?:(Launching launch\.py\.\.\.)|(Python 3\.\d+\.\d+ \()|(Launching (?:Web UI|API server)|Starting SD\.Next))"
)
_RUN_SHAPE: Final = re.compile(rb"Launching |Python 0\.|Starting SD\.Next")
_STARTED: Final = re.compile(r"Startup time: (?:total=)?\d")
_LOADED: Final = re.compile(r"(Model|Weights) (\S.* )?loaded in \d|Load model: family=(?!none\b|unknown\b)")
_TRACEBACK: Final = re.compile(r"^Traceback \(most recent call last\):")
_TRACEBACK_SHAPE: Final = b"Traceback (most recent"
_MARK_NEEDLES: Final = (
    b"Launching ", b"Python 3.", b"Startup time: ", b" loaded in ", b"Starting SD.", b"Load model: f", _TRACEBACK_SHAPE,
)  # fmt: skip
_FRAME: Final = b'  File "'
_SOURCE: Final = re.compile(r"^\s*raise ")
_EXCEPTION: Final = re.compile(rb"^[A-Za-z_][\w.]*(?:Error|Exception|Exit)\b")
# Terminal colours, and the time stamps that some recorders (and SD.Next itself) write before a line.
_CLUTTER: Final = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|^\s*\d+\.\d\d\s|^\d\d:\d\d:\d\d-\d{6} [A-Z]+ +|"
    r"^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?\s*"
)
_LONGEST_LINE: Final = 2048
_LONGEST_TEXT: Final = 400
_LONGEST_TRACEBACK: Final = 200
_MOST_READ: Final = 4096
# A log of nothing but restarts is read in full only around its end, and elsewhere for what is new.
_MANY_LINES: Final = 256
_FEW_RUNS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """One known fault. The fields are described at the head of `sdlauncher/catalog/signatures.toml`."""

    id: str
    stage: str
    severity: str
    regex: str
    needles: tuple[str, ...]
    overcome: str = ""
    unless: str = ""
    echo: bool = False
    explains: tuple[str, ...] = ()
    texts: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault that a log shows: the number and text of the line, and how bad it was for the run it stands in."""

    id: str
    line: int
    text: str
    severity: str
    signature: Signature
    is_last_run: bool = True

    def cause(self, language: str = "en") -> str:
        """Say what the line means."""
        return self.signature.texts[language][0]

    def remedy(self, language: str = "en") -> str:
        """Say what to do about it."""
        return self.signature.texts[language][1]


UNKNOWN: Final = Signature(
    id="unknown_error",
    stage="any",
    severity="error",
    regex="",
    needles=(),
    texts={
        "en": (
            "a Python error that no known signature explains; it may be the cause or a consequence",
            "read the lines above it; search the WebUI's issues for its text",
        ),
        "zh": (
            "没有已知特征能解释的 Python 错误；可能是原因，也可能是后果",
            "请查看其上方的内容，并在 WebUI 的 issue 中搜索该文字",
        ),
    },
)


# Stands in the table of needles for the lines that part runs and tell how far they came.
MARK: Final = Signature(id="", stage="", severity="info", regex="", needles=())


def classify(lines: Iterable[str], signatures: Iterable[Signature]) -> tuple[Finding, ...]:
    """Explain a log that is at hand as lines; the most decisive finding first."""
    reader = LogReader(signatures)
    batch: list[str] = []
    for line in lines:
        batch.append(line.rstrip("\n"))
        if len(batch) >= 4096:
            reader.feed("\n".join([*batch, ""]).encode("utf-8", "replace"))
            batch.clear()
    if batch:
        reader.feed("\n".join([*batch, ""]).encode("utf-8", "replace"))
    return reader.finish()


@dataclass(slots=True)
class _Run:
    """What one run of the WebUI showed: the first line of each fault before and after its start was over."""

    line: int = 0
    before: dict[str, Finding] = field(default_factory=dict)
    after: dict[str, Finding] = field(default_factory=dict)
    stage: int = 0
    started: bool = False
    loaded_line: int = 0
    exception: Finding | None = None

    def note_load(self, line: int) -> None:
        """Note that a model was loaded: what kept one from it is past, and a second time is a fault of its own."""
        self.loaded_line = line
        for key in [key for key, finding in self.after.items() if finding.signature.overcome == "model"]:
            self.before.setdefault(key, self.after.pop(key))

    def findings(self) -> dict[str, Finding]:
        """Judge the run as a whole: what it overcame is a warning, and a reason is as severe as its consequence."""
        found = {**self.after, **{key: self._judged(it) for key, it in self.before.items()}}
        for key, later in self.after.items():
            if SEVERITIES.index(later.severity) < SEVERITIES.index(found[key].severity):
                found[key] = later
        for key, finding in found.items():
            consequences = [found[other].severity for other in finding.signature.explains if other in found]
            worst = min([finding.severity, *consequences], key=SEVERITIES.index)
            if worst != finding.severity:
                found[key] = replace(finding, severity=worst)
        serious = any(it.severity != "info" for it in found.values())
        if self.exception is not None and not serious:
            found[UNKNOWN.id] = self.exception
        return found

    def _judged(self, finding: Finding) -> Finding:
        way = finding.signature.overcome
        is_overcome = (way == "start" and self.started) or (way == "model" and self.loaded_line > finding.line)
        is_bad = finding.severity in ("fatal", "error")
        return replace(finding, severity="warning") if is_overcome and is_bad else finding


class LogReader:
    """Reads a log in blocks of any size and keeps only what matters; memory stays bounded."""

    def __init__(self, signatures: Iterable[Signature]) -> None:
        owners: dict[bytes, list[Signature]] = {needle: [MARK] for needle in _MARK_NEEDLES}
        for signature in signatures:
            for needle in signature.needles:
                owners.setdefault(needle.encode(), []).append(signature)
        self._sieve = Sieve(owners)
        self._patterns: dict[str, tuple[re.Pattern[str], re.Pattern[str] | None]] = {}
        self._read_lines: dict[bytes, tuple[str, tuple[Signature, ...]]] = {}
        self._line = 0
        self._line_before = b""
        self._rest = b""
        self._run = _Run()
        self._earlier: dict[str, Finding] = {}
        self._in_traceback = False

    def feed(self, block: bytes) -> None:
        """Read the next bytes of the log; a line may be split between two blocks."""
        block = self._rest + block if self._rest else block
        end = block.rfind(b"\n") + 1
        if not end and len(block) > 1024**2:
            end = len(block)  # a line without end: what was read of it has to do
        self._rest = block[end:]
        if end:
            self._read(block[:end])

    def finish(self) -> tuple[Finding, ...]:
        """Return all findings: errors before the rest, causes before echoes, the last run before earlier ones."""
        if self._rest:
            self._read(self._rest + b"\n")
            self._rest = b""
        latest = self._run.findings()
        earlier = {key: it for key, it in self._earlier.items() if key not in latest and it.severity != "info"}
        found = [*latest.values(), *(replace(it, is_last_run=False) for it in earlier.values())]
        echoes = {key for it in found for key in it.signature.explains}

        def rank(finding: Finding) -> tuple[bool, bool, int, bool, int]:
            is_echo = finding.signature.echo or finding.id in echoes
            severity = SEVERITIES.index(finding.severity)
            # What ended an earlier run is no longer what is wrong.
            return (severity > 1, not finding.is_last_run, severity, is_echo, finding.line)

        return tuple(sorted(found, key=rank))

    def _read(self, block: bytes) -> None:
        """Read whole lines: first find the few kinds of line that may tell something, then those lines in order."""
        shapes = shapes_of(block)
        telling = self._sieve.sift(shapes)
        if telling or self._in_traceback:
            self._walk(block, shapes, telling)
        self._line += block.count(b"\n")
        self._line_before = block[block.rfind(b"\n", 0, -1) + 1 :][:_LONGEST_LINE]

    def _walk(self, block: bytes, shapes: list[bytes], telling: Mapping[bytes, tuple[Signature, ...]]) -> None:
        """Look at the telling lines of a block in their order."""
        lines = block.replace(b"\r", b"\n").split(b"\n")
        where = [index for index, shape in enumerate(shapes) if shape in telling]
        if len(where) > _MANY_LINES:
            dull = self._dull(telling)
            where = [index for index in where if shapes[index] not in dull]
            where = self._skip_old_runs(where, shapes, telling)
        number_of = newlines_before(block, shapes) if b"\r" in block else range(len(shapes))
        last = -1
        for index in where:
            if self._in_traceback:
                self._end_traceback(lines[last + 1 : index], last + 1, number_of, shapes, telling)
            before = lines[index - 1] if index else self._line_before
            if not _is_source(before, lines[index]):
                self._look(lines[index], self._line + 1 + number_of[index], telling[shapes[index]])
            last = index
        if self._in_traceback:
            self._end_traceback(lines[last + 1 :], last + 1, number_of, shapes, telling)
            self._in_traceback = self._in_traceback and len(lines) - last < _LONGEST_TRACEBACK

    def _dull(self, telling: Mapping[bytes, tuple[Signature, ...]]) -> set[bytes]:
        """Return the shapes that can tell nothing more in this run, if the block holds no other run's beginning."""
        marks = [shape for shape, owners in telling.items() if MARK in owners]
        frames = {shape for shape in marks if shape.startswith(_TRACEBACK_SHAPE)}
        if len(frames) < len(marks):
            return set()
        phase = self._run.after if self._run.started else self._run.before
        known = {
            shape
            for shape, owners in telling.items()
            if MARK not in owners and all(owner.id in phase for owner in owners)
        }
        return known | (frames if self._run.exception is not None else set())

    def _skip_old_runs(
        self, where: list[int], shapes: list[bytes], telling: Mapping[bytes, tuple[Signature, ...]]
    ) -> list[int]:
        """Leave out what tells nothing new: in runs that ended inside this block, faults that earlier runs showed."""
        begins = {shape for shape, owners in telling.items() if MARK in owners and _RUN_SHAPE.search(shape)}
        starts = [index for index in where if shapes[index] in begins]
        if len(starts) < 2 * _FEW_RUNS:
            return where
        edge = starts[-_FEW_RUNS]
        news = {
            shape
            for shape, owners in telling.items()
            if any(it is not MARK and it.id not in self._earlier for it in owners)
        }
        return [index for index in where if index >= edge or shapes[index] in news]

    def _end_traceback(
        self,
        lines: list[bytes],
        first: int,
        number_of: Sequence[int],
        shapes: list[bytes],
        telling: Mapping[bytes, tuple[Signature, ...]],
    ) -> None:
        """Find the exception that ends a traceback among lines (from index `first` of the block) not looked at."""
        for index, line in enumerate(lines[:_LONGEST_TRACEBACK], start=first):
            if not _EXCEPTION.match(line):
                continue
            self._in_traceback = False
            text, explained = self._read_line(line, telling.get(shapes[index], ()))
            if not explained:
                number = self._line + 1 + number_of[index]
                self._run.exception = Finding(UNKNOWN.id, number, text[:_LONGEST_TEXT], UNKNOWN.severity, UNKNOWN)
            return

    def _look(self, raw: bytes, number: int, signatures: tuple[Signature, ...]) -> None:
        """Take notice of one line that may tell something."""
        phase = self._run.after if self._run.started else self._run.before
        if all(it.id in phase for it in signatures):
            return
        text, matching = self._read_line(raw, signatures)
        if MARK in matching:
            self._mark(text, number)
            phase = self._run.after if self._run.started else self._run.before
        for signature in matching:
            if signature is not MARK:
                self._in_traceback = False
                finding = Finding(signature.id, number, text.strip()[:_LONGEST_TEXT], signature.severity, signature)
                phase.setdefault(signature.id, finding)

    def _read_line(self, raw: bytes, signatures: tuple[Signature, ...]) -> tuple[str, tuple[Signature, ...]]:
        raw = raw[:_LONGEST_LINE]
        known = self._read_lines.get(raw)
        if known is None:
            text = _CLUTTER.sub("", raw.decode("utf-8", "replace")).rstrip()
            known = (text, tuple(it for it in signatures if it is MARK or self._matches(it, text)))
            if len(self._read_lines) >= _MOST_READ:
                self._read_lines.clear()
            self._read_lines[raw] = known
        return known

    def _mark(self, text: str, number: int) -> None:
        """Follow how far the run is, and note the first exception that ends a traceback."""
        run = self._run
        if (begun := _RUN.match(text)) is not None:
            stage = begun.lastindex or 0
            # One run says each of these once; the first of them said again is the next run.
            if run.line == 0 or stage <= run.stage or run.started:
                self._begin_run(number)
            self._run.stage = stage
        elif _STARTED.search(text):
            run.started = True
        elif _LOADED.search(text):
            run.note_load(number)
        elif _TRACEBACK.match(text):
            self._in_traceback = run.exception is None

    def _begin_run(self, number: int) -> None:
        old = self._run
        if old.line == 0 and not old.started:
            # What stands before the first such line (the script's own refusals, pip's output) belongs to that run.
            self._run = replace(old, line=number)
            return
        self._earlier.update(old.findings())
        self._run = _Run(line=number)

    def _matches(self, signature: Signature, text: str) -> bool:
        patterns = self._patterns.get(signature.id)
        if patterns is None:
            unless = re.compile(signature.unless) if signature.unless else None
            patterns = self._patterns[signature.id] = (re.compile(signature.regex), unless)
        wanted, unless = patterns
        if _SOURCE.match(text):
            return False
        return wanted.search(text) is not None and not (unless is not None and unless.search(text))


def _is_source(before: bytes, line: bytes) -> bool:
    """Whether a line is the source that a traceback shows below a frame: it only quotes the message to come."""
    return _FRAME in before and len(line) - len(line.lstrip()) > len(before) - len(before.lstrip())


def first_decisive(findings: Iterable[Finding]) -> Finding | None:
    """Return the finding that explains a failure of the last run: the first that is fatal or an error, if any."""
    return next((it for it in findings if it.severity in ("fatal", "error") and it.is_last_run), None)
