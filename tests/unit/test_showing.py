from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scripts.bootorder.boot import Boot
from scripts.bootorder.doctor import Finding
from scripts.bootorder.errors import BootError, GuardError, MachineError, MigrationError, NotReadyError, SettingsError
from scripts.bootorder.running import run_stages
from scripts.bootorder.showing import follow_logs, show_changes, show_doctor, show_plan, show_status, show_whole_plan

from .fakes import FakeStack


def test_a_plan_is_a_table_of_stages_with_their_cause_and_of_what_runs_beside_them(stack: FakeStack) -> None:
    show_plan(stack.boot(), with_clean=False, until="apps-up", as_json=False)

    stages, beside_them = stack.printed.getvalue().split("\n\n")
    rows = stages.splitlines()
    assert [row.split()[:2] for row in rows[1:4]] == [["1", "stop"], ["2", "db-up"], ["3", "wait-db"]]
    assert "started is not ready" in rows[3]
    assert [" ".join(row.split()[:4]) for row in beside_them.splitlines()] == [
        "beside them from to",
        "build owners db-up guard",
        "build apps db-up seed",
        "create apps wait-db seed",
    ]


def test_a_plan_without_the_stage_that_needs_it_has_nothing_beside(stack: FakeStack) -> None:
    show_plan(stack.boot(), with_clean=False, until="wait-db", as_json=False)

    assert "beside them" not in stack.printed.getvalue()


def whole_plan(boot: Boot, **flags: Any) -> None:
    show_whole_plan(boot, **{"with_clean": False, "until": "", "as_json": False, **flags})


def test_a_plan_says_what_each_owner_s_tool_would_change(running: FakeStack) -> None:
    running.database.drop("session")

    whole_plan(running.boot())

    assert running.printed.getvalue().splitlines()[-4:] == [
        "sso: 1 change",
        "  + table public.session",
        "  it says: changes applied",
        "api: nothing would change",
    ]
    assert "session" not in running.database.tables
    assert running.runtime.changed == [], "nothing is built for it"


LOSS = "- public.session (3 rows) would be lost"
_ENDS: list[tuple[dict[str, Any], type[BootError]]] = [
    ({"losses": [LOSS]}, MigrationError),
    ({"problems": ["it would not finish: it asks"], "losses": [LOSS]}, MigrationError),
    ({"foreign_losses": [LOSS]}, GuardError),
]


@pytest.fixture
def planned(running: FakeStack, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a trial found out for `sso`."""
    found = {
        "owner": "sso",
        "changes": [],
        "losses": [],
        "foreign_losses": [],
        "problems": [],
        "not_planned": "",
        "hint": "",
        "said": "changes applied",
    }
    monkeypatch.setattr("scripts.bootorder.trial.changes", lambda boot, **_: [found])
    return found


@pytest.mark.parametrize("show", [show_changes, whole_plan], ids=["migrate --plan", "plan"])
@pytest.mark.parametrize(("found", "end"), _ENDS, ids=["own rows", "a tool that fails", "another owner's"])
def test_a_plan_ends_as_the_migration_would(
    running: FakeStack,
    planned: dict[str, Any],
    show: Callable[..., None],
    found: dict[str, Any],
    end: type[BootError],
) -> None:
    planned |= found

    with pytest.raises(end) as caught:
        show(running.boot(), as_json=True)

    assert type(caught.value) is end
    assert LOSS in running.printed.getvalue()


def test_a_plan_whose_losses_are_accepted_ends_well(running: FakeStack, planned: dict[str, Any]) -> None:
    planned["losses"] = [LOSS]

    show_changes(replace(running.boot(), accept_data_loss=True), as_json=False)

    assert LOSS in running.printed.getvalue()


def test_a_plan_as_json_has_both_its_parts(running: FakeStack) -> None:
    whole_plan(running.boot(), as_json=True, until="db-up")

    assert [stage["stage"] for stage in running.data["stages"]] == ["stop", "db-up"]
    assert [owner["owner"] for owner in running.data["owners"]] == ["sso", "api"]


def test_a_plan_of_a_stack_that_cannot_be_asked_says_why(running: FakeStack) -> None:
    running.server.refusal = "Connection refused"
    whole_plan(running.boot())
    whole_plan(running.boot(), with_clean=True)

    unknown = [
        line
        for line in running.printed.getvalue().splitlines()
        if line.startswith("what the owners' tools would change")
    ]
    reasons = [line.partition("is not known: ")[2] for line in unknown]
    assert reasons[0].startswith("the database does not answer: ")
    assert reasons[1] == "the rows are given up first"


NOT_BUILT = "api: not known: api not built yet; build first, then plan: inv migrate --plan --build"


def test_a_plan_says_of_which_owner_nothing_is_known_as_it_is_not_built(running: FakeStack) -> None:
    running.runtime.images["api"] = ""

    whole_plan(running.boot())
    with pytest.raises(NotReadyError, match="the migration of api would change is not known") as caught:
        show_changes(running.boot(), as_json=False)

    assert caught.value.hint == "build first, then plan: inv migrate --plan --build"
    lines = running.printed.getvalue().splitlines()
    assert lines[-2:] == ["sso: nothing would change", NOT_BUILT]
    assert lines.count(NOT_BUILT) == 2
    assert running.runtime.changed == [], "nothing was built"


@pytest.mark.parametrize("show", [show_changes, whole_plan], ids=["migrate --plan", "plan"])
def test_a_plan_of_what_was_built_of_older_sources_says_so(running: FakeStack, show: Callable[..., None]) -> None:
    show(running.boot(), as_json=False)
    assert "planned as built" not in running.said
    running.runtime.stale = {"api", "web"}

    show(running.boot(), as_json=False)

    assert "api: planned as built, which may be older than the sources; build first: inv migrate" in running.said


def test_a_plan_builds_first_where_it_is_asked_for(running: FakeStack) -> None:
    show_changes(running.boot(), build=True, as_json=False)

    assert running.runtime.changed == ["build sso-setup", "build api"]


def test_a_plan_writes_no_env(running: FakeStack) -> None:
    path, running.config["secrets"] = running.root / ".env", ["ANOTHER_SECRET"]
    before = path.read_bytes()

    show_changes(running.boot(), as_json=False)

    assert path.read_bytes() == before
    path.unlink()
    running.runtime.holds_data = True
    with pytest.raises(SettingsError, match="their password is lost"):
        show_changes(running.boot(), as_json=False)
    assert not path.exists()


def test_a_plan_as_json_has_its_stages_and_jobs(stack: FakeStack) -> None:
    show_plan(stack.boot(), with_clean=True, until="migrate", as_json=True)

    assert [stage["stage"] for stage in stack.data["stages"]] == [
        "stop",
        "clean",
        "db-up",
        "wait-db",
        "guard",
        "migrate",
    ]
    assert {tuple(stage) for stage in stack.data["stages"]} == {("stage", "does", "cause")}
    assert [(job["job"], job["beside"]) for job in stack.data["jobs"]] == [
        ("build owners", ["db-up", "wait-db", "guard"])
    ]


def test_a_whole_plan_says_which_owners_are_at_work_at_the_same_time(running: FakeStack) -> None:
    whole_plan(running.boot())
    assert "owners at work: sso beside api\n" in running.printed.getvalue()

    running.config["owners"]["api"]["references"] = ["sso"]
    whole_plan(running.boot())
    assert "owners at work: sso, then api\n" in running.printed.getvalue()


def test_a_status_names_missing_tables_and_unknown_ones(running: FakeStack) -> None:
    run_stages(running.boot(), ["migrate"], dry=False)
    running.database.drop("session")
    (next((running.root / ".bootorder" / "rehearsals").iterdir())).unlink()

    show_status(running.boot())

    said = running.printed.getvalue()
    assert ("missing: public.session" in said) != ("sso (role sso, schema public): tables not known" in said)
    assert "inv migrate" in said


def test_a_status_as_json_is_data_and_no_talk(running: FakeStack) -> None:
    show_status(running.boot(), as_json=True)

    assert running.data["runtime"] == "fake"
    assert running.said == ""


def test_logs_are_data_with_the_name_of_their_service(running: FakeStack) -> None:
    running.runtime.log_lines = {"api": ["one", "two", "three"], "web": ["up"]}

    follow_logs(running.boot(), ["api"], tail=2, follow=False)

    assert running.printed.getvalue() == "api          | two\napi          | three\n"


def test_a_negative_number_of_lines_is_refused(running: FakeStack) -> None:
    with pytest.raises(SettingsError, match="`--tail -1` is no number of lines"):
        follow_logs(running.boot(), tail=-1, follow=False)

    follow_logs(running.boot(), tail=0, follow=False)


def test_logs_of_an_unknown_service_are_refused_with_the_nearest_one(running: FakeStack) -> None:
    with pytest.raises(SettingsError, match="unknown service `wab`; did you mean `web`"):
        follow_logs(running.boot(), ["wab"])


# -- doctor ------------------------------------------------------------------------------------------------------------


def found(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr("scripts.bootorder.doctor.examine", lambda boot: iter(findings))


def test_a_machine_in_order_has_a_line_for_each_finding(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, Finding("python", True, "3.13.0"), Finding("disk", True, "90 GiB free"))

    show_doctor(stack.boot(), as_json=False)

    assert stack.printed.getvalue().splitlines() == ["ok    python  3.13.0", "ok    disk    90 GiB free"]


def test_a_machine_that_lacks_something_ends_with_3_and_the_first_mend(
    stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, Finding("python", True, "3.13.0"), Finding("disk", False, "1 GiB free", "free at least 3 GiB"))

    with pytest.raises(MachineError) as caught:
        show_doctor(stack.boot(), as_json=True)

    assert caught.value.exit_code == 3
    assert caught.value.hint == "free at least 3 GiB"
    assert stack.data[1] == {"name": "disk", "ok": False, "seen": "1 GiB free", "mend": "free at least 3 GiB"}
    assert stack.said == ""
