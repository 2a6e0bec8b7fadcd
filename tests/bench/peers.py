"""The sample stack on Docker, booted by `inv start` and by what people use instead, in turn.

Each side goes through all cases by itself, from an empty volume on: what one case leaves is what the next one needs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.stack import ComposeStack

from .figures import CPU_WANTED, Figures
from .machine import engine_version
from .measure import APPS, answers, call, compile_tasks, fill, healthy, inv, inv_with_cpu, poll, require, timed

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
    nothing: Callable[[], object] | None


def measure(folder: Path, rounds: int, figures: Figures) -> None:
    with ComposeStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        inv(stack, "start")  # builds, rehearses, makes .env
        for number in range(1, rounds + 1):
            for side in _in_turn([None, *_sides(stack, figures)], number):
                with figures.trying(f"compose, round {number}, {side.name if side else 'parts'}"):
                    stack.empty()
                    if side:
                        _cases(stack, side, number, figures)
                    else:
                        seconds = time_parts(stack)
                        for name, value in seconds.items():
                            figures.add_peer("compose", "parts", name, number, value)
                        figures.add_peer("compose", "cold", "parts", number, sum(seconds.values()))


def _in_turn(sides: Sequence[Side | None], number: int) -> Sequence[Side | None]:
    """Another one is first each time."""
    first = number % len(sides)
    return [*sides[first:], *sides[:first]]


def _sides(stack: ComposeStack, figures: Figures) -> Sequence[Side]:
    def start(case: str, *flags: str) -> None:
        cpu = inv_with_cpu(stack, "start", *flags)
        figures.add_single(f"own CPU of a start, {case}", cpu, "s", CPU_WANTED)

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

    def ours(case: str, *flags: str) -> Callable[[], None]:
        return lambda: start(case, *flags)

    return [
        Side("ours", ours("cold"), ours("second"), ours("quick", "--quick"), ours("nothing to do", "--quick")),
        Side("staged", script, after_stop(script), script, None),  # it knows no nothing to do
        Side("waited", up, after_stop(up), up, up),
    ]


def compose_with(stack: ComposeStack, *files: str) -> Callable[..., None]:
    """Runs commands for which these files stand beside compose.yaml."""
    named = os.pathsep.join(["compose.yaml", *(str(_HERE / name) for name in files)])

    def run(*argv: str) -> None:
        call(argv, stack.folder, {**stack.environment, "COMPOSE_FILE": named})

    return run


def _cases(stack: ComposeStack, side: Side, number: int, figures: Figures) -> None:
    def case(name: str, boot: Callable[[], object]) -> None:
        seconds = timed(boot)
        if rows:
            require(stack, rows)
        else:
            rows.update(fill(stack))
        figures.add_peer("compose", name, side.name, number, seconds)

    rows: dict[str, int] = {}
    case("cold", side.boot)
    case("second", side.again)
    call(["docker", "compose", "stop"], stack.folder, stack.environment)
    case("quick", side.quick)
    if side.nothing:
        case("nothing", side.nothing)
    if side.name == "ours":
        stack.empty()
        shutil.rmtree(stack.folder / ".bootorder" / "rehearsals")
        rows.clear()
        case("first", lambda: inv(stack, "start"))


def time_parts(stack: ComposeStack) -> dict[str, float]:
    """Each part alone, by hand, in seconds; pgAdmin starts beside the database as it does in `start`."""

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
    return seconds
