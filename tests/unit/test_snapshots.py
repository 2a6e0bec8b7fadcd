"""What counts as a loss, of others and of one's own. Taking a snapshot is proved on a real server."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.catalog import Catalog, Key
from scripts.bootorder.errors import GuardError, LogTail
from scripts.bootorder.guard.snapshots import Sequence, Snapshot, foreign_losses, own_losses, refuse_losses

from .fakes import owned_by, table

USER = owned_by("sso", table("user", id="text", name="text"))
WORKER = owned_by("api", table("worker", id="integer", name="text"))


def foreign(objects: Mapping[Key, str], rows: Mapping[str, int] | None = None, busy: Collection[str] = ()) -> Snapshot:
    """What others have."""
    counts = {("public", key.name): 0 for key in objects if key.kind == "table"}
    counts |= {("public", name): count for name, count in (rows or {}).items()}
    return Snapshot(Catalog({}), Catalog(objects), {}, counts, busy=frozenset(busy))


def own(objects: Mapping[Key, str], **rows: int) -> Snapshot:
    counts = {("public", key.name): rows.get(key.name, 0) for key in objects if key.kind == "table"}
    return Snapshot(Catalog(objects), Catalog({}), counts, {})


def without(objects: Mapping[Key, str], *gone: str) -> dict[Key, str]:
    return {key: text for key, text in objects.items() if key.name not in gone}


# -- of others ---------------------------------------------------------------------------------------------------------

_states = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(st.integers(0, 3), st.sampled_from("xy")))


def _snapshot(state: dict[str, tuple[int, str]]) -> Snapshot:
    objects: dict[Key, str] = {}
    for name, (_, text) in state.items():
        objects |= owned_by("api", table(name, id=text))
    return foreign(objects, {name: rows for name, (rows, _) in state.items()})


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


def test_a_dropped_table_is_one_line_with_its_rows() -> None:
    assert foreign_losses(foreign(WORKER, {"worker": 1}), foreign({})) == ["- public.worker (1 row) was dropped"]
    assert foreign_losses(foreign(WORKER), foreign({})) == ["- public.worker (0 rows) was dropped"]


@pytest.mark.parametrize("kind", ["enum", "view", "materialized view", "sequence"])
def test_what_stands_alone_and_is_gone_is_one_line_too(kind: str) -> None:
    alone = owned_by("api", {Key(kind, "public", "thing", "thing"): "its definition"})

    assert foreign_losses(foreign(alone), foreign({})) == [f"- {kind} public.thing its definition"]


def test_another_owner_of_the_same_table_is_a_loss() -> None:
    taken = owned_by("nobody", table("worker", id="integer", name="text"))

    assert foreign_losses(foreign(WORKER), foreign(taken)) == ["- owner public.worker api -> nobody"]


def test_a_dropped_column_is_a_loss_and_a_new_one_is_none() -> None:
    fewer = without(WORKER, "name")

    assert foreign_losses(foreign(WORKER), foreign(fewer)) == ["- column public.worker.name text"]
    assert foreign_losses(foreign(fewer), foreign(WORKER)) == []


def test_rows_of_an_owner_that_is_connected_are_its_own_affair() -> None:
    """Its app may delete them, e.g. sessions that have expired."""
    many, few = {"worker": 42}, {"worker": 41}

    assert foreign_losses(foreign(WORKER, many), foreign(WORKER, few)) == ["- public.worker: 42 rows before, 41 now"]
    assert foreign_losses(foreign(WORKER, many, {"api"}), foreign(WORKER, few)) == []
    assert foreign_losses(foreign(WORKER, many), foreign(WORKER, few, {"api"})) == []
    assert foreign_losses(foreign(WORKER, many, {"sso"}), foreign(WORKER, few, {"sso"})) != []


def test_a_table_that_a_connected_owner_lost_is_a_loss_even_so() -> None:
    before, after = foreign(WORKER, {"worker": 42}, {"api"}), foreign({}, busy={"api"})

    assert foreign_losses(before, after) == ["- public.worker (42 rows) was dropped"]


def test_rows_of_nobody_s_table_count_whoever_is_connected() -> None:
    before, after = foreign(table("left"), {"left": 2}, {"api"}), foreign(table("left"), {"left": 1}, {"api"})

    assert foreign_losses(before, after) == ["- public.left: 2 rows before, 1 now"]


def test_a_loss_is_refused_with_the_tool_s_log() -> None:
    log = LogTail.of("pnpm db:push", "done")

    refuse_losses("sso: drizzle", foreign(WORKER), foreign(WORKER), log)
    with pytest.raises(GuardError, match="sso: drizzle changed what is not its own") as caught:
        refuse_losses("sso: drizzle", foreign(WORKER), foreign({}), log)

    assert (caught.value.exit_code, caught.value.log) == (6, log)


# -- of one's own ------------------------------------------------------------------------------------------------------


def test_only_what_holds_rows_can_be_lost() -> None:
    for after in (own({}), own(without(USER, "name"))):
        assert own_losses(own(USER), after) == []


def test_a_dropped_table_would_lose_its_rows() -> None:
    assert own_losses(own(USER, user=1), own({})) == ["- public.user (1 row) would be lost"]


def test_a_dropped_column_would_lose_what_its_rows_have_there() -> None:
    assert own_losses(own(USER, user=3), own(without(USER, "name"), user=3)) == [
        "- public.user.name (in 3 rows) would be lost"
    ]


def test_deleted_rows_would_be_lost() -> None:
    """drizzle-kit empties a table before it adds a column that may not be null."""
    assert own_losses(own(USER, user=3), own(USER, user=1)) == ["- public.user: 2 rows of 3 would be lost"]


def test_what_is_new_or_changed_is_no_loss() -> None:
    more = owned_by("sso", table("user", id="uuid", name="text", email="text"), table("session"))

    assert own_losses(own(USER, user=3), own(more, user=4)) == []


def test_an_index_that_is_gone_loses_no_rows() -> None:
    indexed = USER | {Key("index", "public", "user", "user_email"): "create index"}

    assert own_losses(own(indexed, user=3), own(USER, user=3)) == []


# -- sequences ---------------------------------------------------------------------------------------------------------


def _counting(value: int | None, *, busy: Collection[str] = ()) -> Snapshot:
    sequences = {("public", "task_id_seq"): Sequence("api", value)}
    return Snapshot(Catalog({}), Catalog({}), {}, {}, {}, sequences, frozenset(busy))


@pytest.mark.parametrize(("now", "said"), [(3, "is at 3"), (None, "is at its start")])
def test_a_sequence_of_another_that_was_set_back_is_a_loss(now: int | None, said: str) -> None:
    assert foreign_losses(_counting(7), _counting(now)) == [f"- sequence public.task_id_seq: was at 7, {said}"]


def test_a_sequence_that_went_on_is_no_loss_nor_is_one_of_an_owner_that_is_connected() -> None:
    assert foreign_losses(_counting(7), _counting(7)) == []
    assert foreign_losses(_counting(7), _counting(8)) == []
    assert foreign_losses(_counting(None), _counting(None)) == []
    assert foreign_losses(_counting(7), _counting(3, busy=["api"])) == []


# -- rows that are not known ------------------------------------------------------------------------------------------


def test_rows_that_are_not_known_are_no_loss_while_their_table_is_there() -> None:
    key = ("public", "worker")
    known = Snapshot(Catalog({}), Catalog(WORKER), {}, {key: 3})
    unknown = Snapshot(Catalog({}), Catalog(WORKER), {}, {key: None})

    assert foreign_losses(known, unknown) == foreign_losses(unknown, known) == []
    assert foreign_losses(unknown, Snapshot(Catalog({}), Catalog({}), {}, {})) == [
        "- public.worker (rows not known) was dropped"
    ]


def test_a_dropped_table_of_its_own_whose_rows_are_not_known_would_be_lost() -> None:
    before = Snapshot(Catalog(USER), Catalog({}), {("public", "user"): None}, {})

    assert own_losses(before, own({})) == ["- public.user (rows not known) would be lost"]
