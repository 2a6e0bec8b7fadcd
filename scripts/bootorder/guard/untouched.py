"""Whether a tool that was sent to a scratch database changed something else of the server.

A tool that ignores the URL it is given works on the stack's own tables, and says that all is well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import catalog
from ..catalog import Catalog
from ..database import Target, me
from ..errors import GuardError
from ..rows import Table, Writes, wait_for_sessions, writes
from ..scratch import PREFIX
from ..terminal import counted

# What catalog.sql leaves out, as no tool is asked for it.
_MORE = """
    select concat_ws(' ', 'rights on', c.oid::regclass), pg_get_userbyid(c.relowner)::text, c.relacl::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relacl is not null and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
    union all
    select 'rights on the schema ' || nspname, pg_get_userbyid(nspowner), nspacl::text from pg_namespace
    where nspname !~ '^pg_'
    union all
    select 'rights on ' || p.oid::regprocedure, pg_get_userbyid(p.proowner), p.proacl::text
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where p.proacl is not null and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'bootorder')
    union all
    select 'the extension ' || extname, pg_get_userbyid(extowner), extversion from pg_extension
    union all
    select 'the event trigger ' || evtname, pg_get_userbyid(evtowner), evtenabled::text from pg_event_trigger
    union all
    select format('rights on new things of %s in %s', d.defaclrole::regrole, d.defaclnamespace::regnamespace),
           d.defaclrole::regrole::text, d.defaclacl::text
    from pg_default_acl d
"""
_BUSY = """
    select distinct usename::text from pg_stat_activity
    where datname = any (%s) and usename is not null and application_name <> %s
"""
_SERVER = """
    select 'role ' || rolname, concat_ws(' ', rolsuper, rolcanlogin, rolcreaterole, rolcreatedb, rolbypassrls,
                                         rolreplication, rolconnlimit, md5(rolpassword))
    from pg_authid where rolname !~ '^pg_'
    union all
    select format('member %%s of %%s', m.member::regrole, m.roleid::regrole), m.admin_option::text
    from pg_auth_members m
    union all
    select 'database ' || datname, datdba::regrole::text from pg_database where not starts_with(datname, %s)
    union all
    select format('settings of %%s in %%s', nullif(setrole, 0)::regrole, d.datname), setconfig::text
    from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase
    where d.datname is null or not starts_with(d.datname, %s)
"""


@dataclass(frozen=True)
class _Database:
    catalog: Catalog
    writes: Mapping[Table, Writes]
    more: Mapping[str, tuple[str, str | None]]  # by what it is: its owner, and how it is


@dataclass(frozen=True)
class _World:
    """All that a tool could change that is not its scratch database."""

    databases: Mapping[str, _Database]
    server: Mapping[str, str]
    busy: frozenset[str]


@contextmanager
def untouched(targets: Sequence[Target], role: str, others: Collection[str], who: str, hint: str) -> Iterator[None]:
    """Raises GuardError where anything but a scratch database has changed when the block is left without an error.

    `targets`: the databases of the stack; `role`: of the owner whose tool is at work in the block, `who`. What the apps
    of the `others` do at the same time is passed over.
    """
    names = [target.name for target in targets]
    with targets[0].connect() as connection:
        [(begun,)] = connection.execute("select clock_timestamp()").fetchall()
    before = _look(targets)
    yield
    with targets[0].connect() as connection:
        wait_for_sessions(connection, names, begun)
    found = _changes(before, _look(targets), set(others) - {role})
    if found:
        raise GuardError(
            f"{who} did not stay in the scratch database that it was sent to: the stack's own was changed",
            expected="changes in an empty scratch database only",
            seen=counted(len(found), "change"),
            details=catalog.shortened(found),
            hint=hint,
            goes_on=False,
        )


def _look(targets: Sequence[Target]) -> _World:
    databases = {}
    for target in targets:
        with target.connect() as connection:
            more = {what: (role, text) for what, role, text in connection.execute(_MORE)}
            databases[target.name] = _Database(catalog.read(connection), writes(connection), more)
    with targets[0].connect() as connection:
        server = dict(connection.execute(_SERVER, [PREFIX, PREFIX]).fetchall())
        busy = connection.execute(_BUSY, [[*databases], me()])
        return _World(databases, server, frozenset(str(name) for (name,) in busy))


def _changes(before: _World, after: _World, others: Collection[str]) -> list[str]:
    # A superuser's things are not passed over: as that a tool may connect that ignores its URL.
    busy = (before.busy | after.busy) & set(others)
    lines = []
    for name, was in before.databases.items():
        now = after.databases[name]
        passed_by = _relations(was.catalog, busy) | _relations(now.catalog, busy)
        lines += catalog.differences(was.catalog.without(passed_by), now.catalog.without(passed_by))
        lines += [
            f"rows of {'.'.join(table)} were changed"
            for table, written in sorted(now.writes.items())
            if table in was.writes and was.writes[table] != written and written.role not in before.busy | after.busy
        ]
        lines += _differences(
            {what: text for what, (its_role, text) in was.more.items() if its_role not in busy},
            {what: text for what, (its_role, text) in now.more.items() if its_role not in busy},
        )
    return [*lines, *_differences(before.server, after.server)]


def _differences(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Iterator[str]:
    for what in sorted({*before, *after}):
        if what not in before or what not in after or before[what] != after[what]:
            verb = "added" if what not in before else "removed" if what not in after else "changed"
            yield f"{what} was {verb}"


def _relations(seen: Catalog, roles: Collection[str]) -> set[tuple[str, str]]:
    return {relation for role in roles for relation in seen.of(role).relations()}
