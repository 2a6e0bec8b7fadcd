"""What was done to the stack's database, kept in it: an empty one starts from nothing."""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from .database import Target, me

# One row an owner: what its seed or its schema was made of when it was last run to a good end, and who ran it.
_MAKE = """
    create schema if not exists bootorder;
    create table if not exists bootorder.{}
        (owner text primary key, fingerprint text not null, at timestamptz not null default now());
    alter table bootorder.{} add column if not exists by text not null default ''
"""
# `by` came later than the first records.
_READ = "select s.fingerprint, to_jsonb(s) ->> 'by' from bootorder.{} s where s.owner = %s"
_WRITE = """
    insert into bootorder.{} (owner, fingerprint, by) values (%s, %s, %s)
    on conflict (owner) do update set fingerprint = excluded.fingerprint, by = excluded.by, at = now()
"""

Kind = Literal["seed", "migration"]


def recorded(target: Target, kind: Kind, owner: str) -> tuple[str, str]:
    """The fingerprint of the last good run, and by whom it was; empty where there was none."""
    with target.connect() as connection:
        if connection.execute("select to_regclass(%s)", [f"bootorder.{kind}"]).fetchone() == (None,):
            return "", ""
        row = connection.execute(sql.SQL(_READ).format(sql.Identifier(kind)), [owner]).fetchone()
    return (str(row[0]), str(row[1] or "")) if row else ("", "")


def record(target: Target, kind: Kind, owner: str, fingerprint: str) -> None:
    """Note a good run."""
    name = sql.Identifier(kind)
    with target.connect(autocommit=False) as connection:
        connection.execute(sql.SQL(_MAKE).format(name, name))
        connection.execute(sql.SQL(_WRITE).format(name), [owner, fingerprint, me()])
