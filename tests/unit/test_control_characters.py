"""What a tool, a service, a name or a server says is shown; no terminal obeys it, and no reader is deceived by it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.console import Console
from scripts.bootorder.errors import LogTail, MigrationError
from scripts.bootorder.terminal import json_safe, plain, visible
from scripts.bootorder.timeline import drawing
from scripts.bootorder.timeline.spans import Timeline

from .fakes import FakeTerminal

# Characters that move the cursor, end a line, turn the text around, or cannot be written at all.
HOSTILE = [chr(number) for number in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))]
HOSTILE += list(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff"
)
HOSTILE += ["\ud800", "\udcff"]
OURS = re.compile(r"\x1b\[[0-9;]*m")

hostile = st.text(st.one_of(st.sampled_from(HOSTILE), st.sampled_from("ab\t ✓ä🚀[]0;m")), max_size=20)


def obeyed(text: str) -> list[str]:
    return [letter for letter in HOSTILE if letter in text]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1bb", "a\\x1bb"),
        ("a\x9b31mb", "a\\x9b31mb"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("one\r\ntwo", "one\\r\\ntwo"),
        ("\x07\x00\x7f", "\\x07\\x00\\x7f"),
        ("tab\tstays, äöü ✓ 🚀 עברית stay", "tab\tstays, äöü ✓ 🚀 עברית stay"),
    ],
)
def test_they_are_shown_as_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(hostile)
def test_properties_nothing_is_left_for_a_terminal_to_obey(text: str) -> None:
    assert obeyed(visible(text)) == []
    assert visible(visible(text)) == visible(text)


@given(hostile)
def test_properties_json_means_the_same_and_has_none_of_them(text: str) -> None:
    document = json_safe(json.dumps({text: [text]}, ensure_ascii=False, indent=2))

    assert [letter for letter in obeyed(document) if letter != "\n"] == []
    if "\ud800\udcff" not in text:  # the two halves of one character, in JSON
        assert json.loads(document) == {text: [text]}


@given(hostile)
def test_properties_the_console_sends_colours_of_its_own_only(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setenv("CI", "1")
        talk, data = FakeTerminal(), FakeTerminal()
        console = Console(talk, data, verbose=True)
        error = MigrationError(text, hint=text, expected=text, seen=text, details=[text], log=LogTail(text, [text]))
        error.go_on = text

        console.step(1, 2, text, text, 0.1, skipped=True)
        console.note(text)
        console.say(text)
        console.detail(text)
        console.table([text, text], [[text, text]])
        console.check(False, text, text, text)
        console.warning(text, text, text, text, text)
        console.error(error, text)
        console.log_line(text, text, 0)
        console.reveal(text)
        console.data([text, error.as_data()])

    written = OURS.sub("", talk.getvalue() + data.getvalue())
    assert [letter for letter in obeyed(written) if letter != "\n"] == []
    assert "\x1b" not in written


def test_a_line_from_outside_cannot_forge_a_line_of_ours() -> None:
    talk = io.StringIO()

    Console(talk).note("harmless\n[9/9] wait-apps  all healthy")

    assert talk.getvalue() == "      harmless\\n[9/9] wait-apps  all healthy\n"


def test_colours_of_tools_are_left_out_and_not_shown_as_escapes() -> None:
    data = io.StringIO()

    Console(io.StringIO(), data).log_line("web", "\x1b[32mready\x1b[0m in 5 ms \x1b]8;;http://x\x07link\x1b]8;;\x07", 0)

    assert data.getvalue() == "web          | ready in 5 ms link\n"
    assert plain("\x1b[31mred") == "red"


@given(hostile)
def test_properties_pictures_stay_whole_and_deceive_nobody(text: str) -> None:
    timeline = Timeline()
    with timeline.span(text, "stage", cause=text, needs=[text]) as span:
        span.text = text
    recording = timeline.recording({"stack": text, "runtime": text})

    for picture in (drawing.svg(recording), drawing.html(recording).partition("\n")[2]):
        written = "".join(ET.fromstring(picture.replace('<meta charset="utf-8">', "").replace(_VIEW, "")).itertext())  # noqa: S314  # our own
        assert [letter for letter in obeyed(written) if letter != "\n"] == []


_VIEW = '<meta name="viewport" content="width=device-width">'


def test_a_timeline_with_them_is_kept_and_read_back(tmp_path: Path) -> None:
    timeline = Timeline()
    with timeline.span("".join(HOSTILE[:-2]), "stage"):
        pass

    timeline.recording({}).save(tmp_path / "timeline.json")

    assert type(timeline.recording({})).load(tmp_path / "timeline.json").spans[0].name == "".join(HOSTILE[:-2])
