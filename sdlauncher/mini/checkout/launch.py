"""Starts Mini WebUI: with the Python that runs this file if it can, else with the one it was laid out with."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main():
    try:
        from sdlauncher.mini.server import main as serve
    except ImportError:
        interpreter = (ROOT / "interpreter.txt").read_text(encoding="utf-8").strip()
        if Path(interpreter) == Path(sys.executable):
            raise
        command = [interpreter, *sys.orig_argv[1:]]
        if os.name == "nt":
            sys.exit(subprocess.run(command, check=False).returncode)
        os.execv(interpreter, command)  # noqa: S606 - it must stay the child of the start script
    serve(ROOT)


if __name__ == "__main__":
    main()
