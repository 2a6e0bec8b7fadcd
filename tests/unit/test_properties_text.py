"""Whatever is written in .env, printed by a tool, called by a person: it is read as it was meant, and kept apart."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.bootorder import env_file
from scripts.bootorder.access import sized
from scripts.bootorder.boot import Boot
from scripts.bootorder.database import Target
from scripts.bootorder.errors import LogTail, SettingsError
from scripts.bootorder.guard.roles import opens
from scripts.bootorder.migrators import BY_NAME
from scripts.bootorder.outcome import Outcome
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.embedded.logs import merged, tail
from scripts.bootorder.runtimes.embedded.runtime import EmbeddedRuntime
from scripts.bootorder.runtimes.embedded.table import _LABEL, ProcessTable
from scripts.bootorder.settings import parse
from scripts.bootorder.stages import Stage, run_plan
from scripts.bootorder.terminal import plain
from scripts.bootorder.urls import user_and_database, with_database

from .fakes import FakeProcesses, FakeStack
from .odd import is_a_refusal, odd_characters, odd_text, possible_names

# -- what tools print --------------------------------------------------------------------------------------------------

# Colours, the cursor, links, the window's title, other alphabets, a bell, and those of them that were cut off.
_CODES = [
    *("\x1b[0m", "\x1b[1;31m", "\x1b[38;5;208m", "\x1b[38:2::1:2:3m", "\x1b[?25l", "\x1b[2K", "\x1b[>4;1m", "\x1b[1 q"),
    *(
        "\x1b]0;pnpm dev\x07",
        "\x1b]8;;https://example.com/\x1b\\",
        "\x1b]8;;\x1b\\",
        "\x1b(B",
        "\x1b7",
        "\x1b=",
        "\x1bM",
    ),
    "\x1bP1$r0m\x1b\\",
]
_printed = st.text(st.sampled_from("ab[]m0;?\\ \t\r\nä✓"), max_size=10)


@given(st.lists(st.tuples(_printed, st.sampled_from(_CODES)), max_size=6), _printed)
def test_plain_text_is_what_was_printed_without_the_codes_between(parts: list[tuple[str, str]], end: str) -> None:
    assert plain("".join(text + code for text, code in parts) + end) == "".join(text for text, _ in parts) + end


@given(st.text(st.sampled_from("\x1b[]();?0m18\x07\\ax\n\x9b"), max_size=30))
def test_no_text_leaves_a_code_for_the_terminal(text: str) -> None:
    assert "\x1b" not in plain(text)
    assert plain(plain(text)) == plain(text)


@given(odd_text)
def test_text_without_codes_is_plain_already(text: str) -> None:
    assert plain(text.replace("\x1b", "")) == text.replace("\x1b", "")


@given(st.text(st.one_of(odd_characters, st.sampled_from("\n\r\x1b[ ab")), max_size=200), st.integers(0, 2))
def test_the_tail_of_any_output_is_its_last_lines_that_say_something(text: str, code: int) -> None:
    lines = LogTail.of("tool", text).lines

    assert len(lines) <= LogTail.KEPT
    assert all(line.strip() and len(line.splitlines()) == 1 and "\x1b" not in line for line in lines)
    for migrator in BY_NAME.values():
        claim = migrator.claim(Completed(code, text, text))
        assert claim.text.strip()
        assert not (code and claim.succeeded)


# -- .env --------------------------------------------------------------------------------------------------------------

_env_lines = st.one_of(
    st.tuples(
        st.sampled_from(["A", "B", "export A", " C ", "D-E", ""]),
        st.sampled_from(["=", " = ", "", ":"]),
        st.one_of(st.text("ab $'\"\\#=\té", max_size=8), st.sampled_from(["'a b'", '"a\\nb"', "'a\nb'", "a # b"])),
    ).map("".join),
    st.sampled_from(["", "# comment", "\ufeff"]),
)
_ends = st.sampled_from(["", "\n", "\r\n", "\r", " ", "\\"])
_env_names = st.sampled_from(["A", "B", "NEW", "NEW_TOO"])


@given(st.lists(_env_lines, max_size=5), st.sampled_from(["\n", "\r\n"]), _ends, st.lists(_env_names, max_size=4))
def test_a_file_that_is_understood_says_what_it_said_and_the_secrets_that_were_missing(
    lines: list[str], newline: str, end: str, wanted: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_bytes((newline.join(lines) + end).encode())
        before = env_file.written(path)
        try:
            env_file.check(path)
        except SettingsError as error:
            is_a_refusal(error)
            return

        added = env_file.complete(path, wanted, Path(folder, "lock", "env"))

        env_file.check(path)
        after = env_file.written(path)
        again = env_file.complete(path, wanted, Path(folder, "lock", "env"))
    assert {name: after[name] for name in before} == before
    assert set(added) == set(wanted) - set(before)
    assert set(after) == {*before, *wanted}
    assert all(len(after[name]) == 48 for name in added)
    assert again == []


# Lines may end as they do on Windows.
@given(st.dictionaries(_env_names, odd_text.map(lambda text: text.replace("\r", "\n")), max_size=3))
def test_any_value_can_be_written_in_single_quotes(values: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))

    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_bytes("".join(f"{name}={quoted(value)}\n" for name, value in values.items()).encode())

        env_file.check(path)
        read = env_file.written(path)
    assert read == values


@given(st.sampled_from(["ONE=secret", "# mine\nONE=secret\n"]))
def test_the_mark_that_an_editor_puts_before_a_text_in_utf_8_is_no_part_of_a_name(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_text(text, encoding="utf-8-sig")

        env_file.check(path)
        assert env_file.written(path) == {"ONE": "secret"}


@given(odd_text.filter(lambda text: not set("\0/") & set(text) and text not in {"", ".", ".."}))
def test_any_folder_gives_a_name_that_compose_takes(folder: str) -> None:
    name = env_file.project_name(Path("/somewhere", folder))

    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name)
    assert name != env_file.project_name(Path("/elsewhere", folder))


def test_a_folder_whose_name_is_not_utf_8_has_one_too() -> None:
    folder = Path("/somewhere", os.fsdecode(b"caf\xe9"))

    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", env_file.project_name(folder))
    assert ProcessTable(folder, folder, folder, dict).label("web")


# -- URLs --------------------------------------------------------------------------------------------------------------


@given(
    user=possible_names,
    password=odd_text,
    old=possible_names,
    new=possible_names,
    safe=st.sampled_from(["", ":", "@"]),
    from_host=st.booleans(),
)
def test_a_url_says_again_who_connects_and_where_to_whatever_they_are_called(
    user: str, password: str, old: str, new: str, safe: str, from_host: bool
) -> None:
    host, name = "postgres:5432", quote(old, safe="")
    # In a password people leave some letters as they are.
    url = f"postgresql://{quote(user, safe='')}:{quote(password, safe=safe)}@{host}/{name}?sslmode=disable"
    other = Target("127.0.0.1", 5433, new, user, password)

    turned = with_database(url, other.name, other.address if from_host else "")

    assert user_and_database(url) == (user, old)
    assert user_and_database(turned) == (user, new)
    assert user_and_database(other.url) == (user, new)
    assert (f"@{other.address}/" in turned) == from_host
    assert unquote(turned.partition("@")[0]) == unquote(url.partition("@")[0])
    assert with_database(turned, old).endswith("?sslmode=disable")


@given(user=possible_names, name=possible_names)
def test_a_target_never_shows_its_password(user: str, name: str) -> None:
    target = Target("127.0.0.1", 5432, name, user, "c0rrect-horse")

    assert "c0rrect" not in f"{target} {target!r} {target.url} {target.address}"


# -- logs --------------------------------------------------------------------------------------------------------------

_seconds = st.integers(0, 59).map(lambda second: f"2026-11-22T17:00:{second:02}.000Z")
_log_text = st.text(st.sampled_from("ab \r\té"), max_size=6)
_log = st.lists(st.tuples(_seconds, _log_text), max_size=12)


def _write(folder: Path, service: str, entries: list[tuple[str, str]], turned: list[int]) -> Path:
    """In up to three files, as a supervisor leaves them that turned its log at these places."""
    path = folder / f"{service}.log"
    ends = [0, *sorted(min(at, len(entries)) for at in turned), len(entries)]
    parts = [entries[a:b] for a, b in itertools.pairwise(ends)]
    for number, part in enumerate(reversed(parts)):
        name = path.with_name(path.name + (f".{number}" if number else ""))
        name.write_bytes("".join(f"{when} {line}\n" for when, line in part).encode())
    return path


@given(_log, st.lists(st.integers(0, 12), max_size=2), st.integers(-1, 15))
def test_a_log_is_the_same_wherever_it_was_turned(
    entries: list[tuple[str, str]], turned: list[int], count: int
) -> None:
    with TemporaryDirectory() as folder:
        found = tail(_write(Path(folder), "web", entries, turned), count)

    assert found == (entries[-count:] if count > 0 else [])


@given(st.dictionaries(st.sampled_from(["api", "web", "sso"]), _log), st.lists(st.integers(0, 12), max_size=2))
def test_logs_are_merged_by_time_and_each_keeps_its_own_order(
    logs: dict[str, list[tuple[str, str]]], turned: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        paths = {name: _write(Path(folder), name, sorted(entries), turned) for name, entries in logs.items()}
        in_time = list(merged(paths, 100))
        paths = {name: _write(Path(folder), name, entries, turned) for name, entries in logs.items()}
        set_back = list(merged(paths, 100))

    times = {name: iter([when for when, _ in sorted(entries)]) for name, entries in logs.items()}
    order = [next(times[name]) for name, _ in in_time]
    assert order == sorted(order)
    for name, entries in logs.items():
        assert [line for service, line in in_time if service == name] == [line for _, line in sorted(entries)]
        assert [line for service, line in set_back if service == name] == [line for _, line in entries]


# -- names of services -------------------------------------------------------------------------------------------------


def _is_a_service(name: str) -> bool:
    try:
        parse({"bootorder": {"database": _DATABASE, "processes": {name: {}}}})
    except SettingsError as error:
        is_a_refusal(error)
        return False
    return True


_DATABASE = {"service": "postgres", "name": "taskflow", "user": "taskflow", "password": "POSTGRES_PASSWORD"}


@given(st.lists(odd_text, min_size=1, max_size=6, unique=True), st.booleans())
def test_every_service_has_a_label_a_log_and_a_folder_of_its_own(names: list[str], one_off: bool) -> None:
    names = [name for name in names if _is_a_service(name)]
    assume(names)
    root, state = Path("/stack"), Path("/stack/.bootorder")
    table = ProcessTable(root, state / "processes", state / "logs", dict)
    settings = parse({"bootorder": {"database": _DATABASE, "processes": {name: {} for name in names}}})
    runtime = EmbeddedRuntime(root, state, settings, FakeProcesses(), lambda _: None)

    for name in names:
        label = table.label(name, one_off=one_off)
        assert _LABEL.fullmatch(label)
        assert unquote(label.split("/")[2]) == name
        assert table.log(name).parent == state / "logs"
        # Not `resolve`, which follows what lies there.
        assert Path(os.path.normpath(runtime._data_folder(name))).parent == state / "data"
    for place in (table.log, table._record, runtime._data_folder):
        assert len({place(name) for name in names}) == len(names)
    assert len({table.label(name) for name in names * 2}) == 2 * len(names)


@given(st.one_of(odd_text, st.integers(-5, 70000).map(str), st.text("0123456789٣²", max_size=8), st.just("9" * 5000)))
def test_a_port_is_a_number_that_a_server_can_have_or_is_refused(text: str) -> None:
    assume(text)
    settings = parse({"bootorder": {"database": _DATABASE | {"port": text.replace("$", "$$")}}})
    runtime = EmbeddedRuntime(Path("/stack"), Path("/stack/.bootorder"), settings, FakeProcesses(), lambda _: None)
    try:
        port = runtime._port("postgres")
    except SettingsError as error:
        is_a_refusal(error)
    else:
        assert port is not None
        assert 0 < port < 65536
        assert port == int(text)


@given(st.lists(odd_text.filter(bool), max_size=3), st.sampled_from(["", "shared"]))
def test_the_command_that_goes_on_is_read_by_a_shell_as_it_was_meant(services: list[str], layout: str) -> None:
    def fails(boot: Boot) -> Outcome:
        raise SettingsError("no", hint="correct it")

    with TemporaryDirectory() as folder:
        stack = FakeStack(Path(folder))
        boot = stack.boot()
    boot = Boot(
        *(boot.root, boot.settings, boot.runtime, boot.processes, boot.console, boot.clock),
        flags={"--with": services, "--layout": [layout] if layout else []},
    )
    with pytest.raises(SettingsError) as caught:
        run_plan(boot, [Stage("apps-up", "starts", "why not", fails)])

    given_again = [part for service in services for part in ("--with", service)]
    flags = [*given_again, *(["--layout", layout] if layout else [])]
    assert shlex.split(caught.value.go_on) == ["inv", "apps-up", *flags]


# -- numbers and passwords ---------------------------------------------------------------------------------------------


@given(st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_size_is_short_and_never_smaller_for_more(one: int, other: int) -> None:
    units = ["B", "kB", "MB", "GB", "TB"]

    def key(size: int) -> tuple[int, int]:
        number, unit = sized(size).split()
        assert unit == "TB" or len(number) <= 4
        return units.index(unit), int(number)

    assert key(min(one, other)) <= key(max(one, other))


@given(odd_text, st.one_of(odd_text, st.sampled_from(["SCRAM-SHA-256$", "SCRAM-SHA-256$x", "md5" + "0" * 32])))
def test_what_is_no_verifier_opens_with_no_password(password: str, verifier: str) -> None:
    assert not opens(password, verifier)
