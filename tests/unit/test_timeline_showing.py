"""A boot as a picture, as a page and as a trace."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.bootorder.console import Console
from scripts.bootorder.errors import MachineError, NotReadyError, SettingsError
from scripts.bootorder.showing import show_timeline
from scripts.bootorder.timeline import drawing
from scripts.bootorder.timeline.spans import Kind, Recording, Span
from scripts.bootorder.timeline.trace import trace

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert('&')</script>\x00\x1b[31m\ud800 \u202e🚀 \"quoted\""


def span(number: int, parent: int | None, name: str, kind: Kind, begin: float, end: float, **more: Any) -> Span:
    return Span(number, parent, name, kind, begin, end, **{"outcome": "done", **more})


def a_boot(name: str = "postgres", **more: Any) -> Recording:
    return Recording(
        1795000000.25,
        {"stack": "taskflow", "runtime": "embedded", "layout": "shared"},
        (
            span(0, None, "db-up", "stage", 0, 1, cause="everything else needs it", text="started"),
            span(1, 0, name, "start", 0, 0.9, **more),
            span(2, None, "migrate", "stage", 1, 4),
            span(3, 2, "rehearse sso", "owner", 1, 3.9, needs=("postgres",)),
            span(4, 3, "make a database", "database", 1.1, 1.2),
            span(5, 3, "pnpm db:push", "tool", 1.2, 3.5),
            span(6, 3, "drop the database", "database", 3.5, 3.9),
            span(7, 2, "verify", "verify", 3.9, 3.91),
        ),
    )


def many(count: int) -> Recording:
    spans = [span(0, None, "apps-up", "stage", 0, count)]
    spans += [span(number, 0, f"service {number}", "start", number - 1, number) for number in range(1, count)]
    return Recording(0, {}, tuple(spans))


# -- the picture -------------------------------------------------------------------------------------------------------


def picture(recording: Recording) -> ET.Element:
    return ET.fromstring(drawing.svg(recording))  # noqa: S314  # our own


def hovers(drawn: ET.Element) -> Sequence[str]:
    return [title.text or "" for title in drawn.iter(f"{SVG}title")]


def labels(drawn: ET.Element) -> Sequence[str]:
    return [text.text or "" for text in drawn.iter(f"{SVG}text")]


def test_a_picture_has_a_row_for_each_stage_and_each_thing_in_it_and_tells_the_rest_on_hover() -> None:
    drawn = picture(a_boot())

    shown = labels(drawn)
    assert "taskflow: booted in 4.0 s (embedded, shared, 2026-11-18 11:06 UTC)" in shown
    assert [name for name in shown if name in {"db-up", "postgres", "migrate", "rehearse sso", "pnpm db:push"}] == [
        *("db-up", "postgres", "migrate", "rehearse sso")
    ]
    assert "verify" not in shown, "it took no time"
    assert "stage, 0.00 s to 1.00 s: 1.00 s\ndone: started\neverything else needs it" in "".join(hovers(drawn))
    assert any(hover.startswith("pnpm db:push\ntool") for hover in hovers(drawn))


def test_a_picture_is_for_those_who_do_not_see_it_too() -> None:
    drawn = picture(a_boot())

    assert drawn.get("role") == "img"
    named = {child.get("id"): child.text for child in drawn if child.get("id")}
    assert set((drawn.get("aria-labelledby") or "").split()) == set(named)
    assert named["boot-text"] == "critical path 4.0 s: postgres 0.9 → rehearse sso 2.8; 0.3 s own"


def test_what_is_on_the_critical_path_is_marked_and_linked() -> None:
    drawn = picture(a_boot())

    marked = [rect.get("class") for rect in drawn.iter(f"{SVG}rect") if "critical" in (rect.get("class") or "")]
    assert marked == ["start critical", "database critical", "tool critical", "database critical"]
    links = next(path for path in drawn.iter(f"{SVG}path"))
    assert (links.get("d") or "").count("M") == 1, "from the row of the database to that of the rehearsal"


def test_a_failure_is_told_in_words_too() -> None:
    recording = a_boot()
    recording.spans[2].outcome = "failed"

    shown = labels(picture(recording))

    assert "✗ 3.0 s" in shown
    assert any("migrate failed after 4.0 s" in text for text in shown)


@pytest.mark.parametrize("count", [3, 60])
def test_a_picture_grows_with_what_is_in_it_and_nothing_leaves_it(count: int) -> None:
    drawn = picture(many(count))

    _, _, width, height = map(float, (drawn.get("viewBox") or "").split())
    assert len([text for text in labels(drawn) if text.startswith("service")]) == count - 1
    for rect in drawn.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= width
        assert float(rect.get("y", 0)) + float(rect.get("height", 0)) <= height


@pytest.mark.parametrize("make", [drawing.svg, drawing.html])
def test_what_is_drawn_needs_nothing_from_a_network_and_is_light_and_dark(make: Any) -> None:
    made = make(a_boot()).replace("http://www.w3.org/2000/svg", "")

    assert not re.search(r"https?:|//|url\(|@import|<script|<link|src=", made)
    assert "prefers-color-scheme: dark" in made


@pytest.mark.parametrize("recording", [Recording(0, {}, ()), Recording(0, {}, (span(0, None, "", "stage", 0, 0),))])
def test_a_boot_of_nothing_is_drawn_too(recording: Recording) -> None:
    assert picture(recording)
    assert drawing.html(recording)


_TAGS = [element.tag for element in picture(a_boot("x")).iter()]
_MARKS = drawing.html(a_boot("x", text="x", cause="x")).count("<")


@given(st.text(max_size=60))
@example("0" * 35 + "\x1f" * 8)  # what is escaped takes two lines
def test_any_name_is_text_and_nothing_else(name: str) -> None:
    recording = a_boot(name, text=name, cause=name)

    drawn = picture(recording)
    page = drawing.html(recording)

    tags = Counter(element.tag for element in drawn.iter())
    tags.subtract(_TAGS)
    lines = tags.pop(f"{SVG}text")
    assert set(tags.values()) == {0}
    assert lines in {0, 1, 2}
    assert page.count("<") == _MARKS + 2 * lines


def test_a_hostile_name_is_escaped() -> None:
    recording = a_boot(HOSTILE, text=HOSTILE, cause=HOSTILE)

    page, image = drawing.html(recording), drawing.svg(recording)

    for made in (page, image):
        assert "<script" not in made
        assert not re.search("[\x00\x1b\ud800\u202e]", made)
        assert "🚀" in made
    assert page.encode("utf-8")


def test_a_page_has_every_span_in_a_table() -> None:
    page = drawing.html(a_boot())

    assert page.startswith("<!doctype html>")
    assert page.count("<tr") == 1 + len(a_boot().spans)
    assert "critical path; done" in page
    assert "everything else needs it" in page


# -- the trace ---------------------------------------------------------------------------------------------------------


def test_a_trace_has_what_perfetto_needs() -> None:
    document = json.loads(json.dumps(trace(a_boot())))

    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert [(event["name"], event["ts"], event["dur"]) for event in events][-3:] == [
        ("pnpm db:push", 1_200_000, 2_300_000),
        ("drop the database", 3_500_000, 400_000),
        ("verify", 3_900_000, 10_000),
    ]
    assert all(isinstance(event[key], int) for event in events for key in ("ts", "dur", "pid", "tid"))
    assert {event["tid"] for event in events} == {1}, "one thing after the other, and within the other"
    assert events[0]["args"]["cause"] == "everything else needs it"


_TIMES = st.integers(0, 30)


@given(st.lists(st.tuples(_TIMES, _TIMES, st.integers(-1, 11)), max_size=12))
def test_in_any_lane_of_a_trace_events_lie_apart_or_within_each_other(made: list[tuple[int, int, int]]) -> None:
    spans = [
        span(number, within if 0 <= within < number else None, str(number), "tool", min(times), max(times))
        for number, (*times, within) in enumerate(made)
    ]

    events = [event for event in trace(Recording(0, {}, tuple(spans)))["traceEvents"] if event["ph"] == "X"]

    assert len(events) == len(spans)
    for one in events:
        for other in events:
            if one["tid"] == other["tid"] and one["ts"] < other["ts"] < one["ts"] + one["dur"]:
                assert other["ts"] + other["dur"] <= one["ts"] + one["dur"]


# -- the task ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def booted(tmp_path: Path) -> Path:
    a_boot().save(tmp_path / "timeline.json")
    return tmp_path


def shown(folder: Path, wanted: str = "", output: str = "") -> str:
    answer = io.StringIO()
    show_timeline(Console(io.StringIO(), answer), folder, wanted=wanted, output=output)
    return answer.getvalue()


def test_the_last_boot_is_drawn_into_files_whose_paths_are_told(booted: Path) -> None:
    paths = [Path(line) for line in shown(booted).splitlines()]

    assert [path.relative_to(booted).name for path in paths] == ["timeline.svg", "timeline.html"]
    assert paths[0].read_text(encoding="utf-8") == drawing.svg(a_boot())
    assert paths[1].read_text(encoding="utf-8") == drawing.html(a_boot())


def test_a_trace_is_a_file_beside_them(booted: Path) -> None:
    path = Path(shown(booted, "trace").strip())

    assert path == booted / "timeline.trace.json"
    assert json.loads(path.read_text(encoding="utf-8"))["traceEvents"]


def test_as_json_it_is_one_object_on_stdout(booted: Path) -> None:
    document = json.loads(shown(booted, "json"))

    assert [span["name"] for span in document["spans"]][:2] == ["db-up", "postgres"]
    assert document["critical_path"].startswith("critical path 4.0 s")


@pytest.mark.parametrize(("wanted", "name"), [("svg", "boot"), ("", "boot.svg")])
def test_the_file_can_be_chosen_and_its_ending_is_its_format(booted: Path, wanted: str, name: str) -> None:
    path = str(booted / name)

    assert shown(booted, wanted, path) == f"{path}\n"
    assert Path(path).read_text(encoding="utf-8").startswith("<svg")


def test_an_unknown_format_is_refused_with_the_nearest_one(booted: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean `html`"):
        shown(booted, "htm")
    with pytest.raises(SettingsError, match="format"):
        shown(booted, output="boot.png")


def test_a_stack_that_was_never_booted_is_told_from_one_whose_timeline_is_broken(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="never booted") as caught:
        shown(tmp_path)
    assert caught.value.hint == "boot it once: inv start"

    (tmp_path / "timeline.json").write_text('{"spans": [1]}', encoding="utf-8")
    with pytest.raises(NotReadyError, match="not what a start writes"):
        shown(tmp_path)


def test_a_file_that_cannot_be_written_is_told(booted: Path) -> None:
    with pytest.raises(MachineError, match="cannot write") as caught:
        shown(booted, output=str(booted / "missing" / "boot.svg"))

    assert "--output" in caught.value.hint
