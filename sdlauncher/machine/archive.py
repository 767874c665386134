"""Bundles on disk: tar files that are written whole or not at all, and read once with every checksum compared."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from sdlauncher.core import jsontext
from sdlauncher.errors import SdLauncherError

_PIECE: Final = 1024 * 1024
_MANIFEST_MOST: Final = 64 * 1024 * 1024


def write_archive(target: Path, first: tuple[str, bytes], files: Iterable[tuple[str, Path]]) -> None:
    """Write a tar with the bytes of `first` at its beginning and then the files. Raises SDL-FILE-WRITE."""
    with _whole(target) as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(_plain(first[0], len(first[1])), io.BytesIO(first[1]))
            for name, path in files:
                with path.open("rb") as source:
                    archive.addfile(_plain(name, path.stat().st_size), source)
        stream.flush()
        os.fsync(stream.fileno())


def read_first(file: Path, name: str) -> dict[str, Any]:
    """Return the JSON object at the beginning of an archive. Raises SDL-FILE-READ and SDL-BUNDLE-DAMAGED."""
    try:
        with tarfile.open(file, mode="r:") as archive:
            entry = archive.next()
            if entry is None or entry.name != name or entry.size > _MANIFEST_MOST:
                raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=f"it does not begin with {name}")
            stream = archive.extractfile(entry)
            value = jsontext.loads(stream.read() if stream else b"")
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=str(error)) from error
    if not isinstance(value, dict):
        raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=f"{name} is no object")
    return value


def unpack(file: Path, wanted: Mapping[str, str], place: Callable[[str], Path]) -> None:
    """Write the files of an archive to where `place` puts their names, comparing each with its SHA-256 in `wanted`.

    What lies there already and is right stays. Raises SDL-BUNDLE-DAMAGED naming the first file that is wrong or
    missing, SDL-FILE-READ and SDL-FILE-WRITE.
    """
    left = dict(wanted)
    try:
        with tarfile.open(file, mode="r:") as archive:
            for entry in archive:
                digest = left.pop(entry.name, None)
                if digest is None or not entry.isfile():
                    continue
                source = archive.extractfile(entry)
                assert source is not None
                _take(file, entry.name, source, place(entry.name), digest)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-READ", path=file, evidence=error) from error
    except (tarfile.TarError, EOFError) as error:
        raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=str(error)) from error
    if left:
        raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=f"{next(iter(left))} is missing")


def unpack_python(archive: Path, target: Path) -> None:
    """Unpack a Python as it is offered for download (one folder `python` in a tar.gz). Raises SDL-FILE-WRITE."""
    import shutil

    fresh = target.with_name(f".{target.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with tarfile.open(archive) as opened:
            # Only Python 3.10.12 and later know filters; what is unpacked has its checksum in the manifest.
            if hasattr(tarfile, "data_filter"):
                opened.extractall(fresh, filter="tar")
            else:
                opened.extractall(fresh)  # noqa: S202
        shutil.rmtree(target, ignore_errors=True)
        (fresh / "python").replace(target)
        shutil.rmtree(fresh)
    except (OSError, tarfile.TarError) as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=str(error)) from error


def _plain(name: str, size: int) -> tarfile.TarInfo:
    """Describe a file without anything of the machine it comes from, so that the same bundle is the same bytes."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry


def _take(archive: Path, name: str, source: Any, target: Path, digest: str) -> None:
    from sdlauncher.machine.download import hash_file

    if target.is_file() and hash_file(target) == digest:
        return
    found = hashlib.sha256()
    with _whole(target) as stream:
        while piece := source.read(_PIECE):
            found.update(piece)
            stream.write(piece)
        if found.hexdigest() != digest:
            raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=archive, evidence=f"the checksum of {name} is wrong")


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """Write a large file under another name, which becomes `target` when the block ends well. Raises SDL-FILE-WRITE."""
    fresh = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as stream:
            yield stream
        fresh.replace(target)
    except OSError as error:
        raise SdLauncherError("SDL-FILE-WRITE", path=target, evidence=error) from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()
