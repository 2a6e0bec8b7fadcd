"""What is tried, and what came of it, in one word or two."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import psycopg

from scripts.bootorder.database import Target
from scripts.bootorder.settings import LayoutName
from tests.contract.hand import by_hand

from .toolbox import DOWN, ENTER, Answers, Toolbox
from .world import OWNERS, Fingerprint, Owner, State, Who, World, Worlds

Layout = LayoutName | Literal[""]  # empty: without the guard

LOST = "**lost**"
ALLOWED = "possible"
BY_ROLE = "refused: role"
BY_TRIGGER = "refused: trigger"
BY_CONNECTION = "refused: connect"
ASKED = "asks, does nothing"
HARMLESS = "harmless"
TAKEN = "takes the name"
NOT_FREE = "the name is taken"
NOT_THERE = "-"


@dataclass(frozen=True)
class Outcome:
    """`word` is what the table says; `lost`: what is not as it was; `text`: what was printed or raised."""

    word: str
    lost: Sequence[str]
    text: str


@dataclass(frozen=True)
class ToolAttack:
    """`loses`: without the guard it must lose something, or it is no attack. With `answers` at a terminal."""

    case: str
    tool: str
    argv: Sequence[str]
    state: State = "second"
    full: bool = True
    schema: str = ""
    answers: Answers = field(default_factory=dict)
    loses: bool = True

    @property
    def name(self) -> str:
        return f"{_VERSIONS[self.tool]} {self.case}"


_VERSIONS = {
    "drizzle": "drizzle-kit 0.31.11",
    "drizzle-rc": "drizzle-kit 1.0.0-rc.5",
    "mikro-orm": "MikroORM 7.2.1",
    "prisma": "Prisma 6.19.3",
    "alembic": "Alembic 1.20.0",
}


def _hints() -> str:
    """Yes to all that it asks, in whichever layout; what is not there it does not mind."""
    things = [("table", [schema, table]) for schema in ("public", "api") for table in ("task", "worker")]
    things += [("table", ["bootorder", "owner"]), ("schema", ["bootorder"]), ("schema", ["api"])]
    return json.dumps([{"type": "confirm_data_loss", "kind": kind, "entity": entity} for kind, entity in things])


_PUSH = ("drizzle-kit", "push")
_FORCED = (*_PUSH, "--force")
_UPDATE = ("mikro-orm", "schema:update", "--run")
_DB_PUSH = ("prisma", "db", "push", "--skip-generate")
_UPGRADE = ("alembic", "upgrade", "head")
_ENTER: Answers = {"": [ENTER]}
_SECOND_CHOICE: Answers = {"": [DOWN, ENTER]}
# A new table first, then whatever is asked about what is lost.
_YES: Answers = {"renamed from": [ENTER], "": [DOWN, ENTER]}
# The first question is which table to rename; its columns are then made anew.
_RENAME: Answers = {"table created or renamed": [DOWN, ENTER], "": [ENTER]}

TOOLS = [
    ToolAttack("`push`, first boot, others empty", "drizzle", _PUSH, "first", full=False, loses=False),
    ToolAttack("`push`, first boot", "drizzle", _PUSH, "first", loses=False),
    ToolAttack("`push --force`, first boot", "drizzle", _FORCED, "first", loses=False),
    ToolAttack("`push`, first boot, others empty, Enter", "drizzle", _PUSH, "first", full=False, answers=_ENTER),
    ToolAttack("`push`, first boot, yes", "drizzle", _PUSH, "first", answers=_YES),
    ToolAttack("`push`, others empty", "drizzle", _PUSH, full=False),
    ToolAttack("`push`", "drizzle", _PUSH, loses=False),
    ToolAttack("`push --force`", "drizzle", _FORCED),
    ToolAttack("`push --force`, a new table", "drizzle", _FORCED, schema="new-table", loses=False),
    ToolAttack("`push`, a new table, yes", "drizzle", _PUSH, schema="new-table", answers=_YES),
    ToolAttack("`push --force`, a new column in a table that has rows", "drizzle", _FORCED, schema="new-column"),
    ToolAttack("`push`, first boot", "drizzle-rc", _PUSH, "first", loses=False),
    ToolAttack("`push --force`, first boot, Enter", "drizzle-rc", _FORCED, "first", answers=_ENTER),
    ToolAttack("`push --force`, a new table, rename", "drizzle-rc", _FORCED, schema="new-table", answers=_RENAME),
    ToolAttack("`push`, others empty", "drizzle-rc", _PUSH, full=False),
    ToolAttack("`push --force`", "drizzle-rc", _FORCED, loses=False),
    ToolAttack("`push --hints`", "drizzle-rc", (*_PUSH, "--hints", _hints())),
    ToolAttack("`schema:update --run`, first boot", "mikro-orm", _UPDATE, "first"),
    ToolAttack("`schema:update --run`", "mikro-orm", _UPDATE),
    ToolAttack("`db push`, others empty", "prisma", _DB_PUSH, full=False),
    ToolAttack("`db push --accept-data-loss`", "prisma", (*_DB_PUSH, "--accept-data-loss")),
    ToolAttack("`revision --autogenerate`, `upgrade head`, first boot", "alembic", _UPGRADE, "first"),
    ToolAttack("`revision --autogenerate`, `upgrade head`", "alembic", _UPGRADE),
]


@dataclass(frozen=True)
class SqlAttack:
    """`statement` with the names of a World in braces; `first`: what an owner did before.

    `possible`: who may do it, on purpose; `across`: only where owners share a database; `by`: who tries.
    """

    name: str
    statement: str
    first: Sequence[tuple[Who, str]] = ()
    possible: Collection[Who] = ()
    across: bool = False
    by: Collection[Who] = ("sso", "superuser")
    database: str = ""
    then: tuple[Who, str] | None = None  # what its owner does afterwards, and must be able to


_BOTH: Collection[Who] = ("sso", "api", "superuser")
_KIND: Sequence[tuple[Who, str]] = (
    ("sso", "create type {sso}.kind as enum ('a')"),  # the API may, as it refers to the SSO
    ("api", "alter table {api}.task add kind {sso}.kind"),
)
_STAMP: Sequence[tuple[Who, str]] = (
    ("sso", "create function {sso}.stamp() returns trigger language plpgsql as 'begin return new; end'"),
    ("api", "create trigger stamped before update on {api}.task for each row execute function {sso}.stamp()"),
)


_PARTED: Sequence[tuple[Who, str]] = (
    ("api", "create table {api}.parted (id int) partition by list (id)"),
    ("api", "create table {api}.part partition of {api}.parted for values in (1); insert into {api}.parted values (1)"),
)


def _attic() -> Sequence[tuple[Who, str]]:
    return [("superuser", "create schema attic; grant all on schema attic to public")]


SQL = [
    SqlAttack("`DROP TABLE`", "drop table {child}", by=_BOTH),
    SqlAttack("`DROP TABLE … CASCADE`", "drop table {parent} cascade", by=_BOTH),
    SqlAttack("`DROP SCHEMA … CASCADE`", "drop schema {schema} cascade", by=_BOTH),
    SqlAttack("`ALTER TABLE … DROP COLUMN … CASCADE`", "alter table {child} drop column id cascade", by=_BOTH),
    SqlAttack("`ALTER TABLE … ADD COLUMN`", "alter table {child} add more int", by=_BOTH),
    SqlAttack("`ALTER TABLE … ALTER COLUMN … TYPE`", "alter table {child} alter {text} type varchar(90)", by=_BOTH),
    SqlAttack("`ALTER TABLE … DROP CONSTRAINT`", "alter table {child} drop constraint {constraint}", by=_BOTH),
    SqlAttack("`ALTER TABLE … RENAME TO`", "alter table {child} rename to renamed", by=_BOTH),
    SqlAttack("`ALTER TABLE … RENAME COLUMN`", "alter table {child} rename id to renamed", by=_BOTH),
    SqlAttack("`ALTER TABLE … SET SCHEMA`", "alter table {child} set schema attic", _attic(), by=_BOTH),
    SqlAttack("`ALTER TABLE … OWNER TO`", "alter table {child} owner to {me}", by=_BOTH),
    SqlAttack("`ALTER TABLE … DISABLE TRIGGER`", "alter table {child} disable trigger bootorder", by=_BOTH),
    SqlAttack("`ALTER SCHEMA … RENAME TO`", "alter schema {schema} rename to renamed", by=_BOTH),
    SqlAttack("`DROP INDEX`", "drop index {index}", by=_BOTH),
    SqlAttack("`DROP INDEX CONCURRENTLY`", "drop index concurrently {index}", by=_BOTH),
    SqlAttack("`REINDEX TABLE`", "reindex table {child}", by=_BOTH),
    SqlAttack("`ALTER TABLE … DETACH PARTITION`", "alter table {api}.parted detach partition {api}.part", _PARTED),
    SqlAttack(
        "`ALTER TABLE … DETACH PARTITION CONCURRENTLY`",
        "alter table {api}.parted detach partition {api}.part concurrently",
        _PARTED,
    ),
    SqlAttack("`DROP SEQUENCE`", "drop sequence {api}.ticket"),
    SqlAttack("`ALTER SEQUENCE … RESTART`", "alter sequence {api}.ticket restart"),
    SqlAttack("`DROP TYPE … CASCADE`", "drop type {api}.status cascade"),
    SqlAttack("`ALTER TYPE … RENAME VALUE`", "alter type {api}.status rename value 'open' to 'shut'"),
    SqlAttack("`DROP VIEW`", "drop view {api}.watched", across=True),
    SqlAttack(
        "`CREATE OR REPLACE VIEW`",
        "create or replace view {api}.watched as select ''::text as id, ''::text as email",
        across=True,
    ),
    SqlAttack("`DROP TRIGGER`", "drop trigger touched on {api}.task"),
    SqlAttack("`DROP FUNCTION … CASCADE`", "drop function {api}.touch() cascade"),
    SqlAttack(
        "`CREATE OR REPLACE FUNCTION`",
        "create or replace function {api}.touch() returns trigger language plpgsql as 'begin return null; end'",
    ),
    SqlAttack("`DROP POLICY`", "drop policy everyone on {api}.worker"),
    SqlAttack("`TRUNCATE`", "truncate {child}", by=_BOTH),
    SqlAttack("`TRUNCATE … CASCADE`", "truncate {parent} cascade", by=_BOTH),
    SqlAttack("`DELETE`", "delete from {child}", by=_BOTH, possible=["superuser"]),
    SqlAttack("`UPDATE`", "update {child} set {text} = 'x' || {text}", by=_BOTH, possible=["superuser"]),
    SqlAttack("`DROP OWNED BY` the other", "drop owned by {them} cascade", by=_BOTH),
    SqlAttack("`REASSIGN OWNED BY` the other", "reassign owned by {them} to {me}", by=_BOTH, possible=["superuser"]),
    SqlAttack("`CREATE TABLE` with a name that the other has", "create table {child} (id int)", by=_BOTH),
    SqlAttack(
        "`DROP TABLE` with `session_replication_role = replica`",
        "set session_replication_role = replica; drop table {child}",
    ),
    SqlAttack(
        "`TRUNCATE` with `session_replication_role = replica`",
        "set session_replication_role = replica; truncate {child}",
    ),
    SqlAttack("`DROP SCHEMA bootorder CASCADE`", "drop schema bootorder cascade"),
    SqlAttack("`ALTER SCHEMA bootorder RENAME TO`", "alter schema bootorder rename to renamed"),
    SqlAttack("`DROP TABLE` and `DROP VIEW` of the guard", "drop view bootorder.uncovered; drop table bootorder.owner"),
    SqlAttack("`ALTER TABLE … RENAME TO` of the guard", "alter table bootorder.owner rename to profile"),
    SqlAttack("`DROP FUNCTION` of the guard", "drop function bootorder.others() cascade"),
    SqlAttack("`ALTER EVENT TRIGGER … DISABLE`", "alter event trigger bootorder_drop disable", possible=["superuser"]),
    SqlAttack("`DROP EVENT TRIGGER`", "drop event trigger bootorder_drop", possible=["superuser"]),
    SqlAttack(
        "`SET ROLE` of the other, then `DROP TABLE`", "set role {them}; drop table {child}", possible=["superuser"]
    ),
    SqlAttack(
        "`bootorder.allow()`, then `DROP TABLE`",
        "begin; select bootorder.allow(); drop table {child}; commit",
        possible=["superuser"],
    ),
    SqlAttack("`DROP DATABASE`", "drop database {database} with (force)", possible=["superuser"], database="postgres"),
    SqlAttack(
        "`DROP TABLE … CASCADE` of one's own, a foreign key and a view lean on it",
        "drop table {sso}.user cascade",
        across=True,
    ),
    SqlAttack("`DROP COLUMN … CASCADE` of one's own", "alter table {sso}.user drop column email cascade", across=True),
    SqlAttack(
        "`DROP CONSTRAINT … CASCADE` of one's own",
        "alter table {sso}.user drop constraint user_pkey cascade",
        across=True,
    ),
    SqlAttack("`DROP OWNED BY` oneself", "drop owned by sso cascade", across=True),
    SqlAttack(
        "`DROP TYPE … CASCADE` of one's own, a column has it", "drop type {sso}.kind cascade", _KIND, across=True
    ),
    SqlAttack(
        "`DROP FUNCTION … CASCADE` of one's own, a trigger calls it",
        "drop function {sso}.stamp() cascade",
        _STAMP,
        across=True,
    ),
    SqlAttack("`TRUNCATE … CASCADE` of one's own", "truncate {sso}.user cascade", across=True),
    SqlAttack(
        "`DELETE` of one's own, across a foreign key `ON DELETE CASCADE`",
        "delete from {sso}.user",
        across=True,
        possible=["sso", "superuser"],
    ),
    SqlAttack(
        "`CREATE TABLE` with a name before its owner makes it",
        "create table public.later (id int)",
        then=("api", "create table later (id int)"),
    ),
]


# -- running them -----------------------------------------------------------------------------------------------------


def run_tool(attack: ToolAttack, worlds: Worlds, toolbox: Toolbox, layout: Layout, who: Who) -> Outcome:
    """Point the SSO's tool at its own database as itself, or by accident at the API's as the superuser."""
    world = worlds.make(layout, attack.state, full=attack.full, who=who)
    before = world.fingerprint()
    target = world.target("sso" if who == "sso" else "api", who)
    variables = {
        "DATABASE_URL": f"postgresql://{target.user}:{target.password}@{target.address}/{target.name}",
        "ATTACK_SCHEMA": attack.schema,
    }
    code, text = toolbox.run(attack.tool, attack.argv, variables, attack.answers)
    lost = _lost(before, world.fingerprint(), _victims(layout, who))
    worlds.drop(world)
    return Outcome(_said(text, lost), lost, f"$ {' '.join(attack.argv)}\n{text}\nexit code {code}")


def _victims(layout: Layout, who: Who) -> Collection[Owner]:
    """A superuser may harm none of them."""
    if who == "superuser" and layout:
        return OWNERS
    return ["sso"] if who == "api" else ["api"]


def _lost(before: Fingerprint, after: Fingerprint, victims: Collection[Owner]) -> list[str]:
    """What of these is gone or not as it was. New things are no loss."""
    return [
        f"{what} of {owner}: {text} -> {after.get((owner, what), 'gone')}"
        for (owner, what), text in before.items()
        if owner in victims and after.get((owner, what)) != text
    ]


_ASKED = re.compile(r"require a TTY|missing_hints|All changes were aborted|--accept-data-loss flag")


def _said(text: str, lost: Sequence[str]) -> str:
    if lost:
        return LOST
    if "bootorder refused" in text:
        return BY_TRIGGER
    if re.search(r"permission denied|must be owner", text):
        return BY_ROLE
    if _ASKED.search(text):
        return ASKED
    error = re.search(r"(?im)^.*error:.*$", text)
    return f"fails: {error.group().strip()}" if error else HARMLESS


def run_statements(worlds: Worlds, layout: Layout, who: Who) -> dict[str, Outcome]:
    """Every statement that this one tries, each on a database where no other got through. By name."""
    outcomes: dict[str, Outcome] = {}
    world: World | None = None
    untouched: Fingerprint = {}
    for attack in SQL:
        if who not in attack.by:
            continue
        if not _makes_sense(attack, layout):
            outcomes[attack.name] = Outcome(NOT_THERE, [], "")
            continue
        if world is None:
            world = worlds.make(layout, "second", full=True, who=who)
            untouched = world.fingerprint()
        outcomes[attack.name], after = _run_statement(attack, world, untouched, who)
        if after != untouched or attack.first or outcomes[attack.name].word == HARMLESS:
            worlds.drop(world)
            world = None
    if world:
        worlds.drop(world)
    return outcomes


def _makes_sense(attack: SqlAttack, layout: Layout) -> bool:
    if layout:
        return not (attack.across and layout == "databases")
    return not re.search(r"bootorder|\{them\}|\{me\}|owned by", attack.statement)


def _run_statement(attack: SqlAttack, world: World, untouched: Fingerprint, who: Who) -> tuple[Outcome, Fingerprint]:
    """What came of it, and how everything is afterwards."""
    names = _names(world, who)
    statement = attack.statement.format(**names)
    for owner, preparation in attack.first:
        _send(world.target("api", owner if world.layout else "superuser"), preparation.format(**names))
    if attack.first:
        world = world.as_it_is()
    before = world.fingerprint() if attack.first else untouched
    target = world.target("sso" if who == "api" else "api", who)
    error: psycopg.Error | None = None
    try:
        _send(replace(target, name=attack.database or target.name), statement)
    except psycopg.Error as raised:
        error = raised
    after = world.fingerprint()
    lost = _lost(before, after, _victims(world.layout, who))
    return Outcome(_came(attack, world, who, error, lost), lost, f"{statement}\n{error}"), after


def _names(world: World, who: Who) -> Mapping[str, str]:
    places = world.places
    api, sso = places["api"].schema, places["sso"].schema
    shared = {"api": api, "sso": sso, "database": places["api"].database}
    if who == "api":
        return shared | {
            "me": "api",
            "them": "sso",
            "schema": sso,
            "parent": f'{sso}."user"',
            "child": f"{sso}.session",
            "text": "id",
            "index": f"{sso}.session_by_user",
            "constraint": "session_user_id_user_id_fk",
        }
    return shared | {
        "me": "sso" if who == "sso" else "current_user",
        "them": "api",
        "schema": api,
        "parent": f"{api}.worker",
        "child": f"{api}.task",
        "text": "title",
        "index": f"{api}.task_title",
        "constraint": "of_worker",
    }


def _send(target: Target, statement: str) -> None:
    """As often as another world's end comes in between: `DROP OWNED` looks at the roles' rights in every database."""
    while True:
        try:
            with by_hand(target) as connection:
                connection.execute(statement.encode())
        except psycopg.errors.InternalError_ as error:
            if not re.search(r"tuple concurrently (deleted|updated)|could not find tuple", str(error)):
                raise
        else:
            return


def _came(attack: SqlAttack, world: World, who: Who, error: psycopg.Error | None, lost: Sequence[str]) -> str:
    if lost:
        return ALLOWED if world.layout and who in attack.possible else LOST
    if error is None:
        return _then(attack, world)
    if isinstance(error, psycopg.OperationalError) and "permission denied for database" in str(error):
        return BY_CONNECTION
    if isinstance(error, psycopg.errors.DuplicateTable):
        return NOT_FREE
    if error.sqlstate == "42501":
        return BY_TRIGGER if "bootorder refused" in str(error) else BY_ROLE
    return f"fails: {str(error).splitlines()[0]}"


def _then(attack: SqlAttack, world: World) -> str:
    if attack.then:
        owner, statement = attack.then
        try:
            _send(world.target("api", owner if world.layout else "superuser"), statement)
        except psycopg.errors.DuplicateTable:
            return TAKEN
    return HARMLESS
