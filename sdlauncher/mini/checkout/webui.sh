#!/usr/bin/env bash
# Starts Mini WebUI. Change webui-user.sh rather than this file.

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" &>/dev/null && pwd)

if [[ -f "$here/webui-user.sh" ]]; then
    # shellcheck source=/dev/null
    source "$here/webui-user.sh"
fi

rule="################################################################"
announce() { printf "\n%s\n%b\n%s\n" "$rule" "$1" "$rule"; }
refuse() { announce "\e[1m\e[31mERROR: $1, aborting...\e[0m"; exit 1; }

as_root=0
while getopts "f" flag &>/dev/null; do
    case "$flag" in
        f) as_root=1 ;;
        *) break ;;
    esac
done

announce "\e[1m\e[32mStart script of Mini WebUI\e[0m"
if [[ $(id -u) -eq 0 && $as_root -eq 0 ]]; then
    refuse "This script must not be launched as root"
fi
announce "Running on \e[1m\e[32m$(whoami)\e[0m user"

cd -- "$here" || refuse "Can't cd to $here"

# A python_cmd that cannot be run is replaced without a word, as the real script does.
if [[ -z "$python_cmd" || ! -x $(command -v "$python_cmd") ]]; then
    python_cmd=$(<interpreter.txt)
fi
venv_dir=${venv_dir:-venv}
if [[ "$venv_dir" != "-" && -z "$VIRTUAL_ENV" && -f "$venv_dir/bin/activate" ]]; then
    announce "Create and activate python venv"
    # shellcheck source=/dev/null
    source "$venv_dir/bin/activate"
    python_cmd=$venv_dir/bin/python
else
    announce "python venv already activate or run without venv: $VIRTUAL_ENV"
fi
[[ -x $(command -v "$python_cmd") ]] || refuse "$python_cmd is not installed"

export ERROR_REPORTING=FALSE
export SD_WEBUI_RESTART=tmp/restart
while true; do
    announce "Launching launch.py..."
    "$python_cmd" -u "${LAUNCH_SCRIPT:-launch.py}" "$@"
    [[ -f tmp/restart ]] || break
done
exit 0
