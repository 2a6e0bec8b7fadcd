from __future__ import annotations

import io
import json
import re

import pytest

from scripts.bootorder.console import Console
from scripts.bootorder.errors import LogTail, MigrationError

from .fakes import FakeTerminal

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def talk() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    return FakeTerminal()


def say_everything(console: Console) -> None:
    console.begin(1, 2, "wait-db")
    console.settle()
    console.step(1, 2, "wait-db", "postgres answers", 0.5)
    console.begin(2, 2, "seed")
    console.settle()
    console.step(2, 2, "seed", "already seeded", 0.1, skipped=True)
    console.note("a note")
    console.table(["service", "health"], [["api", "healthy"], ["web", "unhealthy"]])
    console.check(False, "disk", "1 GiB free", "free at least 3 GiB")
    console.error(MigrationError("it broke", hint="mend it"))
    console.log_line("api", "started", 0)


def test_a_finished_stage_is_one_line_with_its_number_name_text_and_seconds(talk: io.StringIO) -> None:
    Console(talk).step(3, 7, "wait-db", "postgres answers on 127.0.0.1:5432", 1.234)

    assert talk.getvalue() == "[3/7] wait-db  postgres answers on 127.0.0.1:5432  1.2 s\n"


def test_a_skipped_stage_says_why(talk: io.StringIO) -> None:
    Console(talk).step(5, 7, "seed", "sso already seeded", 0.04, skipped=True)

    assert talk.getvalue() == "[5/7] seed  skipped (sso already seeded)  0.0 s\n"


def test_without_a_terminal_there_are_no_escape_codes_and_no_carriage_returns(talk: io.StringIO) -> None:
    data = io.StringIO()

    say_everything(Console(talk, data))

    assert "\x1b" not in talk.getvalue() + data.getvalue()
    assert "\r" not in talk.getvalue()


def test_a_terminal_gets_colour(terminal: FakeTerminal) -> None:
    say_everything(Console(terminal, io.StringIO()))

    assert COLOUR.search(terminal.getvalue())


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_gets_no_colour_when_it_wants_none(
    terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    say_everything(Console(terminal, io.StringIO()))

    assert not COLOUR.search(terminal.getvalue())


def test_in_ci_every_line_is_written_once_and_stays(terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    say_everything(Console(terminal, io.StringIO()))

    text = COLOUR.sub("", terminal.getvalue())
    assert "\r" not in text
    assert "..." not in text
    assert "\x1b" not in text


def test_on_a_terminal_a_running_stage_shows_and_is_replaced_when_it_ends(terminal: FakeTerminal) -> None:
    console = Console(terminal)

    console.begin(3, 7, "wait-db")
    assert terminal.getvalue() == "\r\x1b[K[3/7] wait-db  0.0 s"

    console.settle()
    console.step(3, 7, "wait-db", "postgres answers", 1.2)
    *_, shown = COLOUR.sub("", terminal.getvalue()).split("\r\x1b[K")
    assert shown == "[3/7] wait-db  postgres answers  1.2 s\n"


def test_colours_follow_the_stream_they_are_written_to(terminal: FakeTerminal) -> None:
    """`inv logs > file` on a terminal must not put escape codes into the file."""
    file = io.StringIO()

    Console(terminal, file).log_line("api", "started", 0)

    assert file.getvalue() == "api          | started\n"


def test_services_in_the_log_have_colours_of_their_own_on_a_terminal(terminal: FakeTerminal) -> None:
    console = Console(io.StringIO(), terminal)

    console.log_line("api", "started", 0)
    console.log_line("web", "started", 1)

    api, web = (line.partition("|")[0] for line in terminal.getvalue().splitlines())
    assert COLOUR.findall(api)[0] != COLOUR.findall(web)[0]


def test_an_error_shows_what_was_expected_what_was_seen_the_log_the_hint_and_how_to_go_on(talk: io.StringIO) -> None:
    error = MigrationError(
        "the push failed",
        hint="correct the schema, then migrate again",
        expected="5 tables",
        seen="3 tables",
        log=LogTail("pnpm db:push", ["Reading config", "error: no"]),
        details=["- table public.user"],
    )
    error.go_on = "inv migrate seed apps-up wait-apps"

    Console(talk).error(error, "migrate")

    assert talk.getvalue().splitlines() == [
        "error: migrate: the push failed",
        "  expected  5 tables",
        "  seen      3 tables",
        "  - table public.user",
        "  last 2 lines of pnpm db:push:",
        "    | Reading config",
        "    | error: no",
        "  hint: correct the schema, then migrate again",
        "  go on with: inv migrate seed apps-up wait-apps",
    ]


def test_an_error_leaves_out_what_it_does_not_know(talk: io.StringIO) -> None:
    Console(talk).error(MigrationError("it broke", hint="mend it"))

    assert talk.getvalue() == "error: it broke\n  hint: mend it\n"


def test_table_columns_are_as_wide_as_their_widest_cell(talk: io.StringIO) -> None:
    Console(talk).table(["service", "url"], [["sso-platform", "-"], ["api", "http://localhost:8000"]])

    assert talk.getvalue().splitlines() == [
        "service       url",
        "sso-platform  -",
        "api           http://localhost:8000",
    ]


def test_a_table_without_rows_is_its_heads(talk: io.StringIO) -> None:
    Console(talk).table(["service", "url"], [])

    assert talk.getvalue() == "service  url\n"


def test_health_is_coloured_and_a_service_of_that_name_is_not(terminal: FakeTerminal) -> None:
    Console(terminal).table(["service", "health"], [["api", "unhealthy"]])

    assert "\x1b[31munhealthy" in terminal.getvalue()


def test_a_finding_shows_its_mend_only_when_something_is_to_be_mended(talk: io.StringIO) -> None:
    console = Console(talk)

    console.check(True, "disk", "9 GiB free", "free at least 3 GiB")
    console.check(False, "disk", "1 GiB free", "free at least 3 GiB")
    console.check(False, "disk", "", "free at least 3 GiB")

    assert talk.getvalue().splitlines() == [
        "ok    disk  9 GiB free",
        "FIX   disk  1 GiB free; free at least 3 GiB",
        "FIX   disk  free at least 3 GiB",
    ]


def test_details_are_shown_with_verbose_only(talk: io.StringIO) -> None:
    Console(talk).detail("Pulling schema")
    assert talk.getvalue() == ""

    Console(talk, verbose=True).detail("Pulling schema")
    assert talk.getvalue() == "      | Pulling schema\n"


def test_details_hold_no_codes_that_move_the_cursor(talk: io.StringIO) -> None:
    Console(talk, verbose=True).detail("\x1b[2K\x1b[1G[✓] Pulling schema from database...")

    assert talk.getvalue() == "      | [✓] Pulling schema from database...\n"


def test_data_is_one_json_document_on_stdout_and_talk_stays_off_it(talk: io.StringIO) -> None:
    data = io.StringIO()
    console = Console(talk, data)

    console.say("starting")
    console.data({"name": "Müller", "tables": [1]})

    assert json.loads(data.getvalue()) == {"name": "Müller", "tables": [1]}
    assert "Müller" in data.getvalue()
    assert talk.getvalue() == "starting\n"
