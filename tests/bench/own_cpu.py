"""`own_cpu.py FILE PROGRAM ARGUMENTS`: run the program, and write how much CPU its own process used, in seconds."""

from __future__ import annotations

import atexit
import os
import runpy
import sys
from pathlib import Path


def main(file: str, program: str, *arguments: str) -> None:
    atexit.register(lambda: Path(file).write_text(str(sum(os.times()[:2])), encoding="utf-8"))
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
