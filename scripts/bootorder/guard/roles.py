"""Roles and grants: one role for each owner, with no more rights than its own tables need."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import stringprep
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from ..database import MOST_ITERATIONS, Connection
from ..errors import GuardError, SettingsError
from ..own_schema import refuse_foreign_objects
from ..places import Place

_DRIFT = Path(__file__).with_name("drift.sql").read_text(encoding="utf-8")
_SERVER = Path(__file__).with_name("server.sql").read_text(encoding="utf-8")
_MARK = "bootorder"  # in the comment of a role that was made here
_ROLES = """
    select a.rolname::text,
           a.rolcanlogin and a.rolconnlimit <> 0 and coalesce(a.rolvaliduntil > now(), true),
           a.rolsuper or a.rolcreatedb or a.rolcreaterole or a.rolreplication or a.rolbypassrls,
           coalesce(a.rolpassword, ''),
           -- by whom: PostgreSQL revokes what one role granted, and says nothing where another one did
           array(select array[g.rolname::text, by.rolname::text]
                 from pg_auth_members m
                 join pg_roles g on g.oid = m.roleid
                 join pg_roles by on by.oid = m.grantor
                 where m.member = a.oid order by 1),
           coalesce(shobj_description(a.oid, 'pg_authid'), '') like %s
    from pg_authid a where a.rolname = any (%s)
"""

# The roles that were made here, have rights in these databases, and are no owner's; and whether they own something.
_FORMER = """
    select r.rolname::text,
           exists (select from pg_shdepend o
                   where (o.refclassid, o.refobjid, o.deptype) = ('pg_authid'::regclass, r.oid, 'o'))
    from pg_roles r
    where r.rolname <> all (%(owners)s) and shobj_description(r.oid, 'pg_authid') like %(mark)s
      and exists (select from pg_shdepend s
                  join pg_database d on d.datname = any (%(databases)s)
                                    and (s.dbid = d.oid or (s.classid, s.objid) = ('pg_database'::regclass, d.oid))
                  where (s.refclassid, s.refobjid) = ('pg_authid'::regclass, r.oid))
    order by 1
"""


@dataclass(frozen=True)
class Repair:
    """A statement, and what will be when it has run, for people."""

    what: str
    statement: sql.SQL | sql.Composed


def require_superuser(connection: Connection) -> None:
    """Raises SettingsError: only a superuser makes event triggers, and reads how passwords are kept."""
    row = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    if row != (True,):
        raise SettingsError(
            f"{connection.info.user} is not a superuser",
            expected="`database.user` in invoke.yaml: a superuser that no app and no tool connects as",
            hint="set `database.user` to the superuser that the server was made with",
        )


def apply(connection: Connection, repairs: Sequence[Repair]) -> list[str]:
    """Run them, all or none. Returns what is so now, for people."""
    if repairs:
        with connection.transaction():
            refuse_foreign_objects(connection)
            if connection.execute("select to_regproc('bootorder.allow')").fetchone() != (None,):
                connection.execute("select bootorder.allow()")
            for repair in repairs:
                connection.execute(repair.statement)
            refuse_foreign_objects(connection)  # also what was made meanwhile
    return [repair.what for repair in repairs if repair.what]


def role_repairs(connection: Connection, places: Iterable[Place], passwords: Mapping[str, str]) -> list[Repair]:
    """What makes the owners' roles be, and be no more than they should. `passwords`: by owner.

    Raises GuardError for a role of that name that somebody else made, and that would have to be changed.
    """
    places = list(places)
    rows = connection.execute(_ROLES, [f"{_MARK}%", [place.role for place in places]]).fetchall()
    there = {row[0]: row[1:] for row in rows}
    repairs = []
    for place in places:
        role, password = sql.Identifier(place.role), passwords[place.owner]
        if place.role not in there:
            verifier = sql.Literal(_verifier(connection, place.role, password))
            statement = sql.SQL("create role {} login password {}").format(role, verifier)
            repairs.append(Repair(f"role {place.role} made", statement))
            comment = sql.Literal(f"{_MARK}: the owner {place.owner}")
            repairs.append(Repair("", sql.SQL("comment on role {} is {}").format(role, comment)))
            continue
        may_login, mighty, verifier_there, groups, ours = there[place.role]
        found = []
        if not may_login or mighty:
            plain = (
                "alter role {} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
                " connection limit -1 valid until 'infinity'"
            )
            found.append(Repair(f"{place.role} may do what an owner may, and no more", sql.SQL(plain).format(role)))
        if not opens(password, verifier_there):
            verifier = sql.Literal(_verifier(connection, place.role, password))
            statement = sql.SQL("alter role {} password {}").format(role, verifier)
            found.append(Repair(f"{place.role} has the password of .env", statement))
        for group, by in groups:
            statement = sql.SQL("revoke {} from {} granted by {} cascade").format(
                sql.Identifier(group), role, sql.Identifier(by)
            )
            found.append(Repair(f"{place.role} is no member of {group}", statement))
        if found and not ours:
            raise GuardError(
                f"there is a role {place.role} that was not made here",
                expected=f"a role that may log in with {place.password_home}, is no superuser and in no group",
                seen="; ".join(f"it would have to change: {repair.what}" for repair in found),
                hint=f"put its password into {place.password_home}, or set `owners.{place.owner}.role`",
            )
        repairs += found
    return repairs + _repairs(connection, _SERVER, _names(places))


def former_owners(connection: Connection, places: Iterable[Place]) -> Sequence[tuple[str, bool]]:
    """The roles of owners that have another one now, or are no more; and whether they still own something."""
    rows = connection.execute(_FORMER, {**_names(places), "mark": f"{_MARK}: the owner %"})
    return [(role, has_things) for role, has_things in rows]


def _names(places: Iterable[Place]) -> dict[str, object]:
    pairs = [(place.role, place.database) for place in places]
    return {"owners": [role for role, _ in pairs], "databases": [database for _, database in pairs]}


def grant_repairs(connection: Connection, here: Sequence[Place], everyone: Iterable[Place]) -> list[Repair]:
    """What makes schemas and grants of the connected database right. `here`: the owners that live in it."""
    wishes = {
        (place.role, other.role, other.schema, privilege)
        for place in here
        for privilege, others in (("select", place.reads), ("references", place.references))
        for other in others
    }
    names = {
        "places": json.dumps([{"role": place.role, "schema": place.schema} for place in here]),
        "owners": [place.role for place in everyone],
        "grants": json.dumps([dict(zip(_WISH, wish, strict=True)) for wish in sorted(wishes)]),
    }
    return _repairs(connection, _DRIFT, names)


def _repairs(connection: Connection, query: str, names: Mapping[str, object]) -> list[Repair]:
    return [Repair(what, sql.SQL(statement)) for what, statement in connection.execute(query.encode(), names)]


_WISH = ("reader", "owner", "schema", "privilege")


def _verifier(connection: Connection, role: str, password: str) -> str:
    """What the server keeps of a password, made here: the password itself would stand in the server's log."""
    return connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()


def opens(password: str, verifier: str) -> bool:
    """Whether the server keeps this of the password: `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER` (RFC 5803)."""
    name, _, rest = verifier.partition("$")
    start, _, keys = rest.partition("$")
    iterations, _, salt = start.partition(":")
    if name != "SCRAM-SHA-256" or not iterations.isdecimal() or int(iterations) > MOST_ITERATIONS:
        return False  # kept in an older way, in one that takes too long, or not at all
    # Prepared as SASLprep does; or as it is, where it has letters that SASLprep forbids.
    for prepared in dict.fromkeys([_prepared(password), password]):
        salted = hashlib.pbkdf2_hmac("sha256", prepared.encode(), base64.b64decode(salt), int(iterations))
        client = hmac.digest(salted, b"Client Key", "sha256")
        stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
        if hmac.compare_digest(stored, keys.partition(":")[0]):
            return True
    return False


def _prepared(password: str) -> str:
    """Odd spaces become plain ones, what nobody sees is left away, and each letter is written in one way (RFC 4013)."""
    seen = (" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    return unicodedata.normalize("NFKC", "".join(seen))
