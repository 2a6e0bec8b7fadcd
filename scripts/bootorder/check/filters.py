"""What keeps a push from foreign tables: drizzle-kit's filter, decided as it does, and Prisma's external tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from wcmatch import fnmatch

from ..detect.files import is_within
from ..detect.findings import Owner
from ..terminal import listed
from .looking import MOST_LISTED, Check, Seen, Stack
from .tables import tables_of

# What minimatch has; a pattern with more repetitions than that is left alone, as it could take for ever to match.
_AS_MINIMATCH = fnmatch.EXTMATCH | fnmatch.BRACE | fnmatch.CASE
_MOST_REPETITIONS = 4
_LONGEST = 200
_EVERYTHING = {"*", "**"}
_FROM_1 = re.compile(r"[^\d\s]*[1-9]|beta|rc|next")  # `^1.0.0`, `1.0.0-rc.5`; or the tag of a release before it
# What drizzle-kit adds by itself for `extensionsFilters: ["postgis"]`.
_POSTGIS = ("!geography_columns", "!geometry_columns", "!spatial_ref_sys")


def lets_in(patterns: Sequence[str], table: str) -> bool:
    """Whether drizzle-kit 0.31 and 1.0 look at this table.

    Where there are negations, the other patterns do not matter: what no negation names gets in.
    """
    allowed, denied = _apart(patterns)
    if any(_matches(table, pattern) for pattern in denied):
        return False
    return not patterns or bool(denied) or any(_matches(table, pattern) for pattern in allowed)


def _apart(patterns: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is allowed and what is denied, without the `!`: each one turns the meaning round."""
    allowed: list[str] = []
    denied: list[str] = []
    for pattern in patterns:
        bare = pattern.lstrip("!")
        (denied if (len(pattern) - len(bare)) % 2 else allowed).append(bare)
    return allowed, denied


def _matches(table: str, pattern: str) -> bool:
    return fnmatch.fnmatch(table, pattern, flags=_AS_MINIMATCH)


def _filters(stack: Stack) -> Iterator[Seen]:
    for owner in stack.looked.found.owners:
        if owner.tool.value in {"drizzle", "prisma"} and owner.way and owner.way.value == "push":
            others = [each for each in stack.looked.found.owners if each != owner and _sees(stack, owner, each)]
            patterns = _patterns(owner) if owner.tool.value == "drizzle" else _of_prisma(stack, owner)
            told = _told(stack, owner, others, patterns) if patterns is not None else ""
            if told:
                yield Seen(owner.settings.get("tables_filter", owner.tool).where, told)


def _sees(stack: Stack, owner: Owner, other: Owner) -> bool:
    """drizzle-kit 1.0 looks into all schemas, where nothing says which; 0.31 and Prisma into their own."""
    kit = stack.looked.known.manifests.nearest_package(owner.folder).needs.get("drizzle-kit")
    everywhere = bool(kit and _FROM_1.match(kit.value)) and "schema_filter" not in owner.settings
    return stack.are_together(owner, other, in_any_schema=owner.tool.value == "drizzle" and everywhere)


def _patterns(owner: Owner) -> list[str] | None:
    """Nothing where they cannot be known: an expression, or a pattern that is not whole or too much work."""
    said, schemas = owner.settings.get("tables_filter"), owner.settings.get("schema_filter")
    extensions = owner.settings.get("extensions_filters")
    elsewhere = schemas and schemas.sure == "certain" and "public" not in schemas.value.split(", ")
    if elsewhere or (said and said.sure != "certain"):
        return None
    found = [re.sub(r"\\(.)", r"\1", text) for text in said.value.split(", ")] if said and said.value else []
    if extensions and "postgis" in extensions.value:
        found += _POSTGIS
    return found if all(map(readable, found)) else None


def _of_prisma(stack: Stack, owner: Owner) -> list[str] | None:
    """It has no patterns; whoever lists foreign tables as external knows what they do."""
    configs = stack.repository.like(r"prisma\.config\.\w+")
    has_list = any("externalTables" in stack.repository.text(path) for path in configs if is_within(path, owner.folder))
    return None if has_list else []


def readable(pattern: str) -> bool:
    """Whether it can be decided. What has `!(...)` within is not: there minimatch's versions disagree."""
    bare = pattern.lstrip("!")
    is_whole = all(bare.count(one) == bare.count(other) for one, other in ("{}", "()", "[]"))
    repeats = len(re.findall(r"[*+]", bare))
    return 0 < len(bare) <= _LONGEST and repeats <= _MOST_REPETITIONS and is_whole and "!(" not in bare


def _told(stack: Stack, owner: Owner, others: Sequence[Owner], patterns: Sequence[str]) -> str:
    """What is wrong; empty where nothing is, or nothing is known."""
    allowed, denied = _apart(patterns)
    literal = [pattern for pattern in denied if pattern.startswith("(")]
    if literal:
        return f"`!{literal[0]}` keeps out only a table of that very name: every other one gets in"
    narrow = [pattern for pattern in allowed if pattern not in _EVERYTHING]
    if narrow and denied:
        return f"beside `!{denied[0]}` the pattern `{narrow[0]}` has no effect: every table gets in that is not denied"
    own = tables_of(stack, owner)
    for other in others:
        known = tables_of(stack, other)
        inside = [name for name in known if name not in own and lets_in(patterns, name)]
        if inside or (not known and _EVERYTHING.issuperset(patterns)):
            what = listed(inside, MOST_LISTED) if inside else "the tables"
            return f"{owner.tool.value} push looks at {what} of {other.name.value}, and drops what it does not know"
    return ""


CHECKS = (
    Check(
        "filter-lets-foreign-tables-in",
        "list the owner's own tables in `tablesFilter`, and nothing else; for Prisma the others' in `tables.external`",
        _filters,
    ),
)
