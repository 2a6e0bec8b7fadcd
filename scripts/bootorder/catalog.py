"""What a database holds, as its catalog says: snapshots, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

QUERY = Path(__file__).with_name("catalog.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, order=True)
class Key:
    """One object: its kind, its schema, the relation it belongs to (or is), its own name."""

    kind: str
    schema: str
    relation: str
    name: str

    def __str__(self) -> str:
        whole = f"{self.schema}.{self.relation}"
        if self.name != self.relation:
            return f"{self.kind} {whole}.{self.name}"
        return f"{self.kind} {whole}"


@dataclass(frozen=True)
class Catalog:
    """Every object with its definition."""

    objects: Mapping[Key, str]

    def relations(self) -> set[tuple[str, str]]:
        """What things belong to: tables, views, sequences, types, each as (schema, name)."""
        return {(key.schema, key.relation) for key in self.objects}

    def tables(self) -> list[tuple[str, str]]:
        return sorted((key.schema, key.relation) for key in self.objects if key.kind == "table")

    def only(self, relations: Iterable[tuple[str, str]]) -> Catalog:
        """The part that belongs to these relations."""
        wanted = set(relations)
        return Catalog({k: v for k, v in self.objects.items() if (k.schema, k.relation) in wanted})

    def without(self, relations: Iterable[tuple[str, str]]) -> Catalog:
        """The part that does not belong to these relations."""
        return self.only(self.relations() - set(relations))

    def as_data(self) -> list[list[str]]:
        return [[k.kind, k.schema, k.relation, k.name, v] for k, v in sorted(self.objects.items())]

    @classmethod
    def from_data(cls, rows: Iterable[Iterable[Any]]) -> Catalog:
        return cls({Key(kind, schema, relation, name): text for kind, schema, relation, name, text in rows})


def read(connection: psycopg.Connection[tuple[object, ...]]) -> Catalog:
    """The whole catalog in one query (10 tables: about 5 ms), without PostgreSQL's own schemas and ours."""
    rows = connection.execute(QUERY.encode()).fetchall()
    # Definitions of several lines (views, policies, checks) become one, for a difference is a line.
    return Catalog.from_data((*names, " ".join(str(text).split())) for *names, text in rows)


def count_rows(
    connection: psycopg.Connection[tuple[object, ...]], tables: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Exact row counts: an estimate would not notice one lost row."""
    tables = list(tables)
    if not tables:
        return {}
    one = sql.SQL("select {}::int, count(*) from {}")
    query = sql.SQL(" union all ").join(
        one.format(sql.Literal(position), sql.Identifier(*table)) for position, table in enumerate(tables)
    )
    return {tables[int(str(position))]: int(str(count)) for position, count in connection.execute(query)}


def row_versions(connection: psycopg.Connection[tuple[object, ...]], tables: Iterable[tuple[str, str]]) -> int:
    """A number that changes when a row is added, updated or removed: `xmin` is the transaction that wrote it."""
    one = sql.SQL("select coalesce(sum(xmin::text::bigint), 0) from {}")
    parts = [one.format(sql.Identifier(*table)) for table in tables]
    if not parts:
        return 0
    query = sql.SQL(" union all ").join(parts)
    return sum(int(str(total)) for (total,) in connection.execute(query))


def differences(expected: Catalog, seen: Catalog) -> list[str]:
    """One line a difference, as a diff: `-` expected and not there, `+` there and not expected.

    What belongs to a table that is missing, or unexpected, is not listed beside it.
    """
    lines = []
    gone = {(k.schema, k.relation) for k in expected.objects if k.kind == "table" and k not in seen.objects}
    new = {(k.schema, k.relation) for k in seen.objects if k.kind == "table" and k not in expected.objects}
    for key in sorted({*expected.objects, *seen.objects}):
        before, after = expected.objects.get(key), seen.objects.get(key)
        hidden = (key.schema, key.relation) in (gone if after is None else new)
        if before == after or (hidden and key.kind != "table"):
            continue
        if before is not None:
            lines.append(f"- {key} {before}".rstrip())
        if after is not None:
            lines.append(f"+ {key} {after}".rstrip())
    return lines
