"""The command that runs a supervisor, for whoever starts one without loading what it consists of."""

from __future__ import annotations

import sys

# What `python -c` runs: our package is found where the command line found it, whatever that Python has installed.
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from sdlauncher.supervise.daemon import main; main(sys.argv[2:])"


def argv(package_root: str, root: str, mode: str, descriptor: int | None) -> list[str]:
    """Return the command that runs a supervisor for the instance in `root`; `mode` is start or adopt."""
    told = "-" if descriptor is None else str(descriptor)
    # Elsewhere the process table comes from psutil, which lives in site-packages.
    alone = ["-I", "-S"] if sys.platform == "linux" else ["-I"]
    return [sys.executable, *alone, "-c", BOOT, package_root, root, mode, told]
