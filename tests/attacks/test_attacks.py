"""Each attack in each layout, by the owner's role and by a superuser: nothing of another owner is lost.

And without the guard something is, or it would be no proof.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scripts.bootorder.settings import LayoutName

from .attacks import ALLOWED, LOST, SQL, TOOLS, Outcome
from .conftest import Attacks, Way
from .table import DOCUMENT, render
from .world import Who

_LAYOUTS: Sequence[LayoutName] = ("shared", "schemas", "databases")
UNGUARDED: Way = ("", "superuser")
_ATTACKERS: Sequence[Who] = ("sso", "superuser")
GUARDED: list[Way] = [(layout, who) for who in _ATTACKERS for layout in _LAYOUTS]
_BY_API: list[Way] = [(layout, "api") for layout in _LAYOUTS]
_MUST_LOSE = [attack.name for attack in TOOLS if attack.loses]


def _name(value: object) -> str:
    return "-".join(filter(None, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("way", [UNGUARDED], ids=_name)
@pytest.mark.parametrize("attack", _MUST_LOSE)
def test_without_the_guard_a_tool_takes_what_is_not_its_own(attacks: Attacks, attack: str, way: Way) -> None:
    outcome = attacks.outcome(attack, way)

    assert outcome.word == LOST, outcome.text


@pytest.mark.parametrize(("attack", "way"), [(tool.name, way) for tool in TOOLS for way in GUARDED], ids=_name)
def test_a_tool_takes_nothing_of_another_owner(attacks: Attacks, attack: str, way: Way) -> None:
    _require_whole(attacks.outcome(attack, way))


@pytest.mark.parametrize(
    ("attack", "way"),
    [(attack.name, way) for attack in SQL for way in [*GUARDED, *_BY_API] if way[1] in attack.by],
    ids=_name,
)
def test_a_statement_takes_nothing_of_another_owner(attacks: Attacks, attack: str, way: Way) -> None:
    _require_whole(attacks.outcome(attack, way))


def _require_whole(outcome: Outcome) -> None:
    assert outcome.word != LOST, "\n".join([*outcome.lost, outcome.text])
    assert not outcome.lost or outcome.word == ALLOWED


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_the_api_is_refused_what_the_sso_is_refused(attacks: Attacks, layout: LayoutName) -> None:
    words = {
        attack.name: (
            attacks.outcome(attack.name, (layout, "sso")).word,
            attacks.outcome(attack.name, (layout, "api")).word,
        )
        for attack in SQL
        if "api" in attack.by
    }

    assert {name: pair for name, pair in words.items() if pair[0] != pair[1]} == {}


def test_the_table_says_what_happened(attacks: Attacks, request: pytest.FixtureRequest) -> None:
    names = [*(tool.name for tool in TOOLS), *(statement.name for statement in SQL)]
    everything = [(name, way) for name in names for way in [UNGUARDED, *GUARDED]]
    for name, way in everything:
        attacks.announce(name, way)
    now = render({(name, way): attacks.outcome(name, way).word for name, way in everything})
    if request.config.getoption("write_table", default=False):
        DOCUMENT.write_text(now, encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == now, "write it anew: pytest tests/attacks --write-table"
