"""Which classes of a folder are models, read from their sources; and what is said of those that nobody imports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.errors import LockedError, MigrationError, SettingsError
from scripts.bootorder.lock import exclusive
from scripts.bootorder.migrators.models_check import Sources, import_name, read
from scripts.bootorder.migrators.sqlmodel import check_command, registered
from scripts.bootorder.processes import Completed
from scripts.bootorder.showing import show_models

from .fakes import FakeStack, prints

BASE = "from sqlalchemy.orm import DeclarativeBase\nclass Base(DeclarativeBase):\n    pass\n"
HERO = "from .base import Base\nclass Hero(Base):\n    __tablename__ = 'hero'\n"
HERO_WITH_TABLE = "from sqlmodel import SQLModel\nclass Hero(SQLModel, table=True):\n    id: int\n"


def models(folder: Path, files: Mapping[str, str]) -> list[str]:
    for name, text in {"app/__init__.py": "", "app/base.py": BASE, "app/models.py": HERO, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(found.name for found in Sources(read(folder)).models())


def test_models_of_sqlmodel_and_of_a_declarative_base_are_found(tmp_path: Path) -> None:
    assert models(tmp_path, {"app/more.py": HERO_WITH_TABLE.replace("Hero", "Villain")}) == ["Hero", "Villain"]


@pytest.mark.parametrize(
    "text",
    [
        # of the base, wherever it was imported from and under whatever name
        "from .base import Base as Root\nclass Lost(Root):\n    __tablename__ = 'lost'",
        "from app import base\nclass Lost(base.Base):\n    __tablename__ = 'lost'",
        "import app.base\nclass Lost(app.base.Base):\n    __tablename__ = 'lost'",
        "from .base import *\nclass Lost(Base):\n    __tablename__ = 'lost'",
        "from .models import Base\nclass Lost(Base):\n    __tablename__ = 'lost'",
        # of a class that is abstract, or has a table itself
        "from .base import Base\nclass Some(Base):\n    __abstract__ = True\nclass Lost(Some):\n    pass",
        "from .models import Hero\nclass Lost(Hero):\n    pass",
        # of another kind of base
        "from sqlalchemy.orm import declarative_base\nRoot = declarative_base()\nclass Lost(Root):\n    pass",
        "from .base import Base\n@Base.registry.mapped\nclass Lost:\n    __tablename__ = 'lost'",
        "from elsewhere import Base\nclass Lost(Base):\n    __tablename__ = 'lost'",
        "from elsewhere import Base\nclass Lost(Base, table=True):\n    pass",
        # where an import runs it
        "from .base import Base\ntry:\n    import x\nexcept ImportError:\n    class Lost(Base):\n        pass",
        "from .base import Base\nclass Lost(Base['str']):\n    pass",
    ],
)
def test_a_model_is_known_however_its_base_is_written(tmp_path: Path, text: str) -> None:
    assert models(tmp_path, {"app/lost.py": text}) == ["Hero", "Lost"]


@pytest.mark.parametrize(
    "text",
    [
        "from sqlmodel import SQLModel\nclass HeroRead(SQLModel):\n    name: str",
        "from .base import Base\nclass Some(Base):\n    __abstract__ = True",
        "from sqlalchemy import orm\nclass Other(orm.MappedAsDataclass, orm.DeclarativeBase):\n    pass",
        "class Named:\n    __tablename__ = 'named'",
        "class Named(str):\n    pass",
        "import typing\nfrom .base import Base\nif typing.TYPE_CHECKING:\n    class Typed(Base):\n        pass",
        "from .base import Base\ndef make():\n    class Made(Base):\n        __tablename__ = 'made'\n    return Made",
        "from .base import Base\nclass Theirs(Base):  # bootorder: ignore\n    __tablename__ = 'theirs'",
        "class Circle(Circle):\n    pass",
        "this is {{ no }} Python",
    ],
)
def test_what_is_no_model_is_told_apart(tmp_path: Path, text: str) -> None:
    assert models(tmp_path, {"app/other.py": text}) == ["Hero"]


@pytest.mark.parametrize(
    "place", ["tests/lost.py", "app/test_lost.py", ".venv/lib/lost.py", "env/lost.py", "build/lib/lost.py"]
)
def test_what_is_no_source_of_this_owner_is_not_looked_at(tmp_path: Path, place: str) -> None:
    assert models(tmp_path, {place: HERO_WITH_TABLE.replace("Hero", "Lost"), "env/pyvenv.cfg": ""}) == ["Hero"]


def test_a_model_within_a_class_has_its_whole_name(tmp_path: Path) -> None:
    text = "from .base import Base\nclass Outer:\n    class Inner(Base):\n        __tablename__ = 'inner'\n"

    assert models(tmp_path, {"app/other.py": text}) == ["Hero", "Outer.Inner"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("app/models.py", "app.models"),
        ("app/__init__.py", "app"),
        ("namespace/models.py", "namespace.models"),
        ("src/package/models.py", "package.models"),
    ],
)
def test_what_to_import_is_named_as_python_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str
) -> None:
    models(tmp_path, {"src/package/__init__.py": "", file: ""})
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    assert import_name(tmp_path / file) == name


# -- how the program is run, and what is made of its answer ------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "before", "after"),
    [
        ("python -m app.tables", "python", "-m app.tables"),
        ("python3.13 -u -X dev -m app.tables", "python3.13 -u -X dev", "-m app.tables"),
        ("/venv/bin/python app/tables.py --all", "/venv/bin/python", "app/tables.py --all"),
        (r"C:\venv\Scripts\Python.exe -c code", r"C:\venv\Scripts\Python.exe", "-c code"),
        ("uv run python -m app.tables", "uv run python", "-m app.tables"),
    ],
)
def test_the_program_takes_the_place_of_what_python_runs(argv: str, before: str, after: str) -> None:
    command = list(check_command(argv.split()))
    position = len(before.split())

    assert command[:position] == before.split()
    assert command[position] == "-c"
    assert "create_all" in command[position + 1]
    assert command[position + 2 :] == after.split()


@pytest.mark.parametrize("argv", ["make tables", "sh -c ./tables", "python", "python -u", "pythonic -m app"])
def test_a_command_that_shows_no_python_cannot_be_looked_into(argv: str) -> None:
    assert check_command(argv.split()) == []


def model(name: str, state: str = "created") -> dict[str, Any]:
    return {"file": f"app/{name.lower()}.py", "line": 7, "name": name, "module": f"app.{name.lower()}", "state": state}


def answer(*found: Mapping[str, Any], reached: bool = True, ended: str = "it ended", said: str = "") -> Completed:
    data = {"reached": reached, "called": ["app/tables.py"] if reached else [], "ended": ended, "models": found}
    return Completed(0, f"{said}{json.dumps(data)}\n", f"{said}{json.dumps(data)}\nits last words\n")


ARGV = ("python", "-m", "app.tables")


def refused(done: Completed) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        registered("api", ARGV, done)
    assert caught.value.exit_code == 5
    return caught.value


def test_models_that_are_all_registered_are_named() -> None:
    assert registered("api", ARGV, answer(model("Hero"), said="2 rows of JSON: {}\n")) == ["Hero"]


def test_every_model_that_is_left_out_is_told_with_its_reason() -> None:
    error = refused(answer(model("A"), model("B", "missing"), model("C", "late"), model("D", "elsewhere")))

    assert error.message == "api: create_all does not know B, C, D"
    assert error.seen == "3 of 4 models left out"
    mend = "create_all for its metadata, too, in app/tables.py; or `# bootorder: ignore` in its class line"
    d = "in another metadata, or not among the tables that create_all was given"
    assert error.details == (
        "app/b.py:7 B is never imported: import app.b  # before create_all, in app/tables.py",
        "app/c.py:7 C is imported only after create_all: import app.c  # before create_all, in app/tables.py",
        f"app/d.py:7 D is {d}: {mend}",
    )
    assert error.hint == "add import app.b  # before create_all, in app/tables.py"


def test_a_tool_that_never_gets_there_is_told_with_its_last_words() -> None:
    error = refused(answer(reached=False, ended="app/models.py:3: ImportError: no"))

    assert "never reached" in error.message
    assert error.seen == "app/models.py:3: ImportError: no"
    assert error.log
    assert error.log.lines == ["its last words"]


def test_a_tool_that_ends_everything_is_told_with_its_exit_code() -> None:
    assert refused(prints("killed", code=137)).seen == "exit code 137: killed"


# -- the task ----------------------------------------------------------------------------------------------------------


def test_the_models_of_every_owner_are_checked_without_a_database(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"
    stack.runtime.models = [model("Hero"), model("Villain")]

    show_models(stack.boot(), as_json=True)

    assert stack.runtime.changed == ["build api"]
    assert "api: 2 models, all known to create_all" in stack.said
    assert stack.data == [{"owner": "api", "models": ["Hero", "Villain"]}]


def test_without_an_owner_of_models_nothing_is_built_and_that_is_said(stack: FakeStack) -> None:
    del stack.config["owners"]["api"]

    show_models(stack.boot(), as_json=True)

    assert stack.runtime.changed == []
    assert "no owner makes its tables from models" in stack.said
    assert stack.data == []


def test_a_forgotten_model_fails_the_task(stack: FakeStack) -> None:
    stack.runtime.models = [model("Hero", "missing")]

    with pytest.raises(MigrationError, match="does not know Hero"):
        show_models(stack.boot(), as_json=True)


def test_a_check_that_cannot_be_done_is_no_success(stack: FakeStack) -> None:
    stack.config["owners"]["api"]["migrate"] = "make tables"

    with pytest.raises(SettingsError, match="cannot be known"):
        show_models(stack.boot(), as_json=False)


def test_a_check_does_not_build_what_a_start_is_building(stack: FakeStack) -> None:
    with exclusive(stack.boot().state_folder, "start"), pytest.raises(LockedError):
        show_models(stack.boot(), as_json=False)
