"""`./inv` runs this file by its path; `python -m bootorder` where it is installed as a package."""

import sys
from importlib import import_module
from pathlib import Path

if not __package__:  # then Python looks for modules in this folder, of which none is meant
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import_module(f"{__package__ or 'scripts.bootorder'}.program").main()
