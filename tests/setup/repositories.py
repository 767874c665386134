"""Small git repositories shaped like those of the WebUIs, made with the real git."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

_WHO = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
_A1111 = {
    "launch.py": "from modules import launch_utils\n",
    "webui.py": "import modules\n",
    "webui.sh": "#!/usr/bin/env bash\n",
    "modules/launch_utils.py": "",
    "CHANGELOG.md": "## 1.10.1\n\n### Bug Fixes:\n* fix image upscale on cpu\n\n## 1.10.0\n",
}
_FORGE = {**_A1111, "backend/loader.py": "", "modules_forge/forge_version.py": "version = '2.0.1v1.10.1'\n"}
_CLASSIC = {
    **_A1111,
    "README.md": "# Stable Diffusion WebUI Forge\n",
    "modules_forge/forge_version.py": 'version = "classic"\n',
}
FILES: Mapping[str, Mapping[str, str]] = {
    "a1111": _A1111,
    "forge": _FORGE,
    "reforge": {
        **_A1111,
        "README.md": "# Stable Diffusion WebUI Forge/reForge\n",
        "ldm_patched/ops.py": "",
        "modules_forge/forge_version.py": "version = '1.0.0v2-v1.10.1RC'\n",
    },
    "forge-classic": _CLASSIC,
    "forge-neo": {**_FORGE, "modules_forge/forge_version.py": 'version = "neo"\nrelease = "2.22"\n'},
    "sdnext": {
        "launch.py": "import installer\n",
        "installer.py": "",
        "webui.py": "",
        "modules/cmd_args.py": "",
        "CHANGELOG.md": "# Change Log for SD.Next\n\n## Update for 2026-07-14\n",
    },
}


def git(directory: Path, *words: str) -> str:
    """Run git for a test and return what it printed."""
    done = subprocess.run(
        ["git", "-C", str(directory), *_WHO, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def write_tree(directory: Path, files: Mapping[str, str]) -> Path:
    """Write files, with their folders."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        if name.endswith(".sh"):
            (directory / name).chmod(0o755)
    return directory


def commit(directory: Path, files: Mapping[str, str], *, tag: str | None = None) -> str:
    """Commit files to a repository, making it if it is not there; return the commit."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / ".git").exists():
        git(directory, "init", "-q", "-b", "master")
    write_tree(directory, files)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "change", "--allow-empty")
    if tag:
        git(directory, "tag", tag)
    return git(directory, "rev-parse", "HEAD")
