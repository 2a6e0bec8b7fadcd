"""What may happen to a boot, on purpose: `nox -s faults [-- --seed N --only KIND --moments N]`.

A start is killed (kill -9) at every stage boundary and at random moments within each stage, and so are the other tasks
that change a stack (faulted_tasks.py); the database is killed while a tool is at work in it; the engine is restarted in
mid-boot; a container runs out of memory; the disk is full; the clock jumps; the network to the database is cut and
slowed. After each of them one `start` must boot the stack, and then nothing may be lost, left running or locked: the
whole database is compared, object by object and row by row, with what it was before, or with what a boot without any
fault makes.

The task is struck in three pasts: a stack full of rows that runs, the same whose rows are to be given up
(`start --clean`), and a first boot that begins from nothing. What is installed and built stays, and with Docker only
the boundaries are tried: there a start takes several times as long.
"""

from __future__ import annotations

import argparse
import errno
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from random import Random

import psutil

from tests.proofs.faulted import (
    CALLED,
    GIVEN_UP,
    NOTHING,
    USED,
    EmbeddedWorld,
    Fault,
    Outcome,
    World,
    failed_clearly,
    fault,
    server_connection,
    stages,
    tried,
    until,
)
from tests.proofs.faulted_tasks import KINDS, task_kills
from tests.proofs.faults_docker import ComposeWorld, on_an_engine_of_its_own, out_of_memory, without_pgadmin
from tests.proofs.harm import SERVER, Clock, Proxy, small_disk
from tests.reports import report
from tests.stack import EmbeddedStack, run
from tests.task import Task

MOMENTS = 20  # within each stage

# -- the task is killed ------------------------------------------------------------------------------------------------


def kills(world: World, random: Random, moments: int) -> Iterator[Fault]:
    """At every boundary, and at random moments within each stage: by turns in the pasts where it has work to do."""
    for past in (USED, NOTHING):
        for stage in stages(past):
            yield kill(world, random, past, stage)
    pasts = {"stop": [USED], "clean": [GIVEN_UP]}
    for stage in stages(GIVEN_UP):
        by_turns = islice(cycle(pasts.get(stage, [USED, NOTHING])), moments)
        for past in sorted(by_turns):  # it takes time to go from one to the other
            yield kill(world, random, past, stage, random.random())


def boundaries(world: World, random: Random) -> Iterator[Fault]:
    """Each of them once."""
    for stage in stages(USED):
        yield kill(world, random, random.choice([USED, NOTHING]) if stage != "stop" else USED, stage)


def kill(world: World, random: Random, past: str, stage: str, share: float | None = None) -> Fault:
    where = f"as soon as {stage} has ended" if share is None else f"within {stage}"
    strike = partial(killed, world, past, stage, share)
    return fault("kill", f"{past}: {where}", strike, past, stage, random)


def killed(world: World, past: str, stage: str, share: float | None) -> Iterator[None]:
    """When the stage has ended, or after this share of its time."""
    with Task(world.stack, *CALLED[past]) as task:
        if share is None:
            task.until(stage)
        else:
            task.until_begun(stage, stages(past))
            time.sleep(share * world.lasts[past, stage])  # a random moment: there is nothing to wait for
        task.kill()
        world.struck[share is not None and task.ended(stage) is None] += 1
    yield


# -- the database is killed --------------------------------------------------------------------------------------------

# What a tool does, before which stage of a first boot, as which role, in what database.
WORK = (
    ("the rehearsal of push", "migrate", "sso", "bootorder%"),
    ("push", "migrate", "sso", "taskflow"),
    ("the rehearsal of create_all", "migrate", "api", "bootorder%"),
    ("seed", "seed", "sso", "taskflow"),
    ("create_all", "apps-up", "api", "taskflow"),
)


def database_kills(world: World, random: Random, how: str, work: Sequence[tuple[str, ...]] = WORK) -> Iterator[Fault]:
    """`how`: what `kill_database` knows."""
    for does, before, role, database in work:
        strike = partial(database_killed, world, CALLED[NOTHING], "guard", role, database, how)
        yield fault("database", f"{NOTHING}: killed {how} during {does}", strike, NOTHING, before, random)
    strike = partial(push_killed, world, how)
    yield fault("database", f"{USED}: killed {how} during push", strike, USED, "", random)


def push_killed(world: World, how: str) -> Iterator[None]:
    """A start would not push again; and the apps are away, which talk as the same role."""
    for tasks in (["stop"], ["db-up", "wait-db"]):
        ran = world.stack.inv(*tasks)
        assert ran.code == 0, ran.err
    yield from database_killed(world, ["migrate"], "", "sso", "taskflow", how)


def database_killed(
    world: World, arguments: Sequence[str], after: str, role: str, database: str, how: str
) -> Iterator[None]:
    """As soon as this role talks to such a database."""
    talks = "select exists (select from pg_stat_activity where usename = %s and datname like %s)"
    with Task(world.stack, *arguments) as task:
        task.until(after)
        with server_connection(world.stack) as connection:
            until(lambda: connection.execute(talks, [role, database]).fetchone() == (True,), "its work", task)
            world.kill_database(how)
        failed_clearly(task.end())
    yield


# -- the disk is full --------------------------------------------------------------------------------------------------


def full_disks(world: EmbeddedWorld, random: Random) -> Iterator[Fault]:
    for after, megabytes in (("", 0), ("guard", 0), ("guard", 4), ("guard", 12), ("migrate", 0)):
        when = f"after {after}" if after else "from the beginning"
        before = "seed" if after == "migrate" else "migrate"
        strike = partial(filled, world, after, megabytes * 2**20)
        yield fault("disk", f"full {when}, {megabytes} MB left", strike, NOTHING, before, random)


def filled(world: EmbeddedWorld, after: str, left: int) -> Iterator[None]:
    """Data that have a disk to themselves; as soon as `after` has ended, somebody else fills it."""
    filler = world.stack.data / "filler"
    with small_disk(world.stack.data), ExitStack() as at_last:
        at_last.callback(world.crash)  # nobody can take a disk away that is used
        with Task(world.stack, *CALLED[NOTHING]) as task:
            task.until(after)
            _fill(filler, left)
            ran = task.end()
        failed_clearly(ran)
        assert "No space left on device" in ran.err, ran.err
        filler.unlink()
        yield


def _fill(filler: Path, left: int) -> None:
    """Write a file that leaves so many bytes of its disk, which others write to meanwhile."""
    with filler.open("wb") as file:
        for _ in range(20):
            file.truncate(0)
            there = os.statvfs(filler.parent)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, there.f_bavail * there.f_frsize - left))
                return
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    raise AssertionError("the disk was never as full as it was to be")


# -- the clock jumps ---------------------------------------------------------------------------------------------------


def jumps(world: EmbeddedWorld, random: Random) -> Iterator[Fault]:
    yield fault("clock", "jumps at every stage boundary", partial(jumped, world), NOTHING, "db-up", random)
    yield fault("clock", "an hour on while the database is waited for", partial(jumped_on, world), USED, "", random)
    yield fault("clock", "a day back while an app is waited for", partial(jumped_back, world), USED, "", random)


def jumped(world: EmbeddedWorld) -> Iterator[None]:
    """On by an hour, then back by a day, and so on: it boots as ever."""
    clock = Clock(world.stack.folder.parent)
    with Task(world.stack, *CALLED[NOTHING], env=clock.environment) as task:
        for stage, hours in zip(stages(NOTHING), (1, -24, 87600, -87600, 1, -24, 0), strict=True):
            task.until(stage)
            clock.turn(hours)
        ran = task.end()
    assert ran.code == 0, ran.err
    yield


def jumped_on(world: EmbeddedWorld) -> Iterator[None]:
    """A database that is slow to answer is waited for; the wait has a limit of a minute."""
    clock = Clock(world.stack.folder.parent)
    world.must("stop")
    world.must("db-up")
    server = next(process for process, _, _ in world.stack._found() if process.name() == "postgres")
    server.suspend()
    with Task(world.stack, "wait-db", env=clock.environment) as task:
        until(lambda: looks(server), "a first look", task)
        before = looks(server)
        clock.turn(1)
        until(lambda: looks(server) - before, "another look", task)
        server.resume()
        ran = task.end()
    assert ran.code == 0, ran.err
    yield


def looks(server: psutil.Process) -> set[int]:
    """The ports of those who wait for the answer of a server that stands still."""
    ports = {one.laddr.port for one in server.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN}
    every = psutil.net_connections(kind="tcp")
    waiting = (one for one in every if one.status == psutil.CONN_ESTABLISHED and one.raddr and one.raddr.port in ports)
    return {one.laddr.port for one in waiting if one.laddr}


def jumped_back(world: EmbeddedWorld) -> Iterator[None]:
    """An app that never answers is given up after its time, not a day later."""
    clock = Clock(world.stack.folder.parent)
    never = world.stack.running_instead("web", "sleep", "1000")
    impatient = world.stack.edited("invoke.yaml", "web: {health: /health,", "web: {health: /health, wait: 4,")
    with never, impatient, Task(world.stack, "start", "--quick", env=clock.environment) as task:
        task.until("apps-up")
        clock.turn(-24)
        failed_clearly(task.end(), {4})
    yield


# -- the network is cut and slowed -------------------------------------------------------------------------------------


def networks(world: EmbeddedWorld, random: Random) -> Iterator[Fault]:
    """Mended by a start that keeps the server running: it goes on behind the proxy, the network is well again."""
    for stage in REST:
        before = {"wait-db": "guard", "apps-up": "apps-up", "wait-apps": "apps-up"}.get(stage, stage)
        strike = partial(cut_for_good, world, stage, random.random())
        yield fault("network", f"cut for good within {stage}", strike, NOTHING, before, random, quick=True)
    for name, does in (("cut for a while", cut_for_a_while), ("slow", slowed)):
        yield fault("network", name, partial(does, world), NOTHING, "guard", random, quick=True)


# What comes after the start of the database, behind a network.
REST = stages(NOTHING)[1:]


@contextmanager
def network(world: EmbeddedWorld, delay: float = 0.0) -> Iterator[Proxy]:
    """The server listens at another address, and a proxy where it did."""
    configured = world.stack.data / "postgresql.auto.conf"
    before = configured.read_text(encoding="utf-8")
    configured.write_text(f"{before}listen_addresses = '{SERVER}'\n", encoding="utf-8")
    world.must("db-up")
    with Proxy.between(world.stack.ports["POSTGRES_PORT"], delay) as proxy:
        yield proxy


def cut_for_good(world: EmbeddedWorld, stage: str, share: float) -> Iterator[None]:
    with network(world) as proxy:
        patience = world.stack.edited("invoke.yaml", "    user: taskflow", "    wait: 10\n    user: taskflow")
        with patience, Task(world.stack, *REST) as task:
            task.until_begun(stage, REST)
            time.sleep(share * world.lasts[NOTHING, stage])  # a random moment: there is nothing to wait for
            # A stage may take less time than when it was measured; and the apps may be healthy by then, and the
            # catalog compared.
            proxy.cut()
            is_late = task.process.poll() is not None or task.ended("apps-up") is not None
            ran = task.end()
        if not (is_late and ran.code == 0):
            failed_clearly(ran)
        proxy.mend()
        yield


def cut_for_a_while(world: EmbeddedWorld) -> Iterator[None]:
    """The first answer is waited for."""
    with network(world) as proxy:
        proxy.cut()
        with Task(world.stack, *REST) as task:
            task.until("")
            time.sleep(2)
            proxy.mend()
            ran = task.end()
        assert ran.code == 0, ran.err
        yield


def slowed(world: EmbeddedWorld) -> Iterator[None]:
    """Ten milliseconds a packet and direction: a database in another town."""
    with network(world, delay=0.01) as proxy:
        with Task(world.stack, *REST) as task:
            ran = task.end()
        assert ran.code == 0, ran.err
        assert proxy.passed, "nobody came this way"
        yield


# -- the session -------------------------------------------------------------------------------------------------------


WITHOUT_DOCKER = ("kill", *KINDS, "database", "disk", "clock", "network")
WITH_DOCKER = ("docker", "docker-tasks", "memory", "engine")


def embedded(kinds: Collection[str], random: Random, moments: int) -> Iterator[Outcome]:
    """What became of every fault of those kinds."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedStack(Path(folder) / "ein Stück" / "taskflow") as stack:
        world = EmbeddedWorld(stack)
        world.prepare()
        faults: Mapping[str, Callable[[], Iterator[Fault]]] = {
            "kill": lambda: kills(world, random, moments),
            **{kind: partial(task_kills, world, random, [kind], moments) for kind in KINDS},
            "database": lambda: chain(*(database_kills(world, random, how) for how in ("alone", "with its children"))),
            "disk": lambda: full_disks(world, random),
            "clock": lambda: jumps(world, random),
            "network": lambda: networks(world, random),
        }
        for kind in kinds:
            yield from (tried(world, one) for one in faults[kind]())
        if world.struck:
            print(f"{world.struck[True]} of the random moments fell into their stage")
        world.crash()  # the last one may have left anything; what `clean` does about that is another proof


def docker(kinds: Collection[str], random: Random, moments: int) -> Iterator[Outcome]:
    """The same on Docker Compose, and what only containers have."""
    with ExitStack() as at_last:
        folder = at_last.enter_context(tempfile.TemporaryDirectory())
        stack = at_last.enter_context(without_pgadmin(Path(folder) / "ein Stück" / "taskflow"))
        world = ComposeWorld(stack)
        at_last.callback(world.forget_builds)
        world.prepare()
        if "docker-tasks" in kinds:
            yield from (tried(world, one) for one in task_kills(world, random, KINDS, min(moments, 1)))
        if "docker" in kinds:
            faults = chain(
                boundaries(world, random), database_kills(world, random, "with its container", (WORK[1], *WORK[3:]))
            )
            yield from (tried(world, one) for one in faults)
        if "memory" in kinds:
            yield from (tried(world, one) for one in out_of_memory(world, random))
        if "engine" in kinds:
            yield from on_an_engine_of_its_own(Path(folder), stack.project, random)


def lacking(kind: str) -> str:
    """What this machine has not, without which these faults cannot be tried."""
    if kind in {"disk", "engine"} and not (sys.platform == "linux" and os.geteuid() == 0):
        return "root on Linux"
    if kind == "network" and sys.platform != "linux":
        return "a second loopback address"
    if kind in WITH_DOCKER and run(["docker", "version"]).code:
        return "a Docker Engine"
    if kind == "engine" and not (shutil.which("dockerd") and shutil.which("unshare")):
        return "dockerd and unshare, for an engine of its own"
    return ""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="nox -s faults --")
    every = [*WITHOUT_DOCKER, *WITH_DOCKER]
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="what a run before has printed")
    parser.add_argument("--only", nargs="+", default=every, choices=every, metavar="KIND", help=", ".join(every))
    parser.add_argument("--moments", type=int, default=MOMENTS, help="random ones within each stage")
    chosen = parser.parse_args(arguments)
    print(f"seed {chosen.seed}", flush=True)
    with report("faults", chosen.seed) as made:
        missing = {kind: lack for kind in chosen.only if (lack := lacking(kind))}
        kinds = [kind for kind in chosen.only if kind not in missing]
        wrong = []
        random = Random(chosen.seed)  # noqa: S311  # nothing is to be kept secret
        for outcome in outcomes(kinds, random, chosen.moments):
            print(outcome, flush=True)
            made.counts[outcome.kind] = made.counts.get(outcome.kind, 0) + 1
            wrong += [outcome] if outcome.problems else []
        for kind, lack in missing.items():
            print(f"not tried: {kind}, which needs {lack}")
        made.counts |= {"wrong": len(wrong), "kinds not tried": len(missing)}
        if wrong or (missing and "CI" in os.environ):
            raise SystemExit("\n".join(["", *map(str, wrong)]))


def outcomes(kinds: Sequence[str], random: Random, moments: int) -> Iterator[Outcome]:
    if here := [kind for kind in kinds if kind in WITHOUT_DOCKER]:
        yield from embedded(here, random, moments)
    if there := [kind for kind in kinds if kind in WITH_DOCKER]:
        yield from docker(there, random, moments)


if __name__ == "__main__":
    # In the background of a shell Ctrl-C is ignored, and would be by the tasks that are interrupted here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(sys.argv[1:])
