"""The proofs that go with the tasks into any repository: `nox -l` lists them.

A noxfile.py at the root imports this module; what else it has stays as it is.
"""

from __future__ import annotations

import sys
from inspect import signature
from pathlib import Path

import nox

if "default" not in signature(nox.session).parameters:  # it came with nox 2024.4.14
    sys.stderr.write("error: this nox is too old for the sessions of scripts/bootorder\n")
    sys.stderr.write("  hint: pip install --upgrade nox, or use that of the tasks: .venv/bin/nox (./inv makes it)\n")
    raise SystemExit(3)

ROOT = Path(__file__).resolve().parents[2]
_REQUIREMENTS = "scripts/bootorder/requirements.txt"


def prove(session: nox.Session, proof: str) -> None:
    """In a virtualenv of its own, on a copy of the repository; `-- --runtime embedded` and `--layout` are passed on."""
    with session.chdir(ROOT):
        session.install("--require-hashes", "--requirement", _REQUIREMENTS)
        argv = ("python", "-m", "scripts.bootorder.proving", proof, *session.posargs)
        # Ctrl-C: the copy and what runs of it are removed first.
        session.run(*argv, interrupt_timeout=120, terminate_timeout=60)


# Of virtualenv, which has pip: with it PostgreSQL and Node are installed where there is no Docker.
@nox.session(venv_backend="virtualenv")
def boot(session: nox.Session) -> None:
    """The stack boots from nothing and boots again: all healthy, each owner's tables its own, no row lost."""
    prove(session, "boot")


@nox.session(venv_backend="virtualenv", default=False)
def orders(session: nox.Session) -> None:
    """Every order of the stages: each works, is skipped or refuses and names what to run first; no row is lost."""
    prove(session, "orders")


@nox.session(venv_backend="virtualenv", default=False)
def bug(session: nox.Session) -> None:
    """What each schema tool would take of the others without the guard; with it, it takes nothing."""
    prove(session, "bug")
