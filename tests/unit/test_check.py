"""`inv check` as a whole: what it says of tests/repositories, how it is silenced, and what each check comes with."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder.check.checking import CHECKS, check
from scripts.bootorder.check.showing import print_checked, show_checked
from scripts.bootorder.console import Console
from scripts.bootorder.detect.findings import as_data
from scripts.bootorder.errors import SettingsError

from .looked_at import POSTGRES, REPOSITORIES, ROOT, put, repository, warned

PAGES = ROOT / "docs" / "checks"
OPEN = POSTGRES + "    ports:\n      - 5432:5432\n"
SETTINGS = """
bootorder:
  database: {service: db, name: app, user: app, password: DB_PASSWORD}
"""


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_of_a_repository_is_warned_what_will_hurt_it(path: Path, request: pytest.FixtureRequest) -> None:
    golden = path / "checks.json"
    found = [as_data(each) for each in check(path / "repository").warnings]
    now = [{name: each[name] for name in ("where", "code", "message")} for each in found]
    if request.config.getoption("write_detected", default=False):
        golden.write_text(json.dumps(now, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    assert now == json.loads(golden.read_text(encoding="utf-8")), "write it: pytest tests/unit --write-detected"


@pytest.mark.parametrize("path", REPOSITORIES, ids=lambda path: path.name)
def test_every_warning_names_a_line_that_is_there(path: Path) -> None:
    for each in check(path / "repository").warnings:
        lines = (path / "repository" / each.where.file).read_text(encoding="utf-8").splitlines()
        assert 0 < each.where.line <= len(lines), each


@pytest.mark.parametrize("code", CHECKS)
def test_each_code_is_seen_in_a_repository_that_people_could_have(code: str) -> None:
    seen = {each["code"] for path in REPOSITORIES for each in json.loads((path / "checks.json").read_text("utf-8"))}

    assert code in seen


def test_of_this_repository_nothing_is_warned() -> None:
    found = check(ROOT)

    assert found.warnings == ()
    assert found.notes == ()


def test_each_code_has_its_page_and_each_page_its_code() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"README"}

    assert pages == set(CHECKS)


@pytest.mark.parametrize("code", CHECKS)
def test_a_page_is_complete_and_in_the_table(code: str) -> None:
    text = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    table = (PAGES / "README.md").read_text(encoding="utf-8")

    assert text.startswith(f"# {code}\n")
    assert "Before:\n" in text
    assert "After" in text
    assert f"ignore[{code}]" in text
    assert table.count(f"[{code}]({code}.md)") == 1


@pytest.mark.parametrize("code", CHECKS)
def test_a_help_is_one_line_that_starts_with_a_verb(code: str) -> None:
    mend = CHECKS[code].help

    assert "\n" not in mend
    assert mend.split()[0] in {"add", "import", "list", "remove", "rename", "set", "write"}


@pytest.mark.parametrize(
    ("line", "is_silent"),
    [
        ("      - 5432:5432 # bootorder: ignore[port-on-all-interfaces]", True),
        ("      - 5432:5432 # bootorder: ignore[push-with-force, port-on-all-interfaces]", True),
        ("      # bootorder: ignore[port-on-all-interfaces] for the phone\n      - 5432:5432", True),
        ("      - 5432:5432 # bootorder: ignore[push-with-force]", False),
        ("      - 5432:5432 # bootorder: ignore[port-on-all]", False),
        ("      - 127.0.0.1:1:1 # bootorder: ignore[port-on-all-interfaces]\n      - 5432:5432", False),
    ],
)
def test_a_comment_silences_its_line_or_the_one_below(tmp_path: Path, line: str, is_silent: bool) -> None:
    found = warned(tmp_path, compose_yaml=f"{POSTGRES}    ports:\n{line}\n")

    assert (found == []) is is_silent


def test_the_settings_silence_a_code_everywhere(tmp_path: Path) -> None:
    assert warned(tmp_path, compose_yaml=OPEN, invoke_yaml=SETTINGS) == ["compose.yaml:5 port-on-all-interfaces"]

    assert not warned(tmp_path, invoke_yaml=SETTINGS + "  check: {ignore: [port-on-all-interfaces]}\n")


def test_an_unknown_code_in_the_settings_is_refused_with_the_nearest(tmp_path: Path) -> None:
    repository(tmp_path, compose_yaml=OPEN, invoke_yaml=SETTINGS + "  check: {ignore: [port-on-all-interface]}\n")

    with pytest.raises(SettingsError, match="did you mean `port-on-all-interfaces`"):
        check(tmp_path)


@pytest.mark.parametrize("text", ["other: 1\n", "- a\n", ""])
def test_an_invoke_yaml_without_settings_of_ours_is_none(tmp_path: Path, text: str) -> None:
    assert warned(tmp_path, compose_yaml=OPEN, invoke_yaml=text) == ["compose.yaml:5 port-on-all-interfaces"]


@pytest.mark.parametrize("text", ["a: [", "bootorder: {owner: 1}", "!!timestamp x"])
def test_a_wrong_invoke_yaml_is_refused(tmp_path: Path, text: str) -> None:
    repository(tmp_path, compose_yaml=OPEN, invoke_yaml=text)

    with pytest.raises(SettingsError, match=r"invoke\.yaml"):
        check(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        check(tmp_path / "nowhere")


def test_the_compose_files_of_the_settings_are_looked_at_and_no_others(tmp_path: Path) -> None:
    put(tmp_path, "docker/stack.yaml", OPEN)
    settings = SETTINGS + "  compose: [docker/stack.yaml, more.yaml]\n"

    assert warned(tmp_path, compose_yaml=OPEN, invoke_yaml=settings) == ["docker/stack.yaml:5 port-on-all-interfaces"]
    assert [str(note.where) for note in check(tmp_path).notes] == ["invoke.yaml"], "more.yaml is not there"


def test_warnings_are_shown_as_linters_do(tmp_path: Path) -> None:
    out = io.StringIO()

    print_checked(Console(out, out), check(repository(tmp_path, compose_yaml=OPEN)))

    assert out.getvalue() == (
        "compose.yaml:5 port-on-all-interfaces: db publishes 5432 on every interface\n"
        f"    help: {CHECKS['port-on-all-interfaces'].help}\n"
        "    docs/checks/port-on-all-interfaces.md\n"
        "1 warning\n"
    )


@pytest.mark.parametrize(("text", "code"), [(OPEN, 1), (POSTGRES, 0)])
def test_the_exit_code_says_whether_something_was_found(tmp_path: Path, text: str, code: int) -> None:
    talk, data = io.StringIO(), io.StringIO()
    repository(tmp_path, compose_yaml=text)

    assert show_checked(Console(talk, data), tmp_path, as_json=True) == code

    found: list[dict[str, Any]] = json.loads(data.getvalue())
    assert len(found) == code
    assert all(set(each) == {"code", "message", "help", "where", "page"} for each in found)


def test_what_cannot_be_read_is_said_and_does_not_pass_for_checked(tmp_path: Path) -> None:
    talk, data = io.StringIO(), io.StringIO()
    repository(tmp_path, compose_yaml="services: [")

    assert show_checked(Console(talk, data), tmp_path, as_json=False) == 0

    assert "note: compose.yaml:1: is not YAML" in talk.getvalue()


def test_text_of_others_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    out = io.StringIO()
    put(
        tmp_path,
        "package.json",
        '{"scripts": {"a": "URL=postgres://a:secret@b/c drizzle-kit push --force \\u001b[2J"}}',
    )

    print_checked(Console(out, out), check(tmp_path))

    assert "push-with-force" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert "secret" not in out.getvalue()
