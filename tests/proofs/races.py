"""What happens when two people, or ten machines, do something to one stack at the same time: `nox -s races`.

Exactly one migration, nothing that runs unseen, no row lost, one more `start` that boots; and no error that a person
would not understand.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded.toolchain import Toolchain
from tests.proofs.crowd import after, at_once, honest, on_another_machine, scratch_databases, understood
from tests.stack import STACKS, Ran, Stack

ROWS = Path(__file__).with_name("rows.sql")
TEN = 10
SOME_TIME = "some time"
SEEDED = "select email from \"user\" where email like 'demo@%'"
APPLIED = "Changes applied"  # what drizzle-kit says when it changed a database


@pytest.fixture(scope="module")
def chance(random_seed: int) -> random.Random:
    return random.Random(random_seed)  # noqa: S311  # nothing is to be kept secret


def everything(stack: Stack) -> list[str]:
    return sorted({"postgres", "sso", "api", "web", *stack.beside})


def boots(stack: Stack) -> None:
    ran = stack.inv("start", "--quick")
    assert ran.code == 0, ran.err
    assert stack.running() == everything(stack)


def migrations(stack: Stack) -> int:
    """How often one was recorded since the database was made: the server counts the rows that were written."""
    written = "select sum(n_tup_ins + n_tup_upd)::int from pg_stat_user_tables where relid = to_regclass(%s)"
    return int(stack.query(written, "bootorder.migration")[0][0])


def test_ten_starts_at_once_on_a_fresh_checkout_are_one(stack: Stack) -> None:
    ran = at_once(*[partial(stack.inv, "start", "--verbose")] * TEN)

    assert sorted(one.code for one in ran) == [0] + [7] * (TEN - 1), [one.err for one in ran]
    for one in ran:
        understood(one)
    talk = "\n".join(one.err for one in ran)
    assert talk.count(APPLIED) == 2  # on the scratch database, to learn what is whose, and for good
    assert migrations(stack) == 1
    assert stack.running() == everything(stack)
    honest(stack)
    stack.query(ROWS.read_text(encoding="utf-8"))


@pytest.mark.only("compose")  # without Docker no other machine reaches the database
def test_ten_machines_migrate_one_database_once(stack: Stack, tmp_path: Path) -> None:
    boots(stack)  # so that everything is installed and rehearsed, whichever tests came before
    stack.empty()
    assert stack.inv("db-up", "wait-db").code == 0

    stages = ("guard", "migrate", "--verbose", "seed")
    machines = [on_another_machine(stack, tmp_path, *stages) for _ in range(TEN)]
    ran = at_once(*machines)

    failed = "\n".join(one.err for one in ran if one.code)
    assert not failed, failed
    talk = "\n".join(one.err for one in ran)
    assert talk.count(APPLIED) == 1, talk
    assert talk.count("migrate  sso migrated") == 1, talk
    assert "migrate  skipped (sso done by bootorder on " in talk
    assert migrations(stack) == 1
    assert stack.query(SEEDED) == [("demo@example.com",)]
    assert scratch_databases(stack) == []
    boots(stack)
    stack.query(ROWS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("moment", [0.0, 1.0, SOME_TIME])
def test_start_and_stop_at_once(stack: Stack, chance: random.Random, moment: str | float) -> None:
    before = kept(stack)
    ran = raced(partial(stack.inv, "start"), partial(stack.inv, "stop"), moment, chance)

    assert 0 in [one.code for one in ran]
    assert stack.running() in ([], everything(stack))
    honest(stack)
    boots(stack)
    assert stack.fingerprint() == before


@pytest.mark.parametrize("moment", [0.0, SOME_TIME])
def test_start_and_clean_at_once(stack: Stack, chance: random.Random, moment: str | float) -> None:
    ran = raced(partial(stack.inv, "start"), partial(stack.inv, "clean"), moment, chance)

    assert 0 in [one.code for one in ran]
    assert stack.remains() == [] or stack.running() == everything(stack)
    honest(stack)
    boots(stack)
    assert stack.query(SEEDED) == [("demo@example.com",)]


@pytest.mark.only("compose")  # without Docker no other machine sees what runs here
@pytest.mark.parametrize("moment", [0.0, SOME_TIME])
@pytest.mark.parametrize("other", ["stop", "start"])
def test_start_and_another_machine_at_once(
    stack: Stack, tmp_path: Path, chance: random.Random, other: str, moment: str | float
) -> None:
    before = kept(stack)
    raced(partial(stack.inv, "start"), on_another_machine(stack, tmp_path, other), moment, chance)

    honest(stack)
    boots(stack)
    assert stack.fingerprint() == before


def raced(one: Callable[[], Ran], other: Callable[[], Ran], moment: str | float, chance: random.Random) -> list[Ran]:
    """Both, the other one at that moment after the first; or at any moment of it, and sometimes before it."""
    seconds = moment if isinstance(moment, float) else chance.uniform(-3, 10)
    print(f"the other one begins after {seconds:.2f} s")
    ran = at_once(after(-seconds, one), after(seconds, other))
    for each in ran:
        print(each.err)
        understood(each)
        assert "is taken by docker-proxy" not in each.err  # it listens for this stack: nobody is to stop it
    return ran


def kept(stack: Stack) -> dict[str, tuple[int, str]]:
    """The rows, of a stack whose database runs; it was booted once, whichever tests came before."""
    assert stack.inv("start", "--quick").code == 0
    return stack.fingerprint()


# -- two checkouts ----------------------------------------------------------------------------------------------------


def test_two_checkouts_boot_at_once_and_leave_each_other_alone(stack: Stack) -> None:
    before = kept(stack)
    with STACKS[stack.runtime](stack.folder.with_name("second")) as second:
        ran = at_once(partial(stack.inv, "start"), partial(second.inv, "start"))
        assert [one.code for one in ran] == [0, 0], [one.err for one in ran]
        for each in (stack, second):
            assert each.running() == everything(each)
            honest(each)
        assert stack.fingerprint() == before
        assert second.tables()["task"] == 0

        ran = at_once(partial(stack.inv, "start"), partial(second.inv, "clean"))
        assert [one.code for one in ran] == [0, 0], [one.err for one in ran]
        assert second.remains() == []
        assert stack.running() == everything(stack)
        assert stack.fingerprint() == before


# -- a push by hand ---------------------------------------------------------------------------------------------------


HELD = "oauth_client_assertion"  # the table before which the push by hand stands still


def test_migrate_while_a_push_by_hand_makes_the_tables(stack: Stack) -> None:
    boots(stack)  # its tools are installed
    stack.empty()
    assert stack.inv("db-up", "wait-db", "guard").code == 0

    with held(stack) as waiting:
        hand = push_by_hand(stack)
        waiting(hand, 1)
        ran = stack.inv("migrate")
    said = hand.communicate()[0]

    assert hand.returncode == 0, said
    understood(ran)
    assert ran.code == 4, ran.err
    assert "an owner's transaction goes on that began before the names of the tables were reserved" in ran.err
    boots(stack)
    assert stack.query(SEEDED) == [("demo@example.com",)]
    stack.query(ROWS.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("flags", "codes"), [(["--quick"], {4}), ([], {0})])
def test_start_on_full_tables_while_a_push_by_hand_is_under_way(
    stack: Stack, flags: list[str], codes: set[int]
) -> None:
    boots(stack)
    before = stack.fingerprint()
    del before[HELD]
    stack.query(f"drop table {HELD}", owner="sso")

    with held(stack) as waiting:
        hand = push_by_hand(stack)
        waiting(hand, 1)
        ran = stack.inv("start", *flags)
    said, _ = hand.communicate()

    understood(ran)
    assert ran.code in codes, ran.err
    if flags:
        assert hand.returncode == 0, said
    boots(stack)
    after_it = stack.fingerprint()
    assert after_it.pop(HELD)[0] == 0
    assert after_it == before


@contextmanager
def held(stack: Stack) -> Iterator[Callable[[subprocess.Popen[str], int], None]]:
    """For as long as the block lasts whoever makes the table waits for a transaction that may yet make it."""
    with stack.connect("sso", autocommit=False) as connection:
        connection.execute(f"create table {HELD} (id int)".encode())

        def waiting(hand: subprocess.Popen[str], number: int) -> None:
            """Return when so many wait."""
            query = "select count(*) from pg_stat_activity where usename = 'sso' and wait_event_type = 'Lock'"
            limit = time.monotonic() + 300
            while stack.query(query) != [(number,)]:
                assert hand.poll() is None, hand.communicate()
                assert time.monotonic() < limit, f"there were never {number} who waited"
                time.sleep(0.05)

        try:
            yield waiting
        finally:
            with suppress(psycopg.OperationalError):  # a `start` stops the database, too
                connection.rollback()


def push_by_hand(stack: Stack) -> subprocess.Popen[str]:
    """As docs/migrators/drizzle.md says; without Docker with the URL that `inv url` prints."""
    environment, folder = dict(stack.environment), stack.folder
    argv = ["pnpm", "db:push"]
    if stack.runtime == "compose":
        argv = ["docker", "compose", "run", "--rm", "--no-TTY", "sso-setup", *argv]
    else:
        folder /= "sso-platform"
        tools = Toolchain(folder, stack.folder / ".bootorder" / "tools", SystemProcesses(), print)
        environment["PATH"] = os.pathsep.join([*tools.path, environment["PATH"]])
        environment["DATABASE_URL"] = stack.inv("url", "--as", "sso").out.strip()
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
