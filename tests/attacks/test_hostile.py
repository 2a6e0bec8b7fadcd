"""A hostile owner with any SQL: whatever task somebody else runs, nothing outside its own is changed, and each ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psycopg
import pytest

from scripts.bootorder import database
from scripts.bootorder.database import Target
from scripts.bootorder.guard import names
from scripts.bootorder.settings import LayoutName
from tests.contract.guarded import LAYOUTS, Guarded

from .hostile import ALL, BITE, LOST, MOST_SECONDS, Outcome, differences, fingerprint, run_all, templated
from .table import DOCUMENT, hostile_rows

Came = Mapping[LayoutName, Mapping[str, Outcome]]


@pytest.fixture(scope="module")
def came(server: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Came]:
    """What came of each attempt, by layout."""
    with pytest.MonkeyPatch.context() as patch:
        # Whoever holds a lock, or a snapshot, is waited for ten seconds otherwise.
        patch.setitem(database._SETTINGS, "lock_timeout", "1s")
        patch.setattr(names, "LOCK_SECONDS", 1.0)
        yield {layout: run_all(server, tmp_path_factory.mktemp("hostile"), layout) for layout in LAYOUTS}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("attempt", [attempt.name for attempt in ALL])
def test_nothing_outside_its_own_is_changed(came: Came, attempt: str, layout: LayoutName) -> None:
    outcome = came[layout][attempt]

    assert outcome.word != LOST, outcome.text
    assert outcome.seconds < MOST_SECONDS, outcome.text


def test_the_page_says_what_came_of_it(came: Came, request: pytest.FixtureRequest) -> None:
    words = {(name, layout): outcome.word for layout, its in came.items() for name, outcome in its.items()}
    now = hostile_rows(words)
    text = DOCUMENT.read_text(encoding="utf-8")
    if request.config.getoption("write_table", default=False):
        begin, _, rest = text.partition("<!-- hostile -->\n")
        text = f"{begin}{now}{rest.partition('<!-- end -->')[2].lstrip()}"
        DOCUMENT.write_text(text, encoding="utf-8")

    assert now in text, "write it anew: pytest tests/attacks/test_hostile.py --write-table"


@pytest.mark.parametrize("what", ["an operator", "an index"])
def test_where_nothing_stops_it_the_attack_is_seen(stack: Guarded, what: str) -> None:
    """Else the tests above would prove nothing: the fingerprint finds out that the other's password was changed."""
    stack.guard()
    stack.migrate()
    before = fingerprint(stack, "sso")
    stack.send("alter event trigger bootorder_change disable")
    with stack.connected("sso") as attacker:
        attacker.execute(templated(BITE, stack))
        attacker.execute(templated(_CODE[what], stack))
    with stack.connected("api") as victim:
        for statement in ("select count(*) from worker where name::varchar = 'x'::varchar", "select from bait"):
            try:
                victim.execute(statement.encode())
            except psycopg.Error:
                continue  # of the attacker's table: to plan it was enough

    assert any(line.startswith(f"role {stack.role('api')}") for line in differences(before, fingerprint(stack, "sso")))


_CODE = {
    "an operator": "create function {p}.eq(varchar, varchar) returns boolean language sql"
    " as $$ select {s}.bite() = 1 $$; create operator {p}.= (leftarg = varchar, rightarg = varchar, function = {p}.eq)",
    "an index": "create table bait (id int); insert into bait values (1); grant select on bait to public;"
    " create index on bait ((id + {s}.trap(1)))",
}
