"""Run the command line as `python -m sdlauncher`."""

from sdlauncher.cli.main import main

main()
