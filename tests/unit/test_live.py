from __future__ import annotations

import threading

import pytest

from scripts.bootorder.live import LiveLine

from .fakes import FakeTerminal


def screen(terminal: FakeTerminal) -> list[str]:
    """What a person sees: `\\r` goes back to the begin of the line, and the code after it clears it."""
    return [line.rpartition("\r\x1b[K")[2] for line in terminal.getvalue().split("\n")]


@pytest.fixture
def terminal() -> FakeTerminal:
    return FakeTerminal()


@pytest.fixture
def live(terminal: FakeTerminal) -> LiveLine:
    return LiveLine(terminal, in_place=True)


def until(terminal: FakeTerminal, text: str) -> None:
    """The line is drawn by a thread."""
    pause = threading.Event()
    while text not in screen(terminal)[-1]:
        pause.wait(0.01)


def test_a_running_stage_has_a_line_with_its_seconds(terminal: FakeTerminal, live: LiveLine) -> None:
    live.begin("[3/7] wait-db")

    assert screen(terminal) == ["[3/7] wait-db  0.0 s"]
    until(terminal, "0.2 s")
    live.settle()


def test_the_last_thing_that_was_seen_of_it_is_shown(terminal: FakeTerminal, live: LiveLine) -> None:
    live.begin("[6/7] migrate")
    live.see("one")
    live.see("two\n\tlines")

    until(terminal, "s  two lines")
    live.settle()


def test_nothing_of_it_is_left_when_it_is_settled(terminal: FakeTerminal, live: LiveLine) -> None:
    live.begin("[3/7] wait-db")
    live.settle()
    live.write("[3/7] wait-db  it answers")
    live.settle()

    assert screen(terminal) == ["[3/7] wait-db  it answers", ""]


def test_other_lines_go_above_it(terminal: FakeTerminal, live: LiveLine) -> None:
    live.begin("[3/7] migrate")
    live.write("a note")

    assert screen(terminal)[0] == "a note"
    assert screen(terminal)[-1].startswith("[3/7] migrate")
    live.settle()


def test_it_is_never_longer_than_the_terminal(
    terminal: FakeTerminal, live: LiveLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    live.begin("[3/7] migrate")
    live.see("x" * 100)

    until(terminal, "xxx")
    assert len(screen(terminal)[-1]) == 39
    live.settle()


def test_its_thread_ends_with_it(live: LiveLine) -> None:
    before = threading.active_count()
    for _ in range(5):
        live.begin("a stage")
    live.settle()

    pause = threading.Event()
    while threading.active_count() > before:
        pause.wait(0.01)


def test_where_lines_cannot_be_rewritten_there_are_only_lines(terminal: FakeTerminal) -> None:
    live = LiveLine(terminal, in_place=False)

    live.begin("[3/7] wait-db")
    live.see("something")
    live.write("[3/7] wait-db  it answers")
    live.settle()

    assert terminal.getvalue() == "[3/7] wait-db  it answers\n"


def test_lines_of_many_threads_stay_whole(terminal: FakeTerminal, live: LiveLine) -> None:
    live.begin("[9/9] wait-apps")
    threads = [threading.Thread(target=live.write, args=[f"line of {number}"]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live.settle()

    assert sorted(screen(terminal)[:-1]) == sorted(f"line of {number}" for number in range(20))
