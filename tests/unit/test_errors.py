from __future__ import annotations

import pytest

from scripts.bootorder import errors
from scripts.bootorder.errors import BootError, LogTail, command


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SettingsError, 2),
        (errors.MachineError, 3),
        (errors.NotReadyError, 4),
        (errors.MigrationError, 5),
        (errors.GuardError, 6),
        (errors.LockedError, 7),
        (errors.BuildError, 8),
        (errors.UserInterruptError, 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(kind: type[BootError], code: int) -> None:
    assert kind("it broke", hint="mend it").exit_code == code


def test_no_two_kinds_of_failure_share_an_exit_code() -> None:
    codes = [kind.exit_code for kind in BootError.__subclasses__()]

    assert len(codes) == len(set(codes)) == 8
    assert 0 not in codes


def test_a_log_keeps_its_last_20_lines_without_the_empty_ones() -> None:
    text = "\n\n".join(f"line {number}  " for number in range(50)) + "\n"

    tail = LogTail.of("api", text)

    assert tail.source == "api"
    assert list(tail.lines) == [f"line {number}" for number in range(30, 50)]


def test_a_log_keeps_no_codes_that_move_the_cursor_or_colour_the_text() -> None:
    """As drizzle-kit prints while it works: shown as they are, they would wipe out the line they stand in."""
    printed = "\x1b[2K\x1b[1G[✓] Pulling schema from database...\n\x1b[31mError:\x1b[39m no\n\x1b[?25h"

    assert list(LogTail.of("push", printed).lines) == ["[✓] Pulling schema from database...", "Error: no"]


def test_a_short_log_is_kept_whole() -> None:
    assert list(LogTail.of("api", "one\ntwo").lines) == ["one", "two"]


def test_an_error_as_data_holds_all_that_a_person_is_shown() -> None:
    error = errors.MigrationError(
        "the push failed", hint="correct it", expected="5 tables", seen="3", log=LogTail("push", ["a"]), details=["- b"]
    )
    error.go_on = "inv migrate"

    assert error.as_data() == {
        "message": "the push failed",
        "expected": "5 tables",
        "seen": "3",
        "details": ["- b"],
        "log": ["a"],
        "hint": "correct it",
        "go_on": "inv migrate",
        "exit_code": 5,
    }


def test_commands_are_told_the_way_the_person_called_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("start") == "inv start"

    monkeypatch.setenv("BOOTORDER_COMMAND", "./inv")

    assert command("start") == "./inv start"
