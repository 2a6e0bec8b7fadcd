@echo off
rem Runs the tasks: makes .venv on first use, then Invoke in it. Needs nothing but Python 3.11 or newer.
setlocal
set "here=%~dp0"
set "venv=%here%.venv"
set "wanted=%here%scripts\bootorder\requirements.txt"
fc /b "%wanted%" "%venv%\requirements.txt" >nul 2>&1
if not errorlevel 1 if exist "%venv%\Scripts\python.exe" goto run

set "python=py -3"
py -3 -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>&1
if errorlevel 1 set "python=python"
%python% -c "import sys; sys.exit(sys.version_info < (3, 11))" >nul 2>&1
if errorlevel 1 (
    echo error: no Python 3.11 or newer was found 1>&2
    echo   hint: install one from python.org 1>&2
    exit /b 3
)
echo making .venv ^(first use, or its requirements changed^) 1>&2
%python% -m venv --clear "%venv%" || exit /b 3
"%venv%\Scripts\python.exe" -m pip --disable-pip-version-check --quiet install --require-hashes --requirement "%wanted%"
if errorlevel 1 (
    echo error: the packages of the tasks could not be installed 1>&2
    echo   hint: connect to the network, then run this again 1>&2
    exit /b 3
)
copy /y "%wanted%" "%venv%\requirements.txt" >nul

:run
set "BOOTORDER_COMMAND=inv"
"%venv%\Scripts\python.exe" "%here%scripts\bootorder\__main__.py" %*
exit /b %errorlevel%
