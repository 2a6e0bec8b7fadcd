"""`./inv` runs this file by its path; `python -m bootorder` where it is installed as a package."""

import atexit
import gc
import sys
from importlib import import_module
from pathlib import Path

if not __package__:  # then Python looks for modules in this folder, of which none is meant
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    import_module("scripts.bootorder.bootstrap").require_ready(sys.argv[1:])

# Importing makes many objects and no garbage. A tenth of a short task is looking for some with the usual limit of 700,
# and another tenth is doing so once more before the end.
gc.set_threshold(50_000)
atexit.register(gc.freeze)

import_module(f"{__package__ or 'scripts.bootorder'}.program").main()
