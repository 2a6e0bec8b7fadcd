"""The first invoke.yaml of a repository, from what was found there. What is not sure is a comment with its question."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..detect.findings import Database, Detected, Fact, Owner, Question, Service, without_secrets
from ..detect.urls import parts_of
from ..migrators import FOR_TOOL

_PLAIN = re.compile(r"[A-Za-z_./][\w ./:@=,+%-]*[\w/]|[A-Za-z_]")
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
# What only a shell understands.
_SHELL = re.compile(r"&&|\|\||[;|<>`]|\$[({A-Za-z_]|^\w+=")

_HEAD = """\
# This stack: who is in it and how each part is reached. Made by copy-to from what stands in this repository, and yours
# from now on. What is commented out is a question: answer it, or leave it.
bootorder:
  runtime: compose"""
_OWNERS = """
  # The schema tools that share the database, in the order in which they migrate. Each is a PostgreSQL role of its own
  # name; where one needs tables of another, say so: `reads: [other]`, or `references: [other]` for foreign keys."""


def starter(found: Detected) -> str:
    """The text of invoke.yaml."""
    return "\n".join([_HEAD, *_Writer(found, database_of(found)).lines()]) + "\n"


def database_of(found: Detected) -> Database:
    """The one that most owners share; the first of several."""
    used = [owner.database.value for owner in found.owners if owner.database]
    return max(
        (each for each in found.databases if each.service),
        key=lambda each: used.count(each.service.value) if each.service else 0,
    )


def connecting(owner: Owner, found: Detected) -> list[str]:
    """The services that connect as this owner: that of its commands, and those that have its folder and no other's."""
    if owner.tool.value == "sql":
        return []  # the database's own service runs it
    own = _of_commands(owner)
    others = {name for other in found.owners if other is not owner for name in (*_of_commands(other), *other.users)}
    names = {service.name for service in found.services if service.url_variable or service.url_parts}
    return [*own, *(name for name in owner.users if name in names - others - set(own))]


def _of_commands(owner: Owner) -> list[str]:
    return [owner.service.value] if owner.service else []


@dataclass(frozen=True)
class _Writer:
    found: Detected
    database: Database

    def lines(self) -> Iterator[str]:
        yield from self._compose()
        yield from self._database()
        if self.found.owners:
            yield _OWNERS
            yield "  owners:"
        for owner in self.found.owners:
            yield from self._owner(owner)
        yield from self._apps()

    def _compose(self) -> Iterator[str]:
        yield from self._asked("compose", "  ")
        yield _line("  ", "compose", compose_files(self.found))

    def _database(self) -> Iterator[str]:
        database, indent = self.database, "    "
        name = database.service.value if database.service else ""
        yield "\n  database:"
        yield from self._asked("databases", indent)
        yield from self._asked(f"databases.{name}", indent, all_of_it=True)
        yield _fact(indent, "service", database.service)
        for key, fact in (("name", database.name), ("user", database.user)):
            yield _fact(indent, key, fact, is_sure=fact is not None and "${" not in fact.value)
        if database.password:
            yield _fact(indent, "password", database.password)
        elif database.password_file:
            yield _line(indent, "password", {"file": database.password_file.value}) + _place(database.password_file)
        elif database.service_password:
            yield _fact(indent, "service_password", database.service_password)
        else:
            yield f"{indent}password: POSTGRES_PASSWORD # a variable of .env, which compose.yaml must take it from"
        yield from self._extensions(indent)
        if beside := [service.name for service in self.found.services if service.kind.value == "beside"]:
            yield _line(indent, "beside", beside)

    def _extensions(self, indent: str) -> Iterator[str]:
        """Those that only a package uses are a question, unless the image is made for them: another may lack them."""
        image = self.database.image.value if self.database.image else ""
        sure = [fact for fact in self.database.extensions if fact.sure == "certain" or fact.value in image]
        unsure = [fact for fact in self.database.extensions if fact not in sure]
        if sure:
            yield _line(indent, "extensions", [fact.value for fact in sure]) + _places(sure)
        if unsure:
            yield f"{indent}# ? a package uses what the extension brings: is it to be made?"
            yield _line(f"{indent}# ", "extensions", [fact.value for fact in [*sure, *unsure]]) + _places(unsure)

    def _owner(self, owner: Owner) -> Iterator[str]:
        name = owner.name.value
        asked = list(self._asked(f"owners.{name}", "    ", all_of_it=True))
        elsewhere = owner.database and self.database.service and owner.database.value != self.database.service.value
        if elsewhere and owner.database:
            asked.append(f"    # ? its tables are in {owner.database.value}: these tasks look after one database")
        if owner.service is None and not list(self._asked(f"owners.{name}.service", "")):
            asked.append(
                f"    # ? no compose service has the URL of {name}, and its commands need one that has: which?"
            )
        yield from asked
        comment = "# " if asked else ""
        yield _line(f"    {comment}", name)
        for line in self._of_owner(owner):
            yield line.replace("    ", f"    {comment}", 1)

    def _of_owner(self, owner: Owner) -> Iterator[str]:
        indent = "      "
        yield _fact(indent, "migrator", owner.tool, FOR_TOOL.get(owner.tool.value, "command"))
        yield _fact(indent, "service", owner.service)
        if owner.service is None or owner.service.sure == "guess":
            yield f"{indent}# run: host # on this machine, with the environment of that service"
            yield _line(f"{indent}# ", "directory", owner.folder)
        yield _fact(indent, "migrate", owner.migrate, _command(owner.migrate))
        if base := owner.settings.get("base"):
            files = base.value.split()
            yield _line(indent, "before", files[0] if len(files) == 1 else files) + _place(base)
        if owner.seed:
            yield _fact(indent, "seed", owner.seed, _command(owner.seed))
        parts = owner.settings.get("url_parts")
        if parts and (variables := parts_of(parts.value)):
            yield _line(indent, "variables", variables) + _place(parts)
            if file := owner.settings.get("password_file"):
                yield _line(indent, "password", {"file": file.value}) + _place(file)
        elif owner.url_variable and owner.url_variable.value != "DATABASE_URL":
            yield _fact(indent, "url_variable", owner.url_variable)
        if direct := owner.settings.get("direct_url"):
            yield _line(indent, "more_urls", [direct.value]) + _place(direct)
        if services := connecting(owner, self.found):
            yield _line(indent, "connects", services)

    def _apps(self) -> Iterator[str]:
        lines = [line for service in self.found.services if not service.profile for line in self._app(service)]
        if lines:
            yield "\n  apps:"
            yield from lines

    def _app(self, service: Service) -> Iterator[str]:
        is_owners = any(owner.service and owner.service.value == service.name for owner in self.found.owners)
        if service.kind.value == "one-off":
            if not is_owners:
                yield _line("    ", service.name, {"ends": True}) + _place(service.kind)
        elif service.kind.value == "app":
            health = service.health if service.port else None
            is_sure = health is not None and health.sure != "guess"
            yield from self._asked(f"services.{service.name}.health", "    ")
            said = {"health": health.value} if health and is_sure else {}
            yield _line("    ", service.name, said) + (_place(health) if health and is_sure else "")
            if health and not is_sure:
                yield _line("    # ", service.name, {"health": health.value}) + _place(health)

    def _asked(self, about: str, indent: str, *, all_of_it: bool = False) -> Iterator[str]:
        """The questions about this, or about any part of it."""
        for question in self.found.questions:
            if question.about == about or (all_of_it and question.about.startswith(f"{about}.")):
                yield f"{indent}# ? {_asked(question)}"


def compose_files(found: Detected) -> list[str]:
    """The first ones, and those beside them that have the database: of one folder, where their paths are taken from."""
    first, service = found.compose[0], database_of(found).service
    together = [each for each in found.compose if each.folder == first.folder]
    has_it = [each for each in together if service and service.where.file in (*each.files, *each.includes)]
    chosen = [first] if first in has_it else [first, *has_it[:1]]
    return list(dict.fromkeys(file for each in chosen for file in each.files))


def _command(fact: Fact | None) -> str | Sequence[str]:
    """As it is to be written: in a shell's hands where only that understands it."""
    if fact is None:
        return ""
    # with variables by their name: what .env says is not for a file in git
    text = without_secrets(fact.written or fact.value)
    return ["sh", "-c", text] if _SHELL.search(re.sub(r'"[^"]*"', "", text)) else text


def _fact(indent: str, key: str, fact: Fact | None, value: object = None, *, is_sure: bool = True) -> str:
    """A line; what was not found is left open."""
    if fact is None:
        return f"{indent}{key}: ?"
    line = _line("" if is_sure else "# ", key, fact.value if value is None else value)
    return indent + line + _place(fact)


def _places(facts: Sequence[Fact]) -> str:
    return f" # {', '.join(dict.fromkeys(str(fact.where) for fact in facts))}"


def _place(fact: Fact) -> str:
    return f" # {fact.where}" if fact.where.file != "." else ""


def _line(indent: str, key: str, value: object = None) -> str:
    return f"{indent}{_yaml(key)}:{'' if value is None else f' {_yaml(value)}'}"


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_yaml(key)}: {_yaml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    text = str(value)
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT and not re.search(r": |, | #|:$", text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _asked(question: Question) -> str:
    choices = f" [{' | '.join(question.choices)}]" if question.choices else ""
    where = f" ({question.where})" if question.where else ""
    return " ".join(f"{question.text}{choices}{where}".split())


def place_of_env(found: Detected) -> str:
    """Where its .env stands: beside the first compose file."""
    return posixpath.join(posixpath.dirname(compose_files(found)[0]), ".env")
