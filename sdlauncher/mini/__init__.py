"""Mini WebUI: a real, tiny Stable Diffusion WebUI with the contract of AUTOMATIC1111 and no need of GPU or network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdlauncher.mini.layout import lay_out

__all__ = ["VERSION", "lay_out"]

# What the API and the pictures' texts say: the contract is that of 1.10.1, the program is another.
VERSION = "1.10.1+mini"


def __getattr__(name: str) -> Any:
    if name == "lay_out":
        from sdlauncher.mini.layout import lay_out

        return lay_out
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
