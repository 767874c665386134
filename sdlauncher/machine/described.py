"""A machine described in a file instead of detected: what `plan --hardware` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdlauncher.core import jsontext
from sdlauncher.core.hardware import MIB, Driver, Gpu, Hardware, Host
from sdlauncher.core.rules import read_capability
from sdlauncher.errors import SdLauncherError

_KEYS = {"os", "architecture", "memory_total_mib", "driver", "gpus"}
_GPU_KEYS = {"name", "compute_capability", "memory_total_mib", "memory_free_mib", "uuid", "index"}

# Boards whose GPU shares the host's memory: NVML has no answer for it.
_UNIFIED_MEMORY = {(5, 3), (7, 2), (8, 7), (11, 0), (12, 1)}


def read_hardware(file: Path) -> Hardware:
    """Read a description. Missing keys take ordinary values. Raises SDL-FILE-READ and SDL-HARDWARE-FILE."""
    try:
        value = jsontext.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
    except ValueError as error:
        raise SdLauncherError("SDL-HARDWARE-FILE", path=file, evidence=error) from error
    try:
        return describe_hardware(value)
    except (ValueError, TypeError, AttributeError) as error:
        raise SdLauncherError("SDL-HARDWARE-FILE", path=file, evidence=error) from error


def describe_hardware(value: Mapping[str, Any]) -> Hardware:
    """Make hardware of a description. Raises ValueError, TypeError or AttributeError, whose text says what is wrong."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    _refuse_unknown(value, _KEYS, "")
    system = value.get("os", "linux")
    if system not in ("linux", "windows", "darwin"):
        raise ValueError(f"os is {system!r}, but must be linux, windows or darwin")
    host = Host(system, value.get("architecture", "x86_64"), _mib(value, "memory_total_mib", "") or 16384 * MIB)
    listed = value.get("gpus", [])
    if not isinstance(listed, list):
        raise ValueError("gpus is not a list")
    gpus = tuple(_read_gpu(index, item) for index, item in enumerate(listed))
    driver = value.get("driver")
    if driver is not None and not (isinstance(driver, dict) and isinstance(driver.get("version"), str)):
        raise ValueError("driver needs a text `version`")
    return Hardware(host, None if driver is None else Driver(driver["version"]), gpus)


def _read_gpu(index: int, item: Any) -> Gpu:
    place = f"gpus[{index}]."
    if not isinstance(item, dict):
        raise ValueError(f"gpus[{index}] is not an object")
    _refuse_unknown(item, _GPU_KEYS, place)
    text = item.get("compute_capability", "8.6")
    try:
        capability = read_capability(text)
    except (ValueError, AttributeError) as error:
        raise ValueError(f'{place}compute_capability is {text!r}, but must read like "8.9"') from error
    name = item.get("name", "NVIDIA GPU")
    uuid = item.get("uuid", "")
    if not isinstance(name, str) or not isinstance(uuid, str):
        raise ValueError(f"{place}name and {place}uuid must be texts")
    total = _mib(item, "memory_total_mib", place)
    if "memory_total_mib" not in item and capability not in _UNIFIED_MEMORY:
        total = 8192 * MIB
    return Gpu(item.get("index", index), uuid, name, capability, total, _mib(item, "memory_free_mib", place))


def _mib(item: Mapping[str, Any], key: str, place: str) -> int | None:
    value = item.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"{place}{key} is {value!r}, but must be a number of MiB")
    return int(value * MIB)


def _refuse_unknown(item: Mapping[str, Any], keys: set[str], place: str) -> None:
    if unknown := sorted(set(item) - keys):
        raise ValueError(f"there is no key {place}{unknown[0]}; known: {', '.join(sorted(keys))}")
