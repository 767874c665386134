"""Packages that come from a repository at a commit: fetched as repositories are, built, marked with their commit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sdlauncher.core.recipe import Repository
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.python import environment_python, normalise, site_packages
from sdlauncher.machine.uv import uv_command
from sdlauncher.setup.packages import index_words, install_words, read_packages, step_failed, uv_settings
from sdlauncher.setup.site import Site
from sdlauncher.setup.sources import bring


def has_parts(site: Site) -> bool:
    """Tell whether every such package of the recipe was installed at its commit and is still there."""
    installed = read_packages(site)
    return site.read_stamp().get("parts") == _pins(site) and all(
        normalise(package.folder) in installed for package in site.recipe.packages
    )


def missing_parts(site: Site) -> tuple[Repository, ...]:
    """Return those that would have to be fetched: neither installed nor built before for some Python."""
    if has_parts(site):
        return ()
    folder = site.paths.cache / "parts"
    return tuple(it for it in site.recipe.packages if not any(folder.glob(f"{it.folder}-{it.commit[:12]}-py*/*.whl")))


def install_parts(site: Site) -> None:
    """Fetch and build each of them. Raises SDL-SOURCES-EXHAUSTED and SDL-STEP-FAILED."""
    for package in site.recipe.packages:
        words = [*install_words(site), "--no-deps", "--reinstall-package", package.folder]
        done = site.follow([*words, str(_build(site, package))], env=uv_settings(site))
        if not done.ok:
            raise step_failed(site, "parts", done.stdout)
        _mark(site, package)
    site.add_to_stamp(parts=_pins(site))


def _build(site: Site, package: Repository) -> Path:
    """Return the package's wheel, built once for each Python and kept for the next installation."""
    version = ".".join(str(site.read_stamp().get("python", "")).split(".")[:2])
    place = site.paths.cache / "parts" / f"{package.folder}-{package.commit[:12]}"
    built = place.with_name(f"{place.name}-py{version}")
    if (wheel := next(built.glob("*.whl"), None)) is not None:
        return wheel
    bring(site, package, place)
    fresh = built.with_name(f".{built.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    words = [uv_command(), "build", "--wheel", "--python", str(environment_python(site.venv)), *index_words(site)]
    done = site.follow([*words, "--out-dir", str(fresh), str(place)], env=uv_settings(site))
    if not done.ok:
        raise step_failed(site, "parts", done.stdout)
    shutil.rmtree(built, ignore_errors=True)
    fresh.replace(built)
    shutil.rmtree(place, ignore_errors=True)
    return next(built.glob("*.whl"))


def _mark(site: Site, package: Repository) -> None:
    """Record where it comes from (PEP 610): the WebUI's own installer goes by that, not by the version."""
    origin = {"vcs": "git", "commit_id": package.commit, "requested_revision": package.commit}
    text = json.dumps({"url": package.url, "vcs_info": origin})
    name = package.folder.replace("-", "_")
    for folder in site_packages(site.venv):
        for info in folder.glob(f"{name}-*.dist-info"):
            write_bytes(info / "direct_url.json", text.encode())


def _pins(site: Site) -> dict[str, str]:
    return {package.folder: package.commit for package in site.recipe.packages}
