"""SQLModel (SQLAlchemy) `create_all`, run by the app itself when it starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import LogTail, MigrationError
from ..processes import Completed
from ..terminal import counted
from .base import Migrator, last_line

_PROGRAM = Path(__file__).with_name("models_check.py")
_PYTHON = re.compile(r"(python|pypy)[\d.]*(\.exe)?", re.IGNORECASE)
_WITH_VALUE = {"-W", "-X"}
_OF_A_MODEL = ("name", "state", "file", "line", "module")
_ANSWER = '{"reached": '  # how the line begins that the program prints

_WHY = {
    "missing": "is never imported",
    "late": "is imported only after create_all",
    "elsewhere": "is in another metadata, or not among the tables that create_all was given",
}


def check_models(owner: str, argv: Sequence[str], run: Callable[[Sequence[str]], Completed]) -> Sequence[str] | None:
    command = check_command(argv)
    return registered(owner, argv, run(command)) if command else None


def check_command(argv: Sequence[str]) -> Sequence[str]:
    """Our program, run by the Python that the command runs; empty where that is not to be seen."""
    for position, word in enumerate(argv):
        if _PYTHON.fullmatch(re.split(r"[/\\]", word)[-1]):
            given = position + 1
            while given < len(argv) and argv[given].startswith("-") and argv[given] not in {"-m", "-c"}:
                given += 2 if argv[given] in _WITH_VALUE else 1
            if given < len(argv):
                return [*argv[:given], "-c", _PROGRAM.read_text(encoding="utf-8"), *argv[given:]]
    return []


def registered(owner: str, argv: Sequence[str], done: Completed) -> Sequence[str]:
    """The models that the program found. Raises MigrationError where one of them gets no table."""
    answers = [line for line in done.out.splitlines() if line.startswith(_ANSWER)]
    found = _read(answers[-1]) if answers else {}
    if not found.get("reached"):
        said = "\n".join(line for line in done.text.splitlines() if line not in answers)
        raise MigrationError(
            f"{owner}: create_all is never reached, so nobody knows which models are registered",
            expected=f"`{' '.join(argv)}` calls create_all, also where no query finds a row",
            seen=found.get("ended") or f"exit code {done.code}: {last_line(said)}",
            log=LogTail.of(" ".join(argv), said),
            hint="correct what it says, or call create_all whatever is there: it leaves tables that exist alone",
        )
    models = found["models"]
    where = "".join(f", in {file}" for file in found["called"])
    left_out = [model for model in models if model["state"] != "created"]
    if left_out:
        raise MigrationError(
            f"{owner}: create_all does not know {', '.join(model['name'] for model in left_out)}",
            expected="every model in the metadata when it runs: of the others it makes no table, and says nothing",
            seen=f"{len(left_out)} of {counted(len(models), 'model')} left out",
            details=[_line(model, where) for model in left_out],
            hint=f"add {_mend(left_out[0], where)}",
        )
    return [model["name"] for model in models]


def _read(answer: str) -> Mapping[str, Any]:
    """What the program found; nothing where the app printed something that only begins like its answer."""
    try:
        found = json.loads(answer)
        models = [{key: str(model[key]) for key in _OF_A_MODEL} for model in found["models"]]
        if not {model["state"] for model in models} <= {"created", *_WHY}:
            return {}
        called = [str(file) for file in found["called"]]
        return {"reached": bool(found["reached"]), "ended": str(found["ended"]), "models": models, "called": called}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _line(model: Mapping[str, Any], where: str) -> str:
    place = f"{model['file']}:{model['line']}"
    return f"{place} {model['name']} {_WHY[model['state']]}: {_mend(model, where)}"


def _mend(model: Mapping[str, Any], where: str) -> str:
    if model["state"] == "elsewhere":
        return f"create_all for its metadata, too{where}; or `# bootorder: ignore` in its class line"
    return f"import {model['module']}  # before create_all{where}"


_MEND = "import every model before create_all (which never alters a table that exists)"

SQLMODEL = Migrator("sqlmodel", _MEND, creates_at_start=True, check_models=check_models)
SQLALCHEMY = replace(SQLMODEL, name="sqlalchemy", described="sqlmodel")
