"""Where torch comes from: the first index that answers and has the build that the GPU needs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from sdlauncher.core.mirrors import FROM_PACKAGES, same_build
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.files import read_json, write_json
from sdlauncher.setup.packages import SYSTEM
from sdlauncher.setup.site import Site

_PROBE_SECONDS: Final = 6.0


def xformers_of(planned: str) -> str:
    """Return what to install of a plan's xformers, which is a version or pip's words and can name an index as well."""
    word = shlex.split(planned)[0]
    return word if word.startswith("xformers") else f"xformers=={word}"


def choose_torch_source(site: Site, version: str, channel: str, system: str = SYSTEM) -> tuple[str, str]:
    """Return an index for torch and the local version that its wheels carry there ("" in the package index).

    Raises SDL-TORCH-UNREACHABLE with what each source answered, SDL-BUNDLE-OTHER for a bundle with another torch.
    """
    if site.bundle is not None:
        from sdlauncher.core.bundle import find_torch_mismatch

        other = find_torch_mismatch(site.bundle, version=version, channel=channel)
        if other is not None:
            raise SdLauncherError("SDL-BUNDLE-OTHER", path=site.bundle.webui, evidence=other)
        return site.mirrors.packages[0], site.bundle.torch.label
    before = _read(site).get(f"{version} {channel} {system}")
    if site.offline and isinstance(before, list):
        return str(before[0]), str(before[1])
    return _ask(site, version, channel, system)


def remember_torch_source(site: Site, version: str, channel: str, source: str, label: str) -> None:
    """Keep where a torch came from: only there will the cache have it when there is no network."""
    if site.bundle is None:
        write_json(_file(site), {**_read(site), f"{version} {channel} {SYSTEM}": [source, label]})


def _ask(site: Site, version: str, channel: str, system: str) -> tuple[str, str]:
    from sdlauncher.machine.download import probe

    answers: list[str] = []
    for source in site.mirrors.torch:
        if source == FROM_PACKAGES:
            if same_build(version, channel, system):
                if answers:
                    # The index's wheels for Linux bring CUDA along; on other systems it is theirs that know none.
                    name = "install-torch-packages" + ("-cpu" if (channel, system) == ("cpu", "linux") else "")
                    site.say(name, version=version, channel=channel, evidence="; ".join(answers))
                return site.mirrors.packages[0], ""
            answers.append(f"the package index has no torch {version} for {channel}")
            continue
        index = f"{source.rstrip('/')}/{channel}"
        if Path(source).is_dir() or site.offline:
            return index, f"+{channel}"
        evidence = probe(f"{index}/torch/", timeout=_PROBE_SECONDS)
        if evidence is None:
            site.say("install-source", what=f"torch {version}", source=index)
            return index, f"+{channel}"
        answers.append(f"{index}: {evidence}")
    raise SdLauncherError("SDL-TORCH-UNREACHABLE", version=version, channel=channel, evidence="; ".join(answers))


def _file(site: Site) -> Path:
    return site.paths.cache / "torch-sources.json"


def _read(site: Site) -> dict[str, object]:
    return read_json(_file(site)) or {}
