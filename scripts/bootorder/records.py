"""What was done to the stack's database, kept in it: an empty one starts from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
_READ = "select s.owner, s.fingerprint, to_jsonb(s) ->> 'by' from bootorder.{} s"
_WRITE = """
    insert into bootorder.{} (owner, fingerprint, by) values (%s, %s, %s)
    on conflict (owner) do update set fingerprint = excluded.fingerprint, by = excluded.by, at = now()
"""

Kind = Literal["seed", "migration"]


@dataclass(frozen=True)
class Record:
    """A good run: what it was made of, and by whom it was."""

    fingerprint: str
    by: str


NO_RECORD = Record("", "")


def recorded(target: Target, kind: Kind) -> Mapping[str, Record]:
    """The last good run of each owner, by name."""
    with target.connect() as connection:
        if connection.execute("select to_regclass(%s)", [f"bootorder.{kind}"]).fetchone() == (None,):
            return {}
        rows = connection.execute(sql.SQL(_READ).format(sql.Identifier(kind))).fetchall()
    return {str(owner): Record(str(fingerprint), str(by or "")) for owner, fingerprint, by in rows}


def record(target: Target, kind: Kind, owner: str, fingerprint: str) -> None:
    """Note a good run."""
    name = sql.Identifier(kind)
    with target.connect(autocommit=False) as connection:
        connection.execute(sql.SQL(_MAKE).format(name, name))
        connection.execute(sql.SQL(_WRITE).format(name), [owner, fingerprint, me()])
