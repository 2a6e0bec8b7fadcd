"""Watching the database while an owner's tool is at work: is the migration lock held, and what does the tool wait for?

A tool that waits for a lock of another session says nothing and does nothing, for as long as that session likes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import psycopg

from .database import Blocked, BlockedError, blocked_sessions
from .errors import BootError, LockedError, NotReadyError
from .migration_lock import MigrationLock

LOOK_SECONDS = 1.0


@contextlib.contextmanager
def watched(lock: MigrationLock, role: str, limit: float, end_tools: Callable[[], None]) -> Iterator[None]:
    """Look again and again, while a tool works as `role` in the block.

    Raises LockedError where the lock was lost: the tools are ended by `end_tools` as soon as that is seen. Raises
    BlockedError where a session of the tool waited for longer than `limit` seconds for a lock that somebody else
    holds: its statement is canceled, and the tool left to say so and end.
    """
    with lock.at_work(role):
        ended, failures = threading.Event(), list[BootError]()
        looks = threading.Thread(target=_look_until, args=(ended, failures, lock, role, limit, end_tools), daemon=True)
        looks.start()
        try:
            yield
        except Exception:
            _join(looks, ended)
            if failures:  # what the tool says is how it ended, and this is why
                raise failures[0] from None
            raise
        finally:
            _join(looks, ended)
        if failures:
            raise failures[0]
        lock.require()


def _join(looks: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    looks.join()


def _look_until(
    ended: threading.Event,
    failures: list[BootError],
    lock: MigrationLock,
    role: str,
    limit: float,
    end_tools: Callable[[], None],
) -> None:
    while not ended.wait(min(LOOK_SECONDS, limit)):
        try:
            lock.require()
            blocked = blocked_sessions(lock.session, role, lock.roles_at_work, limit)
            for one in blocked:
                lock.session.execute("select pg_cancel_backend(%s)", [one.pid])
        except LockedError as error:
            failures.append(error)
            end_tools()
            return
        except (psycopg.Error, NotReadyError):
            continue  # the lock is what matters, and is asked for again
        failures += [_waited(role, limit, blocked)] if blocked and not failures else []


def _waited(role: str, limit: float, blocked: Sequence[Blocked]) -> BlockedError:
    one = blocked[0]
    return BlockedError(
        f"a tool of {role} waited for a lock that another session holds",
        expected=f"the lock within {limit:g} s (`database.blocked_wait`)",
        seen=f"{one.blocker}; the statement that waited was canceled: {' '.join(one.query.split())}",
        hint=one.blocker.hint,
    )
