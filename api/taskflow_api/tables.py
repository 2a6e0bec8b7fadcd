"""Make the tables, and say which are missing. `python -m taskflow_api.tables` makes them and exits."""

import asyncio
import os
import sys

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import SQLModel

from . import models as _models  # noqa: F401 -- registers every table; models/__init__.py says why
from .database import connect, reason
from .errors import SettingsError, StartError
from .settings import read_database_url

# Any number will do, as long as every process that makes these tables takes the same.
_LOCK = 0x7461736B  # "task"


def table_names() -> list[str]:
    """Name every table this app owns."""
    return sorted(SQLModel.metadata.tables)


async def missing_tables(connection: AsyncConnection) -> list[str]:
    """Name the tables that are not there, looking where queries would look: along the search_path."""
    query = text(
        "SELECT name FROM unnest(CAST(:names AS text[])) AS name"
        # to_regclass parses its argument as SQL does, so the name has to be quoted as in SQL
        " WHERE to_regclass(quote_ident(name)) IS NULL ORDER BY name"
    )
    return list(await connection.scalars(query, {"names": table_names()}))


async def create_tables(engine: AsyncEngine) -> list[str]:
    """Make the tables that are missing and name them; StartError when that cannot be done."""
    try:
        async with engine.begin() as connection:
            # create_all looks, then creates. Two processes that look at the same moment both create, and the second one
            # fails. So one at a time; the lock is freed by the end of the transaction, however that comes.
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            missing = await missing_tables(connection)
            await connection.run_sync(SQLModel.metadata.create_all)
    except (SQLAlchemyError, OSError) as error:
        raise StartError(f"cannot make the tables: {reason(error)}") from error
    return missing


async def _run(engine: AsyncEngine) -> None:
    try:
        made = await create_tables(engine)
    finally:
        await engine.dispose()
    for name in table_names():
        print("made         " if name in made else "already there", name)


def main() -> int:
    """Make the tables of DATABASE_URL, the only variable it needs, and print each table's name."""
    try:
        engine = connect(read_database_url(os.environ))
        # psycopg cannot use the event loop that Windows has by default
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(_run(engine))
    except SettingsError as error:
        print(f"taskflow_api.tables: {error}", file=sys.stderr)
        return 2
    except StartError as error:
        print(f"taskflow_api.tables: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
