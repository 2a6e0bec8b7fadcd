"""What each tool says of itself; the outputs of drizzle-kit 0.31.11 are as it printed them, without a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.detect.tools import TOOLS
from scripts.bootorder.migrators import BY_NAME, FOR_TOOL
from scripts.bootorder.processes import Completed
from scripts.bootorder.settings import MigratorName

from .fakes import prints

_HEAD = """
> sso-platform@0.1.0 db:push /app
> drizzle-kit push

No config path provided, using default 'drizzle.config.ts'
Reading config file '/app/drizzle.config.ts'
Using 'pg' driver for database querying
[⣷] Pulling schema from database...
\x1b[2K\x1b[1G[⣯] Pulling schema from database...
\x1b[2K\x1b[1G[✓] Pulling schema from database...
"""
_APPLIED = _HEAD + "[✓] Changes applied\n"
_UNCHANGED = _HEAD + "[i] No changes detected\n"
_SEQUENCE = (
    _HEAD
    + """error: cannot drop sequence worker_id_seq because other objects depend on it
    at /app/node_modules/.pnpm/pg-pool@3.14.0_pg@8.23.1/node_modules/pg-pool/index.js:45:11
    at async pgPush (/app/node_modules/.pnpm/drizzle-kit@0.31.11/node_modules/drizzle-kit/bin.cjs:82768:13) {
  length: 277,
  severity: 'ERROR',
  code: '2BP01',
  detail: 'default value for column id of table worker depends on sequence worker_id_seq',
  hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
  routine: 'reportDependentObjects'
}
"""
)
_NO_TERMINAL = (
    "Error: Interactive prompts require a TTY terminal (process.stdin.isTTY or process.stdout.isTTY is false). "
    "This can happen when running in CI, piped input, or non-interactive shells."
)
_RENAME_PROMPT = f"""{_HEAD}{_NO_TERMINAL}
    at render10 (/app/node_modules/.pnpm/drizzle-kit@0.31.11/node_modules/drizzle-kit/bin.cjs:1450:31)
    at promptNamedWithSchemasConflict (/app/node_modules/drizzle-kit/bin.cjs:32812:65)
"""
_DATA_LOSS_PROMPT = f"""{_HEAD} Warning  Found data-loss statements:
· You're about to delete worker table with 1 items

THIS ACTION WILL CAUSE DATA LOSS AND CANNOT BE REVERTED

Do you still want to push changes?
{_NO_TERMINAL}
    at render10 (/app/node_modules/.pnpm/drizzle-kit@0.31.11/node_modules/drizzle-kit/bin.cjs:1450:31)
"""
_UNREACHABLE = """Using 'pg' driver for database querying
[⣷] Pulling schema from database...
\x1b[2K\x1b[1G[⣷] Pulling schema from database...
\u2009ELIFECYCLE\u2009 Command failed with exit code 1.
"""


def claim(migrator: str, output: str, code: int = 0) -> tuple[bool, str]:
    said = BY_NAME[migrator].claim(Completed(code, output, output))
    return said.succeeded, said.text


def test_every_migrator_of_the_settings_exists_and_no_other() -> None:
    assert set(BY_NAME) == set(get_args(MigratorName))
    assert all(migrator.name == name for name, migrator in BY_NAME.items())


@pytest.mark.parametrize("migrator", BY_NAME.values(), ids=BY_NAME)
def test_every_migrator_has_a_hint_that_starts_with_a_verb_and_names_its_page(migrator: object) -> None:
    hint = str(getattr(migrator, "hint", ""))

    assert hint.partition(" ")[0] in {"correct", "import", "make", "run", "set"}
    [named] = re.findall(r"docs/migrators/\S+\.md", hint)
    assert (Path(__file__).parents[2] / named).is_file()


def test_every_tool_that_detection_knows_has_its_migrator() -> None:
    assert set(TOOLS) <= set(FOR_TOOL)
    assert set(FOR_TOOL.values()) == set(BY_NAME)


def test_only_create_all_leaves_its_tables_to_the_start_of_its_app() -> None:
    assert [name for name, migrator in BY_NAME.items() if migrator.creates_at_start] == ["sqlalchemy", "sqlmodel"]


@pytest.mark.parametrize(
    ("migrator", "argv", "forced"),
    [
        ("drizzle", "pnpm db:push", "pnpm db:push --force"),
        ("drizzle", "npm run db:push", "npm run db:push -- --force"),
        ("drizzle", "npm run db:push -- --strict", "npm run db:push -- --strict --force"),
        ("drizzle", "npx drizzle-kit push", "npx drizzle-kit push --force"),
        ("prisma", "prisma db push", "prisma db push --accept-data-loss"),
    ],
)
def test_a_push_is_told_not_to_ask(migrator: str, argv: str, forced: str) -> None:
    assert list(BY_NAME[migrator].forced(argv.split())) == forced.split()


@pytest.mark.parametrize("argv", ["drizzle-kit migrate", "prisma migrate deploy", "node migrate.js"])
def test_files_that_are_run_have_no_such_flag(argv: str) -> None:
    """With one that it does not know the tool would fail on the clone, and nobody would see what it takes."""
    assert {tuple(migrator.forced(argv.split())) for migrator in BY_NAME.values()} == {tuple(argv.split())}


def test_the_others_never_ask() -> None:
    argv = ("tool", "push")

    assert [name for name, its in BY_NAME.items() if its.forced(argv) != argv] == ["drizzle", "prisma"]


def test_the_search_path_is_nothing_to_those_that_compare_one_schema() -> None:
    assert {name: its.only_schema for name, its in BY_NAME.items() if its.only_schema} == {
        "drizzle": "public",
        "mikroorm": "public",
        "prisma": "public",
    }


def test_drizzle_says_that_it_applied_changes() -> None:
    assert claim("drizzle", _APPLIED) == (True, "changes applied")


def test_drizzle_says_that_there_was_nothing_to_do() -> None:
    assert claim("drizzle", _UNCHANGED) == (True, "no changes detected")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (_SEQUENCE, "error: cannot drop sequence worker_id_seq because other objects depend on it"),
        (_RENAME_PROMPT, _NO_TERMINAL),
        (_DATA_LOSS_PROMPT, _NO_TERMINAL),
        ("PostgresError: relation does not exist\n", "PostgresError: relation does not exist"),
    ],
    ids=["foreign sequence", "rename prompt", "data-loss prompt", "another driver"],
)
def test_drizzle_failed_although_its_exit_code_is_0_and_its_own_words_are_shown(output: str, text: str) -> None:
    assert claim("drizzle", output, code=0) == (False, text)


def test_drizzle_that_reached_no_database_is_shown_by_its_last_words() -> None:
    assert claim("drizzle", _UNREACHABLE, code=1) == (False, "ELIFECYCLE\u2009 Command failed with exit code 1.")


def test_drizzle_that_says_success_and_exits_with_a_failure_failed() -> None:
    assert claim("drizzle", _APPLIED, code=1)[0] is False


def test_colours_do_not_hide_what_drizzle_says() -> None:
    assert claim("drizzle", "[\x1b[32m✓\x1b[39m] Changes \x1b[1mapplied\x1b[0m\n") == (True, "changes applied")
    assert claim("drizzle", "\x1b[31mError:\x1b[39m no config\n") == (False, "Error: no config")


@pytest.mark.parametrize("migrator", sorted(BY_NAME))
def test_a_tool_that_prints_nothing_is_said_to_have_printed_nothing(migrator: str) -> None:
    assert claim(migrator, " \n", code=1) == (False, "nothing was printed")


@pytest.mark.parametrize("migrator", sorted(BY_NAME))
def test_an_honest_tool_is_taken_at_its_exit_code_and_last_line(migrator: str) -> None:
    assert claim(migrator, "one\ntwo\n\n") == (True, "two")
    assert claim(migrator, "one\nTraceback: no\n", code=1) == (False, "Traceback: no")


@given(migrator=st.sampled_from(sorted(BY_NAME)), output=st.text(max_size=200), code=st.integers(0, 255))
def test_any_output_gives_a_claim_of_one_line_and_a_failing_exit_code_is_never_success(
    migrator: str, output: str, code: int
) -> None:
    said = BY_NAME[migrator].claim(prints(output, code))

    assert len(said.text.splitlines()) == 1
    assert not (code and said.succeeded)
