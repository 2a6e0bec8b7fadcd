"""`boot`: from nothing, then every tool once more, then a second start in each of its ways.

Each time every service is well, each owner's tables are there and its own, and of what was there nothing is lost.
While no app runs each row must be what it was; apps may add rows, and change their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog import shortened
from ..errors import BootError
from ..settings import AppSettings
from ..terminal import counted
from .pictures import State, losses, rows, summary
from .report import Report
from .stack import AT_REST, Stack

WITH_APPS = (("start",), ("start", "--quick"))
AGAIN = (("guard", "migrate", "seed"), ("start", "--until", "seed"), *WITH_APPS)


def prove(stack: Stack, made: Report) -> None:
    told: list[list[str]] = []
    wrong: list[str] = []

    def settle(what: str, before: State, *, apps_run: bool) -> State:
        """What there is now, told and judged."""
        now = stack.picture()
        lost = losses(before, now, rows_by_number=apps_run)
        ill = [*(unwell(stack) if apps_run else ()), *not_their_own(stack)]
        wrong.extend(f"{what}: {problem}" for problem in (*ill, *lost))
        told.append([what, "; ".join(ill) or "well", summary(now), counted(len(lost), "thing") if lost else "nothing"])
        return now

    stack.must("start", "--clean", aloud=True)
    first = settle("start --clean", frozenset(), apps_run=True)
    stack.must(*AT_REST, aloud=True)
    last = stack.picture()
    for arguments in AGAIN:
        stack.must(*arguments, aloud=True)
        last = settle(" ".join(arguments), last, apps_run=arguments in WITH_APPS)

    stack.console.say()
    answer = stack.console.answering()
    answer.table(["after", "services and owners", "there is", "lost"], told)
    if not rows(first):
        answer.say("no table had a row, so nothing was proved of rows: give an owner a seed")
    made.counts = {"runs": len(told), "problems": len(wrong)}
    if wrong:
        raise BootError(
            "the stack does not keep what it has",
            details=shortened(wrong),
            hint="begin with the first line: others follow from it",
        )


def unwell(stack: Stack) -> list[str]:
    """The services that are not as they should be."""
    found = stack.asked("status")
    apps = stack.boot.settings.apps
    return [
        f"{service['name']} is {service['state']} {service['health']}".rstrip()
        for service in found["services"]
        if not is_well(service, apps.get(service["name"], AppSettings())) and service["name"] not in stack.boot.beside
    ]


def is_well(service: Mapping[str, Any], app: AppSettings) -> bool:
    """Of one of `status`: wait-apps has seen more than that of what ends."""
    if app.ends:
        return bool(service["state"] in {"exited", "running"})
    return bool(service["state"] == "running" and service["health"] in {"healthy", "", None})


def not_their_own(stack: Stack) -> list[str]:
    """Owners without their tables, and tables that are not where their owner's tool makes them."""
    return misplaced(stack.asked("tables"), list(stack.boot.places))


def misplaced(tables: Sequence[Mapping[str, Any]], owners: Sequence[str]) -> list[str]:
    """Of what `tables` says; what is nobody's is no owner's trouble."""
    having = {table["owner"] for table in tables if not table["state"]}
    return [
        *(f"{owner} has no table" for owner in owners if owner not in having),
        *(
            f"{table['schema']}.{table['name']} of {table['owner']} {table['state']}"
            for table in tables
            if table["owner"] and table["state"]
        ),
    ]
