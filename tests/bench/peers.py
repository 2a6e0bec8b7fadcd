"""The sample stack on Docker, booted by `inv start` and by what people use instead, in turn.

Each side goes through all cases by itself, from an empty volume on: what one case leaves is what the next one needs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.stack import ComposeStack

from .figures import Figures
from .machine import engine_version
from .measure import (
    APPS,
    answers,
    call,
    compile_tasks,
    critical_path,
    fill,
    healthy,
    inv,
    inv_with_cpu,
    poll,
    require,
    timed,
)

_HERE = Path(__file__).parent
_STAGED = str(_HERE / "staged.sh")
# From this one on an engine knows `start_interval`.
_START_INTERVAL = 25


@dataclass
class Side:
    """Who boots, and by which commands: from nothing, all that is up anew, what was stopped, where nothing is to do."""

    name: str
    boot: Callable[[], object]
    again: Callable[[], object]
    quick: Callable[[], object]
    nothing: Mapping[str, Callable[[], object]]  # by what it is called


def measure(folder: Path, rounds: int, figures: Figures) -> None:
    with ComposeStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        inv(stack, "start")  # builds, rehearses, makes .env
        turns = [
            ("parts", partial(_parts, stack, figures)),
            *((side.name, partial(_cases, stack, side, figures)) for side in _sides(stack, figures)),
        ]
        for number in range(1, rounds + 1):
            first = number % len(turns)  # another one each time
            for name, turn in (*turns[first:], *turns[:first]):
                with figures.trying(f"compose, round {number}, {name}"):
                    stack.empty()
                    turn(number)


def _sides(stack: ComposeStack, figures: Figures) -> Sequence[Side]:
    staged = compose_with(stack, "staged.yaml")
    old = ["old-engine.yaml"] if engine_version() < _START_INTERVAL else []
    waited = compose_with(stack, "waited.yaml", *old)

    def script() -> None:
        staged(_STAGED)

    def up() -> None:
        waited("docker", "compose", "up", "--detach", "--wait")

    def after_stop(boot: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            call(["docker", "compose", "stop"], stack.folder, stack.environment)
            boot()

        return run

    def up_without_one_off() -> None:
        waited("docker", "compose", "up", "--detach", "--wait", "--no-deps", "postgres", "pgadmin", *APPS)

    def ours(case: str, *flags: str) -> Callable[[], None]:
        return lambda: figures.add_cpu("compose", case, inv_with_cpu(stack, "start", *flags))

    quick = ours("quick", "--quick")
    return [
        Side("ours", ours("cold"), ours("second"), quick, {"ours": ours("nothing", "--quick")}),
        Side("staged", script, after_stop(script), script, {}),  # it does everything again
        Side("waited", up, after_stop(up), up, {"waited": up, "named": up_without_one_off}),
    ]


def compose_with(stack: ComposeStack, *files: str) -> Callable[..., None]:
    """Runs commands for which these files stand beside compose.yaml."""
    named = os.pathsep.join(["compose.yaml", *(str(_HERE / name) for name in files)])

    def run(*argv: str) -> None:
        call(argv, stack.folder, {**stack.environment, "COMPOSE_FILE": named})

    return run


def _cases(stack: ComposeStack, side: Side, figures: Figures, number: int) -> None:
    def case(name: str, boot: Callable[[], object], called: str = side.name) -> None:
        seconds = timed(boot)
        if rows:
            require(stack, rows)
        else:
            rows.update(fill(stack))
        figures.add_peer("compose", name, called, number, seconds)
        if called == "ours":
            figures.add_path("compose", name, critical_path(stack))

    rows: dict[str, int] = {}
    case("cold", side.boot)
    case("second", side.again)
    call(["docker", "compose", "stop"], stack.folder, stack.environment)
    case("quick", side.quick)
    for called, boot in side.nothing.items():
        case("nothing", boot, called)
    if side.name == "ours":
        stack.empty()
        shutil.rmtree(stack.folder / ".bootorder" / "rehearsals")
        rows.clear()
        case("first", lambda: inv(stack, "start"))


def _parts(stack: ComposeStack, figures: Figures, number: int) -> None:
    """Each part alone, by hand; pgAdmin starts beside the database as it does in `start`."""

    def compose(*arguments: str) -> None:
        call(["docker", "compose", *arguments], stack.folder, stack.environment)

    def database() -> None:
        compose("up", "--detach", "--no-deps", "postgres", "pgadmin")
        poll(lambda: answers(stack))

    def apps() -> None:
        compose("up", "--detach", "--no-deps", *APPS)
        poll(lambda: all(healthy(stack.url(app, path)) for app, path in APPS.items()))

    once = ("run", "--rm", "--no-deps", "--no-TTY", "sso-setup")
    seconds = {
        "database": timed(database),
        "push": timed(lambda: compose(*once, "pnpm", "db:push")),
        "seed": timed(lambda: compose(*once, "pnpm", "seed:setup")),
        "apps": timed(apps),
    }
    fill(stack)
    for name, value in seconds.items():
        figures.add_peer("compose", "parts", name, number, value)
    figures.add_peer("compose", "cold", "parts", number, sum(seconds.values()))
