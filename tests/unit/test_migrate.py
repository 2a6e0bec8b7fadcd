from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.boot import Boot
from scripts.bootorder.catalog import Catalog, Key
from scripts.bootorder.database import migration_lock
from scripts.bootorder.errors import GuardError, LockedError, MigrationError, NotReadyError
from scripts.bootorder.migrate import Snapshot, foreign_losses, migrate, require_tables, verify_created_at_start
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed

from .fakes import (
    APPLIED,
    CREATE_ALL,
    PUSH,
    SESSION,
    TARGET,
    TASK,
    USER,
    WORKER,
    FakeDatabase,
    FakeStack,
    Tool,
    create_all,
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


def test_owners_migrate_in_the_order_of_the_settings(stack: FakeStack) -> None:
    stack.config["owners"]["api"]["migrator"] = "command"
    migrate(stack.boot())

    stack.runtime.ran.clear()
    migrate(stack.boot())
    assert stack.runtime.ran == ["pnpm db:push", "python -m tables"]

    stack.runtime.ran.clear()
    stack.config["owners"] = dict(reversed(stack.config["owners"].items()))
    migrate(stack.boot())
    assert stack.runtime.ran == ["python -m tables", "pnpm db:push"]


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


def test_a_failed_owner_ends_the_stage_before_the_next_owner_runs(stack: FakeStack) -> None:
    stack.config["owners"]["api"]["migrator"] = "command"
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
    with migration_lock(TARGET), pytest.raises(LockedError):
        migrate(stack.boot())

    assert stack.runtime.ran == []


def test_an_interrupted_migration_frees_the_lock(stack: FakeStack) -> None:
    def interrupted(_: FakeDatabase) -> Completed:
        raise KeyboardInterrupt

    stack.runtime.tools[PUSH] = on_the_stack(stack, interrupted)

    with pytest.raises(KeyboardInterrupt):
        migrate(stack.boot())

    with migration_lock(TARGET):
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
        database.create(WORKER)
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
        database.create(table("user", id="integer not null"))
        return create_all(database)

    stack.config["owners"]["api"]["migrator"] = "command"
    stack.runtime.tools[CREATE_ALL] = also_user

    error = refused(stack)

    assert "public.user" in " ".join([error.message, error.seen, *error.details])
    assert stack.database.objects == USER


def test_what_belongs_to_a_dropped_table_is_not_listed_beside_it(stack: FakeStack) -> None:
    api_is_there(stack)
    stack.database.objects[Key("index", "public", "task", "task_title")] = "create index"
    stack.runtime.tools[PUSH] = dropping(stack, "task")

    assert refused(stack).details == ("- public.task (0 rows) was dropped",)


_states = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(st.integers(0, 3), st.sampled_from("xy")))


def _snapshot(state: dict[str, tuple[int, str]]) -> Snapshot:
    objects: dict[Key, str] = {}
    for name, (_, text) in state.items():
        objects |= table(name, id=text)
    return Snapshot(Catalog({}), Catalog(objects), {("public", name): rows for name, (rows, _) in state.items()})


@given(_states, _states)
def test_there_is_a_loss_exactly_when_something_is_gone_changed_or_has_fewer_rows(
    before: dict[str, tuple[int, str]], after: dict[str, tuple[int, str]]
) -> None:
    lost = {
        name
        for name, (rows, text) in before.items()
        if name not in after or after[name][1] != text or after[name][0] < rows
    }

    lines = foreign_losses(_snapshot(before), _snapshot(after))

    assert {name for name in "abc" if any(f"public.{name}" in line for line in lines)} == lost


# -- what other stages ask ---------------------------------------------------------------------------------------------


def verified(boot: Boot) -> str:
    return verify_created_at_start(boot)


def test_tables_made_at_start_are_verified_once_their_app_is_healthy(stack: FakeStack) -> None:
    create_all(stack.database)

    assert verified(stack.boot()) == "2 tables of api verified"


def test_an_app_that_is_healthy_without_its_tables_has_failed(stack: FakeStack) -> None:
    """A model that is not imported before create_all makes no table, and no error."""
    stack.database.create(WORKER)
    stack.runtime.log_lines["api"] = ["started"]

    with pytest.raises(MigrationError) as caught:
        verified(stack.boot())

    assert caught.value.details == ("- table public.task",)
    assert caught.value.log
    assert caught.value.log.lines == ["started"]


def test_with_no_owner_that_creates_at_start_there_is_nothing_to_verify(stack: FakeStack) -> None:
    del stack.config["owners"]["api"]

    assert verified(stack.boot()) == ""


def test_missing_tables_name_the_stage_that_makes_them(stack: FakeStack) -> None:
    stack.database.create(USER)
    sso = stack.boot().owners[0]

    with pytest.raises(NotReadyError) as caught:
        require_tables(sso, TARGET)

    assert caught.value.message == "sso has not migrated"
    assert caught.value.seen == "public.session missing"
    assert "inv migrate" in caught.value.hint


def test_tables_that_are_there_are_enough(stack: FakeStack) -> None:
    push(stack.database)

    require_tables(stack.boot().owners[0], TARGET)


def test_a_rehearsal_for_another_stage_is_made_under_the_lock(stack: FakeStack) -> None:
    push(stack.database)

    with migration_lock(TARGET), pytest.raises(LockedError):
        require_tables(stack.boot().owners[0], TARGET)


def test_what_was_rehearsed_needs_no_lock(stack: FakeStack) -> None:
    migrate(stack.boot())

    with migration_lock(TARGET):
        require_tables(stack.boot().owners[0], TARGET)


def test_create_all_is_rehearsed_without_touching_the_stack_s_tables(stack: FakeStack) -> None:
    stack.database.create(WORKER, TASK)
    stack.database.rows["worker"] = 3

    verified(stack.boot())

    assert stack.runtime.ran == [" ".join(CREATE_ALL)]
    assert stack.database.rows["worker"] == 3
