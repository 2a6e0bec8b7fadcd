"""Where each owner lives: its role, its database, its schema, as the layout has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .errors import SettingsError
from .migrators import BY_NAME
from .settings import LayoutName, OwnerSettings, SecretFile, Settings

_LONGEST = 63  # bytes of a name in PostgreSQL, which cuts off the rest
# Roles that cannot be made, and schemas that are not an owner's to have.
_RESERVED = {"public", "none", "current_user", "session_user", "current_role"}
_NOT_SCHEMAS = {"bootorder", "information_schema", "$user"}


@dataclass(frozen=True)
class Place:
    """`password` and `database_variable` are names of variables: what they hold stands in .env, or follows from here.

    A `password` that is a SecretFile is the path of a file.

    `reads` and `references` are places of other owners.
    """

    owner: str
    role: str
    database: str
    schema: str
    password: str
    database_variable: str
    # Left out where a place is hashed or written: each of them has others, and these have others again.
    reads: Sequence[Place] = field(default=(), hash=False, repr=False)
    references: Sequence[Place] = field(default=(), hash=False, repr=False)

    @property
    def password_home(self) -> str:
        """Where its password is, for people."""
        return f"the file {self.password}" if isinstance(self.password, SecretFile) else f"{self.password} of .env"

    @property
    def needs(self) -> Sequence[Place]:
        """The owners whose tables must be there before its own can be made."""
        return list(dict.fromkeys([*self.references, *self.reads]))


def places(settings: Settings, layout: LayoutName, *, grants: bool = True) -> Mapping[str, Place]:
    """By owner, in the order in which they migrate. Raises SettingsError for names that PostgreSQL cannot have.

    Without `grants` nobody may read anything of another.
    """
    _refuse_circles(settings)
    found: dict[str, Place] = {}
    for owner, its in settings.owners.items():
        found[owner] = Place(
            owner,
            its.role or owner,
            f"{settings.database.name}_{owner}" if layout == "databases" else settings.database.name,
            _schema(owner, its, layout),
            its.password or _variable(owner, "PASSWORD", "password"),
            its.database or _variable(owner, "NAME", "database"),
            _others(owner, "reads", its.reads if grants else (), found, layout),
            _others(owner, "references", its.references if grants else (), found, layout),
        )
    for place in found.values():
        _check(place, settings)
    for what in ("role", "password"):
        _refuse_twice(what, list(found.values()))
    if layout == "databases":
        _refuse_twice("database_variable", list(found.values()), "database")
    # Many may share `public`, where nobody's tables are another one's to change.
    _refuse_twice("schema", [place for place in found.values() if place.schema != "public"])
    for place in found.values():
        _refuse_other_uses(place, found.values(), settings)
    return found


def _schema(owner: str, its: OwnerSettings, layout: LayoutName) -> str:
    """A tool that knows one schema only stays there, and the others move out."""
    if layout != "schemas":
        return "public"
    return its.in_schema or BY_NAME[its.migrator].only_schema or its.role or owner


def file_variables(found: Mapping[str, Place], root: Path) -> Mapping[str, str]:
    """Return the paths of the owners' password files by variables that compose files and `processes` may refer to."""
    return {
        _variable(owner, "PASSWORD_FILE", "password"): str(root / place.password)
        for owner, place in found.items()
        if isinstance(place.password, SecretFile)
    }


def _variable(owner: str, what: str, setting: str) -> str:
    """`sso` -> `SSO_DB_PASSWORD`."""
    start = re.sub(r"[^A-Z0-9]+", "_", owner.upper()).strip("_")
    if not start or start[0].isdigit():
        raise SettingsError(
            f"no variable can be named after the owner `{owner}`",
            expected=f"`owners.{owner}.{setting}`: the name of a variable in .env",
            hint=f"set `owners.{owner}.{setting}` in invoke.yaml, e.g. to APP_DB_{what}",
        )
    return f"{start}_DB_{what}"


def _others(
    owner: str, setting: str, names: Sequence[str], before: Mapping[str, Place], layout: LayoutName
) -> Sequence[Place]:
    where = f"`owners.{owner}.{setting}`"
    if names and layout == "databases":
        raise SettingsError(
            f"{where} cannot be in the layout `databases`",
            expected="owners that share a database: no query and no foreign key leads from one to another",
            seen=", ".join(names),
            hint="choose the layout `schemas` or `shared`, or remove it",
        )
    for name in names:
        if name not in before:
            raise SettingsError(
                f"{where} names {name}, which does not migrate before it",
                expected=", ".join(before) or "an owner that stands above it in invoke.yaml",
                hint=f"write {name} above {owner} in invoke.yaml, or correct the name",
            )
    return tuple(before[name] for name in names)


def _check(place: Place, settings: Settings) -> None:
    if place.role.lower() in _RESERVED or place.role.startswith("pg_"):
        raise SettingsError(
            f"no role can be called `{place.role}`: PostgreSQL keeps that name for itself",
            expected=f"another role for the owner {place.owner}",
            hint=f"set `owners.{place.owner}.role`, e.g. to {place.role.removeprefix('pg_')}_owner",
        )
    if place.role == settings.database.user:
        raise SettingsError(
            f"the owner {place.owner} cannot be {place.role}: that is the tasks' own role, which may do everything",
            expected="a role of its own for every owner, with which it can harm no other's tables",
            hint=f"set `owners.{place.owner}.role` to another name",
        )
    if place.schema in _NOT_SCHEMAS or place.schema.startswith("pg_"):
        raise SettingsError(
            f"the schema `{place.schema}` is not an owner's to have",
            hint=f"set `owners.{place.owner}.schema` to another name",
        )
    for what in (place.role, place.schema, place.database):
        if len(what.encode()) > _LONGEST:
            raise SettingsError(
                f"`{what}` is too long for a name in PostgreSQL",
                expected=f"{_LONGEST} bytes at most",
                seen=f"{len(what.encode())} bytes",
                hint=f"shorten it, or set `owners.{place.owner}.role` or `.schema`",
            )


def _refuse_circles(settings: Settings) -> None:
    """Owners that need each other have no order; no other place in invoke.yaml would help them."""
    done: set[str] = set()

    def follow(owner: str, chain: Sequence[str]) -> None:
        if owner in chain:
            circle = [*chain[chain.index(owner) :], owner]
            raise SettingsError(
                f"{owner} needs itself" if len(circle) == 2 else "owners need each other",  # noqa: PLR2004
                expected="an order in which each owner migrates after those that it reads or refers to",
                seen=" -> ".join(circle),
                hint=f"remove {circle[1]} from `owners.{owner}.reads` and `owners.{owner}.references`",
            )
        if owner in done or owner not in settings.owners:
            return
        its = settings.owners[owner]
        for other in (*its.reads, *its.references):
            follow(other, [*chain, owner])
        done.add(owner)

    for owner in settings.owners:
        follow(owner, [])


def _refuse_other_uses(place: Place, everyone: Iterable[Place], settings: Settings) -> None:
    """A variable that holds a password holds that and nothing else, and the tasks' own is nobody's."""
    tasks = settings.database.password
    if place.password == tasks:
        raise SettingsError(
            f"the owner {place.owner} has its password in {tasks}, as the tasks have theirs",
            expected="a password of its own for every owner: with that of the tasks it may do everything",
            hint=f"set `owners.{place.owner}.password` to another name",
        )
    if place.database_variable in {tasks, *settings.secrets, *(other.password for other in everyone)}:
        raise SettingsError(
            f"the owner {place.owner} has the name of its database in {place.database_variable}, which holds a secret",
            expected="a variable for that name alone",
            hint=f"set `owners.{place.owner}.database` to another name",
        )


def _refuse_twice(what: str, found: Sequence[Place], setting: str = "") -> None:
    taken: dict[str, str] = {}
    for place in found:
        value = getattr(place, what)
        if value in taken:
            words = what.replace("_", " ")
            raise SettingsError(
                f"{taken[value]} and {place.owner} have the same {words}, `{value}`",
                expected=f"a {words} of its own for every owner",
                hint=f"set `owners.{place.owner}.{setting or what}` in invoke.yaml",
            )
        taken[value] = place.owner
