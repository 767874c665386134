"""The safetensors file that holds the model, and what tells it from any other file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = "mini-diffusion-v1"
DTYPES: dict[str, np.dtype[Any]] = {"I8": np.dtype("i1"), "F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
SCALE = ".scale"  # after the name of an I8 tensor: the tensor with what each of its columns is to be multiplied by
HEADER_LIMIT = 1 << 20


def read_weights(path: Path) -> dict[str, Array]:
    """Read all tensors as float32.

    Layout: eight bytes with the header's length, a JSON header, the data (https://github.com/huggingface/safetensors).
    Raises OSError when the file cannot be read, ValueError with a sentence when it is not this model.
    """
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > min(HEADER_LIMIT, len(data) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        if header.pop("__metadata__", {}).get("format") != FORMAT:
            raise ValueError(f"it does not hold a {FORMAT}")
        tensors = {name: _tensor(data, 8 + length, entry) for name, entry in header.items()}
        scales = {name.removesuffix(SCALE): tensors.pop(name) for name in list(tensors) if name.endswith(SCALE)}
        return {name: tensor * scales[name] if name in scales else tensor for name, tensor in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"{path.name} is no model for Mini WebUI: {error}") from error


def _tensor(data: bytes, base: int, entry: dict[str, Any]) -> Array:
    dtype = DTYPES[entry["dtype"]]
    start, end = entry["data_offsets"]
    count = (end - start) // dtype.itemsize
    if end <= start or base + end > len(data):
        raise ValueError("the file is cut short")
    values: Array = np.frombuffer(data, dtype=dtype, count=count, offset=base + start)
    return np.asarray(values.reshape(entry["shape"]), np.float32)
