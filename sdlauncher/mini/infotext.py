"""The text inside a picture that says how it was made: written, and read back."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_PARAMETER: Final = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE: Final = re.compile(r"^(\d+)x(\d+)$")

# What reading a text adds when it says nothing about it.
_UNSAID: Final[dict[str, Any]] = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Refiner switch by sampling steps": False,
}


def write_infotext(prompt: str, negative_prompt: str, parameters: dict[str, Any]) -> str:
    """Give the text; parameters that are None are left out, and values with commas, colons or line ends are quoted."""
    line = ", ".join(f"{key}: {_quote(value)}" for key, value in parameters.items() if value is not None)
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{line}".strip()


def read_infotext(text: str) -> dict[str, Any]:
    """Read a text back into its parameters, with what is left unsaid filled in."""
    *lines, last = text.strip().split("\n")
    if len(_PARAMETER.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompt: list[str] = []
    negative: list[str] = []
    part = prompt
    for raw in lines:
        line = raw.strip()
        if line.startswith("Negative prompt:"):
            part = negative
            line = line.removeprefix("Negative prompt:").strip()
        part.append(line)
    found: dict[str, Any] = {}
    for key, raw in _PARAMETER.findall(last):
        value = _unquote(raw)
        size = _SIZE.match(value)
        if size:
            found |= {f"{key}-1": size[1], f"{key}-2": size[2]}
        else:
            found[key] = value
    found |= {"Prompt": "\n".join(prompt), "Negative prompt": "\n".join(negative)}
    return found | {key: value for key, value in _UNSAID.items() if key not in found}


def _quote(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(sign in text for sign in ",\n:") else text


def _unquote(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
