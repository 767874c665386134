"""JSON text to values, with one error for whatever is wrong with it."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str | bytes) -> Any:
    """Return the value. Raises ValueError, also for what is nested too deeply for Python to follow."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(str(error)) from error
