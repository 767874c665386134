"""How far a WebUI is, read from its own log lines: preparing, listening, started; and its model apart from that."""

from __future__ import annotations

import re
from typing import NamedTuple


class Patterns(NamedTuple):
    """Regular expressions over one log line, as the catalog gives them (see core/webui.py)."""

    launching: str
    listening: str
    started: str
    model_loading: str
    model_loaded: str
    model_failed: str


class Progress(NamedTuple):
    """How far it is. `stage`: preparing, launching, listening, started. `model`: unknown, loading, loaded, failed."""

    stage: str = "preparing"
    model: str = "unknown"
    url: str | None = None
    doing: str = ""


# Lines worth telling while one waits. The WebUI's own words, as recorded; pip's and git's when it installs.
_DOING = re.compile(
    r"\s*(?P<doing>(?:Installing|Cloning|Fetching|Downloading|Collecting|Loading weights|Calculating sha256|"
    r"Creating model from config|Create and activate python venv|Launching launch\.py|Launching Web UI|"
    r"Launching API server|Checking out|Installing collected packages)\b.*)"
)
# A server without a UI, and one with --api-log, records each request: those who only look tell nothing of a job. Nor
# does SD.Next, which says every two minutes that it is there.
_LOOKS = ("/sdapi/v1/progress", "/internal/p", "Server: alive=")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def is_speech(text: str) -> bool:
    """Whether a WebUI wrote something of its own, and not only that somebody looked how far it is."""
    return any(line.strip() and not any(path in line for path in _LOOKS) for line in text.splitlines())


class Watcher:
    """Reads log lines one after the other and knows how far they say the WebUI is."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = {name: re.compile(pattern) for name, pattern in zip(Patterns._fields, patterns, strict=True)}
        bare = (re.sub(r"\(\?P<\w+>", "(?:", pattern) for pattern in patterns)
        self._any = re.compile("(?m)" + "|".join(f"(?:{pattern})" for pattern in bare))
        self.progress = Progress()

    def restart(self) -> None:
        """Forget everything: a new process begins."""
        self.progress = Progress()

    def feed(self, text: str) -> list[str]:
        """Read complete lines and return the names of the patterns that they matched, in order."""
        text = text.replace("\r", "\n")
        matched: list[str] = []
        interesting = self._any.search(text) is not None
        if not interesting and self.progress.stage == "started":
            return matched
        for line in text.split("\n"):
            if interesting:
                matched += self._match(line)
            if self.progress.stage != "started" and (found := _DOING.match(_COLOURS.sub("", line))):
                # The arguments may hold a password, which nobody should read over a shoulder.
                self.progress = self.progress._replace(doing=found["doing"].partition(" with arguments")[0][:200])
        return matched

    def _match(self, line: str) -> list[str]:
        names = []
        for name, pattern in self._patterns.items():
            if found := pattern.search(line):
                names.append(name)
                self._note(name, found.groupdict())
        return names

    def _note(self, name: str, facts: dict[str, str | None]) -> None:
        now = self.progress
        if name == "launching":
            self.progress = Progress(stage="launching", doing=now.doing)
        elif name == "listening":
            url = facts.get("url") or facts.get("api_url")
            # With a UI the port opens before the API is mounted; without one (--nowebui) it opens after "started".
            stage = "listening" if facts.get("url") or now.stage != "started" else "started"
            self.progress = now._replace(stage=stage, url=url.rstrip("/") if url else now.url)
        elif name == "started":
            self.progress = now._replace(stage="started")
        elif name == "model_loading":
            self.progress = now._replace(model="loading")
        elif name == "model_loaded":
            self.progress = now._replace(model="loaded")
        elif name == "model_failed":
            self.progress = now._replace(model="failed")
