@echo off
rem From a fresh clone to a checked picture: makes .venv, installs, and runs `sdlauncher up`.
rem Arguments go through to `up`; the default is the built-in Mini WebUI.
setlocal
cd /d "%~dp0.."
set "PYTHON=%SDLAUNCHER_PYTHON%"
if not defined PYTHON set "PYTHON=python"
rem What is installed is kept beside it: another pyproject.toml means another installation.
if not exist ".venv\.holds-mini" goto install
".venv\Scripts\python.exe" -c "import sys; sys.exit(open('pyproject.toml').read() != open('.venv/.holds-mini').read())"
if not errorlevel 1 goto run
:install
"%PYTHON%" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))"
if errorlevel 1 (
  echo error: no Python 3.10 to 3.14 was found as %PYTHON% 1>&2
  echo hint: install one from python.org, or set SDLAUNCHER_PYTHON to it 1>&2
  exit /b 1
)
"%PYTHON%" -m venv .venv || exit /b 1
".venv\Scripts\python.exe" -m pip install --quiet --disable-pip-version-check --editable ".[mini]" || exit /b 1
copy /y pyproject.toml ".venv\.holds-mini" >nul
:run
echo %* | findstr /c:"--webui" /c:"--dir" >nul
if errorlevel 1 (
  ".venv\Scripts\sdlauncher.exe" up --webui mini %*
) else (
  ".venv\Scripts\sdlauncher.exe" up %*
)
