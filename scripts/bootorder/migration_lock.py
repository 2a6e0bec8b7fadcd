"""One migration at a time per database, whoever starts it and from where; and holding to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg

from .database import ANSWER_SECONDS, BlockedError, Session, Target, refuse_pooler
from .errors import LockedError, NotReadyError, command

# For a look at the lock: 1 ms, also in a server that has much to do.
_LOOK_SECONDS = 20.0
# PostgreSQL 17; an older server refuses a connection that asks for what it does not know.
_WITH_TRANSACTION_TIMEOUT = 170000

_TRY_LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"
_IS_HELD = """
    select exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.pid = pg_backend_pid()
          and l.database = (select oid from pg_database where datname = current_database())
          and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
    )
"""
_HOLDER = """
    select a.application_name, a.backend_start::timestamp(0), a.pid
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
"""


@dataclass(frozen=True)
class MigrationLock:
    """The lock, held. `waited_for`: who had it before; empty where nobody did."""

    session: Session
    key: str
    waited_for: str = ""
    roles_at_work: dict[str, object] = field(default_factory=dict)  # since when, in the server's time

    @contextlib.contextmanager
    def at_work(self, role: str) -> Iterator[None]:
        """Note that a tool works as this role, within the block. Raises LockedError where the lock is not held."""
        self.require()
        [(since,)] = self.session.execute("select clock_timestamp()").fetchall()
        before = self.roles_at_work.setdefault(role, since)
        try:
            yield
        finally:
            if before is since:
                del self.roles_at_work[role]

    def require(self) -> None:
        """Raises LockedError where it is not held any more: then another start may be at work by now.

        Its session can be ended by others: an administrator, a failover, a timeout.
        """
        try:
            held = self.session.execute(_IS_HELD, [self.key]).fetchone() == (True,)
            seen = "the session is there, and does not have the lock"
        except (psycopg.OperationalError, NotReadyError) as error:
            held, seen = False, " ".join(str(error).split())
        if not held:
            raise LockedError(
                "the migration lock was lost: its session in the database was ended",
                expected="the lock from the first change to the last, so that nobody else changes tables meanwhile",
                seen=f"{seen}; nothing more was changed",
                hint="run this again, when no other start is at work",
            )


@contextlib.contextmanager
def migration_lock(target: Target, wait: float, say: Callable[[str], None]) -> Iterator[MigrationLock]:
    """Hold the lock of this database. Raises LockedError where another has it for longer than `wait` seconds.

    A session lock: the server frees it when its holder dies, which a row in a table would not. It is held in the
    database `postgres`, as a database that somebody is connected to cannot be cloned.
    """
    key = f"bootorder {target.name}"
    with target.administrator.open(limit=wait + ANSWER_SECONDS) as session:
        refuse_pooler(session)
        if session.info.server_version >= _WITH_TRANSACTION_TIMEOUT:
            session.execute("set transaction_timeout to 0")  # to wait for the lock is one long transaction
        waited_for = ""
        if session.execute(_TRY_LOCK, [key]).fetchone() != (True,):
            waited_for = _holder(session, key)
            say(f"waiting for {waited_for}")
            _wait_for_lock(session, key, wait)
        session.set_limit(_LOOK_SECONDS)
        try:
            yield MigrationLock(session, key, waited_for)
        finally:
            # At once: the server may notice later that the connection is closed. A broken one has freed it already.
            with contextlib.suppress(psycopg.Error, NotReadyError):
                session.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", [key])


def _wait_for_lock(session: Session, key: str, wait: float) -> None:
    session.execute("select set_config('lock_timeout', %s, false)", [f"{round(wait * 1000)}ms"])
    try:
        session.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [key])
    except BlockedError:
        raise LockedError(
            "another migration is under way in this database",
            expected=f"its end within {wait:g} s (`database.lock_wait`)",
            seen=_holder(session, key),
            hint=f"wait until it has ended, then run this again; where nobody is at work any more: {command('stop')}",
        ) from None


def _holder(session: Session, key: str) -> str:
    row = session.execute(_HOLDER, [key]).fetchone()
    return (
        f"{row[0] or 'a connection'} (server process {row[2]}, since {row[1]} server time)"
        if row
        else "nobody any more"
    )
