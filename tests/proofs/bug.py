"""The accident that all of this is about, on purpose: `nox -s bug`.

The sample as it would be without the guard: everything belongs to one superuser, both tools connect as that, and the
SSO's drizzle.config.ts has no `tablesFilter`. Its push must take the API's tables with it and end with exit code 0, and
the verification of `migrate` and `seed` must tell each table: a check that has never failed proves nothing. Then the
same tools with the same config run as their owners, with the guard, in each layout, and nothing is lost; nor is it when
somebody pushes with the superuser's URL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.boot import Boot
from scripts.bootorder.console import Console
from scripts.bootorder.database import Target
from scripts.bootorder.errors import GuardError, LogTail
from scripts.bootorder.guard.snapshots import Seen, Snapshot, foreign_losses, refuse_losses
from scripts.bootorder.opening import open_boot
from scripts.bootorder.processes import Completed
from tests.stack import EmbeddedStack

API_TABLES = ("audit_log", "project", "task", "worker")
SSO, API = "sso-setup", "api"
CREATE_ALL = ("python", "-m", "taskflow_api.tables")
PUSH = ("pnpm", "db:push")
ROWS = """
    insert into worker (sub, name, email) values ('u-1', 'Grace', 'grace@example.com');
    insert into project (name) values ('Compiler');
    insert into task (title, project_id, created_at) select 'a task', id, now() from project;
    insert into audit_log (at, actor_id, action, entity, entity_id, detail)
    select now(), id, 'created', 'task', 1, '' from worker;
"""
FILTER = "  tablesFilter: tablesFilterOf(tableNames),\n"


Run = Callable[[str, Sequence[str]], Completed]


@dataclass
class Sample:
    """Its packages are installed once; its database begins anew for every test."""

    stack: EmbeddedStack
    layout: str = "shared"

    def begin(self, *, layout: str = "shared", guarded: bool) -> None:
        self.layout = layout
        self.stack.empty()
        ran = self.stack.inv("db-up", "wait-db", *(("guard", "--layout", layout) if guarded else ()))
        assert ran.code == 0, ran.err

    @property
    def boot(self) -> Boot:
        config = yaml.safe_load((self.stack.folder / "invoke.yaml").read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        return open_boot(self.stack.folder, config, Console(), "embedded", layout=self.layout)

    def database_of(self, owner: str) -> Target:
        boot = self.boot
        return replace(boot.target(), name=boot.places[owner].database)

    def as_owner(self, service: str, argv: Sequence[str]) -> Completed:
        return self.boot.runtime.run_once(service, argv, {}, lambda _: None)

    def as_admin(self, service: str, argv: Sequence[str]) -> Completed:
        its = self.database_of("sso" if service == SSO else "api")
        url = f"postgresql://{its.user}:{quote(its.password)}@{its.address}/{its.name}"
        return self.boot.runtime.run_once(service, argv, {"DATABASE_URL": url}, lambda _: None)

    def fill(self) -> None:
        """A row in each table of the API."""
        with self.database_of("api").connect() as connection:
            connection.execute(f"set search_path = {self.boot.places['api'].schema}".encode())
            connection.execute(ROWS.encode())

    def seen(self) -> Snapshot:
        """The database that has the API's tables, as the stage looks at it before and after the SSO's tool."""
        return Seen.look(self.database_of("api"), self.boot.logins).of("sso")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with (
        EmbeddedStack(tmp_path_factory.mktemp("ein Stück") / "taskflow") as stack,
        stack.edited("sso-platform/drizzle.config.ts", FILTER, ""),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        made = Sample(stack)
        made.begin(guarded=False)
        made.boot.runtime.build([SSO, API], lambda _: None)
        yield made


# What comes before the push that does the harm, and that push.


def api_first(sample: Sample, run: Run) -> Sequence[str]:
    """The tool asks of each table that it makes whether it is one of the API's, renamed; Enter says that it is not."""
    made(run(API, CREATE_ALL))
    return [sys.executable, str(Path(__file__).with_name("press_enter.py")), *PUSH]


def second_boot(sample: Sample, run: Run) -> Sequence[str]:
    """The right order protects the first boot only."""
    made(run(SSO, PUSH))
    made(run(API, CREATE_ALL))
    return PUSH


def with_force(sample: Sample, run: Run) -> Sequence[str]:
    """Without it nobody takes tables that have rows."""
    second_boot(sample, run)
    sample.fill()
    return [*PUSH, "--force"]


def made(done: Completed) -> None:
    assert done.code == 0, done.text


Accident = Callable[[Sample, Run], Sequence[str]]
ACCIDENTS: Sequence[Accident] = (api_first, second_boot, with_force)


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_without_the_guard_the_tables_are_gone_and_each_is_told(sample: Sample, accident: Accident) -> None:
    sample.begin(guarded=False)
    push = accident(sample, sample.as_admin)
    before = sample.seen()
    done = sample.as_admin(SSO, push)
    after = sample.seen()

    assert done.code == 0, done.text
    count = "1 row" if accident is with_force else "0 rows"
    with pytest.raises(GuardError) as refused:
        refuse_losses("sso: drizzle", before, after, LogTail.of(" ".join(push), done.text))
    assert refused.value.details == tuple(f"- public.{table} ({count}) was dropped" for table in API_TABLES)
    assert set(before.foreign.tables()) - set(after.foreign.tables()) == {("public", table) for table in API_TABLES}


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_with_the_guard_the_server_refuses_it(sample: Sample, accident: Accident) -> None:
    done = {who: harmless(sample, accident, who) for who in ("owner", "admin")}

    assert "permission denied for table" in done["owner"].text  # it may not even look whether a table is empty
    assert "bootorder refused DROP TABLE" in done["admin"].text


@pytest.mark.parametrize("layout", ["schemas", "databases"])
def test_in_the_other_layouts_the_tool_does_not_even_see_the_tables(sample: Sample, layout: str) -> None:
    done = harmless(sample, with_force, "owner", layout)

    assert "No changes detected" in done.text


def harmless(sample: Sample, accident: Accident, who: str, layout: str = "shared") -> Completed:
    sample.begin(layout=layout, guarded=True)
    push = accident(sample, sample.as_owner)
    before = sample.seen()
    assert {table for _, table in before.foreign.tables()} >= set(API_TABLES)

    done = (sample.as_owner if who == "owner" else sample.as_admin)(SSO, push)

    assert foreign_losses(before, sample.seen()) == [], done.text
    return done


def test_a_push_that_the_guard_refused_has_failed_although_it_says_exit_0(sample: Sample) -> None:
    sample.begin(guarded=True)
    made(sample.as_owner(API, CREATE_ALL))

    ran = sample.stack.inv("migrate")

    assert ran.code == 5, ran.err
    assert "exit code 0 (which means nothing)" in ran.err
