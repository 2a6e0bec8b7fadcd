"""docs/guard-attacks.md: what came of each attack, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.bootorder.settings import LayoutName
from tests.contract.guarded import LAYOUTS
from tests.stack import ROOT

from .attacks import SQL, TOOLS
from .conftest import Way
from .hostile import DECOYS, HELD, READ, RIGHTS, TRAPS
from .world import Who

DOCUMENT = ROOT / "docs" / "guard-attacks.md"

_HEAD = """# What was tried against the guard

Written by `pytest tests/attacks --write-table`. `nox -s attacks` tries everything again, and fails where something is
lost or this page differs.

Two owners, `sso` and `api`, have tables with rows. The SSO attacks; a fingerprint of everything that is the API's
(tables, columns, constraints, indexes, views, enums, sequences, functions, policies, every row) is compared before
and after. In `shared` and `schemas` the API has a foreign key to a table of the SSO, and a view on it. No tool has a
filter.

*First boot*: the SSO has no tables yet; otherwise both have theirs. *Others empty*: the API's have no rows. *Enter*,
*yes* and *rename* are typed at a terminal when the tool asks; elsewhere there is no terminal.

| word | what happened |
|---|---|
| **lost** | something of the other owner is gone or changed |
| refused: role | PostgreSQL: the role does not own it (42501) |
| refused: connect | PostgreSQL: the role may not connect to the other owner's database (42501) |
| refused: trigger | the guard's event triggers, or its trigger against TRUNCATE (42501) |
| asks, does nothing | the tool wants an answer or a flag, and ends |
| harmless | it worked, or had nothing to do; all that is the other owner's is as it was |
| the name is taken | PostgreSQL: the other owner has a table of that name |
| takes the name | nothing is lost, but the other owner cannot make its table of that name |
| possible | it is meant to be: see the end |
| - | makes no sense here |

drizzle-kit 1.0 and MikroORM look into every schema. Without a filter (`schemaFilter`, `schemaGenerator.ignoreSchema`)
they ask about the guard's own schema `bootorder` in every layout, or are refused there.
"""
_BY_OWNER = """
## By the owner's own role

The tools with `postgresql://sso:...`, in the layout `databases` in the SSO's own database; the statements where the
API's tables are. The role of the API is refused the same things.
"""
_BY_SUPERUSER = """
## By a superuser, by accident

A push or a statement with the superuser's URL, where the API's tables are. Nothing of the SSO may be lost either.
"""
_TAIL = """
## What is possible, on purpose

- `DELETE` across a foreign key that the **other** owner declared `ON DELETE CASCADE`: it asked for that.
- `DELETE`, `UPDATE`, `DROP DATABASE` and `REASSIGN OWNED` by a superuser: no event trigger sees them. No tool above
  sends any of these. What was reassigned has its rows, and `guard --assign` gives it back.
- What a superuser does after `SET ROLE`, after `bootorder.allow()`, or after switching an event trigger off. `migrate`
  refuses to run while one is off, and `guard` switches it on again.
"""


def render(words: Mapping[tuple[str, Way], str]) -> str:
    """The page. `words`: what came of each attack, by its name, in each layout, by each attacker."""
    return "".join(
        [
            _HEAD,
            _BY_OWNER,
            *(_table(words, what, names, "sso") for what, names in _TABLES.items()),
            _BY_SUPERUSER,
            *(_table(words, what, names, "superuser") for what, names in _TABLES.items()),
            "\n",
            _kept_hostile(),
            _TAIL.lstrip(),
        ]
    )


_HOSTILE = """<!-- hostile -->

## By a hostile owner

The SSO's role with any SQL, in its own database; then somebody else runs tasks, or the application of the API asks what
it always asks. No owner may read or refer to another. Every role, right, definition and row that is not the SSO's is
compared before and after, in each database and in `postgres`. `tests/attacks/hostile.py` has the SQL and the tasks.

| word | what happened |
|---|---|
| refused: role, trigger, connect | as above: the attempt itself is refused |
| fails | PostgreSQL knows no such thing, or not with these settings |
| found: the task refuses | a task says what it found, or who is in its way, and changes nothing |
| harmless | the attempt was possible, the tasks did their work, and all that is outside is as it was |
"""
_HOSTILE_TABLES = {
    "what it may not do": [attempt.name for attempt in RIGHTS],
    "what the API's statements would reach": [attempt.name for attempt in DECOYS],
    "code where something is planned, read or changed, before every task": [name for name, _ in TRAPS],
    "what tasks read: settings, names, sizes": [attempt.name for attempt in READ],
    "what is held while a task runs": [attempt.name for attempt in HELD],
}


def hostile_rows(words: Mapping[tuple[str, LayoutName], str]) -> str:
    """The part of the page. `words`: what came of each attempt, by its name, in each layout."""
    parts = [_HOSTILE]
    for what, names in _HOSTILE_TABLES.items():
        rows = [" | ".join([what, *LAYOUTS]), "---|---|---|---"]
        rows += [" | ".join([name, *(words[name, layout] for layout in LAYOUTS)]) for name in names]
        parts += ["\n", *(f"| {row} |\n".replace("| ---|---|---|--- |", "|---|---|---|---|") for row in rows)]
    return "".join([*parts, "<!-- end -->\n\n"])


def _kept_hostile() -> str:
    """That part as it is: test_hostile.py compares and writes it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = text.find("<!-- hostile -->"), text.find("<!-- end -->")
    return text[begin : end + len("<!-- end -->\n\n")] if begin >= 0 else ""


_TABLES = {"tool": [tool.name for tool in TOOLS], "statement": [statement.name for statement in SQL]}


def _table(words: Mapping[tuple[str, Way], str], what: str, names: Sequence[str], who: Who) -> str:
    columns: list[Way] = [("", "superuser"), ("shared", who), ("schemas", who), ("databases", who)]
    rows = [" | ".join([name, *(words[name, way] for way in columns)]) for name in names]
    head = [f"{what} | without the guard | shared | schemas | databases", "---|---|---|---|---"]
    return "".join(["\n", *(f"| {row} |\n" for row in [*head, *rows])]).replace(
        "| ---|---|---|---|--- |", "|---|---|---|---|---|"
    )
