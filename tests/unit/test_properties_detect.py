"""Whatever stands in a file of somebody's repository: detection and checks say what they found, and never raise."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.check.checking import check
from scripts.bootorder.check.filters import lets_in, readable
from scripts.bootorder.check.showing import print_checked
from scripts.bootorder.console import Console
from scripts.bootorder.detect.commands import parts
from scripts.bootorder.detect.detecting import detect
from scripts.bootorder.detect.documents import script_without_comments
from scripts.bootorder.detect.findings import Fact, Where, as_data
from scripts.bootorder.detect.showing import print_detected
from scripts.bootorder.detect.variables import expand
from scripts.bootorder.errors import SettingsError

from .looked_at import REPOSITORIES
from .odd import is_a_refusal, odd_characters, odd_text

# Files that people have, of all the repositories, and what breaks them.
_FILES: Mapping[str, bytes] = {
    f"{root.name}/{path.relative_to(root / 'repository').as_posix()}": path.read_bytes()
    for root in REPOSITORIES
    for path in sorted((root / "repository").rglob("*"))
    if path.is_file()
}
_NAMES = sorted({name.partition("/")[2] for name in _FILES})
_BITS = [
    "${",
    "}",
    "*a",
    "&a ",
    "<<: ",
    "!!binary ",
    "- ",
    "{",
    "[",
    '"',
    "'",
    "\\",
    "/*",
    "\x00",
    "\t",
    "\ufeff",
    "---\n",
]
_odd_bytes = st.one_of(
    odd_text.map(str.encode),
    st.binary(max_size=20),
    st.sampled_from(_BITS).map(str.encode),
    st.sampled_from([b"services", b"services: 5", b"null", b"[[[[", b"9" * 5000, b"\xff\xfe", b"\\U99999999"]),
)


def look(texts: Mapping[str, bytes]) -> None:
    """Everything that can be asked of what is found."""
    with TemporaryDirectory() as folder:
        for name, content in texts.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        found, checked = detect(Path(folder)), check(Path(folder))
    json.dumps(as_data(found)).encode()
    json.dumps(as_data(checked)).encode()
    out = io.StringIO()
    print_detected(Console(out, out), found)
    print_checked(Console(out, out), checked)
    assert "\x1b" not in out.getvalue()


@given(st.dictionaries(st.sampled_from(_NAMES), _odd_bytes, min_size=1, max_size=4))
def test_odd_texts_under_names_that_are_looked_for_are_found_out(texts: dict[str, bytes]) -> None:
    look(texts)


@given(
    st.sampled_from([root.name for root in REPOSITORIES]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 200), _odd_bytes), max_size=6),
)
def test_a_repository_of_which_something_was_lost_or_spoiled_is_looked_at(
    repository: str, damages: list[tuple[int, int, int, bytes]]
) -> None:
    texts = {name.partition("/")[2]: content for name, content in _FILES.items() if name.startswith(f"{repository}/")}
    names = sorted(texts)
    for which, at, length, odd in damages:
        name = names[which % len(names)]
        begin = at % (len(texts[name]) + 1)
        texts[name] = texts[name][:begin] + odd + texts[name][begin + length :]

    look(texts)


@given(st.lists(st.sampled_from(sorted(_FILES)), min_size=2, max_size=12))
def test_files_of_several_repositories_together_are_looked_at(names: list[str]) -> None:
    texts: dict[str, bytes] = {}
    for name in names:
        texts.setdefault(name.partition("/")[2], _FILES[name])

    look(texts)


@given(st.one_of(_odd_bytes, _odd_bytes.map(lambda odd: b"bootorder:\n  check: {ignore: [" + odd + b"]}\n")))
def test_any_invoke_yaml_is_taken_or_refused(text: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, "invoke.yaml").write_bytes(text)
        try:
            check(Path(folder))
        except SettingsError as error:
            is_a_refusal(error)


@given(
    st.lists(st.text(st.sampled_from("ab_*?!@+(|){,}[]-\\#1. "), max_size=30), max_size=4), st.text("ab_1", max_size=63)
)
def test_any_filter_is_decided_or_left_alone(patterns: list[str], table: str) -> None:
    if all(map(readable, patterns)):
        lets_in(patterns, table)


_variables = st.dictionaries(st.sampled_from("AB"), odd_text.map(lambda text: Fact(text, Where(".env", 1))), max_size=2)


@given(st.text(st.one_of(odd_characters, st.sampled_from("${}:-?+AB")), max_size=60), _variables)
def test_any_text_with_variables_comes_to_something(text: str, variables: dict[str, Fact]) -> None:
    expanded = expand(text, variables)

    assert "$" in text or expanded.text == text
    assert set(expanded.names) <= set(_words(text))


def _words(text: str) -> set[str]:
    return {text[begin:end] for begin in range(len(text)) for end in range(begin + 1, len(text) + 1)}


@given(st.text(st.one_of(odd_characters, st.sampled_from("&|;\n a=")), max_size=60))
def test_the_commands_of_any_line_are_texts_without_what_joins_them(text: str) -> None:
    assert all(part.strip() and not {"|", ";", "\n"} & set(part) for part in parts(text))


@given(st.text(st.one_of(odd_characters, st.sampled_from("/*'\"`\n\\")), max_size=60))
def test_a_script_keeps_its_lines_when_comments_are_taken_out(text: str) -> None:
    assert script_without_comments(text).count("\n") == text.count("\n")
