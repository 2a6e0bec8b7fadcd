"""What a database holds, as its catalog says: snapshots, and what differs between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from .terminal import counted

_SHOWN = 20
# What a table may have more than its tool makes, and what queries and inserts of its app go on with.
_HARMLESS = {"index", "constraint", "trigger", "sequence", "row security", "policy"}
_FILLED = (" default ", " identity", " generated")  # of a column: an insert need not name it
# What is said beside the table or view that it is a property of, or part of.
_PROPERTIES = {"owner", "unlogged table", "partitioned table", "partition", "row security"}
_TABLES_OF = """
    select n.nspname::text, c.relname::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
    where r.rolname = %s and c.relkind in ('r', 'p', 'f')
"""

QUERY = Path(__file__).with_name("catalog.sql").read_text(encoding="utf-8")


class Key(NamedTuple):
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

    def of(self, role: str) -> Catalog:
        """The part that belongs to this role."""
        return self.only((k.schema, k.relation) for k, v in self.objects.items() if k.kind == "owner" and v == role)

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
    found = {Key(*map(str, row[:4])): str(row[4]) for row in rows}
    # The name of a role is no definition: it is compared with what the settings say.
    return Catalog({key: text if key.kind == "owner" else _one_line(text) for key, text in found.items()})


def tables_of(connection: psycopg.Connection[tuple[object, ...]], role: str) -> set[tuple[str, str]]:
    """The names of the tables that belong to this role: which `read` takes many times as long to find."""
    return {(str(schema), str(name)) for schema, name in connection.execute(_TABLES_OF, [role])}


def _one_line(text: str) -> str:
    """Definitions of several lines (views, policies, checks) become one, for a difference is a line."""
    return " ".join(text.split()) if "\n" in text or "  " in text or text != text.strip() else text


def differences(expected: Catalog, seen: Catalog) -> list[str]:
    """One line a difference, as a diff: `-` expected and not there, `+` there and not expected.

    What belongs to a table that is missing, or unexpected, is not listed beside it.
    """
    lines = []
    gone = {(k.schema, k.relation) for k in expected.objects if k.kind == "table" and k not in seen.objects}
    new = {(k.schema, k.relation) for k in seen.objects if k.kind == "table" and k not in expected.objects}
    anywhere = expected.relations() & seen.relations()
    for key in sorted({*expected.objects, *seen.objects}):
        if key.kind == "owner" and (key.schema, key.relation) not in anywhere:
            continue  # said by what it is the owner of
        before, after = expected.objects.get(key), seen.objects.get(key)
        hidden = (key.schema, key.relation) in (gone if after is None else new)
        if before == after or (hidden and key.kind != "table"):
            continue
        if before is not None:
            lines.append(f"- {key} {before}".rstrip())
        if after is not None:
            lines.append(f"+ {key} {after}".rstrip())
    return lines


def without_additions(expected: Catalog, seen: Catalog, also: Sequence[str]) -> tuple[Catalog, Sequence[Key]]:
    """Return what is seen as if nothing had been added that does no harm, and what was added.

    Columns, indexes and the like that somebody added to the expected tables, and defaults of their columns. What is
    missing or changed stays, and so does what an insert fails at: a column that is `not null` without a default.
    `also`: patterns of what is meant to be there, whatever it does.
    """
    relations, objects, added = expected.relations(), dict(seen.objects), []
    for key, text in sorted(seen.objects.items()):
        before = expected.objects.get(key)
        if (key.schema, key.relation) not in relations or key.kind == "owner" or before == text:
            continue
        is_meant = any(fnmatchcase(str(key), pattern) for pattern in also)
        if before is None and (is_meant or _is_harmless(key, text)):
            del objects[key]
        elif before is not None and key.kind == "column" and text.startswith(f"{before} default "):
            objects[key] = before
        else:
            continue
        added += [] if is_meant else [key]
    return Catalog(objects), added


def _is_harmless(key: Key, text: str) -> bool:
    if key.kind == "column":
        return " not null" not in text or any(word in text for word in _FILLED)
    # Forced row security, and a policy that takes rows away, would hide rows from their owner's app.
    return key.kind in _HARMLESS and text != "forced" and not text.startswith("restrictive")


def beyond(expected: Catalog, own: Catalog, also: Sequence[str]) -> Sequence[Key]:
    """Return the tables, views, functions and the like that are an owner's, and that its tool does not make."""
    relations = expected.relations()
    partitions = {(key.schema, key.relation) for key in own.objects if key.kind == "partition"}
    return [
        key
        for key in sorted(own.objects)
        if (key.schema, key.relation) not in relations | partitions
        and key.name == key.relation
        and key.kind not in _PROPERTIES
        and not any(fnmatchcase(str(key), pattern) for pattern in also)
    ]


def described(catalog: Catalog) -> str:
    """Return how many tables there are; where there are none, how much of what else there is."""
    if tables := catalog.tables():
        return counted(len(tables), "table")
    kinds = Counter(key.kind for key in catalog.objects if key.name == key.relation and key.kind not in _PROPERTIES)
    return ", ".join(counted(kinds[kind], kind) for kind in sorted(kinds)) or "nothing"


def shortened(lines: Sequence[str]) -> list[str]:
    """The first ones, and how many more there are."""
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]
