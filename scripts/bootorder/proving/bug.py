"""`bug`: what each schema tool would have done to the tables of the others, and what it does.

Without the guard: on a clone of the booted database that the guard was taken out of, as a superuser, and told to go on
whatever would be lost; so people run their tools before there is a guard. Then with it: the same command as the owner
that it is, on the stack itself. Nothing may be lost, neither of the others nor of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from psycopg import sql

from ..catalog import shortened
from ..database import Target
from ..errors import BootError
from ..guard.snapshots import foreign_losses
from ..migrators.base import Claim
from ..owners import Owner
from .pictures import losses, summary
from .report import Report
from .stack import AT_REST, Stack

_TRIGGERS = "select evtname::text from pg_event_trigger where evtname like 'bootorder\\_%'"


@dataclass(frozen=True)
class Came:
    """What a run of a tool came to: what was lost, and what the tool says of it."""

    losses: Sequence[str]
    claim: Claim

    @property
    def told(self) -> list[str]:
        what = "takes nothing" if self.claim.succeeded else "takes nothing, and failed"
        return [*(shortened(self.losses) or [what]), f"says: {self.claim.text}"]


def prove(stack: Stack, made: Report) -> None:
    stack.must("start", "--clean", aloud=True)
    stack.must(*AT_REST, aloud=True)
    target = stack.boot.require_database()
    stack.console.say()
    without = [without_the_guard(owner, owner.target(target)) for owner in stack.boot.owners]
    guarded = [with_the_guard(stack, owner) for owner in stack.boot.owners]
    answer = stack.console.answering()
    table: list[Sequence[str]] = []
    for owner, bare, own in zip(stack.boot.owners, without, guarded, strict=True):
        tool = f"{owner.migrator.name} of {owner.name}"
        table += zip_longest([tool], bare.told, own.told, fillvalue="")
    answer.table(["tool", "without the guard", "with it"], table)
    answer.say(f"after all this there is: {summary(stack.picture())}")
    if not any(bare.losses for bare in without):
        answer.say("no tool harmed the others, so this has proved less: that with the guard all is as before")
    made.counts = {
        "owners": len(without),
        "failed without the guard": sum(not bare.claim.succeeded for bare in without),
        "losses without it": sum(len(bare.losses) for bare in without),
        "losses with it": sum(len(own.losses) for own in guarded),
    }
    if wrong := [line for own in guarded for line in own.losses]:
        raise BootError(
            "something was lost in spite of the guard", details=wrong, hint="see which tool it was; it was in a copy"
        )


def without_the_guard(owner: Owner, target: Target) -> Came:
    """What its tool takes of the others where nothing stops it."""
    with owner.scratch(target, f"accident of {owner.name}", clone=True) as clone:
        take_out_the_guard(clone, owner.place.schema)
        before = owner.look(clone)
        done = owner.run(owner.migrator.forced(owner.settings.migrate), clone, as_its_user=True)
        return Came(foreign_losses(before, owner.look(clone)), owner.migrator.claim(done))


def take_out_the_guard(clone: Target, schema: str) -> None:
    """And let the superuser look where the owner does."""
    with clone.connect() as connection:
        for (name,) in connection.execute(_TRIGGERS).fetchall():
            connection.execute(sql.SQL("drop event trigger {}").format(sql.Identifier(str(name))))
        connection.execute("drop schema bootorder cascade")
        set_path = sql.SQL("alter database {} set search_path = {}, public")
        connection.execute(set_path.format(sql.Identifier(clone.name), sql.Identifier(schema)))


def with_the_guard(stack: Stack, owner: Owner) -> Came:
    """The same command as itself, on the stack: its own rows are not to be lost either."""
    before = stack.picture()
    done = owner.run(owner.migrator.forced(owner.settings.migrate))
    return Came(losses(before, stack.picture()), owner.migrator.claim(done))
