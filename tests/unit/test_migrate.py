from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.catalog import Catalog, Key
from scripts.bootorder.errors import GuardError, LockedError, LogTail, MigrationError, NotReadyError
from scripts.bootorder.migrate import migrate, require_tables, verify_created_at_start
from scripts.bootorder.migration_lock import MigrationLock
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed
from scripts.bootorder.trial import changes

from .fakes import (
    APPLIED,
    CREATE_ALL,
    FORCED,
    PUSH,
    SESSION,
    TARGET,
    USER,
    WORKER,
    FakeCursor,
    FakeDatabase,
    FakeStack,
    Tool,
    create_all,
    locked,
    prints,
    push,
    table,
)

SEQUENCE_ERROR = "error: cannot drop sequence worker_id_seq because other objects depend on it"


def on_the_stack(stack: FakeStack, tool: Tool) -> Tool:
    """A tool that behaves on scratch databases, and does this on the stack's own."""
    return lambda database: tool(database) if database is stack.database else push(database)


def api_is_there(stack: FakeStack, **rows: int) -> None:
    create_all(stack.database)
    stack.database.rows.update(rows)


def creating(more: Mapping[Key, str]) -> Tool:
    """The API's tool, which makes this, too."""

    def create(database: FakeDatabase) -> Completed:
        done = create_all(database)
        database.objects.update(more)
        return done

    return create


# -- what works --------------------------------------------------------------------------------------------------------


def test_an_owner_s_tool_runs_and_its_tables_are_verified(stack: FakeStack) -> None:
    outcome = migrate(stack.boot())

    assert outcome == Outcome("sso migrated, 2 tables verified; api makes its tables when it starts")
    assert stack.database.tables == {"user", "session"}


def test_an_owner_that_creates_at_start_is_only_rehearsed(stack: FakeStack) -> None:
    migrate(stack.boot())

    assert "worker" not in stack.database.tables
    assert stack.runtime.ran.count("python -m tables") == 1


def test_a_second_migration_changes_nothing_and_says_so(stack: FakeStack) -> None:
    migrate(stack.boot())

    outcome = migrate(stack.boot())

    assert outcome == Outcome("sso unchanged, 2 tables verified; api makes its tables when it starts")


def test_the_images_of_the_owners_are_built_before_their_tools_run(stack: FakeStack) -> None:
    migrate(stack.boot())

    assert stack.runtime.changed == ["build sso-setup", "build api"]


def test_an_owner_migrates_after_those_that_it_needs(stack: FakeStack) -> None:
    stack.config["owners"]["api"] |= {"migrator": "command", "references": ["sso"]}
    migrate(stack.boot())

    stack.runtime.ran.clear()
    migrate(stack.boot())
    assert stack.runtime.ran == ["pnpm db:push", "python -m tables"]


def test_owners_are_told_in_the_order_of_the_settings(stack: FakeStack) -> None:
    stack.config["owners"]["api"]["migrator"] = "command"
    assert [part.split()[0] for part in migrate(stack.boot()).text.split("; ")] == ["sso", "api"]

    stack.config["owners"] = dict(reversed(stack.config["owners"].items()))
    assert [part.split()[0] for part in migrate(stack.boot()).text.split("; ")] == ["api", "sso"]


def test_a_tool_that_says_error_has_migrated_when_the_catalog_says_so(stack: FakeStack) -> None:
    """drizzle-kit 0.31 is refused the sequences of foreign identity keys, exits 0, and has done its own work."""
    api_is_there(stack)

    def refused_at_the_end(database: FakeDatabase) -> Completed:
        push(database)
        return prints(SEQUENCE_ERROR)

    stack.runtime.tools[PUSH] = on_the_stack(stack, refused_at_the_end)

    assert migrate(stack.boot()).text.startswith("sso migrated, 2 tables verified")
    assert f"sso: drizzle said `{SEQUENCE_ERROR}`, but its tables are complete" in stack.said


def test_foreign_tables_and_rows_may_grow_meanwhile(stack: FakeStack) -> None:
    api_is_there(stack, worker=3)

    def busy(database: FakeDatabase) -> Completed:
        database.rows["worker"] += 1
        database.create(table("audit_log"))
        return push(database)

    stack.runtime.tools[PUSH] = on_the_stack(stack, busy)

    assert not migrate(stack.boot()).was_skipped


def test_without_owners_there_is_nothing_to_migrate(stack: FakeStack) -> None:
    stack.config["owners"] = {}

    assert migrate(stack.boot()) == Outcome.skipped("no owners in invoke.yaml")


def test_owners_that_all_create_at_start_leave_nothing_to_do(stack: FakeStack) -> None:
    del stack.config["owners"]["sso"]

    assert migrate(stack.boot()) == Outcome.skipped("api makes its tables when it starts")


# -- quick -------------------------------------------------------------------------------------------------------------


def test_quick_skips_an_owner_whose_sources_and_catalog_are_unchanged(stack: FakeStack) -> None:
    migrate(stack.boot())
    stack.runtime.ran.clear()

    outcome = migrate(stack.boot(quick=True))

    assert outcome == Outcome.skipped("sso unchanged; api makes its tables when it starts")
    assert stack.runtime.ran == []


def test_quick_runs_the_tool_when_one_column_is_missing(stack: FakeStack) -> None:
    migrate(stack.boot())
    del stack.database.objects[Key("column", "public", "user", "name")]
    stack.runtime.ran.clear()

    outcome = migrate(stack.boot(quick=True))

    assert outcome.text.startswith("sso migrated")
    assert stack.runtime.ran == ["pnpm db:push"]


def test_quick_runs_the_tool_when_its_image_makes_another_table(stack: FakeStack) -> None:
    migrate(stack.boot())
    stack.runtime.images["sso-setup"] = "sha256:new"

    def push_more(database: FakeDatabase) -> Completed:
        database.create(table("passkey"))
        return push(database)

    stack.runtime.tools[PUSH] = push_more

    assert migrate(stack.boot(quick=True)).text.startswith("sso migrated, 3 tables verified")
    assert "passkey" in stack.database.tables


def test_quick_builds_only_what_was_never_built(stack: FakeStack) -> None:
    stack.runtime.images["api"] = ""

    migrate(stack.boot(quick=True))

    assert stack.runtime.changed == ["build api"]


# -- what others did already -------------------------------------------------------------------------------------------


def held(waited_for: str) -> MigrationLock:
    """The lock, which is never lost."""
    return MigrationLock(SimpleNamespace(execute=lambda *_: FakeCursor([(True,)])), "", waited_for)  # type: ignore[arg-type]


def test_who_waited_for_another_run_does_not_repeat_what_it_did(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(stack.boot())
    stack.runtime.ran.clear()
    monkeypatch.setattr(Boot, "locked", lambda boot, target: contextlib.nullcontext(held("somebody")))

    outcome = migrate(stack.boot())

    assert outcome.was_skipped
    assert outcome.text.startswith("sso done by bootorder on ")
    assert stack.runtime.ran == []


def skipping(stack: FakeStack) -> Boot:
    """As `start` opens it."""
    return replace(stack.boot(), skips_unchanged=True)


def test_a_start_runs_no_tool_that_did_its_work_on_what_there_is(stack: FakeStack) -> None:
    migrate(stack.boot())
    stack.runtime.ran.clear()

    assert migrate(skipping(stack)).text.startswith("sso unchanged;")
    assert stack.runtime.ran == []


@pytest.mark.parametrize(
    "change",
    [
        lambda stack: stack.database.drop("session"),
        lambda stack: stack.database.objects.update({Key("column", "public", "user", "extra"): "text not null"}),
        lambda stack: stack.database.records.clear(),
        lambda stack: stack.runtime.images.update({"sso-setup": "sha256:new"}),
        lambda stack: stack.runtime.images.update({"postgres": "sha256:new"}),
    ],
    ids=["a table gone", "a column more", "another database", "other sources", "another server"],
)
def test_a_start_runs_it_when_anything_about_it_changed(
    stack: FakeStack, change: Callable[[FakeStack], object]
) -> None:
    migrate(stack.boot())
    stack.runtime.ran.clear()
    change(stack)

    with contextlib.suppress(MigrationError):  # this tool takes no column away
        migrate(skipping(stack))

    assert stack.runtime.ran[-1] == " ".join(PUSH)  # the ones before are rehearsals


@pytest.mark.parametrize(("edited", "again"), [("the rehearsal", 1), ("the migration", 2)])
def test_sources_that_change_while_the_tool_is_at_work_make_it_run_again(
    stack: FakeStack, edited: str, again: int
) -> None:
    """Which of the two it took in, nobody knows."""
    works = stack.runtime.tools[tuple(PUSH)]

    def edits(database: FakeDatabase) -> Completed:
        if (database is stack.database) == (edited == "the migration"):
            stack.runtime.images["sso-setup"] += " edited"
        return works(database)

    stack.runtime.tools[tuple(PUSH)] = edits
    migrate(stack.boot())
    stack.runtime.tools[tuple(PUSH)] = works
    stack.runtime.ran.clear()

    migrate(skipping(stack))
    assert stack.runtime.ran == [" ".join(PUSH)] * again, "a rehearsal, and a migration where that was not sure"
    stack.runtime.ran.clear()
    migrate(skipping(stack))
    assert stack.runtime.ran == []


def test_who_asks_for_the_migration_gets_it(stack: FakeStack) -> None:
    migrate(stack.boot())

    assert migrate(stack.boot()).text.startswith("sso unchanged, 2 tables verified")


def test_who_waited_for_a_run_that_failed_migrates(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(stack.boot())
    stack.database.drop("session")
    monkeypatch.setattr(Boot, "locked", lambda boot, target: contextlib.nullcontext(held("somebody")))

    assert migrate(stack.boot()).text.startswith("sso migrated, 2 tables verified")


def test_who_waited_for_a_run_of_older_sources_migrates(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(stack.boot())
    stack.runtime.images["sso-setup"] = "sha256:new"
    monkeypatch.setattr(Boot, "locked", lambda boot, target: contextlib.nullcontext(held("somebody")))

    assert migrate(stack.boot()).text.startswith("sso unchanged, 2 tables verified")


# -- rows of its own ---------------------------------------------------------------------------------------------------


def without_name(database: FakeDatabase) -> Completed:
    """The next version of the SSO: users have no name any more."""
    database.create(USER, SESSION)
    database.objects.pop(Key("column", "public", "user", "name"), None)
    return prints(APPLIED)


@pytest.fixture
def at_stake(stack: FakeStack) -> FakeStack:
    """Three users have names, and the next version of the schema has none."""
    push(stack.database)
    stack.database.rows["user"] = 3
    stack.runtime.tools |= {PUSH: without_name, FORCED: without_name}
    return stack


def test_a_migration_that_would_lose_rows_of_its_own_is_refused_after_a_trial(at_stake: FakeStack) -> None:
    with pytest.raises(MigrationError, match="would lose rows of its own") as caught:
        migrate(at_stake.boot())

    assert caught.value.details == ("- public.user.name (in 3 rows) would be lost",)
    assert "inv migrate --accept-data-loss" in caught.value.hint
    assert Key("column", "public", "user", "name") in at_stake.database.objects
    assert sorted(at_stake.runtime.ran[:2]) == ["pnpm db:push", "python -m tables"]
    assert at_stake.runtime.ran[2:] == ["pnpm db:push --force"]
    assert list(at_stake.server.databases) == ["taskflow"]


def test_a_loss_that_was_accepted_is_told_and_forced(at_stake: FakeStack) -> None:
    boot = replace(at_stake.boot(), accept_data_loss=True)

    assert migrate(boot).text.startswith("sso migrated, 2 tables verified")
    assert "sso, accepted: public.user.name (in 3 rows) would be lost" in at_stake.said
    assert at_stake.runtime.ran[-1] == "pnpm db:push --force"


def test_a_migration_that_loses_nothing_is_not_forced(at_stake: FakeStack) -> None:
    def wider(database: FakeDatabase) -> Completed:
        database.create(USER, SESSION, table("user", id="text not null", name="text", email="text"))
        return prints(APPLIED)

    at_stake.runtime.tools |= {PUSH: wider, FORCED: wider}

    assert migrate(at_stake.boot()).text.startswith("sso migrated")
    rehearsals, then = at_stake.runtime.ran[:2], at_stake.runtime.ran[2:]
    assert sorted(rehearsals) == ["pnpm db:push", "python -m tables"]
    assert then == ["pnpm db:push --force", "pnpm db:push"]


def test_nothing_is_tried_where_there_are_no_rows(at_stake: FakeStack) -> None:
    at_stake.database.rows["user"] = 0

    migrate(at_stake.boot())

    assert "pnpm db:push --force" not in at_stake.runtime.ran


def test_a_plan_says_what_would_change_and_be_lost_and_touches_nothing(at_stake: FakeStack) -> None:
    at_stake.runtime.tools[CREATE_ALL] = create_all

    sso, api = changes(at_stake.boot())

    assert sso == {
        "owner": "sso",
        "changes": ["- column public.user.name text"],
        "losses": ["- public.user.name (in 3 rows) would be lost"],
        "foreign_losses": [],
        "problems": [],
        "not_planned": "",
        "hint": "",
        "said": "changes applied",
    }
    assert api["changes"] == ["+ table public.task", "+ table public.worker"]
    assert at_stake.database.tables == {"user", "session"}
    assert Key("column", "public", "user", "name") in at_stake.database.objects


def test_a_plan_builds_nothing_and_says_what_is_not_built(at_stake: FakeStack) -> None:
    at_stake.runtime.images["api"] = ""

    sso, api = changes(at_stake.boot())

    assert sso["losses"] == ["- public.user.name (in 3 rows) would be lost"]
    assert (api["not_planned"], api["changes"]) == ("api not built yet", [])
    assert api["hint"] == "build first, then plan: inv migrate --plan --build"
    assert at_stake.runtime.changed == []
    assert "python -m tables" not in at_stake.runtime.ran


def test_an_owner_is_not_planned_while_one_that_it_needs_is_not_built(at_stake: FakeStack) -> None:
    at_stake.config["owners"]["api"]["reads"] = ["sso"]
    at_stake.runtime.images["sso-setup"] = ""

    assert [change["not_planned"] for change in changes(at_stake.boot())] == ["sso-setup not built yet"] * 2


def test_a_plan_says_where_a_tool_would_not_finish(at_stake: FakeStack) -> None:
    """It asks whether a column was renamed, nobody answers, and it exits with 0."""
    at_stake.database.objects[Key("column", "public", "user", "nickname")] = "text not null"
    asks = on_the_stack(at_stake, lambda _: prints("Error: Interactive prompts require a TTY"))
    at_stake.runtime.tools |= {FORCED: asks, CREATE_ALL: create_all}

    sso, _ = changes(at_stake.boot())

    assert sso["changes"] == []
    assert sso["problems"][0].startswith("it would not finish: ")
    assert "+ column public.user.nickname text not null" in sso["problems"]


def test_a_plan_says_where_a_tool_fails_on_an_empty_database(at_stake: FakeStack) -> None:
    at_stake.runtime.tools |= {PUSH: lambda _: prints("no", code=1), CREATE_ALL: create_all}

    sso, api = changes(at_stake.boot())

    assert "failed on an empty database" in sso["problems"][0]
    assert api["problems"] == []


# -- the guard ---------------------------------------------------------------------------------------------------------


def test_no_tool_runs_before_the_guard_is_in_place(stack: FakeStack) -> None:
    stack.database.guarded = False

    with pytest.raises(NotReadyError, match="the guard is not in place") as caught:
        migrate(stack.boot())

    assert caught.value.first == ("guard",)
    assert "inv guard" in caught.value.hint
    assert stack.runtime.ran == []


def test_no_tool_runs_before_the_databases_of_all_owners_are_there(stack: FakeStack) -> None:
    for name in ("sso-setup", "sso"):
        stack.runtime.environments[name]["DATABASE_URL"] += "_sso"
    stack.runtime.environments["api"]["DATABASE_URL"] += "_api"

    with pytest.raises(NotReadyError, match="the guard is not in place") as caught:
        migrate(replace(stack.boot(), layout="databases"))

    assert "in the database taskflow_sso" in caught.value.expected


# -- what fails --------------------------------------------------------------------------------------------------------


def test_migrate_refuses_an_unreachable_database(stack: FakeStack) -> None:
    stack.server.refusal = "Connection refused"

    with pytest.raises(NotReadyError) as caught:
        migrate(stack.boot())

    assert caught.value.exit_code == 4
    assert "Connection refused" in caught.value.seen
    assert "inv db-up wait-db" in caught.value.hint
    assert stack.runtime.ran == []


def test_migrate_says_so_when_the_password_is_refused(stack: FakeStack) -> None:
    """Starting the database again would not help."""
    (stack.root / ".env").write_text("POSTGRES_PASSWORD=wrong\n", encoding="utf-8")

    with pytest.raises(NotReadyError) as caught:
        migrate(stack.boot())

    assert "refused the password" in caught.value.message
    assert ".env" in caught.value.hint


def test_a_tool_that_exits_0_but_left_a_table_out_has_failed(stack: FakeStack) -> None:
    def half(database: FakeDatabase) -> Completed:
        database.create(SESSION)
        return prints("Error: Interactive prompts require a TTY terminal")

    stack.runtime.tools[PUSH] = on_the_stack(stack, half)

    with pytest.raises(MigrationError) as caught:
        migrate(stack.boot())

    assert caught.value.exit_code == 5
    assert "Interactive prompts require a TTY" in caught.value.message
    assert caught.value.details == ("- table public.user",)
    assert "exit code 0 (which means nothing)" in caught.value.seen
    assert caught.value.log


def test_a_tool_that_says_success_but_changed_nothing_has_failed(stack: FakeStack) -> None:
    stack.runtime.tools[PUSH] = on_the_stack(stack, lambda _: prints(APPLIED))

    with pytest.raises(MigrationError) as caught:
        migrate(stack.boot())

    assert caught.value.details == ("- table public.session", "- table public.user")


def test_a_table_with_another_column_than_the_tool_makes_has_failed(stack: FakeStack) -> None:
    def drifted(database: FakeDatabase) -> Completed:
        database.create(SESSION, table("user", id="text not null", name="character varying(10)"))
        return prints(APPLIED)

    stack.runtime.tools[PUSH] = on_the_stack(stack, drifted)

    with pytest.raises(MigrationError) as caught:
        migrate(stack.boot())

    assert caught.value.details == (
        "- column public.user.name text",
        "+ column public.user.name character varying(10)",
    )


def test_a_tool_that_exits_with_a_failure_has_failed_even_if_its_tables_are_there(stack: FakeStack) -> None:
    def unsure(database: FakeDatabase) -> Completed:
        push(database)
        return prints("out of memory", code=137)

    stack.runtime.tools[PUSH] = on_the_stack(stack, unsure)

    with pytest.raises(MigrationError, match="out of memory") as caught:
        migrate(stack.boot())

    assert "exit code 137" in caught.value.seen
    assert "means nothing" not in caught.value.seen


@pytest.mark.parametrize("rehearsed", [False, True])
def test_of_a_tool_that_does_not_say_why_it_failed_the_servers_log_is_shown(
    stack: FakeStack, *, rehearsed: bool
) -> None:
    """drizzle-kit migrate ends in the middle of its own line."""

    def silent(_: FakeDatabase) -> Completed:
        return prints("[⣷] applying migrations...", code=1)

    stack.runtime.log_lines["postgres"] = ["ERROR:  must be owner of table task"]
    stack.runtime.tools[PUSH] = on_the_stack(stack, silent) if rehearsed else silent

    with pytest.raises(MigrationError, match="it does not say what went wrong") as caught:
        migrate(stack.boot())

    assert caught.value.log == LogTail("postgres", ["ERROR:  must be owner of table task"])


def test_a_failed_owner_ends_the_stage_before_those_run_that_need_its_tables(stack: FakeStack) -> None:
    stack.config["owners"]["api"] |= {"migrator": "command", "references": ["sso"]}
    stack.runtime.tools[PUSH] = lambda _: prints("no", code=1)

    with pytest.raises(MigrationError, match="sso"):
        migrate(stack.boot())

    assert "python -m tables" not in stack.runtime.ran


@pytest.mark.parametrize(
    ("missing", "last"), [(20, "- table public.t19"), (21, "... and 1 more"), (25, "... and 5 more")]
)
def test_only_the_first_20_differences_are_listed(stack: FakeStack, missing: int, last: str) -> None:
    many = [table(f"t{number:02}") for number in range(missing)]

    def all_of_them(database: FakeDatabase) -> Completed:
        if database is not stack.database:
            database.create(*many)
        return prints(APPLIED)

    stack.runtime.tools[PUSH] = all_of_them

    with pytest.raises(MigrationError) as caught:
        migrate(stack.boot())

    assert len(caught.value.details) == min(missing, 21)
    assert caught.value.details[-1] == last


def test_two_migrations_of_one_database_at_once_are_refused(stack: FakeStack) -> None:
    with locked(), pytest.raises(LockedError):
        migrate(stack.boot())

    assert stack.runtime.ran == []


def test_an_interrupted_migration_frees_the_lock(stack: FakeStack) -> None:
    def interrupted(_: FakeDatabase) -> Completed:
        raise KeyboardInterrupt

    stack.runtime.tools[PUSH] = on_the_stack(stack, interrupted)

    with pytest.raises(KeyboardInterrupt):
        migrate(stack.boot())

    with locked():
        pass


# -- what must not be lost ---------------------------------------------------------------------------------------------


def dropping(stack: FakeStack, *tables: str, output: str = APPLIED, code: int = 0) -> Tool:
    def drop(database: FakeDatabase) -> Completed:
        push(database)
        database.drop(*tables)
        return prints(output, code)

    return on_the_stack(stack, drop)


def refused(stack: FakeStack) -> GuardError:
    with pytest.raises(GuardError) as caught:
        migrate(stack.boot())
    assert caught.value.exit_code == 6
    return caught.value


def test_a_dropped_foreign_table_is_refused_with_the_rows_it_had(stack: FakeStack) -> None:
    api_is_there(stack, worker=3, task=41)
    stack.runtime.tools[PUSH] = dropping(stack, "worker", "task")

    error = refused(stack)

    assert error.message.startswith("sso: drizzle")
    assert error.details == ("- public.task (41 rows) was dropped", "- public.worker (3 rows) was dropped")
    assert error.log


def test_a_dropped_empty_table_is_a_loss_too(stack: FakeStack) -> None:
    api_is_there(stack)
    stack.runtime.tools[PUSH] = dropping(stack, "worker")

    assert refused(stack).details == ("- public.worker (0 rows) was dropped",)


def test_a_loss_weighs_more_than_a_failed_tool(stack: FakeStack) -> None:
    api_is_there(stack, worker=3)
    stack.runtime.tools[PUSH] = dropping(stack, "worker", "user", output="crashed", code=1)

    assert refused(stack).details == ("- public.worker (3 rows) was dropped",)


def test_one_lost_foreign_row_is_a_loss(stack: FakeStack) -> None:
    api_is_there(stack, worker=3)

    def delete(database: FakeDatabase) -> Completed:
        database.rows["worker"] = 2
        return push(database)

    stack.runtime.tools[PUSH] = on_the_stack(stack, delete)

    assert refused(stack).details == ("- public.worker: 3 rows before, 2 now",)


def test_a_table_that_was_dropped_and_made_again_has_lost_its_rows(stack: FakeStack) -> None:
    api_is_there(stack, worker=3)

    def recreate(database: FakeDatabase) -> Completed:
        database.drop("worker")
        database.create(WORKER, by="api")
        return push(database)

    stack.runtime.tools[PUSH] = on_the_stack(stack, recreate)

    assert refused(stack).details == ("- public.worker: 3 rows before, 0 now",)


def test_a_changed_foreign_column_shows_before_and_after(stack: FakeStack) -> None:
    api_is_there(stack)

    def alter(database: FakeDatabase) -> Completed:
        database.objects[Key("column", "public", "task", "title")] = "integer"
        return push(database)

    stack.runtime.tools[PUSH] = on_the_stack(stack, alter)

    assert refused(stack).details == ("- column public.task.title text -> integer",)


@pytest.mark.parametrize(
    "key",
    [
        Key("enum", "public", "status", "status"),
        Key("view", "public", "busy", "busy"),
        Key("sequence", "public", "ticket", "ticket"),
        Key("constraint", "public", "task", "task_worker_fk"),
        Key("trigger", "public", "task", "task_audit"),
    ],
    ids=lambda key: key.kind,
)
def test_anything_foreign_that_is_gone_is_a_loss(stack: FakeStack, key: Key) -> None:
    stack.runtime.tools[CREATE_ALL] = creating({key: "its definition"})
    api_is_there(stack)
    stack.database.objects[key] = "its definition"

    def remove(database: FakeDatabase) -> Completed:
        del database.objects[key]
        return push(database)

    stack.runtime.tools[PUSH] = on_the_stack(stack, remove)

    assert refused(stack).details == (f"- {key} its definition",)


def test_two_owners_that_make_a_table_of_the_same_name_are_refused_before_either_touches_it(stack: FakeStack) -> None:
    """Each would take the other's table for its own, and change it."""
    stack.database.create(USER)
    stack.database.rows["user"] = 7

    def also_user(database: FakeDatabase) -> Completed:
        database.create(table("user", id="integer not null"), by="api")
        return create_all(database)

    stack.config["owners"]["api"]["migrator"] = "command"
    stack.runtime.tools[CREATE_ALL] = also_user

    error = refused(stack)

    assert "public.user" in " ".join([error.message, error.seen, *error.details])
    assert stack.database.objects == USER


def test_what_belongs_to_a_dropped_table_is_not_listed_beside_it(stack: FakeStack) -> None:
    index = {Key("index", "public", "task", "task_title"): "create index"}
    stack.runtime.tools[CREATE_ALL] = creating(index)
    api_is_there(stack)
    stack.database.objects |= index
    stack.runtime.tools[PUSH] = dropping(stack, "task")

    assert refused(stack).details == ("- public.task (0 rows) was dropped",)


# -- what other stages ask ---------------------------------------------------------------------------------------------


def verified(boot: Boot) -> str:
    return verify_created_at_start(boot)


def test_tables_made_at_start_are_verified_once_their_app_is_healthy(stack: FakeStack) -> None:
    push(stack.database)
    create_all(stack.database)

    assert verified(stack.boot()) == "2 tables of api verified"


def test_an_app_that_is_healthy_without_its_tables_has_failed(stack: FakeStack) -> None:
    """A model that is not imported before create_all makes no table, and no error."""
    push(stack.database)
    stack.database.create(WORKER, by="api")
    stack.runtime.log_lines["api"] = ["started"]

    with pytest.raises(MigrationError) as caught:
        verified(stack.boot())

    assert caught.value.details == ("- table public.task",)
    assert caught.value.log
    assert caught.value.log.lines == ["started"]


def test_with_no_owner_that_creates_at_start_there_is_nothing_to_verify(stack: FakeStack) -> None:
    push(stack.database)
    del stack.config["owners"]["api"]

    assert verified(stack.boot()) == ""


def test_an_app_that_changed_tables_of_another_owner_when_it_started_is_found_out(stack: FakeStack) -> None:
    push(stack.database)
    create_all(stack.database)
    stack.database.drop("session")

    with pytest.raises(MigrationError, match="sso: its tables are not what its tool makes") as caught:
        verified(stack.boot())

    assert caught.value.details == ("- table public.session",)


def test_missing_tables_name_the_stage_that_makes_them(stack: FakeStack) -> None:
    stack.database.create(USER)
    sso = stack.boot().owners[0]

    with pytest.raises(NotReadyError) as caught:
        require_tables([sso], TARGET)

    assert caught.value.message == "sso has not migrated"
    assert caught.value.seen == "public.session missing"
    assert "inv migrate" in caught.value.hint


def test_tables_that_are_there_are_enough(stack: FakeStack) -> None:
    push(stack.database)

    require_tables(stack.boot().owners[:1], TARGET)


def test_of_many_tables_each_is_looked_up_and_not_searched_for(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 10,000 of them searching took longer than all the rest of a start."""

    class Tables(list[tuple[str, str]]):
        def __contains__(self, _: object) -> bool:
            pytest.fail("all tables are looked through for each of them")

    every = Catalog.tables
    monkeypatch.setattr(Catalog, "tables", lambda self: Tables(every(self)))
    push(stack.database)

    require_tables(stack.boot().owners[:1], TARGET)


def test_a_rehearsal_for_another_stage_is_made_under_the_lock(stack: FakeStack) -> None:
    push(stack.database)

    with locked(), pytest.raises(LockedError):
        require_tables(stack.boot().owners[:1], TARGET)


def test_what_was_rehearsed_needs_no_lock(stack: FakeStack) -> None:
    migrate(stack.boot())

    with locked():
        require_tables(stack.boot().owners[:1], TARGET)


def test_create_all_is_rehearsed_without_touching_the_stack_s_tables(stack: FakeStack) -> None:
    push(stack.database)
    api_is_there(stack, worker=3)

    verified(stack.boot())

    assert stack.runtime.ran == [" ".join(PUSH), " ".join(CREATE_ALL)]
    assert stack.database.rows["worker"] == 3
