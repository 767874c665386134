"""Where things are fetched from: the user's mirrors of git, Python packages, torch and models, as choices in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sdlauncher.core.settings import suggest
from sdlauncher.errors import SdLauncherError

PYPI: Final = "https://pypi.org/simple"
TORCH: Final = "https://download.pytorch.org/whl"
HUB: Final = "https://huggingface.co"
PYTHONS: Final = "https://github.com/astral-sh/python-build-standalone/releases/download"
# In the list of torch sources: take torch from the package index, if that has the same build.
FROM_PACKAGES: Final = "packages"

# The CUDA that the torch of the package index (PyPI) was built for, by version; measured from the wheels' metadata.
_PYPI_BUILDS: Final = (
    ("2.1.", "cu121"), ("2.2.", "cu121"), ("2.3.", "cu121"), ("2.4.", "cu121"), ("2.5.", "cu124"), ("2.6.", "cu124"),
    ("2.7.", "cu126"), ("2.8.", "cu128"), ("2.9.", "cu128"), ("2.10.", "cu128"), ("2.11.", "cu130"),
    ("2.12.", "cu130"), ("2.13.", "cu130"), ("2.14.", "cu130"),
)  # fmt: skip


class Mirrors(NamedTuple):
    """Sources in the order in which they are tried. `git` maps the beginning of a URL to what replaces it.

    `chosen` are the fields that the user has set.
    """

    git: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    packages: tuple[str, ...] = (PYPI,)
    torch: tuple[str, ...] = (TORCH, FROM_PACKAGES)
    models: tuple[str, ...] = (HUB,)
    pythons: tuple[str, ...] = (PYTHONS,)
    chosen: tuple[str, ...] = ()


_KEYS: Final = ("git", "packages", "torch", "models", "pythons")


def parse_mirrors(place: str, table: object) -> Mirrors:
    """Read the table `[mirrors]` of config.toml. Raises SDL-CONFIG-KEY and SDL-CONFIG-VALUE with the place."""
    if not isinstance(table, Mapping):
        raise SdLauncherError("SDL-CONFIG-VALUE", place=place, key="mirrors", value=repr(table), expected="a table")
    for key in table:
        if key not in _KEYS:
            raise SdLauncherError(
                "SDL-CONFIG-KEY", place=place, key=f"mirrors.{key}", suggestion=suggest(str(key), _KEYS)
            )
    git = table.get("git", {})
    if not isinstance(git, Mapping):
        raise SdLauncherError(
            "SDL-CONFIG-VALUE", place=place, key="mirrors.git", value=repr(git), expected="a table of URL = URL or path"
        )
    defaults = Mirrors()
    return Mirrors(
        git={str(key): _texts(place, f"mirrors.git.{key}", value) for key, value in git.items()},
        packages=_sources(place, table, "packages", defaults.packages),
        torch=_sources(place, table, "torch", defaults.torch),
        models=_sources(place, table, "models", defaults.models),
        pythons=_sources(place, table, "pythons", defaults.pythons),
        chosen=tuple(table),
    )


def choose_mirrors(
    mirrors: Mirrors,
    *,
    git: Iterable[str] = (),
    packages: Iterable[str] = (),
    torch: Iterable[str] = (),
    models: Iterable[str] = (),
) -> Mirrors:
    """Put what the command line names before what config.toml does; a `git` text is `URL=URL or path`.

    Raises SDL-MIRROR-FORM.
    """
    rewritten: dict[str, tuple[str, ...]] = {}
    for text in git:
        url, separator, target = text.rpartition("=")
        if not separator or not url or not target:
            raise SdLauncherError("SDL-MIRROR-FORM", text=text)
        rewritten[url] = (*rewritten.get(url, ()), target)
    others: dict[str, tuple[str, ...]] = {
        key: tuple(values) for key, values in (("packages", packages), ("torch", torch), ("models", models)) if values
    }
    named = [*(["git"] if rewritten else []), *others]
    return mirrors._replace(
        git={**mirrors.git, **rewritten},
        chosen=tuple(dict.fromkeys((*mirrors.chosen, *named))),
        **others,
    )


def git_sources(mirrors: Mirrors, url: str, replacements: Iterable[str] = ()) -> tuple[str, ...]:
    """Return where to fetch a repository from, best first: its mirrors, its replacements', and itself at last.

    The longest matching beginning wins. `replacements` are repositories that stand in for one that is gone.
    """
    found: list[str] = []
    stand_ins = tuple(replacements)
    found += _mirrors_of(mirrors, url)
    for other in stand_ins:
        found += _mirrors_of(mirrors, other)
    found += stand_ins
    found.append(url)
    return tuple(dict.fromkeys(found))


def same_build(version: str, channel: str, system: str) -> bool:
    """Tell whether the torch of the package index does what a channel's does: the same CUDA, or none needed.

    PyPI's wheels for Windows know no CUDA at all.
    """
    if channel == "cpu":
        return True
    if system == "windows":
        return False
    return any(version.startswith(prefix) and channel == build for prefix, build in _PYPI_BUILDS)


def _mirrors_of(mirrors: Mirrors, url: str) -> list[str]:
    bare = url.removesuffix(".git")
    keys = sorted((key for key in mirrors.git if _begins(bare, key.removesuffix(".git"))), key=len, reverse=True)
    if not keys:
        return []
    key = keys[0]
    rest = "" if bare == key.removesuffix(".git") else url[len(key) :]
    return [target + rest for target in mirrors.git[key]]


def _begins(url: str, key: str) -> bool:
    return url == key or (key.endswith("/") and url.startswith(key))


def _sources(place: str, table: Mapping[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return _texts(place, f"mirrors.{key}", table[key]) if key in table else default


def _texts(place: str, key: str, value: object) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not values or not all(isinstance(it, str) and it for it in values):
        raise SdLauncherError(
            "SDL-CONFIG-VALUE", place=place, key=key, value=repr(value), expected="a text or a list of texts"
        )
    return tuple(values)
