"""The other tasks that change a stack, killed (kill -9): giving rows up, assigning, moving, stopping, removing.

Each is killed as soon as it has begun, when its stage has ended, at random moments in between, and, where it changes
tables, while it stands still in the middle of that: somebody else has one of them locked. Some of the moments are those
of a Ctrl-C. Then people type what the messages say, until a `start` ends well.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from tests.proofs.faulted import GIVEN_UP, MOVED, NOTHING, USED, Fault, World, fault, server_connection, until
from tests.task import Task

INTERRUPTED = 130
_KILLS_FOR_A_CTRL_C = 3
_ONLY_THE_DATABASE = ("stop", "db-up", "wait-db")


@dataclass(frozen=True)
class Way:
    """What a person may type after the kill: these tasks, each of which ends well, and then a start.

    `leads_to`: what the database holds in the end. `then`: what is wrong after the tasks.
    """

    typed: Sequence[str] = ()
    start: str = "start"
    leads_to: str = USED
    then: Callable[[World], list[str]] = lambda _: []


@dataclass(frozen=True)
class Scenario:
    """A task that is killed, of the stage `stage`, and the ways that people go on.

    `before`: brings a stack that runs, full of rows, to where the task is typed. `held`: a table that it changes, by
    the tool of the role `tool` where it runs one. `led`: whether what follows may be refused with what to type.
    """

    kind: str
    task: str
    stage: str
    ways: Sequence[Way]
    before: Callable[[World], None] = lambda _: None
    held: str = ""
    tool: str = ""
    led: bool = False
    past: str = USED

    def __str__(self) -> str:
        return self.task


# -- what is so before the task ----------------------------------------------------------------------------------------


def made_of_older_sources(world: World) -> None:
    """As if the last migration had made two columns more, which the sources do not have any more. Both have values."""
    world.must(*_ONLY_THE_DATABASE)
    for table in ('"user"', "account"):
        world.stack.query(f"alter table {table} add column nickname text not null default 'Ada'", owner="sso")
    world.stack.query("update bootorder.migration set fingerprint = 'of older sources' where owner = 'sso'")


def made_by_the_superuser(world: World) -> None:
    """As if somebody had run the tools as the superuser, before there were roles."""
    world.must(*_ONLY_THE_DATABASE)
    with world.stack.connect() as connection, connection.transaction():
        connection.execute("select bootorder.allow()")
        connection.execute("reassign owned by sso, api to taskflow")


def only_the_database(world: World) -> None:
    """As the message asks for that refuses to move tables which somebody is connected to."""
    world.must(*_ONLY_THE_DATABASE)


def moved(world: World) -> None:
    world.must(*_ONLY_THE_DATABASE)
    world.must("guard", "--move-to", "schemas")


# -- what is so after it -----------------------------------------------------------------------------------------------


def nothing_runs(world: World) -> list[str]:
    return [f"{name} still runs" for name in (*world.stack.running(), *world.stack.one_offs())]


def nothing_is_left(world: World) -> list[str]:
    return [f"{name} was left" for name in world.remains()]


TASKS = (
    Scenario(
        *("accept", "migrate --accept-data-loss", "migrate", [Way()]),
        *(made_of_older_sources, "account"),
        tool="sso",
        led=True,
    ),
    Scenario(
        *("assign", "guard --assign", "guard", [Way(), Way(["guard --assign"])]),
        *(made_by_the_superuser, "task"),
        led=True,
    ),
    Scenario(
        *("move", "guard --move-to schemas", "guard"),
        [Way(), Way(["guard --move-to schemas"], "start --quick --layout schemas", MOVED)],
        *(only_the_database, "task"),
        led=True,
    ),
    Scenario(
        *("move", "guard --move-to shared", "guard", [Way(), Way(["guard --move-to shared"])]),
        *(moved, "api.task"),
        led=True,
    ),
    Scenario("stop", "stop", "stop", [Way(["stop"], then=nothing_runs), Way(start="start --quick"), Way()]),
    Scenario(
        *("clean", "clean", "clean"),
        [Way(["clean"], "start --quick", NOTHING, nothing_is_left), Way(leads_to=GIVEN_UP)],
        past=GIVEN_UP,
    ),
)
KINDS = tuple(dict.fromkeys(scenario.kind for scenario in TASKS))


# -- the kills ---------------------------------------------------------------------------------------------------------


def task_kills(world: World, random: Random, kinds: Sequence[str], moments: int) -> Iterator[Fault]:
    """First each task is left alone: so long it takes, and to that it leads."""
    for scenario in TASKS:
        if scenario.kind not in kinds:
            continue
        yield _fault(world, random, scenario, "left alone", partial(left_alone, world, scenario), scenario.ways[-1])
        strikes: list[tuple[str, Callable[[], Iterator[None]]]] = [
            ("as soon as it has begun", partial(killed_after, world, scenario, "")),
            ("as soon as its stage has ended", partial(killed_after, world, scenario, scenario.stage)),
        ]
        if scenario.held:
            strikes.append((f"while it waits for {scenario.held}", partial(killed_in_the_middle, world, scenario)))
        shares = [random.random() for _ in range(moments)]
        strikes += [("at a random moment", partial(ended_within, world, scenario, share)) for share in shares]
        strikes += [
            ("Ctrl-C at a random moment", partial(ended_within, world, scenario, random.random(), signal.SIGINT))
            for _ in shares[::_KILLS_FOR_A_CTRL_C]
        ]
        for position, (when, strike) in enumerate(strikes):
            yield _fault(world, random, scenario, when, strike, scenario.ways[position % len(scenario.ways)])


def _fault(
    world: World, random: Random, scenario: Scenario, when: str, strike: Callable[[], Iterator[None]], way: Way
) -> Fault:
    made = fault(scenario.kind, f"{scenario}: {when}", strike, scenario.past, "", random)
    first, start = partial(follow, world, scenario, way), shlex.split(way.start)
    return replace(made, mended_by=start, first=first, leads_to=way.leads_to, led=scenario.led)


def left_alone(world: World, scenario: Scenario) -> Iterator[None]:
    scenario.before(world)
    with Task(world.stack, *shlex.split(scenario.task)) as task:
        ran = task.end()
    assert ran.code == 0, ran.err
    begun, ended = task.ended(""), task.ended(scenario.stage)
    assert begun
    assert ended
    world.lasts[USED, scenario.task] = ended - begun
    yield


def killed_after(world: World, scenario: Scenario, said: str) -> Iterator[None]:
    scenario.before(world)
    with Task(world.stack, *shlex.split(scenario.task)) as task:
        task.until(said)
        task.kill()
    yield


def ended_within(world: World, scenario: Scenario, share: float, by: int = signal.SIGKILL) -> Iterator[None]:
    scenario.before(world)
    with Task(world.stack, *shlex.split(scenario.task)) as task:
        task.until("")
        time.sleep(share * world.lasts[USED, scenario.task])  # a random moment: there is nothing to wait for
        task.process.send_signal(by)
        ran = task.end()
        world.struck[task.ended(scenario.stage) is None] += 1
    # Python itself may end at once when all is done: a shell calls that 130, too.
    ended = {-signal.SIGKILL} if by == signal.SIGKILL else {INTERRUPTED, -signal.SIGINT}
    assert ran.code in {0, *ended}, f"{ran.code}:\n{ran.err}"
    yield


def killed_in_the_middle(world: World, scenario: Scenario) -> Iterator[None]:
    """Somebody reads a table that is to be changed: the task stands still, and has done some things by then."""
    waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = 'taskflow')"
    works = """
        select exists (select from pg_stat_activity where usename = %s and datname = 'taskflow'
                                                      and application_name not like 'bootorder%%')
    """
    scenario.before(world)
    with ExitStack() as held:
        watcher = held.enter_context(server_connection(world.stack))
        with Task(world.stack, *shlex.split(scenario.task)) as task:
            if scenario.tool:  # until then a clone is made of the database, to which nobody may be connected
                until(lambda: watcher.execute(works, [scenario.tool]).fetchone() == (True,), "the tool", task)
            reader = held.enter_context(world.stack.connect(autocommit=False))
            reader.execute(f"select from {scenario.held}".encode())
            until(lambda: watcher.execute(waits).fetchone() == (True,), f"a wait for {scenario.held}", task)
            task.kill()
    yield


def follow(world: World, scenario: Scenario, way: Way) -> list[str]:
    """Type the tasks of the way, and where they may be refused what their messages say. Returns what is wrong then."""
    problems = []
    for line in way.typed:
        if scenario.led:
            problems += world.led_by_messages(line)
        else:
            world.must(*shlex.split(line))
    return [*problems, *way.then(world)]
