"""Packages that come from a repository at a commit: fetched as repositories are, built, marked with their commit."""

from __future__ import annotations

import json
from pathlib import Path

from sdlauncher.core.recipe import Repository
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.python import normalise
from sdlauncher.setup.packages import install_words, read_packages, step_failed, uv_settings
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import bring


def has_parts(site: Site) -> bool:
    """Tell whether every such package of the recipe was installed at its commit and is still there."""
    installed = read_packages(site)
    return site.read_stamp().get("parts") == _pins(site) and all(
        normalise(package.folder) in installed for package in site.recipe.packages
    )


def install_parts(site: Site) -> None:
    """Fetch and build each of them. Raises SDL-SOURCES-EXHAUSTED and SDL-STEP-FAILED."""
    for package in site.recipe.packages:
        place = site.paths.cache / "parts" / f"{package.folder}-{package.commit[:12]}"
        bring(site, package, place)
        words = [*install_words(site), "--no-deps", "--reinstall-package", package.folder]
        done = site.follow([*words, str(place)], env=uv_settings(site))
        if not done.ok:
            raise step_failed(site, "parts", done.stdout)
        _mark(site, package)
    site.add_to_stamp(parts=_pins(site))


def _mark(site: Site, package: Repository) -> None:
    """Record where it comes from (PEP 610): the WebUI's own installer goes by that, not by the version."""
    origin = {"vcs": "git", "commit_id": package.commit, "requested_revision": package.commit}
    text = json.dumps({"url": package.url, "vcs_info": origin})
    name = package.folder.replace("-", "_")
    for folder in _site_packages(site.venv):
        for info in folder.glob(f"{name}-*.dist-info"):
            write_bytes(info / "direct_url.json", text.encode())


def _site_packages(venv: Path) -> tuple[Path, ...]:
    return (*venv.glob("lib/python3*/site-packages"), *venv.glob("Lib/site-packages"))


def _pins(site: Site) -> dict[str, str]:
    return {package.folder: package.commit for package in site.recipe.packages}
