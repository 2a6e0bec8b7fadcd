from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.bootorder.runtimes.embedded.logs import _Reader, followed, merged, tail


def write(path: Path, *lines: str) -> Path:
    """Lines such as `01 up`, of second 1."""
    with path.open("a", encoding="utf-8", newline="") as file:
        file.writelines(f"2026-11-22T17:00:{line.replace(' ', '.000Z ', 1)}\n" for line in lines)
    return path


def turn(path: Path) -> None:
    """As a supervisor does with a full log."""
    one, two = path.with_name(f"{path.name}.1"), path.with_name(f"{path.name}.2")
    if one.exists():
        one.replace(two)
    path.replace(one)
    path.touch()


def texts(log: Path, count: int) -> list[str]:
    return [line for _, line in tail(log, count)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


# -- one log -----------------------------------------------------------------------------------------------------------


def test_the_tail_is_the_last_lines_with_their_times(log: Path) -> None:
    write(log, "01 one", "02 two", "03 three")

    assert tail(log, 2) == [("2026-11-22T17:00:02.000Z", "two"), ("2026-11-22T17:00:03.000Z", "three")]


@pytest.mark.parametrize(("count", "lines"), [(0, []), (-1, []), (9, ["one"])])
def test_no_more_is_shown_than_is_asked_for_and_no_more_than_there_is(log: Path, count: int, lines: list[str]) -> None:
    write(log, "01 one")

    assert texts(log, count) == lines


def test_a_service_that_was_never_started_has_no_lines(log: Path) -> None:
    assert tail(log, 10) == []


def test_the_tail_goes_on_over_full_logs_from_the_oldest_to_the_newest(log: Path) -> None:
    for line in ("01 one", "02 two", "03 three"):
        write(log, line)
        if line != "03 three":
            turn(log)

    assert texts(log, 3) == ["one", "two", "three"]
    assert texts(log, 2) == ["two", "three"]


def test_the_tail_holds_nothing_of_the_run_before(log: Path) -> None:
    write(log, "02 now")
    write(log.with_name("web.previous.log"), "01 before")

    assert texts(log, 9) == ["now"]


@pytest.mark.parametrize("text", ["", " ", "  two  words ", "10%\r20%\r30%", "a\x0bb\x0c\x1c\x85\u2028c"])
def test_a_line_is_what_was_written_as_one(log: Path, text: str) -> None:
    write(log, "01 before", f"02 {text}", "03 after")

    assert texts(log, 9) == ["before", text, "after"]


def test_what_is_no_text_is_shown_as_far_as_it_is(log: Path) -> None:
    log.write_bytes(b"2026-11-22T17:00:01.000Z caf\xe9\n")

    assert texts(log, 1) == ["caf\ufffd"]


# -- several logs ------------------------------------------------------------------------------------------------------


def test_the_lines_of_several_services_are_shown_in_the_order_they_were_written(tmp_path: Path) -> None:
    api = write(tmp_path / "api.log", "01 a", "04 d")
    web = write(tmp_path / "web.log", "02 b", "03 c", "05 e")

    assert list(merged({"api": api, "web": web}, 2)) == [("api", "a"), ("web", "c"), ("api", "d"), ("web", "e")]


def test_a_clock_that_was_set_back_does_not_mix_a_service_s_lines(tmp_path: Path) -> None:
    web = write(tmp_path / "web.log", "05 one", "03 two", "04 three")

    assert [line for _, line in merged({"web": web}, 9)] == ["one", "two", "three"]


def test_lines_of_the_same_time_keep_the_order_of_the_services(tmp_path: Path) -> None:
    logs = {name: write(tmp_path / f"{name}.log", f"01 {name}", f"01 {name}") for name in ("web", "api")}

    assert [name for name, _ in merged(logs, 9)] == ["web", "web", "api", "api"]


# -- following ---------------------------------------------------------------------------------------------------------


class Scene:
    """What happens while nobody writes: one thing a pause, and at last Ctrl-C."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *happens: Callable[[], object]) -> None:
        self._left: Iterator[Callable[[], object]] = iter(happens)
        self.pauses: list[float] = []
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        next(self._left, self._interrupt)()

    @staticmethod
    def _interrupt() -> None:
        raise KeyboardInterrupt

    def follow(self, *logs: Path, count: int = 9) -> list[str]:
        seen: list[tuple[str, str]] = []
        with pytest.raises(KeyboardInterrupt):
            seen.extend(followed({log.stem: log for log in logs}, count))
        return [f"{name}: {line}" for name, line in seen]


def test_following_begins_with_the_past_and_goes_on(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "01 one", "02 two")
    scene = Scene(
        monkeypatch,
        lambda: write(log, "03 three"),
        lambda: None,
        lambda: write(log, "04 four", "05 five"),
    )

    assert scene.follow(log, count=1) == ["web: two", "web: three", "web: four", "web: five"]
    assert 0 < min(scene.pauses) <= max(scene.pauses) <= 1


def test_following_shows_no_line_twice_that_comes_while_it_begins(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "01 one")
    lines = followed({"web": log}, 9)
    seen = [next(lines)]

    write(log, "02 two")
    seen += [next(lines)]

    Scene(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        next(lines)
    assert seen == [("web", "one"), ("web", "two")]


def test_following_goes_on_over_a_log_that_is_turned(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "01 one")

    def turned() -> None:
        write(log, "02 two")
        turn(log)
        write(log, "03 three")

    scene = Scene(monkeypatch, turned, lambda: write(log, "04 four"), lambda: turn(log), lambda: write(log, "05 five"))

    assert scene.follow(log) == ["web: one", "web: two", "web: three", "web: four", "web: five"]


def test_a_line_that_comes_just_before_a_log_is_turned_is_not_passed_over(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, "01 one")
    looks = _Reader._was_turned

    def turned_meanwhile(reader: _Reader) -> bool:
        if not log.with_name("web.log.1").exists():
            write(log, "02 two")
            turn(log)
        return looks(reader)

    monkeypatch.setattr(_Reader, "_was_turned", turned_meanwhile)

    assert Scene(monkeypatch, lambda: write(log, "03 three")).follow(log) == ["web: one", "web: two", "web: three"]


def test_following_goes_on_when_a_service_is_started_anew(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "01 one")

    def anew() -> None:
        log.replace(log.with_name("web.previous.log"))

    scene = Scene(monkeypatch, anew, lambda: write(log, "02 two"))

    assert scene.follow(log) == ["web: one", "web: two"]


def test_following_begins_before_a_service_is_started(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, lambda: None, lambda: write(log, "01 one"))

    assert scene.follow(log) == ["web: one"]


def test_half_a_line_is_shown_when_its_end_has_come(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(
        monkeypatch,
        lambda: log.write_text("2026-11-22T17:00:01.000Z ha", encoding="utf-8"),
        lambda: log.write_text("2026-11-22T17:00:01.000Z half\n", encoding="utf-8"),
    )

    assert scene.follow(log) == ["web: half"]


def test_fresh_lines_of_several_services_are_shown_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, web = (write(tmp_path / f"{name}.log") for name in ("api", "web"))
    scene = Scene(monkeypatch, lambda: [write(web, "01 first", "03 third"), write(api, "02 second")])

    assert scene.follow(api, web) == ["web: first", "api: second", "web: third"]


def test_a_reader_that_stops_lets_the_logs_go(log: Path) -> None:
    """Unclosed files fail these tests."""
    write(log, "01 one")
    lines = followed({"web": log}, 9)

    assert list(itertools.islice(lines, 1)) == [("web", "one")]
    lines.close()  # type: ignore[attr-defined]
