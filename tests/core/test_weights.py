"""Model files by their headers: a table of what files are and what they are not."""

from __future__ import annotations

import json
import struct

import pytest

from sdlauncher.core.weights import NoWeights, Weights, judge_weights


def safetensors(*names: str, cut: int = 0) -> tuple[bytes, int]:
    """A file of one four-byte tensor a name: its header, and its size less `cut` bytes."""
    table = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)}
    header = json.dumps({"__metadata__": {"format": "pt"}, **table}).encode()
    head = struct.pack("<Q", len(header)) + header
    return head, len(head) + 4 * len(names) - cut


@pytest.mark.parametrize(
    ("names", "kind", "family"),
    [
        (("model.diffusion_model.a", "cond_stage_model.transformer.b", "first_stage_model.c"), "checkpoint", "sd15"),
        (("model.diffusion_model.a", "cond_stage_model.model.b"), "checkpoint", "sd2"),
        (("model.diffusion_model.a", "conditioner.embedders.1.model.b"), "checkpoint", "sdxl"),
        (("model.diffusion_model.a",), "checkpoint", ""),
        (("lora_unet_a.lora_up.weight",), "lora", ""),
        (("lora_te2_a.lora_up.weight",), "lora", "sdxl"),
        (("encoder.conv_in.weight", "decoder.conv_in.weight"), "vae", ""),
        (("emb_params",), "embedding", ""),
        (("clip_l", "clip_g"), "embedding", ""),
        (("something",), "unknown", ""),
    ],
)
def test_a_model_is_known_by_its_tensors(names: tuple[str, ...], kind: str, family: str) -> None:
    assert judge_weights(*safetensors(*names)) == Weights("safetensors", kind, family)


@pytest.mark.parametrize(
    ("head", "size", "code"),
    [
        (b"<!DOCTYPE html><html>", 9000, "SDL-WEIGHTS-PAGE"),
        (b"\n  <html lang='en'>", 9000, "SDL-WEIGHTS-PAGE"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", 130, "SDL-WEIGHTS-LFS"),
        (b'{"error":"Access to this model is restricted"}', 46, "SDL-WEIGHTS-UNKNOWN"),
        (b"", 0, "SDL-WEIGHTS-UNKNOWN"),
        (*safetensors("a", "b", cut=1), "SDL-WEIGHTS-CUT"),
        (safetensors("a")[0][:40], 40, "SDL-WEIGHTS-CUT"),
        (struct.pack("<Q", 12) + b"{not a json}", 20, "SDL-WEIGHTS-UNKNOWN"),
        (struct.pack("<Q", 90_000) + b"[" * 90_000, 90_008, "SDL-WEIGHTS-UNKNOWN"),
        (struct.pack("<Q", 2**40) + b"{}", 10, "SDL-WEIGHTS-UNKNOWN"),
        (struct.pack("<Q", 9) + b'{"a":[1]}', 17, "SDL-WEIGHTS-UNKNOWN"),
    ],
)
def test_what_is_no_model_is_told_apart(head: bytes, size: int, code: str) -> None:
    judged = judge_weights(head, size)
    assert isinstance(judged, NoWeights)
    assert judged.code == code
    assert judged.evidence


@pytest.mark.parametrize(("head", "kind"), [(b"PK\x03\x04....", "pickle"), (b"\x80\x02}", "pickle"), (b"GGUF", "gguf")])
def test_other_formats_are_named(head: bytes, kind: str) -> None:
    judged = judge_weights(head, 10**9)
    assert isinstance(judged, Weights)
    assert judged.format == kind
