"""The sample stack without Docker: `inv start` of what is installed and built, against its parts by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from invoke.util import yaml  # type: ignore[attr-defined]  # the copy Invoke itself loads invoke.yaml with

from scripts.bootorder.console import Console
from scripts.bootorder.opening import open_boot
from tests.stack import EmbeddedStack

from .figures import Figures
from .measure import APPS, compile_tasks, critical_path, fill, healthy, inv, inv_with_cpu, poll, require, timed


def measure(folder: Path, rounds: int, figures: Figures) -> None:
    with EmbeddedStack(folder / "taskflow") as stack:
        compile_tasks(stack)
        inv(stack, "start")  # installs, builds and rehearses
        for number in range(1, rounds + 1):
            with figures.trying(f"embedded, round {number}, parts"):
                _parts(stack, number, figures)
            with figures.trying(f"embedded, round {number}, ours"):
                _starts(stack, number, figures)


def _parts(stack: EmbeddedStack, number: int, figures: Figures) -> None:
    """From nothing, and where everything is there; by stages what a start leaves no other way to time."""
    stack.empty()
    cold = _seconds_of(stack, "start", "--until", "guard")
    parts = {"database": cold["db-up"] + cold["wait-db"], **_processes(stack)}
    rows = fill(stack)
    for name, seconds in parts.items():
        figures.add_peer("embedded", "parts", name, number, seconds)
    figures.add_peer("embedded", "cold", "parts", number, sum(parts.values()))
    figures.add_single("embedded: database cold", parts["database"], "s", 1.0)

    inv(stack, "start")
    stopped = _seconds_of(stack, "start", "--until", "stop")
    figures.add_single("embedded: stop", stopped["stop"], "s", 1.0)
    warm = _seconds_of(stack, "start", "--until", "wait-db")
    figures.add_single("embedded: database warm", warm["db-up"] + warm["wait-db"], "s", 0.25)
    figures.add_peer("embedded", "second", "steps", number, sum(_processes(stack).values()))
    require(stack, rows)


def _starts(stack: EmbeddedStack, number: int, figures: Figures) -> None:
    def start(case: str, *flags: str) -> None:
        seconds = timed(lambda: figures.add_cpu("embedded", case, inv_with_cpu(stack, "start", *flags)))
        if rows:
            require(stack, rows)
        else:
            rows.update(fill(stack))
        figures.add_peer("embedded", case, "ours", number, seconds)
        figures.add_path("embedded", case, critical_path(stack))

    rows: dict[str, int] = {}
    stack.empty()
    start("cold")
    start("second")
    inv(stack, "stop")
    start("quick", "--quick")
    start("nothing", "--quick")


def _seconds_of(stack: EmbeddedStack, *arguments: str) -> Mapping[str, float]:
    ran = stack.inv(*arguments, "--json")
    assert ran.code == 0, ran.err
    return {stage["stage"]: stage["seconds"] for stage in ran.json["stages"]}


def _processes(stack: EmbeddedStack) -> dict[str, float]:
    """Push, seed, and the slowest app from its start to its first answer, on the database that runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        config = yaml.safe_load((stack.folder / "invoke.yaml").read_text(encoding="utf-8"))  # type: ignore[no-untyped-call]
        runtime = open_boot(stack.folder, config, Console(), "embedded").runtime

        def run(script: str) -> None:
            done = runtime.run_once("sso-setup", ["pnpm", script], {}, _quiet)
            assert done.code == 0, done.text

        def app(name: str) -> None:
            runtime.start([name], _quiet)
            poll(lambda: healthy(stack.url(name, APPS[name])))

        return {
            "push": timed(lambda: run("db:push")),
            "seed": timed(lambda: run("seed:setup")),
            "slowest app": max([timed(lambda name=name: app(name)) for name in APPS]),  # type: ignore[misc]
        }


def _quiet(_line: str) -> None:
    """What the tools say is not of interest here."""
