"""Installing from a bundle: whether it is for this machine, and its files checked and laid where the steps look."""

from __future__ import annotations

import html
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sdlauncher.core.bundle import GIT, MANIFEST, MODELS, PACKAGES, PYTHON, Manifest, Ware, find_mismatch
from sdlauncher.core.hardware import GIB
from sdlauncher.core.mirrors import FROM_PACKAGES, Mirrors
from sdlauncher.core.recipe import Recipe
from sdlauncher.errors import SdLauncherError
from sdlauncher.machine.archive import read_first, unpack, unpack_python
from sdlauncher.machine.files import write_bytes
from sdlauncher.machine.paths import Paths, locate_typed
from sdlauncher.setup.packages import SYSTEM, machine_name


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle and the folder in which its packages lie while they are installed."""

    file: Path
    manifest: Manifest
    folder: Path

    @property
    def mirrors(self) -> Mirrors:
        """The sources that it is: its repositories lie where those of earlier installations are kept."""
        index = (self.folder / PACKAGES).as_uri()
        return Mirrors(packages=(index,), torch=(FROM_PACKAGES,), pythons=(), chosen=("packages",))


def open_bundle(file: Path, paths: Paths, instance: str) -> Bundle:
    """Read what a bundle is; each instance unpacks it for itself. Raises SDL-FILE-READ and SDL-BUNDLE-DAMAGED."""
    file = locate_typed(file)
    value = read_first(file, MANIFEST)
    try:
        manifest = Manifest.from_json(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SdLauncherError("SDL-BUNDLE-DAMAGED", path=file, evidence=f"its manifest: {error}") from error
    name = f"{manifest.webui}-{manifest.commit[:12]}-{manifest.lock[:12]}"
    return Bundle(file, manifest, paths.cache / "bundles" / instance / name)


def require_fit(bundle: Bundle, recipe: Recipe) -> None:
    """Raise SDL-BUNDLE-OTHER if a bundle is not for this machine, this WebUI or this version of ours."""
    other = find_mismatch(
        bundle.manifest, webui=recipe.webui, commit=recipe.program.commit, system=SYSTEM, machine=machine_name()
    )
    if other is not None:
        raise SdLauncherError("SDL-BUNDLE-OTHER", path=bundle.file, evidence=other)


def lay_out(bundle: Bundle, paths: Paths) -> None:
    """Check every file and lay it where the steps of an installation look for it.

    Raises SDL-BUNDLE-DAMAGED, SDL-DISK-FULL and SDL-FILE-WRITE.
    """
    manifest = bundle.manifest
    bundle.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(bundle.folder).free
    if free < manifest.size:
        need, left = f"{manifest.size / GIB:.1f}", f"{free / GIB:.1f}"
        raise SdLauncherError("SDL-DISK-FULL", path=bundle.folder, free=left, need=need)

    def place(name: str) -> Path:
        kind, _, rest = name.partition("/")
        return paths.cache / "git" / rest if kind == GIT else bundle.folder / name

    unpack(bundle.file, {ware.path: ware.sha256 for ware in manifest.files}, place)
    for name in {ware.path.split("/")[1] for ware in manifest.files if ware.path.startswith(f"{GIT}/")}:
        # git takes a folder without refs for no repository.
        (paths.cache / "git" / name / "refs").mkdir(parents=True, exist_ok=True)
    _write_index(bundle.folder, [ware for ware in manifest.files if ware.path.startswith(f"{PACKAGES}/")])
    for archive in sorted((bundle.folder / PYTHON).glob("*.tar.gz")):
        target = paths.data / "python" / archive.name.removesuffix(".tar.gz")
        if not target.is_dir():
            unpack_python(archive, target)


def bring_models(bundle: Bundle, checkout: Path) -> tuple[Path, ...]:
    """Put the bundle's models into a checkout; one that is there already stays as it is."""
    from sdlauncher.setup.models import add_model

    brought = []
    for file in sorted((bundle.folder / MODELS).glob("*")):
        try:
            brought.append(add_model(str(file), checkout, mirrors=Mirrors()).model.path)
        except SdLauncherError as error:
            if error.code != "SDL-MODEL-EXISTS":
                raise
    return tuple(brought)


def clear(bundle: Bundle) -> None:
    """Remove what was unpacked: the packages are in the environment and in uv's cache now."""
    shutil.rmtree(bundle.folder, ignore_errors=True)


def _write_index(folder: Path, wares: Iterable[Ware]) -> None:
    """Write the pages by which installers find packages in a folder (PEP 503), with the checksums of the manifest."""
    links: dict[str, list[str]] = defaultdict(list)
    for ware in wares:
        _, name, file = ware.path.split("/")
        links[name].append(f'<a href="{quote(file)}#sha256={ware.sha256}">{html.escape(file)}</a><br>')
    for name, lines in links.items():
        page = "<!DOCTYPE html><html><body>\n" + "\n".join(lines) + "\n</body></html>\n"
        write_bytes(folder / PACKAGES / name / "index.html", page.encode())
