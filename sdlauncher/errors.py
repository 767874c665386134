"""The one exception of the package: a stable code, the facts it happened with, and nothing printed."""

from __future__ import annotations

from sdlauncher import messages


class SdLauncherError(Exception):
    """Say that something failed, by a code of `sdlauncher/messages/` and the facts its sentence needs.

    The sentence, the hint and the exit code belong to the code, not to the place that raises it, so that both
    languages, the JSON envelope and scripts that match on codes stay in step.
    """

    def __init__(self, code: str, /, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        # Python's own words for an OSError repeat its number and the path that our sentence has already named.
        self.facts = {name: (isinstance(fact, OSError) and fact.strerror) or fact for name, fact in facts.items()}

    @property
    def exit_code(self) -> int:
        """1 failed, 2 usage, 3 not running, 4 unhealthy, 5 not installed."""
        return messages.lookup(self.code).exit_code

    def describe(self, language: str = "en") -> messages.Text:
        """Render what happened and what to do, in `language` ("en" or "zh")."""
        return messages.describe(self.code, self.facts, language)

    def __str__(self) -> str:
        return self.describe().sentence
