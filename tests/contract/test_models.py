"""What `create_all` would leave out, and what it left behind: real models, a real SQLAlchemy, a real PostgreSQL."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.console import Console
from scripts.bootorder.database import Target
from scripts.bootorder.errors import MigrationError
from scripts.bootorder.guard.stage import guard
from scripts.bootorder.migrate import migrate, verify_created_at_start
from scripts.bootorder.migrators.sqlmodel import check_models
from scripts.bootorder.probes import SystemClock
from scripts.bootorder.processes import Completed, Limit, SystemProcesses
from scripts.bootorder.settings import parse
from tests.contract.hand import by_hand

from .owners import SqlRuntime

ROOT = Path(__file__).parents[2]
TABLES = (sys.executable, "-m", "app.tables")

HERO = """
    from sqlmodel import Field, SQLModel

    class Hero(SQLModel, table=True):
        id: int = Field(primary_key=True)
        name: str
"""
CREATES = """
    import os
    from sqlalchemy import create_engine
    from sqlmodel import SQLModel
    import app.models

    SQLModel.metadata.create_all(create_engine(os.environ["DATABASE_URL"]))
"""
APP = {"app/__init__.py": "", "app/models.py": HERO, "app/tables.py": CREATES}

BASE = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass
"""
DECLARATIVE = {
    "app/__init__.py": "",
    "app/base.py": BASE,
    "app/models.py": """
        from sqlalchemy.orm import Mapped, mapped_column
        from .base import Base

        class Hero(Base):
            __tablename__ = "hero"
            id: Mapped[int] = mapped_column(primary_key=True)
    """,
    "app/tables.py": """
        from sqlalchemy import create_engine
        from .base import Base
        from . import models

        with create_engine("sqlite://").begin() as connection:
            Base.metadata.create_all(connection)
    """,
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text), encoding="utf-8")


Look = Callable[..., Sequence[str]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Writes files and checks their models, as the owner `api`."""

    def check(*parts: Mapping[str, str], argv: Sequence[str] = TABLES, **variables: str) -> Sequence[str]:
        for files in parts:
            write(tmp_path, files)
        environment = {"DATABASE_URL": "sqlite:///nowhere/at/all", **variables}

        def run(command: Sequence[str]) -> Completed:
            return SystemProcesses().run(command, cwd=tmp_path, env=environment)

        models = check_models("api", argv, run)
        assert models is not None
        return sorted(models)

    return check


def left_out(look: Look, *parts: Mapping[str, str], **options: Any) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        look(*parts, **options)
    assert caught.value.exit_code == 5
    return caught.value


# -- what is registered ------------------------------------------------------------------------------------------------


def test_all_are_registered_and_no_database_is_asked(look: Look) -> None:
    assert look(APP) == ["Hero"]


def test_a_forgotten_one_is_named_with_file_line_and_import(look: Look) -> None:
    error = left_out(look, APP, {"app/invoice.py": HERO.replace("Hero", "Invoice")})

    assert error.message == "api: create_all does not know Invoice"
    assert error.details == (
        "app/invoice.py:4 Invoice is never imported: import app.invoice  # before create_all, in app/tables.py",
    )
    assert error.hint == "add import app.invoice  # before create_all, in app/tables.py"


def test_one_that_is_imported_too_late_is_left_out(look: Look) -> None:
    error = left_out(
        look, APP, {"app/late.py": HERO.replace("Hero", "Late"), "app/tables.py": CREATES + "    import app.late\n"}
    )

    assert "app/late.py:4 Late is imported only after create_all" in error.details[0]


def test_declarative_models_are_known_by_their_base(look: Look) -> None:
    assert look(DECLARATIVE) == ["Hero"]


def test_dataclasses_and_abstract_bases_are_registered(look: Look) -> None:
    models = """
        from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, declared_attr, mapped_column

        class Base(MappedAsDataclass, DeclarativeBase):
            pass

        class Numbered(Base):
            __abstract__ = True
            id: Mapped[int] = mapped_column(primary_key=True, init=False)

            @declared_attr.directive
            def __tablename__(cls):
                return cls.__name__.lower()

        class Hero(Numbered):
            name: Mapped[str]

        class Villain(Numbered):
            name: Mapped[str]
    """
    tables = "import app.models\nfrom sqlalchemy import create_engine\n"
    tables += "app.models.Base.metadata.create_all(bind=create_engine('sqlite://'), checkfirst=True)"

    assert look({"app/__init__.py": "", "app/models.py": models, "app/tables.py": tables}) == ["Hero", "Villain"]


def test_an_async_engine_is_answered_as_an_empty_database_would(look: Look) -> None:
    tables = """
        import asyncio
        from sqlalchemy import inspect, text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
        from sqlmodel import SQLModel
        import app.models

        async def make(engine):
            async with engine.connect() as connection:
                assert (await connection.execute(text("select 1"))).all() == []
                assert await connection.scalar(text("select 1")) is None
                assert not await connection.run_sync(lambda sync: inspect(sync).has_table("hero"))
            async with engine.begin() as connection:
                async with connection.begin_nested():
                    await connection.run_sync(SQLModel.metadata.create_all)
            async with AsyncSession(engine) as session:
                assert (await session.scalars(text("select 1"))).first() is None
                await session.commit()

        asyncio.run(make(create_async_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")))
    """
    error = left_out(look, APP, {"app/tables.py": tables, "app/lost.py": HERO.replace("Hero", "Lost")})

    assert "in app/tables.py" in error.hint


def test_a_table_is_made_where_an_inspector_finds_none(look: Look) -> None:
    tables = """
        from sqlalchemy import create_engine, inspect
        from sqlalchemy.orm import Session
        from sqlmodel import SQLModel, select
        from .models import Hero

        engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        if not inspect(engine).has_table("hero"):
            SQLModel.metadata.create_all(engine)
        with Session(engine) as session:
            if not session.execute(select(Hero)).first():
                session.add(Hero(id=1, name="Grace"))
                session.commit()
    """

    assert look(APP, {"app/tables.py": tables}) == ["Hero"]


def test_one_class_name_in_two_files_is_two_models(look: Look) -> None:
    other = HERO.replace("table=True):", "table=True):\n        __tablename__ = 'other'")
    error = left_out(look, APP, {"app/other.py": other})

    assert "app/other.py:4 Hero is never imported" in error.details[0]
    assert look({"app/tables.py": CREATES.replace("import app.models", "import app.models, app.other")}) == [
        "Hero",
        "Hero",
    ]


def test_a_model_of_another_metadata_is_told_apart(look: Look) -> None:
    other = DECLARATIVE["app/models.py"].replace("Hero", "Other").replace("hero", "other")
    tables = CREATES.replace("import app.models", "import app.models, app.other")
    error = left_out(look, APP, {"app/base.py": BASE, "app/other.py": other, "app/tables.py": tables})

    assert "app/other.py:5 Other is in another metadata" in error.details[0]
    assert "bootorder: ignore" in error.hint


def test_a_src_layout_is_imported_by_its_package(look: Look) -> None:
    files = {f"src/{name}": text for name, text in APP.items()}
    lost = {"src/app/lost.py": HERO.replace("Hero", "Lost")}

    assert look(files, PYTHONPATH="src") == ["Hero"]
    error = left_out(look, lost, PYTHONPATH="src")

    assert error.hint == "add import app.lost  # before create_all, in src/app/tables.py"


def test_an_installed_copy_is_the_same_model(look: Look, tmp_path: Path) -> None:
    """As `pip install .` leaves it."""
    write(tmp_path, {f"site-packages/{name}": text for name, text in APP.items()})

    assert look({"src/app/__init__.py": "", "src/app/models.py": HERO}, PYTHONPATH="site-packages") == ["Hero"]


@pytest.mark.parametrize(
    "argv",
    [
        [sys.executable, "-u", "-W", "ignore", "-m", "app.tables"],
        [sys.executable, "app/tables.py"],
        [sys.executable, "-c", "import app.tables"],
        ["env", "A=b", sys.executable, "-m", "app.tables", "--flag"],
    ],
    ids=["flags", "file", "code", "through another program"],
)
def test_the_command_may_run_python_in_any_way(look: Look, argv: list[str]) -> None:
    assert look(APP, argv=argv, PYTHONPATH=".") == ["Hero"]


# -- tools that do not get there ---------------------------------------------------------------------------------------


def test_a_tool_that_never_calls_it_is_an_error(look: Look) -> None:
    error = left_out(look, APP, {"app/tables.py": "import app.models\nprint('nothing to do')"})

    assert "create_all is never reached" in error.message
    assert error.seen == "it ended"
    assert error.log
    assert error.log.lines == ["nothing to do"]


def test_a_module_that_cannot_be_imported_is_named(look: Look) -> None:
    error = left_out(look, APP, {"app/models.py": "import there_is_no_such_module"})

    assert error.seen == "app/models.py:1: ModuleNotFoundError: No module named 'there_is_no_such_module'"
    assert error.log
    assert error.log.lines[-1].startswith("ModuleNotFoundError")


@pytest.mark.parametrize(
    ("ends", "seen"), [("sys.exit(3)", "it ended with 3"), ("os._exit(4)", "exit code 4: nothing was printed")]
)
def test_a_tool_that_ends_early_is_told_with_its_code(look: Look, ends: str, seen: str) -> None:
    assert left_out(look, APP, {"app/tables.py": f"import os, sys\n{ends}"}).seen == seen


def test_what_a_tool_does_after_it_does_not_matter(look: Look) -> None:
    after = "    print('{not the answer}')\n    raise RuntimeError('no rows to seed with')\n"

    assert look(APP, {"app/tables.py": CREATES + after}) == ["Hero"]


# -- the sample --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "api" / "taskflow_api", tmp_path / "taskflow_api")
    return tmp_path


def test_the_sample_registers_its_models(look: Look, sample: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    argv = [sys.executable, "-m", "taskflow_api.tables"]
    assert look(argv=argv, DATABASE_URL=url) == ["AuditLog", "Project", "Task", "Worker"]

    error = left_out(look, {"taskflow_api/forgotten.py": HERO}, argv=argv, DATABASE_URL=url)

    assert error.hint == "add import taskflow_api.forgotten  # before create_all, in taskflow_api/tables.py"


# -- in a boot ---------------------------------------------------------------------------------------------------------


class PythonRuntime(SqlRuntime):
    """One-offs that are programs, run in a folder as the role `api`."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.sources = {}
        self.commands: list[str] = []

    def environment(self, service: str) -> Mapping[str, str]:
        url = f"postgresql+psycopg://api:of-the-api@{self.target.address}/{quote(self.target.name, safe='')}"
        return {"DATABASE_URL": url}

    def run_once(
        self,
        service: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: Limit | None = None,
    ) -> Completed:
        self.commands.append("check" if "-c" in argv else "create")
        return SystemProcesses().run(argv, cwd=self.folder, env={**self.environment(service), **env}, on_line=on_line)


@dataclass
class App:
    """An API that makes its tables when it starts, in a database with a guard."""

    folder: Path
    target: Target
    runtime: PythonRuntime
    talk: io.StringIO = field(default_factory=io.StringIO)

    def boot(self) -> Boot:
        database = {"service": "postgres", "name": self.target.name, "user": self.target.user, "password": "PASSWORD"}
        api = {"migrator": "sqlmodel", "service": "api", "migrate": TABLES}
        settings = parse({"bootorder": {"database": database, "owners": {"api": api}, "apps": {"api": {}}}})
        console = Console(self.talk)
        return Boot(self.folder, settings, self.runtime, SystemProcesses(), console, SystemClock())

    def starts(self) -> None:
        """What its `create_all` does to the stack's own database."""
        done = self.runtime.run_once("api", TABLES, {}, lambda _: None)
        assert done.code == 0, done.text

    def models(self, text: str) -> None:
        write(self.folder, {"app/models.py": text})
        self.runtime.sources["api"] = text

    def send(self, statement: str) -> None:
        with by_hand(replace(self.target, user="api", password="of-the-api")) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def app(tmp_path: Path, database: Target) -> App:
    write(tmp_path, APP)
    password = database.password.replace("'", "\\'")
    write(tmp_path, {".env": f"PASSWORD='{password}'\nAPI_DB_PASSWORD=of-the-api\n"})
    app = App(tmp_path, database, PythonRuntime(database, tmp_path))
    guard(app.boot())
    return app


MORE = HERO + "        email: str\n"


def drifted(does: Callable[[], object]) -> MigrationError:
    with pytest.raises(MigrationError) as caught:
        does()
    assert caught.value.exit_code == 5
    assert "never alters a table that exists" in caught.value.message
    return caught.value


def test_models_are_checked_before_a_rehearsal_and_once_while_nothing_changes(app: App) -> None:
    assert migrate(app.boot()).was_skipped
    assert app.runtime.commands == ["check", "create"]
    assert migrate(app.boot()).was_skipped
    assert app.runtime.commands == ["check", "create"]


def test_a_forgotten_model_ends_a_migration_before_anything_is_run(app: App) -> None:
    write(app.folder, {"app/invoice.py": HERO.replace("Hero", "Invoice")})

    with pytest.raises(MigrationError, match="create_all does not know Invoice"):
        migrate(app.boot())

    assert app.runtime.commands == ["check"]


def test_a_command_that_cannot_be_looked_into_is_noted_and_run(app: App) -> None:
    boot = app.boot()
    owner = boot.owners[0]
    owner.settings = owner.settings.model_copy(update={"migrate": ("sh", "-c", f"{sys.executable} -m app.tables")})

    migrate(boot)

    assert "knows every model is not looked at" in app.talk.getvalue()


def test_tables_that_are_not_there_yet_are_no_drift(app: App) -> None:
    assert migrate(app.boot()).text == "api makes its tables when it starts"


def test_tables_as_the_models_have_them_are_verified(app: App) -> None:
    app.starts()

    migrate(app.boot())
    assert verify_created_at_start(app.boot()) == "1 table of api verified"


def test_a_column_that_a_model_gained_is_told_by_migrate_before_the_apps_start(app: App) -> None:
    app.starts()
    app.models(MORE)

    error = drifted(lambda: migrate(app.boot()))

    assert error.message == (
        "api: create_all never alters a table that exists:"
        " public.hero lacks the column email (character varying not null)"
    )
    assert "psql --as api" in error.hint
    assert "start --clean" in error.hint


def test_a_column_that_a_model_gained_is_told_once_the_apps_are_healthy(app: App) -> None:
    app.starts()
    app.models(MORE)
    app.starts()

    drifted(lambda: verify_created_at_start(app.boot()))


def test_a_table_that_only_the_new_models_have_is_no_drift_and_then_missed(app: App) -> None:
    app.starts()
    app.models(HERO + HERO.replace("Hero", "Villain").replace("from sqlmodel import Field, SQLModel", ""))

    migrate(app.boot())
    with pytest.raises(MigrationError, match="not what its tool makes") as caught:
        verify_created_at_start(app.boot())

    assert caught.value.details == ("- table public.villain",)


def test_whatever_differs_is_told_in_words(app: App) -> None:
    app.starts()
    app.send(
        "alter table hero drop constraint hero_pkey; alter table hero drop name; alter table hero add age int;"
        " alter table hero alter id drop default; create index by_age on hero (age)"
    )

    counted = "default nextval('public.hero_id_seq'::regclass)"
    assert drifted(lambda: migrate(app.boot())).details == (
        f"public.hero has the column id as `integer not null`, its model as `integer not null {counted}`",
        "public.hero lacks the column name (character varying not null)",
        "public.hero lacks the constraint hero_pkey (PRIMARY KEY (id))",
    )


def test_a_column_that_was_added_by_hand_mends_it(app: App) -> None:
    app.starts()
    app.models(MORE)
    drifted(lambda: migrate(app.boot()))

    app.send("alter table hero add email varchar not null")

    migrate(app.boot())
