"""Booting again and again, with rows written in between: `nox -s soak [-- 1000]`.

After each boot all that could be left behind is counted: processes and their open files, containers, volumes, networks,
images, databases, roles, the tasks' own tables and connections, files. From the third boot on everything must be there
as often as after the second one, name by name. Only this may grow:

- the rows that are written here, which must all stay, and with them what PostgreSQL keeps them in;
- logs, which a supervisor or the engine turns when they are full;
- a supervisor's memory, by less than `MEMORY`, and the apps' connections, up to `CONNECTIONS`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from scripts.bootorder.runtimes.embedded.supervisor import LOG_BYTES
from tests.reports import report
from tests.stack import STACKS, ComposeStack, EmbeddedStack, Stack, listed, run, service_of

# What a person does from one boot to the next, in turn.
WAYS: Sequence[Sequence[str]] = (
    ["start"],
    ["start"],
    ["stop db-up wait-db", "migrate --plan", "start"],  # the plan tries on clones of the database
    ["start --quick"],
    ["stop", "start --quick"],
    ["migrate", "start"],
)
MEMORY = 4 * 1024 * 1024
CONNECTIONS = 40  # what the pools of the apps may open together

ROWS = """
    insert into project (name) values ('boot {0}');
    insert into task (title, project_id, created_at) select 'a task', id, now() from project where name = 'boot {0}';
    insert into "user" (id, name, email) values ('u-{0}', 'Grace', 'grace-{0}@example.com')
"""
# Each a kind of thing in the database; its names.
IN_DATABASE = {
    "database": "select datname::text from pg_database",
    "role": "select rolname::text from pg_roles",
    "schema": "select nspname::text from pg_namespace where nspname !~ '^pg_(toast_)?temp_'",
    "relation": "select oid::regclass::text from pg_class where relpersistence <> 't'",
    "event trigger": "select evtname::text from pg_event_trigger",
    "record of a migration": "select owner from bootorder.migration",
    "record of a seed": "select owner from bootorder.seed",
    "connection of the tasks": "select application_name from pg_stat_activity where application_name ~ '^bootorder'",
    "replication slot": "select slot_name::text from pg_replication_slots",
    "prepared transaction": "select gid from pg_prepared_xacts",
}
# Whatever the first boots left: it may not be there when a task has ended.
NEVER = ("database bootorder_", "connection of the tasks", "prepared transaction", "process elsewhere")
# What a build makes or a server keeps is one thing each.
_INSIDE = {"node_modules", ".next", "data"}


@dataclass
class Soak:
    """One stack, booted many times. `temporary`: where its tasks, tools and apps keep what they need for a while."""

    stack: Stack
    temporary: Path
    expected: Counter[str] = field(default_factory=Counter)
    memory: Mapping[str, int] = field(default_factory=dict)
    rows: int = 0

    def boot(self, number: int) -> None:
        before = self.stack.fingerprint() if number > 1 else {}
        for typed in WAYS[(number - 1) % len(WAYS)]:
            ran = self.stack.inv(*typed.split(), env={"TMPDIR": str(self.temporary)})
            if ran.code:
                raise SystemExit(f"boot {number}: inv {typed} ended with {ran.code}:\n{ran.err}")
        if number > 1 and self.stack.fingerprint() != before:
            raise SystemExit(f"boot {number} changed rows")

    def write(self, number: int) -> None:
        self.stack.query(ROWS.format(number))
        self.rows += 3

    def look(self, number: int) -> list[str]:
        """What is there more or less often than it should be."""
        found, memory = Counter(self._things()), self._memory()
        if number <= 2:  # logs of a run before there are from the second boot on
            self.expected, self.memory = found, memory
        wrong = [f"+ {thing}" for thing in sorted((found - self.expected).elements())]
        wrong += [f"- {thing}" for thing in sorted((self.expected - found).elements())]
        wrong += [f"! {thing}" for thing in found if thing.startswith(NEVER)]
        grown = {name: size - self.memory[name] for name, size in memory.items() if name in self.memory}
        wrong += [f"+ {size} bytes of memory of {name}" for name, size in grown.items() if size > MEMORY]
        return [*wrong, *self._unbounded()]

    def _things(self) -> Iterator[str]:
        for kind, query in IN_DATABASE.items():
            yield from (f"{kind} {name}" for (name,) in self.stack.query(query))
        for folder in (self.stack.folder, self.temporary):
            yield from (f"file {path}" for path in files(folder))
        if isinstance(self.stack, ComposeStack):
            yield from on_engine(self.stack)
        its = {process.pid for process, _, _ in self._processes()}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                # PostgreSQL's own come and go.
                if process.environ().get("TMPDIR") == str(self.temporary) and process.name() != "postgres":
                    yield f"process {'' if process.pid in its else 'elsewhere '}{process.name()}"
        for process, kind, service in self._processes():
            if kind == "supervisor":
                yield f"supervisor of {service}"
                yield from [f"open file of {service}'s supervisor"] * process.num_fds()

    def _processes(self) -> list[tuple[psutil.Process, str, str]]:
        return self.stack._found() if isinstance(self.stack, EmbeddedStack) else []

    def _memory(self) -> Mapping[str, int]:
        return {name: process.memory_info().rss for process, kind, name in self._processes() if kind == "supervisor"}

    def _unbounded(self) -> Iterator[str]:
        [(connections,)] = self.stack.query(
            "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        )
        if connections > CONNECTIONS:
            yield f"+ {connections} connections"
        if isinstance(self.stack, ComposeStack):
            for container in self.stack._containers():
                if "max-size" not in container["HostConfig"]["LogConfig"]["Config"]:
                    yield f"+ a log that nobody turns, of {service_of(container)}"
        for log in (self.stack.folder / ".bootorder" / "logs").glob("*"):
            if log.stat().st_size > LOG_BYTES * 1.1:  # with the lines that came when it was full
                yield f"+ {log.stat().st_size} bytes of {log.name}"


def files(folder: Path) -> Iterator[str]:
    """Every one below it, by its path; of what a build makes or a server keeps only the folder."""
    for parent, folders, names in os.walk(folder):
        for name in (*names, *(_INSIDE & set(folders))):
            yield str(Path(parent, name).relative_to(folder))
        folders[:] = [name for name in folders if name not in _INSIDE]


def on_engine(stack: ComposeStack) -> Iterator[str]:
    for kind, shown in {"container": "{{.Names}}", "volume": "{{.Name}}", "network": "{{.Name}}"}.items():
        yield from (f"{kind} {name}" for name in listed(kind, stack.project, shown))
    # By its id, too: an image whose name a newer one took is left without a name.
    shown = "{{.Repository}} {{.ID}}"
    images = run(["docker", "image", "ls", "--filter", f"reference={stack.project}-*", "--format", shown])
    yield from (f"image {line}" for line in images.out.splitlines())
    for container in stack._containers():
        if container["State"]["Running"]:
            yield from (f"process of {service_of(container)} {command}" for command in _commands(container))


def _commands(container: Mapping[str, Any]) -> Iterator[str]:
    """Those of its first process and what that started. No health check is one of them; PostgreSQL's come and go."""
    rows = run(["docker", "top", container["Id"], "-eo", "pid,ppid,args"]).out.splitlines()[1:]
    commands = {pid: (parent, command) for pid, parent, command in (row.split(maxsplit=2) for row in rows)}
    for pid, (_, command) in commands.items():
        first = pid
        while commands.get(first, ("",))[0] in commands:
            first = commands[first][0]
        if first == str(container["State"]["Pid"]) and not command.startswith(("postgres: ", "[postgres]")):
            yield command


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("boots", type=int, nargs="?", default=20)
    parser.add_argument("--runtime", choices=list(STACKS), required=True)
    asked = parser.parse_args()
    with report(f"soak-{asked.runtime}") as made, tempfile.TemporaryDirectory() as name:
        temporary = Path(name) / "tmp"
        temporary.mkdir(mode=0o777)
        with STACKS[asked.runtime](Path(name) / "ein Stück" / "taskflow") as stack:
            soak, wrong = Soak(stack, temporary), list[str]()
            for number in range(1, asked.boots + 1):
                soak.boot(number)
                leaks = [f"boot {number}: {line}" for line in soak.look(number)]
                wrong += leaks
                way = ", ".join(WAYS[(number - 1) % len(WAYS)])
                print(*leaks, f"boot {number}: {way}: {soak.expected.total()} things", sep="\n")
                soak.write(number)
                made.counts = {"boots": number, "rows written": soak.rows, "things counted": soak.expected.total()}
                made.counts["leaks"] = len(wrong)
        if wrong:
            raise SystemExit(f"{len(wrong)} things were left, or are missing")


if __name__ == "__main__":
    main()
