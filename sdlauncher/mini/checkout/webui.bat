@echo off
rem Starts Mini WebUI. Change webui-user.bat rather than this file.

cd /d "%~dp0"
if not defined PYTHON set /p PYTHON=<interpreter.txt
if not defined VENV_DIR set "VENV_DIR=%~dp0venv"

set SD_WEBUI_RESTART=tmp/restart
set ERROR_REPORTING=FALSE

if not exist tmp mkdir tmp

if ["%VENV_DIR%"] == ["-"] goto :launch
if ["%SKIP_VENV%"] == ["1"] goto :launch
if not exist "%VENV_DIR%\Scripts\Python.exe" goto :launch
set PYTHON="%VENV_DIR%\Scripts\Python.exe"
call "%VENV_DIR%\Scripts\activate.bat"
echo venv %PYTHON%

:launch
%PYTHON% launch.py %*
if exist tmp\restart goto :launch
pause
exit /b
