"""Connecting as a person does: the role's own search path holds, and names without a schema are those of `public`."""

from __future__ import annotations

import psycopg

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
