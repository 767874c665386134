"""Sources in order: prefixes, stand-ins, and when the package index has the very torch that is meant."""

from __future__ import annotations

from typing import Any

import pytest

from sdlauncher.core.mirrors import FROM_PACKAGES, PYPI, TORCH, git_sources, parse_mirrors, same_build
from sdlauncher.errors import SdLauncherError

URL = "https://github.com/AUTOMATIC1111/stable-diffusion-webui.git"
BARE = URL.removesuffix(".git")


def sources(table: dict[str, Any], url: str = URL, stand_ins: tuple[str, ...] = ()) -> tuple[str, ...]:
    return git_sources(parse_mirrors("config.toml", {"git": table}), url, stand_ins)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, (URL,)),
        ({"https://github.com/": "https://mirror/"}, ("https://mirror/AUTOMATIC1111/stable-diffusion-webui.git", URL)),
        ({"https://github.com/": ["https://a/", "https://b/"]},
         ("https://a/AUTOMATIC1111/stable-diffusion-webui.git",
          "https://b/AUTOMATIC1111/stable-diffusion-webui.git", URL)),
        ({URL: "/srv/git/webui"}, ("/srv/git/webui", URL)),
        ({BARE: "/srv/git/webui"}, ("/srv/git/webui", URL)),
        ({"https://github.com/": "https://a/", "https://github.com/AUTOMATIC1111/": "/srv/"},
         ("/srv/stable-diffusion-webui.git", URL)),
        # A key that does not end in a slash is one repository, not the beginning of others.
        ({"https://github.com/AUTOMATIC1111/stable": "/wrong"}, (URL,)),
        ({"https://gitlab.com/": "/wrong/"}, (URL,)),
    ],
)  # fmt: skip
def test_the_longest_beginning_wins_and_the_origin_comes_last(table: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert sources(table) == expected


def test_a_stand_in_comes_before_what_is_gone_and_behind_a_mirror_of_either() -> None:
    gone, other = "https://github.com/gone/x.git", "https://github.com/kept/x.git"
    assert sources({}, gone, (other,)) == (other, gone)
    assert sources({gone: "/srv/x"}, gone, (other,)) == ("/srv/x", other, gone)
    assert sources({other: "/srv/y"}, gone, (other,)) == ("/srv/y", other, gone)


@pytest.mark.parametrize(
    ("version", "channel", "system", "same"),
    [
        ("2.1.2", "cu121", "linux", True),
        ("2.1.2", "cu118", "linux", False),
        ("2.1.2", "cpu", "linux", True),
        ("2.1.2", "cu121", "windows", False),
        ("2.1.2", "cpu", "windows", True),
        ("2.7.0", "cu128", "linux", False),
        ("2.7.1", "cu126", "linux", True),
        ("2.9.0", "cu128", "linux", True),
        ("2.10.0", "cu126", "linux", False),
        ("9.9.9", "cu999", "linux", False),
    ],
)
def test_torch_comes_from_the_package_index_only_if_it_is_the_same(
    version: str, channel: str, system: str, same: bool
) -> None:
    assert same_build(version, channel, system) is same


def test_what_nobody_set_is_the_original() -> None:
    mirrors = parse_mirrors("config.toml", {})
    assert (mirrors.packages, mirrors.torch, mirrors.chosen) == ((PYPI,), (TORCH, FROM_PACKAGES), ())
    assert parse_mirrors("config.toml", {"packages": "https://p/simple"}).chosen == ("packages",)


@pytest.mark.parametrize(
    ("table", "code", "named"),
    [
        ({"gti": {}}, "SDL-CONFIG-KEY", "mirrors.gti"),
        ({"packages": 3}, "SDL-CONFIG-VALUE", "mirrors.packages"),
        ({"packages": []}, "SDL-CONFIG-VALUE", "mirrors.packages"),
        ({"git": "https://mirror/"}, "SDL-CONFIG-VALUE", "mirrors.git"),
        ({"git": {URL: ""}}, "SDL-CONFIG-VALUE", URL),
        ("https://mirror", "SDL-CONFIG-VALUE", "mirrors"),
    ],
)
def test_a_wrong_table_is_named(table: object, code: str, named: str) -> None:
    with pytest.raises(SdLauncherError) as caught:
        parse_mirrors("config.toml", table)
    assert caught.value.code == code
    assert named in str(caught.value)
