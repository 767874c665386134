# Sourced by the other scripts: gives them a virtual environment with this package in it.
#   prepare EXTRA   makes .venv (or $SDLAUNCHER_VENV) hold sdlauncher[EXTRA]; quick when it already does
# SDLAUNCHER_PYTHON names the interpreter to use; otherwise the first of 3.13 … 3.10 that really runs is taken.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${SDLAUNCHER_VENV:-$root/.venv}

suits() {  # a pyenv shim can exist without a Python behind it, and Debian's python3 can lack ensurepip: run it
  "$1" -c 'import sys, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

find_python() {
  local name
  for name in ${SDLAUNCHER_PYTHON:-python3.13 python3.12 python3.11 python3.10 python3 python}; do
    if suits "$name"; then
      command -v "$name"
      return
    fi
  done
  echo "error: no Python 3.10 to 3.14 with the venv module was found (looked for ${SDLAUNCHER_PYTHON:-python3.13 … python3.10, python3})" >&2
  echo "hint: install one (Debian, Ubuntu: apt install python3 python3-venv), or set SDLAUNCHER_PYTHON to it" >&2
  return 1
}

prepare() {
  local extra=$1 stamp
  stamp="$(cksum <"$root/pyproject.toml") $root"
  if [ -f "$venv/.holds-$extra" ] && [ "$(cat "$venv/.holds-$extra")" = "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    return
  fi
  if ! "$venv/bin/python" -c '' 2>/dev/null; then
    local python
    python=$(find_python)
    echo "setting up $venv with $("$python" --version)" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
  fi
  echo "installing sdlauncher[$extra] into $venv" >&2
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$extra]"
  echo "$stamp" >"$venv/.holds-$extra"
}
