"""Failures with the status and the sentence that clients of the real API know."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A request that is answered with a status other than 500 or with a sentence of its own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail

    def as_body(self) -> dict[str, Any]:
        """Give the answer's body; the class is called as it is in the real one."""
        return {"error": "HTTPException", "detail": self.detail, "body": "", "errors": ""}


def describe_failure(error: Exception) -> dict[str, Any]:
    """Give the body of a 500 for any exception."""
    return {"error": type(error).__name__, "detail": "", "body": "", "errors": str(error)}
