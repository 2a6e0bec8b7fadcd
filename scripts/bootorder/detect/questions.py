"""What only the person can say: every guess, and what was not found at all."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from .database import superuser
from .findings import Compose, Database, Fact, Owner, Question, Service
from .urls import parts_of

_URL_INSIDE = re.compile(r"\bpostgres(?:ql)?://[^$\s]*@")
_MAY_BE_ASKED = {
    "migrate": "is this the command that makes the tables of {name}: {value}?",
    "service": "do the commands of {name} run in the service {value}?",
    "folder": "does the service {name} run the folder {value}?",
    "health": "does {name} answer at {value} when it is well?",
    "url_variable": "does {name} learn the database from {value}?",
}


def questions(
    compose: Sequence[Compose], databases: Sequence[Database], owners: Sequence[Owner], services: Sequence[Service]
) -> Iterator[Question]:
    yield from _of_compose(compose)
    yield from _of_databases(databases)
    runs = {"app", "one-off"}
    apps = tuple(service.name for service in services if service.kind.value in runs or service.url_variable)
    for owner in owners:
        yield from _of_owner(owner, databases, apps)
    yield from _together(owners)
    for service in services:
        yield from _guesses(
            f"services.{service.name}", service.name, {"folder": service.folder, "health": service.health}
        )
        if service.kind.value == "app" and service.port and not service.health:
            text = f"which path of {service.name} answers when it is well? None was found"
            yield Question(f"services.{service.name}.health", text, (), service.kind.where)


def _of_compose(compose: Sequence[Compose]) -> Iterator[Question]:
    guesses = [each for each in compose if each.sure == "guess"]
    if guesses or (len(compose) > 1 and compose[0].sure != "certain"):
        beside = (path for each in compose for path in each.beside)
        choices = tuple(dict.fromkeys((*map(str, compose), *beside)))
        text = "which compose files start the stack on your machine?"
        yield Question("compose", text, choices, (guesses or compose)[0].where)


def _of_databases(databases: Sequence[Database]) -> Iterator[Question]:
    if len(databases) > 1:
        names = tuple(each.service.value for each in databases if each.service)
        where = databases[0].service.where if databases[0].service else None
        yield Question("databases", "which of these is the database that the owners share?", names, where)
    for database in databases:
        yield from _of_database(database)


def _of_database(database: Database) -> Iterator[Question]:
    if database.service is None:
        text = "no compose service is a PostgreSQL: where does the database of this URL run?"
        yield Question("databases", text, (), database.name.where if database.name else None)
        return
    name, where = database.service.value, database.service.where
    about = f"databases.{name}"
    if database.service.sure == "guess":
        yield Question(f"{about}.service", f"is the service {name} a PostgreSQL?", ("yes", "no"), where)
    for what, fact in (("name", database.name), ("user", database.user)):
        if fact and "${" in fact.value:
            yield Question(
                f"{about}.{what}",
                f"{fact.value} has no value in any file: what is the {what} here?",
                (),
                fact.where,
            )
    if database.user and (other := superuser(database)):
        text = f"bootorder needs a superuser, and {database.user.value} is none in this image: is it {other}?"
        yield Question(f"{about}.user", text, (other,), database.user.where)
    if not (database.password or database.password_file or database.service_password):
        text = f"{name} has no password that bootorder can give it: which variable of .env shall hold it?"
        yield Question(f"{about}.password", text, ("POSTGRES_PASSWORD",), where)


def _of_owner(owner: Owner, databases: Sequence[Database], apps: tuple[str, ...]) -> Iterator[Question]:
    name, about = owner.name.value, f"owners.{owner.name.value}"
    if owner.tool.sure == "guess":
        text = f"does {owner.tool.value} in {owner.folder} make tables of this database?"
        yield Question(f"{about}.tool", text, ("yes", "no"), owner.tool.where)
    facts = {"migrate": owner.migrate, "service": owner.service, "url_variable": owner.url_variable}
    yield from _guesses(about, name, facts)
    if owner.way and owner.way.value == "at start" and owner.way.sure == "guess":
        text = f"does {name} make its tables when it starts?"
        yield Question(f"{about}.way", text, ("yes", "no"), owner.tool.where)
    if owner.migrate is None and owner.tool.value != "sql":
        text = f"which command makes the tables of {name}, and ends?"
        yield Question(f"{about}.migrate", text, (), (owner.way or owner.tool).where)
    elif owner.migrate is None:
        once = f"{name} is SQL that runs once, on an empty volume: which command makes its tables?"
        text = once if owner.way else f"who runs the SQL in {owner.folder}?"
        yield Question(f"{about}.migrate", text, (), owner.tool.where)
    if owner.service is None and apps:
        text = f"no service runs {name} (folder {owner.folder}): in which one do its commands run, or on this machine?"
        yield Question(f"{about}.service", text, (*apps, "this machine"), owner.tool.where)
    yield from _of_url(owner)
    yield from _of_password(owner, databases)
    if len(databases) > 1 and owner.database is None:
        names = tuple(each.service.value for each in databases if each.service)
        yield Question(f"{about}.database", f"which database are the tables of {name} in?", names, owner.tool.where)


def _of_url(owner: Owner) -> Iterator[Question]:
    name, about = owner.name.value, f"owners.{owner.name.value}"
    if owner.migrate and _URL_INSIDE.search(owner.migrate.value):
        text = f"the command of {name} names its database itself: which variable can it take the URL from?"
        yield Question(f"{about}.url_variable", text, ("DATABASE_URL",), owner.migrate.where)
    elif jdbc := owner.settings.get("jdbc"):
        text = (
            f"{jdbc.value} of {name} is a JDBC URL, which has no user in it: which variables has it for host, user ...?"
        )
        yield Question(f"{about}.url_variable", text, (), jdbc.where)
    elif owner.url_variable is None and owner.tool.value != "sql":
        parts = owner.settings.get("url_parts")
        if parts is None or not parts_of(parts.value):
            text = f"{name} has some parts of its URL ({parts.value}): " if parts else f"no URL was found for {name}: "
            text += "which variable can it take the whole URL from?"
            yield Question(f"{about}.url_variable", text, ("DATABASE_URL",), (parts or owner.tool).where)


def _of_password(owner: Owner, databases: Sequence[Database]) -> Iterator[Question]:
    name, file = owner.name.value, owner.settings.get("password_file")
    if file and file.value in [each.password_file.value for each in databases if each.password_file]:
        text = f"{name} reads the superuser's password file: which file shall hold the password of its own role?"
        choice = f"{posixpath.join(posixpath.dirname(file.value), name)}_db_password"
        yield Question(f"owners.{name}.password", text, (choice,), file.where)


def _together(owners: Sequence[Owner]) -> Iterator[Question]:
    """Two tools with one folder may have the same tables."""
    for position, owner in enumerate(owners):
        for other in owners[:position]:
            if other.folder == owner.folder:
                tools = (other.tool.value, owner.tool.value)
                both = " and ".join(tools)
                text = f"{both} are both in {owner.folder}: which one makes the tables, or has each its own?"
                yield Question(f"owners.{owner.name.value}.tool", text, (*tools, "each its own"), owner.tool.where)


def _guesses(about: str, name: str, facts: dict[str, Fact | None]) -> Iterator[Question]:
    for what, fact in facts.items():
        if fact and fact.sure == "guess":
            text = _MAY_BE_ASKED[what].format(name=name, value=fact.value)
            choices = (fact.value, "this machine") if what == "service" else (fact.value,)
            yield Question(f"{about}.{what}", text, choices, fact.where)
