"""Connecting as a person does: the role's own search path holds, and names without a schema are those of `public`."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from scripts.bootorder.database import Target


def by_hand(target: Target, *, autocommit: bool = True) -> psycopg.Connection[tuple[object, ...]]:
    """The tasks' own connections find PostgreSQL's names only."""
    return psycopg.connect(
        host=target.host,
        port=target.port,
        dbname=target.name,
        user=target.user,
        password=target.password,
        options="-c client_min_messages=warning",
        autocommit=autocommit,
    )


def rows_by_hand(
    connection: psycopg.Connection[tuple[object, ...]], tables: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """How many rows each has, as whoever is connected."""
    query = sql.SQL("select count(*) from {}")
    return {table: connection.execute(query.format(sql.Identifier(*table))).fetchall()[0][0] for table in tables}  # type: ignore[misc]
