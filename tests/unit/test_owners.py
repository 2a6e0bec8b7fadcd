from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bootorder.errors import MigrationError, SettingsError
from scripts.bootorder.owners import Owner
from scripts.bootorder.pointing import pointed_at
from scripts.bootorder.processes import Completed

from .fakes import (
    PASSWORD,
    PUSH,
    SESSION,
    TARGET,
    USER,
    Call,
    FakeDatabase,
    FakeStack,
    owned_by,
    prints,
    table,
)


def owner(stack: FakeStack, name: str = "sso") -> Owner:
    """The owner in a new run of the tasks."""
    return next(one for one in stack.boot().owners if one.name == name)


def on_the_host(stack: FakeStack) -> Path:
    """The SSO's tool is run on this machine; returns its folder, with one source in it."""
    folder = stack.root / "sso-platform"
    folder.mkdir()
    (folder / "schema.ts").write_text("user", encoding="utf-8")
    stack.config["owners"]["sso"] |= {"run": "host", "directory": "sso-platform"}
    return folder


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_command_runs_beside_its_service_on_the_stack_s_database(stack: FakeStack) -> None:
    owner(stack).run(PUSH)

    assert stack.runtime.ran == ["pnpm db:push"]
    assert stack.database.tables == {"user", "session"}


def test_a_command_can_be_pointed_at_another_database(stack: FakeStack) -> None:
    stack.server.databases["scratch"] = FakeDatabase()

    owner(stack).run(PUSH, type(TARGET)("127.0.0.1", 5432, "scratch", "taskflow", PASSWORD))

    assert stack.server.databases["scratch"].tables == {"user", "session"}
    assert stack.database.tables == set()


def test_an_owner_whose_service_has_no_url_is_refused_with_the_setting_to_change(stack: FakeStack) -> None:
    stack.runtime.environments["sso-setup"] = {}

    with pytest.raises(SettingsError) as caught:
        owner(stack).run(PUSH)

    assert "sso-setup has no DATABASE_URL" in caught.value.message
    assert "owners.sso.url_variable" in caught.value.hint
    assert stack.runtime.ran == []


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://taskflow:x@postgres:5432/taskflow", "the role taskflow and the database taskflow"),
        ("postgresql://api:x@postgres:5432/taskflow", "the role api and the database taskflow"),
        ("postgresql://sso:x@postgres:5432/taskflow_sso", "the role sso and the database taskflow_sso"),
        ("postgresql://postgres:5432", "the role (none) and the database (none)"),
    ],
)
def test_a_tool_that_would_connect_as_somebody_else_or_elsewhere_is_refused(
    stack: FakeStack, url: str, seen: str
) -> None:
    stack.runtime.environments["sso-setup"]["DATABASE_URL"] = url

    for use in (owner(stack).check, lambda: owner(stack).run(PUSH)):
        with pytest.raises(SettingsError, match="does not connect as its own role") as caught:
            use()
        assert caught.value.expected == "postgresql://sso:${SSO_DB_PASSWORD}@...:5432/${SSO_DB_NAME:-taskflow}"
        assert caught.value.seen == f"{seen}, not sso and taskflow"
        assert "SSO_DB_PASSWORD is made in .env" in caught.value.hint
    assert stack.runtime.ran == []


def test_in_compose_files_of_others_nothing_is_to_be_written(stack: FakeStack) -> None:
    stack.config["compose"] = ["compose.yaml"]
    stack.runtime.environments["sso-setup"]["DATABASE_URL"] = "postgresql://taskflow:x@postgres:5432/taskflow"

    with pytest.raises(SettingsError) as caught:
        owner(stack).check()

    assert caught.value.hint == "add sso-setup to `owners.sso.connects`: then the tasks give it that"


def test_a_role_and_a_database_with_odd_names_are_found_in_a_url(stack: FakeStack) -> None:
    stack.config["owners"]["sso"]["role"] = "sso owner"
    stack.config["database"]["name"] = "task/flow"
    stack.runtime.environments["sso-setup"]["DATABASE_URL"] = "postgres://sso%20owner:x@postgres/task%2Fflow?a=b"

    owner(stack).check()


PARTS = {"host": "DB_HOST", "port": "DB_PORT", "user": "DB_USER", "password": "DB_PASSWORD", "database": "DB_NAME"}


def in_parts(stack: FakeStack, **more: str) -> None:
    """The SSO's tool takes the database in parts."""
    stack.config["owners"]["sso"]["variables"] = PARTS
    parts = {"DB_HOST": "postgres", "DB_PORT": "5432", "DB_USER": "sso", "DB_PASSWORD": "x", "DB_NAME": "taskflow"}
    stack.runtime.environments["sso-setup"] = parts | more


def test_a_tool_that_takes_the_database_in_parts_is_pointed_at_another_one_by_its_name(stack: FakeStack) -> None:
    in_parts(stack)
    stack.server.databases["scratch"] = FakeDatabase()

    owner(stack).run(PUSH, replace(TARGET, name="scratch"))

    assert stack.server.databases["scratch"].tables == {"user", "session"}
    assert stack.database.tables == set()


@pytest.mark.parametrize("parts", [True, False])
def test_a_tool_can_be_run_as_the_user_of_the_database_that_it_is_pointed_at(stack: FakeStack, parts: bool) -> None:
    """A scheme and a query stay; so does the address, which inside the stack is another one than here."""
    if parts:
        in_parts(stack)
    else:
        stack.runtime.environments["sso-setup"] = {
            "DATABASE_URL": "postgresql+psycopg://sso:x@postgres:5432/taskflow?a=1"
        }
    settings, given = owner(stack).settings, stack.runtime.environments["sso-setup"]

    turned = pointed_at(
        settings, given, replace(TARGET, name="clone", user="the boss", password="p@ss"), as_its_user=True
    )

    url = {"DATABASE_URL": "postgresql+psycopg://the%20boss:p%40ss@postgres:5432/clone?a=1"}
    assert turned == ({"DB_USER": "the boss", "DB_PASSWORD": "p@ss", "DB_NAME": "clone"} if parts else url)


def test_on_the_host_the_parts_lead_to_the_published_port(stack: FakeStack) -> None:
    on_the_host(stack)
    in_parts(stack)
    stack.processes.answer("pnpm", with_="done")

    owner(stack).run(PUSH)

    given = stack.processes.calls[-1].env
    assert {name: given[name] for name in PARTS.values()} == {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": "5432",
        "DB_USER": "sso",
        "DB_PASSWORD": "x",
        "DB_NAME": "taskflow",
    }


def test_a_further_url_is_turned_too_and_may_not_be_somebody_else_s(stack: FakeStack) -> None:
    on_the_host(stack)
    stack.config["owners"]["sso"]["more_urls"] = ["DIRECT_URL", "NOT_THERE"]
    environment = stack.runtime.environments["sso-setup"]
    environment["DIRECT_URL"] = "postgresql://sso:x@postgres:5432/taskflow?pool=no"
    stack.processes.answer("pnpm", with_="done")

    owner(stack).run(PUSH, replace(TARGET, name="scratch"))

    assert stack.processes.calls[-1].env["DIRECT_URL"] == "postgresql://sso:x@127.0.0.1:5432/scratch?pool=no"
    assert "NOT_THERE" not in stack.processes.calls[-1].env

    environment["DIRECT_URL"] = "postgresql://taskflow:x@postgres:5432/taskflow"
    with pytest.raises(SettingsError, match="DIRECT_URL of sso-setup does not connect as its own role"):
        owner(stack).check()


def test_parts_that_connect_as_somebody_else_are_refused(stack: FakeStack) -> None:
    in_parts(stack, DB_USER="taskflow")

    with pytest.raises(SettingsError, match=r"DB_HOST, DB_PORT, .* of sso-setup does not connect as its own") as caught:
        owner(stack).check()

    assert caught.value.expected == "DB_USER=sso, DB_PASSWORD=${SSO_DB_PASSWORD}, DB_NAME=${SSO_DB_NAME:-taskflow}"
    assert "the role taskflow" in caught.value.seen


def test_a_part_that_the_service_lacks_is_told(stack: FakeStack) -> None:
    in_parts(stack, DB_USER="", DB_NAME="")

    with pytest.raises(SettingsError, match="sso-setup has no DB_USER, DB_NAME") as caught:
        owner(stack).check()

    assert "owners.sso.variables" in caught.value.hint


def test_on_the_host_the_url_leads_to_the_published_port_and_travels_in_the_environment(stack: FakeStack) -> None:
    folder = on_the_host(stack)
    stack.runtime.environments["sso-setup"]["SSO_URL"] = "http://localhost:3001"
    stack.processes.answer("pnpm", with_="done")

    owner(stack).run(PUSH)

    [call] = stack.processes.calls
    assert call.argv == PUSH
    assert call.cwd == folder
    assert {name: call.env[name] for name in ("DATABASE_URL", "SSO_URL", "MARK")} == {
        "DATABASE_URL": f"postgresql://sso:{PASSWORD}@127.0.0.1:5432/taskflow",
        "SSO_URL": "http://localhost:3001",
        "MARK": "sso-setup",
    }
    assert not any(PASSWORD in word for word in call.argv)


def test_on_the_host_a_tool_has_what_the_shell_has_but_no_password_of_the_stack(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_host(stack)
    stack.processes.answer("pnpm", with_="done")
    for name in ("EDITOR", "POSTGRES_PASSWORD", "API_DB_PASSWORD", "DATABASE_URL"):
        monkeypatch.setenv(name, "exported")

    owner(stack).run(PUSH)

    [call] = stack.processes.calls
    assert [name for name, value in call.env.items() if value == "exported"] == ["EDITOR"]
    assert not call.inherit


def test_what_a_tool_prints_is_shown_with_verbose(stack: FakeStack) -> None:
    boot = stack.boot(verbose=True)

    boot.owners[0].run(PUSH)

    assert "| [✓] Changes applied" in stack.said


# -- rehearsing --------------------------------------------------------------------------------------------------------


def test_a_rehearsal_learns_the_tables_on_a_scratch_database_and_leaves_the_stack_s_own_alone(
    stack: FakeStack,
) -> None:
    made = owner(stack).rehearse(TARGET)

    assert made.objects == owned_by("sso", USER, SESSION)
    assert len(stack.server.made) == 1
    assert list(stack.server.databases) == ["taskflow"]
    assert stack.database.tables == set()


def test_a_rehearsal_is_remembered_by_later_runs_while_nothing_changed(stack: FakeStack) -> None:
    owner(stack).rehearse(TARGET)

    again = owner(stack).rehearse(TARGET)

    assert again.objects == owned_by("sso", USER, SESSION)
    assert stack.runtime.ran == ["pnpm db:push"]


def test_a_new_image_is_rehearsed_again(stack: FakeStack) -> None:
    owner(stack).rehearse(TARGET)
    stack.runtime.images["sso-setup"] = "sha256:new"

    assert owner(stack).rehearsed() is None
    owner(stack).rehearse(TARGET)

    assert len(stack.server.made) == 2


def test_another_command_is_rehearsed_again(stack: FakeStack) -> None:
    owner(stack).rehearse(TARGET)
    stack.config["owners"]["sso"]["migrate"] = "pnpm other"

    assert owner(stack).rehearsed() is None


@pytest.mark.parametrize("text", ["", "{", "{}", '{"fingerprint": null}'])
def test_a_broken_memory_of_a_rehearsal_is_no_memory(stack: FakeStack, text: str) -> None:
    owner(stack).rehearse(TARGET)
    [kept] = (stack.root / ".bootorder" / "rehearsals").iterdir()
    kept.write_text(text, encoding="utf-8")

    assert owner(stack).rehearsed() is None


def test_owners_do_not_share_their_memories(stack: FakeStack) -> None:
    owner(stack, "sso").rehearse(TARGET)

    assert owner(stack, "api").rehearsed() is None


def test_an_image_that_is_not_there_yet_counts_as_not_rehearsed(stack: FakeStack) -> None:
    stack.runtime.images["sso-setup"] = ""
    owner(stack).rehearse(TARGET)

    assert owner(stack).rehearsed() is None


@pytest.mark.parametrize(
    ("done", "seen"),
    [
        (prints("Error: no config file"), "exit code 0, 0 tables"),
        (prints("[✓] Changes applied", code=1), "exit code 1, 0 tables"),
        (prints("[✓] Changes applied"), "exit code 0, 0 tables"),
    ],
)
def test_a_tool_that_fails_on_an_empty_database_ends_the_rehearsal_with_its_log(
    stack: FakeStack, done: Completed, seen: str
) -> None:
    stack.runtime.tools[PUSH] = lambda _: done

    with pytest.raises(MigrationError) as caught:
        owner(stack).rehearse(TARGET)

    assert caught.value.exit_code == 5
    assert caught.value.seen == seen
    assert caught.value.log
    assert caught.value.log.lines == [done.text]
    assert list(stack.server.databases) == ["taskflow"]
    assert owner(stack).rehearsed() is None


def test_an_interrupted_rehearsal_leaves_no_scratch_database(stack: FakeStack) -> None:
    def interrupted(_: FakeDatabase) -> Completed:
        raise KeyboardInterrupt

    stack.runtime.tools[PUSH] = interrupted

    with pytest.raises(KeyboardInterrupt):
        owner(stack).rehearse(TARGET)

    assert list(stack.server.databases) == ["taskflow"]


def test_on_the_host_too_a_rehearsal_is_made_on_a_scratch_database(stack: FakeStack) -> None:
    on_the_host(stack)

    def pushed(call: Call) -> Completed:
        name = call.env["DATABASE_URL"].rpartition("/")[2]
        stack.server.databases[name].create(USER)
        return prints("[✓] Changes applied")

    stack.processes.answer("pnpm", with_=pushed)

    assert owner(stack).rehearse(TARGET).tables() == [("public", "user")]
    assert stack.database.tables == set()


def test_the_owners_whose_tables_it_reads_make_theirs_first(stack: FakeStack) -> None:
    stack.config["owners"]["api"]["references"] = ["sso"]
    stack.config["owners"]["web"] = {**stack.config["owners"]["api"], "migrator": "command", "reads": ["api"]}
    stack.config["owners"]["web"] |= {"references": [], "migrate": "make", "service": "web", "role": "web"}
    stack.runtime.environments["web"] = {"DATABASE_URL": f"postgresql://web:{PASSWORD}@postgres:5432/taskflow"}

    def make(database: FakeDatabase) -> Completed:
        database.create(table("page"), by="web")
        return prints("made")

    stack.runtime.tools["make",] = make

    assert owner(stack, "web").rehearse(TARGET).tables() == [("public", "page")]
    assert stack.runtime.ran == ["pnpm db:push", "python -m tables", "make"]


# -- fingerprints ------------------------------------------------------------------------------------------------------


def test_a_host_owner_s_fingerprint_follows_the_content_and_the_names_of_its_sources(stack: FakeStack) -> None:
    folder = on_the_host(stack)
    seen = {owner(stack).fingerprint()}

    (folder / "schema.ts").write_text("user, session", encoding="utf-8")
    seen.add(owner(stack).fingerprint())
    (folder / "schema.ts").rename(folder / "tables.ts")
    seen.add(owner(stack).fingerprint())
    (folder / "src").mkdir()
    (folder / "src" / "new.ts").touch()
    seen.add(owner(stack).fingerprint())

    assert len(seen) == 4


def test_a_fingerprint_follows_where_the_owner_is_at_home_and_what_it_may_read(stack: FakeStack) -> None:
    api = {owner(stack, "api").fingerprint()}

    api.add(next(o for o in replace(stack.boot(), layout="schemas").owners if o.name == "api").fingerprint())
    stack.config["owners"]["api"]["reads"] = ["sso"]
    api.add(owner(stack, "api").fingerprint())
    stack.config["owners"]["api"]["role"] = "tasks"
    api.add(owner(stack, "api").fingerprint())

    assert len(api) == 4


def test_what_is_made_from_the_sources_changes_no_fingerprint(stack: FakeStack) -> None:
    folder = on_the_host(stack)
    before = owner(stack).fingerprint()

    for made in ("node_modules/pg", ".next/cache", "src/__pycache__"):
        (folder / made).mkdir(parents=True)
        (folder / made / "x.js").write_text("x", encoding="utf-8")
    os.utime(folder / "schema.ts", (0, 0))

    assert owner(stack).fingerprint() == before


def test_a_seed_s_fingerprint_follows_its_command_its_sources_and_its_environment(stack: FakeStack) -> None:
    seen = {owner(stack).seed_fingerprint()}

    stack.runtime.environments["sso-setup"]["DEMO_PASSWORD"] = "another"
    seen.add(owner(stack).seed_fingerprint())
    stack.runtime.images["sso-setup"] = "sha256:new"
    seen.add(owner(stack).seed_fingerprint())
    stack.config["owners"]["sso"]["seed"] = "pnpm seed:other"
    seen.add(owner(stack).seed_fingerprint())

    assert len(seen) == 4


def test_what_is_remembered_holds_no_secret(stack: FakeStack) -> None:
    owner(stack).rehearse(TARGET)

    [kept] = (stack.root / ".bootorder" / "rehearsals").iterdir()
    assert PASSWORD not in kept.read_text(encoding="utf-8")
    assert json.loads(kept.read_text(encoding="utf-8"))
