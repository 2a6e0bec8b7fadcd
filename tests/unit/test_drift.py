from __future__ import annotations

import pytest

from scripts.bootorder.catalog import Catalog, Key
from scripts.bootorder.drift import drift, refuse_drift
from scripts.bootorder.errors import MigrationError

from .fakes import catalog_of, table

WORKER = table("worker", id="integer not null", name="text")
STATUS = Key("enum", "public", "status", "status")


def test_tables_that_are_as_the_models_say_are_no_drift() -> None:
    assert drift(catalog_of(WORKER), catalog_of(WORKER)) == []


def test_what_is_not_there_yet_is_no_drift() -> None:
    assert drift(catalog_of(WORKER, table("task")), catalog_of(WORKER)) == []


def test_a_difference_is_told_in_words_whichever_way_it_goes() -> None:
    there = table("worker", id="bigint not null", nickname="text") | {STATUS: "'open'"}

    assert drift(Catalog({**WORKER, STATUS: "'open', 'done'"}), Catalog(there)) == [
        "public.worker has the column id as `bigint not null`, its model as `integer not null`",
        "public.worker lacks the column name (text)",
        "public.worker has the column nickname, which no model has (text)",
        "public.status has the enum as `'open'`, its model as `'open', 'done'`",
    ]


def test_drift_is_refused_with_the_ways_out() -> None:
    with pytest.raises(MigrationError) as caught:
        refuse_drift("api", catalog_of(WORKER), catalog_of(table("worker", id="bigint")))

    error = caught.value
    assert error.exit_code == 5
    assert error.message.startswith("api: create_all never alters a table that exists: public.worker has the column id")
    assert error.message.endswith("(and 1 more)")
    assert len(error.details) == 2
    for way in ("Alembic", "inv psql --as api", "inv start --clean"):
        assert way in error.hint


def test_a_long_list_is_cut() -> None:
    there = {key: text for key, text in WORKER.items() if key.kind == "table"}
    wanted = table("worker", **{f"c{number:02}": "text" for number in range(30)})

    with pytest.raises(MigrationError) as caught:
        refuse_drift("api", Catalog(wanted), Catalog(there))

    assert caught.value.details[-1] == "... and 10 more"
