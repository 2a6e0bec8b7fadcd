"""A copy of a database by its schema: what each owner has is read and made over connections as that owner.

For a database that somebody is connected to, which PostgreSQL does not take as a template. What an owner made is code
(defaults, index expressions, domains, generated columns): only sessions of that owner reach it here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import psycopg
from psycopg import sql

from . import catalog
from .database import LONG_SECONDS, Session, Target
from .errors import BootError, NotReadyError, command
from .rows import Logins, Table
from .scratch import let_in

_OBJECTS = Path(__file__).with_name("schema_copy.sql").read_text(encoding="utf-8")
# What must be there before what. A view is its rule, and what a column is computed from is a part of its table.
_NEEDS = """
    with part (class, id, of_class, of_id) as (
        select 'pg_rewrite'::regclass, oid, 'pg_class'::regclass, ev_class from pg_rewrite where rulename = '_RETURN'
        union all
        select 'pg_attrdef'::regclass, d.oid, 'pg_class'::regclass, d.adrelid
        from pg_attrdef d join pg_attribute a on (a.attrelid, a.attnum) = (d.adrelid, d.adnum)
        where a.attgenerated <> ''
        union all
        select 'pg_class'::regclass, objid, 'pg_class'::regclass, refobjid from pg_depend
        where (classid, refclassid, deptype) = ('pg_class'::regclass, 'pg_class'::regclass, 'i') and refobjsubid > 0
        union all
        select 'pg_class'::regclass, oid, 'pg_type'::regclass, reltype from pg_class where relkind = 'c'
    )
    select distinct coalesce(thing.of_class, d.classid)::bigint, coalesce(thing.of_id, d.objid)::bigint,
           coalesce(needed.of_class, d.refclassid)::bigint, coalesce(needed.of_id, d.refobjid)::bigint
    from pg_depend d
    left join part thing on (thing.class, thing.id) = (d.classid, d.objid)
    left join part needed on (needed.class, needed.id) = (d.refclassid, d.refobjid)
    where d.objid >= 16384 and d.refobjid >= 16384 and d.classid <> 'pg_extension'::regclass
"""
_ROWS = """
    select n.nspname::text, c.relname::text,
           array(select a.attname::text from pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                 order by a.attnum),
           c.relrowsecurity and c.relforcerowsecurity
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relowner = quote_ident(current_user)::regrole and c.relkind = 'r' and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and pg_relation_size(c.oid) > 0
      and not exists (select from pg_depend d
                      where (d.classid, d.objid, d.deptype) = ('pg_class'::regclass, c.oid, 'e'))
    order by 1, 2
"""
_SEQUENCES = """
    select n.nspname::text, c.relname::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relowner = quote_ident(current_user)::regrole and c.relkind = 'S' and c.relpersistence <> 't'
      and not exists (select from pg_depend d
                      where (d.classid, d.objid, d.deptype) = ('pg_class'::regclass, c.oid, 'e'))
    order by 1, 2
"""
# So that values are written in one way on both sides, whatever a role is set to (as pg_dump has it). While the copy is
# made of a snapshot, the session that holds it is idle.
_PLAIN = """
    set datestyle to 'ISO'; set intervalstyle to 'postgres'; set extra_float_digits to 3; set lc_monetary to 'C';
    set xmloption to 'content'; set row_security to off; set check_function_bodies to off; set default_tablespace to '';
    set synchronous_commit to off; set idle_in_transaction_session_timeout to 0
"""
_CREATE, _CONSTRAIN, _FOREIGN_KEYS = 0, 1, 4  # phases: before the rows, after them, when every owner's tables are there

Thing = tuple[int, int]  # its class and its id, as pg_depend has them


class NotCopiedError(NotReadyError):
    """Something of an owner that is not in the copy, or is another thing there."""

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__(
            "the database cannot be copied while somebody is connected to it",
            expected="a copy that has all that the owners have",
            seen=f"{what[0]}; nothing was touched",
            details=catalog.shortened(what[1:]),
            hint=f"stop the apps first, then it is cloned: {command('stop db-up wait-db')}",
            first=("stop", "db-up", "wait-db"),
        )


@dataclass(frozen=True)
class _Statement:
    what: str
    text: str
    phase: int


def copy_schema(source: Target, copy: Target, roles: Sequence[str], logins: Logins) -> None:
    """Make all that these roles own in `copy`, which has their schemas and rights, and nothing of theirs yet.

    `roles`: those that others need first. Raises NotCopiedError where the copy is not what `source` is: what belongs to
    no owner is not copied, and what an owner makes of that fails.
    """
    last: dict[str, Sequence[_Statement]] = {}
    for role in roles:
        with let_in(copy, role), _as_owner(copy, role, logins) as there:
            with _as_owner(source, role, logins) as here:
                here.execute("begin isolation level repeatable read, read only")
                statements = _statements(here, role)
                _make(there, role, [one for one in statements if one.phase == _CREATE])
                counts = _copy_rows(here, there, role)
                _set_sequences(here, there)
            _make(there, role, [one for one in statements if _CREATE < one.phase < _FOREIGN_KEYS])
            _compare_rows(there, role, counts)
            last[role] = [one for one in statements if one.phase >= _FOREIGN_KEYS]
    for role, statements in last.items():
        if statements:
            with let_in(copy, role), _as_owner(copy, role, logins) as there:
                _make(there, role, statements)
    _compare(source, copy, roles)


@contextlib.contextmanager
def _as_owner(target: Target, role: str, logins: Logins) -> Iterator[Session]:
    with target.as_role(role, logins[role]).open(limit=LONG_SECONDS) as session:
        session.execute(_PLAIN)
        yield session


def _statements(here: Session, role: str) -> Sequence[_Statement]:
    """In an order in which each finds what it needs, by their phases."""
    things: dict[Thing, list[_Statement]] = {}
    lacking = []
    for class_id, object_id, phase, what, text in here.execute(_OBJECTS.encode()):
        if text is None:
            lacking.append(f"{what} of {role} cannot be copied")
        else:
            things.setdefault((class_id, object_id), []).append(_Statement(what, text, phase))
    if lacking:
        raise NotCopiedError(lacking)
    needs = _needs(here, things)
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = [one.what for thing in error.args[1] for one in things.get(thing, [])[:1]]
        raise NotCopiedError([f"{' and '.join(dict.fromkeys(circle))} of {role} need each other"]) from None
    # What needs something of a later phase, as a view that groups by a key, is made in that phase.
    lifted: dict[Thing, int] = {}
    found = []
    for thing in order:
        own = things.get(thing, [])
        first = max([min([one.phase for one in own], default=_CREATE), *(lifted[other] for other in needs[thing])])
        lifted[thing] = first
        found += [_Statement(one.what, one.text, max(one.phase, first)) for one in own]
    return sorted(found, key=lambda one: one.phase)


def _needs(here: Session, things: Iterable[Thing]) -> Mapping[Thing, Collection[Thing]]:
    """Return what each of these needs, and what that needs, and so on."""
    known: dict[Thing, set[Thing]] = {}
    for class_id, object_id, other_class, other_id in here.execute(_NEEDS):
        thing, other = (class_id, object_id), (other_class, other_id)
        known.setdefault(thing, set()).update({other} - {thing})
    found: dict[Thing, Collection[Thing]] = {}
    to_do = list(things)
    while to_do:
        thing = to_do.pop()
        if thing not in found:
            found[thing] = known.get(thing, ())
            to_do += found[thing]
    return found


def _make(there: Session, role: str, statements: Sequence[_Statement]) -> None:
    for one in statements:
        try:
            there.execute(one.text.encode())
        except (psycopg.Error, BootError) as error:
            raise NotCopiedError([f"{one.what} of {role}: {_said(error)}"]) from None


def _copy_rows(here: Session, there: Session, role: str) -> Mapping[Table, int]:
    """Each table's own rows, partitions as tables of their own. Returns how many there are."""
    counts: dict[Table, int] = {}
    for schema, name, columns, is_hidden in here.execute(_ROWS).fetchall():
        if is_hidden:
            seen = f"the rows of {schema}.{name} are hidden from {role} (row level security is forced)"
            raise NotCopiedError([seen])
        names = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))) if columns else sql.SQL("")
        about = {"table": sql.Identifier(schema, name), "columns": names}
        read = sql.SQL("copy {table} {columns} to stdout").format(**about)
        write = sql.SQL("copy {table} {columns} from stdin").format(**about)
        try:
            reading, writing = here.cursor(), there.cursor()
            with reading.copy(read) as out, writing.copy(write) as into:
                for part in out:
                    into.write(part)
        except (psycopg.Error, BootError) as error:
            raise NotCopiedError([f"rows of {schema}.{name} of {role}: {_said(error)}"]) from None
        counts[schema, name] = writing.rowcount
        if reading.rowcount != writing.rowcount:
            seen = f"rows of {schema}.{name} of {role}: {reading.rowcount} were read, {writing.rowcount} written"
            raise NotCopiedError([seen])
    return counts


def _set_sequences(here: Session, there: Session) -> None:
    for names in here.execute(_SEQUENCES).fetchall():
        sequence = sql.Identifier(*names)
        read = sql.SQL("select last_value, is_called from {}").format(sequence)
        [(value, is_called)] = here.execute(read).fetchall()
        there.execute("select setval(%s::regclass, %s, %s)", [sequence.as_string(there), value, is_called])


def _compare_rows(there: Session, role: str, counts: Mapping[Table, int]) -> None:
    """Raises NotCopiedError where a table has other rows than were copied into it."""
    for table, count in counts.items():
        query = sql.SQL("select count(*) from only {}").format(sql.Identifier(*table))
        [(found,)] = there.execute(query).fetchall()
        if found != count:
            raise NotCopiedError([f"rows of {'.'.join(table)} of {role}: {count} were copied, {found} are there"])


def _compare(source: Target, copy: Target, roles: Sequence[str]) -> None:
    """Raises NotCopiedError where the copy has less, more or another thing of an owner."""
    with source.connect() as here, copy.connect() as there:
        was, made = catalog.read(here), catalog.read(there)
    gaps = [line for role in roles for line in catalog.differences(was.of(role), made.of(role))]
    if gaps:
        raise NotCopiedError(gaps)


def _said(error: Exception) -> str:
    if isinstance(error, BootError):
        return f"{error.message}: {error.seen}"
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or " ".join(str(error).split())
