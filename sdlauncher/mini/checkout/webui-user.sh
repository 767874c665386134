#!/bin/bash
# Settings for webui.sh, which reads this file. Take the # away and change what you need.

# Arguments for the WebUI
#export COMMANDLINE_ARGS=""

# The Python to run it with
#python_cmd="python3"

# Virtual environment beside this file; "-" uses none
#venv_dir="venv"

# The script to start
#export LAUNCH_SCRIPT="launch.py"
