from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.migrators.base import Migrator
from scripts.bootorder.migrators.honest import COMMAND, PRISMA
from scripts.bootorder.owners import Owner
from scripts.bootorder.waves import waves


@dataclass
class _Place:
    owner: str
    needs: list[Any] = field(default_factory=list)
    database: str = "shop"
    schema: str = "public"


@dataclass
class _Owner:
    name: str
    place: _Place
    migrator: Migrator = COMMAND


@st.composite
def owners(draw: st.DrawFn) -> list[_Owner]:
    """Up to twelve; each may need any of those before it."""
    found: list[_Owner] = []
    for number in range(draw(st.integers(0, 12))):
        needs = draw(st.lists(st.sampled_from(found), unique_by=lambda owner: owner.name)) if found else []
        found.append(_Owner(f"o{number}", _Place(f"o{number}", [owner.place for owner in needs])))
    return found


@given(owners())
def test_each_owner_comes_after_those_that_it_needs_and_no_later_than_that(given_ones: list[_Owner]) -> None:
    found = waves(cast("list[Owner]", given_ones))

    wave_of = {owner.name: number for number, wave in enumerate(found) for owner in wave}
    assert wave_of.keys() == {owner.name for owner in given_ones}
    for owner in given_ones:
        assert wave_of[owner.name] == max((wave_of[place.owner] + 1 for place in owner.place.needs), default=0)


def test_an_owner_that_is_not_asked_for_is_not_waited_for() -> None:
    alone = cast("Owner", _Owner("api", _Place("api", [_Place("sso")])))

    assert [list(wave) for wave in waves([alone])] == [[alone]]


def test_prisma_begins_in_its_schema_before_the_others_of_it() -> None:
    """Beside tables that are not its own its first migration ends in P3005."""
    api = _Owner("api", _Place("api"))
    elsewhere = _Owner("wiki", _Place("wiki", schema="wiki"))
    shop = _Owner("shop", _Place("shop"), PRISMA)
    reader = _Owner("reports", _Place("reports", [api.place]), PRISMA)

    found = waves(cast("list[Owner]", [api, elsewhere, shop, reader]))

    assert [[owner.name for owner in wave] for wave in found] == [["shop", "wiki"], ["api"], ["reports"]]
