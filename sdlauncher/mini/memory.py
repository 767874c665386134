"""How much memory there is and how much of it this process uses, in bytes."""

from __future__ import annotations

from typing import Any


def read_memory() -> dict[str, Any]:
    """Give what /memory answers: `used` is what this process holds; there is no CUDA here."""
    import psutil

    try:
        used, total = psutil.Process().memory_info().rss, psutil.virtual_memory().total
        ram: dict[str, Any] = {"free": float(total - used), "used": used, "total": float(total)}
    except psutil.Error as error:
        ram = {"error": str(error)}
    return {"ram": ram, "cuda": {"error": "unavailable"}}
