"""The connection pool, an insert that two requests may race for, and the words for a database that does not answer."""

from typing import TypeVar

import psycopg
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

Row = TypeVar("Row", bound=SQLModel)


def connect(url: URL) -> AsyncEngine:
    """Make the pool; nothing is opened before the first query."""
    return create_async_engine(
        url,
        # A restarted database leaves dead connections in the pool; asking first saves the request that would get one.
        pool_pre_ping=True,
        pool_timeout=5,  # seconds
        # Errors name the statement and its values, and end up in the log: what people typed does not belong there.
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "fallback_application_name": "taskflow-api"},
    )


def reason(error: Exception) -> str:
    """Say in one line what the database said, without the statement, the place in it and the link to a manual."""
    cause = (isinstance(error, DBAPIError) and error.orig) or error
    message = isinstance(cause, psycopg.Error) and cause.diag.message_primary  # None when no server was reached
    return " ".join((message or str(cause) or repr(cause)).split())


async def find_or_insert(session: AsyncSession, model: type[Row], key: str, **values: str) -> tuple[Row, bool]:
    """Return the row whose unique column `key` has the given value, and whether it had to be inserted."""
    find = select(model).where(getattr(model, key) == values[key])
    row = (await session.exec(find)).one_or_none()
    if row is not None:
        return row, False
    # Another request may be inserting it just now: this waits for its commit, then finds its row instead of failing.
    statement = insert(model).values(**values).on_conflict_do_nothing().returning(model)
    inserted = (await session.scalars(statement)).one_or_none()
    if inserted is not None:
        return inserted, True
    return (await session.exec(find)).one(), False
