"""A weights file that is no such model is refused with a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from sdlauncher.mini.model import NAME, WEIGHTS, Model


def write(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def rewritten(path: Path, **changes: object) -> Path:
    """Copy the real weights with another header."""
    data = WEIGHTS.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return write(path, {**json.loads(data[8 : 8 + length]), **changes}, data[8 + length :])


@pytest.mark.parametrize("content", [b"", b"\0" * 4, b"not a model at all", b"\xff" * 64, struct.pack("<Q", 9) + b"{}"])
def test_other_files_are_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^other\.safetensors is no model for Mini WebUI: "):
        Model.load(path)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"__metadata__": {"format": "pt"}},
        {"__metadata__": {"format": NAME}, "words": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}},
        {"__metadata__": {"format": NAME}, "words": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}},
        {"__metadata__": {"format": NAME}, "words": 7},
    ],
)
def test_other_tensors_are_no_model(tmp_path: Path, header: object) -> None:
    with pytest.raises(ValueError, match="is no model for Mini WebUI"):
        Model.load(write(tmp_path / "other.safetensors", header))


def test_a_file_cut_short_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="cut short"):
        Model.load(path)


def test_a_lacking_tensor_is_named(tmp_path: Path) -> None:
    data = WEIGHTS.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    del header["enter.weight"]
    with pytest.raises(ValueError, match=r"enter\.weight"):
        Model.load(write(tmp_path / "lacking.safetensors", header, data[8 + length :]))


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    words = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
    with pytest.raises(ValueError, match="is no model for Mini WebUI"):
        Model.load(rewritten(tmp_path / "bent.safetensors", words=words))


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.safetensors"):
        Model.load(tmp_path / "none.safetensors")


def test_the_packaged_weights_are_small_and_carry_their_licence() -> None:
    assert WEIGHTS.stat().st_size <= 4_000_000
    assert "MIT" in WEIGHTS.with_name("MODEL_CARD.md").read_text(encoding="utf-8")
