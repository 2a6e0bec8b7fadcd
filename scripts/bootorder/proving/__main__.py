"""`python -m scripts.bootorder.proving boot`, from the root of a repository: what its nox sessions run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from invoke.exceptions import Exit

from ..console import Console
from ..program import translated
from . import boot, bug, orders
from .report import Report, report
from .stack import Stack, fresh

_INTERRUPTED = 130
PROOFS: Mapping[str, Callable[[Stack, Report], None]] = {
    "boot": boot.prove,
    "orders": orders.prove,
    "bug": bug.prove,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s PROOF --", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("proof", choices=PROOFS)
    parser.add_argument("--runtime", default="", help="compose or embedded, as of `inv start`")
    parser.add_argument("--layout", default="", help="shared, schemas or databases, as of `inv start`")
    parser.add_argument("--report", default="", help="the name of the report, if not the proof's")
    asked = parser.parse_args()
    console, root = Console(), Path.cwd()
    try:
        with (
            report(root, asked.report or asked.proof) as made,
            translated(console),
            fresh(root, console, runtime=asked.runtime, layout=asked.layout) as stack,
        ):
            PROOFS[asked.proof](stack, made)
    except Exit as ended:
        sys.exit(_INTERRUPTED if ended.code == _INTERRUPTED else 1)


if __name__ == "__main__":
    main()
