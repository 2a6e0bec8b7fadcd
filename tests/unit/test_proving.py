"""The proofs that are copied along: what they hold for lost, for well, and for an order that does what it may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.errors import BootError, SettingsError
from scripts.bootorder.migrators.base import Claim
from scripts.bootorder.processes import Completed
from scripts.bootorder.proving.boot import is_well, misplaced
from scripts.bootorder.proving.bug import Came
from scripts.bootorder.proving.orders import STEPS, Findings
from scripts.bootorder.proving.own_names import compose_files, own_names, refuse_shared_data
from scripts.bootorder.proving.pictures import State, losses, rows, summary
from scripts.bootorder.settings import AppSettings, parse

# -- pictures ----------------------------------------------------------------------------------------------------------

WORKERS: State = frozenset(
    {"made table public.worker", "made column public.worker.name text", "row of public.worker 2xaa"}
)


def test_rows_are_counted_also_those_that_are_alike() -> None:
    there = WORKERS | {"row of public.worker 1xbb", "row of public.a name with spaces 3xcc"}

    assert rows(there) == {"public.worker": 3, "public.a name with spaces": 3}
    assert summary(there) == "1 table, 6 rows"


@pytest.mark.parametrize("line", sorted(WORKERS))
def test_what_is_gone_is_lost_and_what_is_new_is_not(line: str) -> None:
    assert losses(WORKERS, WORKERS - {line} | {"made table public.other"}) == [f"- {line}"]


def test_a_right_that_is_gone_is_no_loss() -> None:
    assert losses(WORKERS | {"right role sso"}, WORKERS) == []


def test_one_of_two_rows_that_are_alike_is_a_loss() -> None:
    after = WORKERS - {"row of public.worker 2xaa"} | {"row of public.worker 1xaa"}

    assert losses(WORKERS, after) == ["- row of public.worker 2xaa"]
    assert losses(WORKERS, after, rows_by_number=True) == ["- row of public.worker: 2 before, 1 now"]


def test_rows_that_an_app_changed_are_no_loss_where_rows_are_counted() -> None:
    after = WORKERS - {"row of public.worker 2xaa"} | {"row of public.worker 1xaa", "row of public.worker 1xbb"}

    assert losses(WORKERS, after) != []
    assert losses(WORKERS, after, rows_by_number=True) == []


# -- boot --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "health", "app", "well"),
    [
        ("running", "healthy", AppSettings(), True),
        ("running", "", AppSettings(), True),  # nothing checks it
        ("running", "unhealthy", AppSettings(), False),
        ("running", "starting", AppSettings(), False),
        ("exited", "", AppSettings(), False),
        ("exited", "", AppSettings(ends=True), True),
        ("absent", "", AppSettings(ends=True), False),
    ],
)
def test_a_service_is_well_or_not(state: str, health: str, app: AppSettings, well: bool) -> None:
    assert is_well({"state": state, "health": health}, app) == well


def test_an_owner_without_tables_and_a_table_elsewhere_are_told() -> None:
    def table(owner: str | None, name: str, state: str = "") -> Mapping[str, Any]:
        return {"owner": owner, "schema": "public", "name": name, "state": state}

    there = [table("sso", "user"), table(None, "stray", "nobody's"), table("sso", "session", "missing")]

    assert misplaced(there, ["sso", "api"]) == ["api has no table", "public.session of sso missing"]
    assert misplaced(there[:2], ["sso"]) == []


# -- bug ---------------------------------------------------------------------------------------------------------------


def test_what_a_tool_took_is_told_and_what_it_says() -> None:
    assert Came(["- public.worker (3 rows) was dropped"], Claim(True, "changes applied")).told == [
        "- public.worker (3 rows) was dropped",
        "says: changes applied",
    ]
    assert Came([], Claim(True, "no changes detected")).told[0] == "takes nothing"
    assert Came([], Claim(False, "cannot connect")).told == ["takes nothing, and failed", "says: cannot connect"]


# -- a copy has names and data of its own ------------------------------------------------------------------------------


def config(**more: Any) -> dict[str, Any]:
    return {"name": "copy-1a2b3c", "services": {"db": {}}, **more}


def test_names_that_follow_from_the_project_are_left_as_they_are() -> None:
    volumes = {"data": {"name": "copy-1a2b3c_data"}}
    networks = {"default": {"name": "copy-1a2b3c_default"}, "company": {"name": "company", "external": True}}

    assert own_names(config(volumes=volumes, networks=networks)) == {"services": {}, "volumes": {}, "networks": {}}


def test_names_that_the_original_has_too_are_replaced() -> None:
    found = own_names(
        config(
            services={"db": {"container_name": "my-db"}, "web": {}},
            volumes={"data": {"name": "my-data"}, "old": {"name": "old", "external": True}},
            networks={"back": {"name": "my-back"}},
        )
    )

    assert found == {
        "services": {"db": {"container_name": "copy-1a2b3c-db"}},
        "volumes": {
            "data": {"name": "copy-1a2b3c_data", "external": False},
            "old": {"name": "copy-1a2b3c_old", "external": False},
        },
        "networks": {"back": {"name": "copy-1a2b3c_back"}},
    }


TARGET = "/var/lib/postgresql"


@pytest.mark.parametrize(
    ("mount", "volumes"),
    [
        ({"type": "bind", "source": "/srv/data", "target": TARGET}, {}),
        (
            {"type": "volume", "source": "data", "target": TARGET},
            {"data": {"name": "d", "driver_opts": {"type": "none", "o": "bind", "device": "/srv/data"}}},
        ),
    ],
)
def test_data_in_a_folder_that_the_copy_would_share_are_refused(
    mount: Mapping[str, Any], volumes: Mapping[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="your own data: db keeps files in /srv/data"):
        refuse_shared_data(config(services={"db": {"volumes": [mount]}}, volumes=volumes), "db", tmp_path)


def test_data_of_the_copy_and_what_is_only_read_are_its_own_matter(tmp_path: Path) -> None:
    mounts = [
        {"type": "bind", "source": str(tmp_path / "pgdata"), "target": TARGET},
        {"type": "bind", "source": "/etc/localtime", "target": "/etc/localtime", "read_only": True},
        {"type": "volume", "source": "data", "target": "/more"},
        {"type": "tmpfs", "target": "/run"},
    ]

    refuse_shared_data(config(services={"db": {"volumes": mounts}}, volumes={"data": {"name": "d"}}), "db", tmp_path)


def test_a_link_that_leads_out_of_the_copy_is_followed(tmp_path: Path) -> None:
    (tmp_path / "pgdata").symlink_to("/srv/data")
    mount = {"type": "bind", "source": str(tmp_path / "pgdata"), "target": TARGET}

    with pytest.raises(SettingsError):
        refuse_shared_data(config(services={"db": {"volumes": [mount]}}), "db", tmp_path)


DATABASE = {"service": "db", "name": "d", "user": "u", "password": "P"}


@pytest.mark.parametrize(
    ("declared", "there", "env", "found"),
    [
        (["docker/a.yaml"], ["compose.yaml"], "", ["docker/a.yaml"]),
        ([], ["docker-compose.yml"], "", ["docker-compose.yml"]),
        ([], ["compose.yaml", "compose.override.yaml"], "", ["compose.yaml", "compose.override.yaml"]),
        ([], ["compose.yaml"], "COMPOSE_FILE=a.yaml:b.yaml\n", ["a.yaml", "b.yaml"]),
        ([], [], "", []),
    ],
)
def test_the_compose_files_are_those_of_the_settings_else_those_that_compose_reads(
    declared: Sequence[str], there: Sequence[str], env: str, found: Sequence[str], tmp_path: Path
) -> None:
    for name in there:
        (tmp_path / name).touch()
    (tmp_path / ".env").write_text(env, encoding="utf-8")

    assert list(compose_files(tmp_path, parse({"bootorder": {"compose": declared, "database": DATABASE}}))) == found


# -- orders ------------------------------------------------------------------------------------------------------------

NEEDS = {"wait-db": "db-up", "guard": "db-up", "migrate": "guard", "seed": "migrate", "apps-up": "migrate"}
MAKES = {"db-up": "service db", "guard": "right role", "migrate": "made table t", "seed": "row of t 1xaa"}
MAKES |= {"apps-up": "service app"}
BOOTED = frozenset(MAKES.values())


class SmallWorld:
    """Each stage adds its line where what it needs is there; `odd` stages do otherwise: (code, text, picture)."""

    def __init__(self, odd: Mapping[str, Any] | None = None) -> None:
        self.there: State = frozenset()
        self.odd = odd or {}

    def key(self, there: State) -> State:
        return there

    def keep(self, *_: object) -> None:
        """Every state can be gone to."""

    def go(self, state: State) -> State:
        self.there = state
        return state

    def look(self) -> State:
        return self.there

    def rows_change(self, *_: object) -> bool:
        return False

    def missing(self, name: str) -> list[str]:
        first = NEEDS.get(name)
        return [*self.missing(first), first] if first and MAKES[first] not in self.there else []

    def inv(self, *tasks: str) -> Completed:
        name = tasks[0]
        if name in self.odd:
            code, text, self.there = self.odd[name](self.there)
            return Completed(code, "", text)
        if name == "start":
            self.there |= BOOTED
            return Completed(0, "", "")
        if first := " ".join(self.missing(name)):
            return Completed(4, "", f"  hint: do it first: inv {first}\n  go on with: inv {first} {name}")
        made = MAKES.get(name)
        skipped = made is None or made in self.there
        self.there |= {made} if made else set()
        return Completed(0, "", f"[1/1] {name}  skipped (it is there)  0.0 s" if skipped else "")


def measured(odd: Mapping[str, Any] | None = None) -> Findings:
    findings = Findings(frozenset(), "nothing")
    findings.measure(SmallWorld(odd), lambda _: None)
    return findings


def test_where_each_stage_works_is_skipped_or_refuses_nothing_is_wrong() -> None:
    findings = measured()

    assert findings.wrong == []
    assert len(list(findings.walk())) == 720
    assert findings.names[BOOTED] == "db-up, guard, migrate, seed, apps-up"
    assert "| nothing | done | first `db-up` |" in "\n".join(findings.told())


@pytest.mark.parametrize(
    ("name", "does", "problem"),
    [
        ("seed", lambda there: (0, "", there - {"made table t"}), "removed made"),
        ("guard", lambda there: (0, "", there | {"made table x"}), "added made"),
        ("seed", lambda there: (5, "boom", there), "ended with 5"),
        (
            "seed",
            lambda there: (4, "hint: inv migrate\ngo on with: inv migrate seed", there | {"row of t 1xbb"}),
            "said",
        ),
        (
            "wait-db",
            lambda there: (0, "[1/1] wait-db  skipped (no)  ", there | {"right x"}),
            "changed something although",
        ),
        ("wait-db", lambda there: (4, "hint: run inv seed\ngo on with: inv seed wait-db", there), "does not help"),
        ("start", lambda there: (3, "", there), "did not boot"),
        ("start", lambda there: (0, "", BOOTED - {"row of t 1xaa"}), "removed row"),
    ],
)
def test_a_stage_that_does_what_it_may_not_is_found(name: str, does: Any, problem: str) -> None:
    said: list[str] = []
    findings = Findings(frozenset(), "nothing")
    findings.measure(SmallWorld({name: does}), said.append)

    assert any(problem in line for line in findings.wrong), findings.wrong
    assert "720 orders" in "\n".join(findings.told())
    assert "does not help" in problem or any(line.startswith("    wrong: ") for line in said)


def test_a_world_that_changes_by_itself_is_no_state() -> None:
    def count(there: State) -> tuple[int, str, State]:
        return 0, "", there | {f"right {len(there)}"}

    with pytest.raises(BootError, match="states without end"):
        measured({"guard": count})


def test_every_stage_is_one_of_the_tasks() -> None:
    from scripts.bootorder.stages import STAGES

    assert set(STEPS) < {stage.name for stage in STAGES}
