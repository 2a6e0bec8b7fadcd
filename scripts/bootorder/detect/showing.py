"""Printing what was found: one line each with its place, then what the person has to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..console import Console
from ..terminal import counted, plain
from .detecting import detect
from .findings import Detected, Fact, as_data, without_secrets

_LONGEST = 60  # characters of a value in the table


def show_detected(console: Console, root: Path, *, as_json: bool) -> None:
    """What a repository has, on stdout."""
    found = detect(root)
    if as_json:
        console.data(as_data(found))
    else:
        print_detected(console.answering(), found)


def print_detected(console: Console, found: Detected) -> None:
    rows = list(_rows(found))
    if rows:
        console.table(["", "found", "how sure", "where"], rows)
    for note in found.notes:
        console.say(f"note: {one_line(str(note.where))}: {one_line(note.text)}")
    if found.questions:
        console.say()
        console.say(f"{counted(len(found.questions), 'question')} only you can answer:")
    for number, question in enumerate(found.questions, start=1):
        where = f" ({question.where})" if question.where else ""
        choices = f" [{' | '.join(question.choices)}]" if question.choices else ""
        console.say(f"{number:3}. {one_line(question.text + choices + where)}")


def _rows(found: Detected) -> Iterator[Sequence[str]]:
    for compose in found.compose:
        yield _row("compose", Fact(str(compose), compose.where, compose.sure))
    for database in found.databases:
        yield from _thing("database", database, database.service, ())
    for owner in found.owners:
        yield from _thing("owner", owner, owner.name, ("folder",))
        yield from (_row(f"  {name}", fact) for name, fact in owner.settings.items())
    for service in found.services:
        yield [f"{service.kind.value} {one_line(service.name)}", "", service.kind.sure, str(service.kind.where)]
        yield from _facts(service, skipped=("kind",))
    for packages in found.packages:
        yield _row(f"packages of {one_line(packages.folder)}", packages.manager)


def _thing(kind: str, thing: Any, title: Fact | None, shown: Sequence[str]) -> Iterator[Sequence[str]]:
    """Its name, then what is known of it."""
    yield _row(kind, title) if title else [kind, "(no service)", "", ""]
    for name in shown:
        yield [f"  {name}", one_line(str(getattr(thing, name))), "", ""]
    yield from _facts(thing, skipped=("service",) if kind == "database" else ("name",))


def _facts(thing: Any, skipped: Sequence[str]) -> Iterator[Sequence[str]]:
    for each in fields(thing):
        fact = getattr(thing, each.name)
        several = fact if isinstance(fact, tuple) else (fact,)
        for one in several if each.name not in skipped else ():
            if isinstance(one, Fact):
                yield _row(f"  {each.name.replace('_', ' ')}", one)


def _row(what: str, fact: Fact) -> Sequence[str]:
    value = one_line(fact.value)
    return [what, value if len(value) <= _LONGEST else f"{value[:_LONGEST]}...", fact.sure, one_line(str(fact.where))]


def one_line(text: str) -> str:
    """Of other people's text what a terminal can show in a line."""
    shown = without_secrets(plain(text))
    bare = "".join(letter if letter.isprintable() else " " for letter in shown)
    return " ".join(bare.split())
