"""Model files by their first bytes: what a file is, whether it is whole, and which kind of model it holds."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sdlauncher.core import jsontext

# safetensors itself refuses headers beyond this.
LONGEST_HEADER: Final = 100_000_000
# What of a file has to be read to judge it, unless its own header says more.
GLANCE: Final = 512
# The text encoder tells the families of checkpoints apart.
_FAMILIES: Final = (
    ("sdxl", "conditioner.embedders.1."),
    ("sd2", "cond_stage_model.model."),
    ("sd15", "cond_stage_model.transformer."),
)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a model file is. `kind` is checkpoint, lora, vae, embedding or unknown; `family` sd15, sd2, sdxl or "".

    `format` is safetensors, pickle (which can run code when it is loaded) or gguf.
    """

    format: str
    kind: str = "unknown"
    family: str = ""


@dataclass(frozen=True, slots=True)
class NoWeights:
    """Why a file is no model: a code of `sdlauncher/messages` and the evidence."""

    code: str
    evidence: str


def header_length(head: bytes) -> int | None:
    """Return how many bytes of header a safetensors file announces; None if it does not begin like one."""
    if len(head) < 9 or head[8:9] != b"{":
        return None
    length: int = struct.unpack("<Q", head[:8])[0]
    return length if 2 <= length <= LONGEST_HEADER else None


def judge_weights(head: bytes, size: int) -> Weights | NoWeights:
    """Judge a model file by its beginning (a safetensors header must be in it wholly) and its size in bytes."""
    text = head[:GLANCE].lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return NoWeights("SDL-WEIGHTS-PAGE", _first_line(head))
    if head.startswith(b"version https://git-lfs"):
        return NoWeights("SDL-WEIGHTS-LFS", _first_line(head))
    length = header_length(head)
    if length is not None:
        return _judge_safetensors(head[8 : 8 + length], length, size)
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04")):
        return Weights("pickle", "embedding" if size < 5_000_000 else "unknown")
    if head.startswith(b"GGUF"):
        return Weights("gguf")
    return NoWeights("SDL-WEIGHTS-UNKNOWN", repr(head[:16]))


def _judge_safetensors(header: bytes, length: int, size: int) -> Weights | NoWeights:
    if len(header) < length:
        return NoWeights("SDL-WEIGHTS-CUT", f"its header alone is {length} bytes, the file has {size}")
    try:
        table = jsontext.loads(header)
        entries = {name: value for name, value in table.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return NoWeights("SDL-WEIGHTS-UNKNOWN", f"its header is no safetensors header ({type(error).__name__})")
    whole = 8 + length + end
    if size < whole:
        return NoWeights("SDL-WEIGHTS-CUT", f"{size} of {whole} bytes")
    metadata = table.get("__metadata__")
    if isinstance(metadata, dict) and str(metadata.get("format")).startswith("mini-diffusion"):
        return Weights("safetensors", "checkpoint", "mini")  # Mini WebUI's own
    return Weights("safetensors", *_recognise(entries))


def _recognise(names: Iterable[str]) -> tuple[str, str]:
    known = tuple(names)

    def has(*beginnings: str) -> bool:
        return any(name.startswith(beginnings) for name in known)

    if any("lora_" in name or ".lora" in name for name in known):
        return "lora", "sdxl" if has("lora_te2_", "lora_te1_") else ""
    if has("model.diffusion_model.", "double_blocks.", "transformer_blocks."):
        return "checkpoint", next((family for family, beginning in _FAMILIES if has(beginning)), "")
    if has("decoder.", "encoder.", "first_stage_model."):
        return "vae", ""
    if len(known) <= 4 and (has("emb_params", "string_to_param") or {"clip_l", "clip_g"}.intersection(known)):
        return "embedding", ""
    return "unknown", ""


def _first_line(head: bytes) -> str:
    return head[:80].decode(errors="replace").strip().splitlines()[0]
