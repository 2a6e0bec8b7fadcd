@echo off
rem Runs the tasks in .venv, which scripts\bootorder\bootstrap.py makes. Needs nothing but Python 3.11 or newer.
setlocal
set "BOOTORDER_COMMAND=inv"
set "python=py -3"
py -3 -c "import sys" >nul 2>&1
if errorlevel 1 set "python=python"
%python% -c "import sys; sys.exit(sys.version_info < (3, 8))" >nul 2>&1
if errorlevel 1 (
    echo error: no Python 3.11 or newer was found 1>&2
    echo   hint: install one from python.org 1>&2
    exit /b 3
)
%python% -I "%~dp0scripts\bootorder\bootstrap.py" %*
exit /b %errorlevel%
