"""A small world to install from: git repositories, a package index with a handful of wheels, and a recipe for them."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sdlauncher.mini
from tests.setup.repositories import FILES, commit

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
SYSTEM = "windows" if sys.platform == "win32" else "linux"
# Just enough of torch to prove that it computes.
_TORCH = """
__version__ = "2.1.2"
class _Tensor:
    def __init__(self, n): self.n = n
    def __matmul__(self, other): return _Tensor(self.n)
    def sum(self): return self.n ** 3
def ones(n, m, device="cpu"): return _Tensor(n)
class cuda:
    @staticmethod
    def is_available(): return False
class version:
    cuda = None
"""


def add_wheel(index: Path, name: str, version: str, files: Mapping[str, str], *, requires: tuple[str, ...] = ()) -> str:
    """Put a wheel into a package index (a folder in the layout of PEP 503); return its sha256."""
    safe = name.replace("-", "_")
    info = f"{safe}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    content = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder = index / name.replace("_", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{safe}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        record = []
        for path, text in content.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    links = [
        f'<a href="{it.name}#sha256={sha256(it)}">{it.name}</a><br>'
        for it in sorted(folder.iterdir())
        if it.name != "index.html"
    ]
    (folder / "index.html").write_text("<!DOCTYPE html><html><body>\n" + "\n".join(links) + "\n</body></html>\n")
    return sha256(wheel)


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@dataclass
class World:
    """Where things are, and what was pinned."""

    root: Path
    home: Path
    program: str = ""
    side: str = ""
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def index(self) -> Path:
        return self.root / "simple"

    @property
    def git(self) -> Path:
        return self.root / "git"

    def write(self, *, disk_gib: float = 0.01, extra_config: str = "") -> None:
        """Write config.toml, the recipe and its lock for what the world holds now."""
        config = self.home / "config"
        (config / "recipes" / "locks").mkdir(parents=True, exist_ok=True)
        (config / "config.toml").write_text(
            f'[mirrors]\npackages = "{self.index.as_uri()}"\ntorch = "packages"\n'
            f'[mirrors.git]\n"https://example.org/" = "{self.git}/"\n{extra_config}'
        )
        (config / "recipes" / "a1111.toml").write_text(
            f'version = "1.10.1"\npythons = ["{PYTHON}"]\nlock = "small"\nrequirements = "requirements_versions.txt"\n'
            f'proof = ["torch", "numpy", "clip"]\ndisk_gib = {disk_gib}\nfolders = ["models/Stable-diffusion"]\n'
            f'[program]\nfolder = "."\nurl = "https://example.org/webui"\nbranch = "master"\ntag = "v1.10.1"\n'
            f'commit = "{self.program}"\n'
            f'[[repository]]\nfolder = "repositories/k-diffusion"\nurl = "https://example.org/k-diffusion"\n'
            f'commit = "{self.side}"\nvariable = "K_DIFFUSION"\nskip = ["/assets/"]\n'
        )
        requirements = (self.git / "webui" / "requirements_versions.txt").read_bytes()
        digest = hashlib.sha256(requirements).hexdigest()
        lock = f"# small\n# requirements_versions.txt: sha256 {digest}\n"
        lock += f"numpy==1.26.2 --hash=sha256:{self.hashes['numpy']}\n"
        lock += f"openai-clip==1.0.1 --hash=sha256:{self.hashes['openai-clip']}\n"
        name = f"small-py{PYTHON.replace('.', '')}-{SYSTEM}.txt"
        (config / "recipes" / "locks" / name).write_text(lock)


def build_world(root: Path, home: Path) -> World:
    """Make the repositories, the index and the recipe."""
    world = World(root, home)
    hashes = world.hashes
    hashes["torch"] = add_wheel(world.index, "torch", "2.1.2", {"torch/__init__.py": _TORCH}, requires=("numpy",))
    hashes["torchvision"] = add_wheel(world.index, "torchvision", "0.16.2", {"torchvision/__init__.py": ""})
    hashes["numpy"] = add_wheel(world.index, "numpy", "1.26.2", {"numpy/__init__.py": "__version__ = '1.26.2'"})
    add_wheel(world.index, "numpy", "2.2.0", {"numpy/__init__.py": "raise ImportError('compiled against numpy 1')"})
    hashes["openai-clip"] = add_wheel(world.index, "openai-clip", "1.0.1", {"clip/__init__.py": ""})
    for name in ("pip", "wheel"):
        add_wheel(world.index, name, "1.0", {f"{name}/__init__.py": ""})
    world.side = commit(world.git / "k-diffusion", {"k_diffusion/__init__.py": "", "assets/big.gif": "x" * 1000})
    commit(world.git / "k-diffusion", {"k_diffusion/later.py": ""})
    world.program = commit(world.git / "webui", a1111_files(world.side), tag="v1.10.1")
    world.write()
    return world


def startable_files(side: str) -> dict[str, str]:
    """An AUTOMATIC1111 that starts: its scripts and its server are Mini WebUI's."""
    mini = Path(sdlauncher.mini.__file__).parent / "checkout"
    launch = f"""import os, sys
from pathlib import Path
try:
    from sdlauncher.mini.server import main
except ImportError:
    os.execv({sys.executable!r}, [{sys.executable!r}, "-u", *sys.argv])
main(Path(__file__).resolve().parent)
"""
    return {
        **a1111_files(side),
        "launch.py": launch,
        "webui.sh": (mini / "webui.sh").read_text(),
        "webui-user.sh": (mini / "webui-user.sh").read_text(),
        ".gitignore": "/venv/\n/repositories/\n/models/\n/outputs/\n/tmp/\n/*.json\n/extensions/\n/embeddings/\n",
    }


def a1111_files(side: str) -> dict[str, str]:
    """The files of a small AUTOMATIC1111, whose launch_utils pins the repository beside it."""
    return {
        **FILES["a1111"],
        "modules/launch_utils.py": f"k = os.environ.get('K_DIFFUSION_COMMIT_HASH', \"{side}\")\n",
        "requirements_versions.txt": "numpy==1.26.2\n",
        "webui-user.sh": "#!/bin/bash\n",
    }
