"""`./inv` runs this file by its path; `python -m bootorder` where it is installed as a package."""

import gc
import sys
from importlib import import_module
from pathlib import Path

if not __package__:  # then Python looks for modules in this folder, of which none is meant
    sys.path[0] = str(Path(__file__).resolve().parents[2])

# Importing makes many objects and no garbage: with the usual limit of 700 a tenth of a short task is looking for some.
gc.set_threshold(50_000)

import_module(f"{__package__ or 'scripts.bootorder'}.program").main()
