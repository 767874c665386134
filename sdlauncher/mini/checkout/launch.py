"""Starts Mini WebUI: with the Python that runs this file if it can, else with the one it was laid out with."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NEEDED = ("sdlauncher", "starlette", "uvicorn", "numpy", "PIL")


def hand_over(missing: "list[str]") -> None:
    """Run this file again with the recorded interpreter, in this process where that can be."""
    interpreter = (ROOT / "interpreter.txt").read_text(encoding="utf-8").strip()
    if not Path(interpreter).exists() or Path(interpreter) == Path(sys.executable):
        sys.exit(f"Mini WebUI needs {', '.join(missing)}, and {interpreter} cannot give it: lay it out again.")
    command = [interpreter, *sys.orig_argv[1:]]
    if os.name == "nt":
        sys.exit(subprocess.run(command, check=False).returncode)
    os.execv(interpreter, command)  # noqa: S606 - it must stay the child of the start script


def main() -> None:
    """Start."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        hand_over(missing)
    from sdlauncher.mini.server import main as serve

    serve(ROOT)


if __name__ == "__main__":
    main()
