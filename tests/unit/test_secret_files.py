from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.bootorder import secret_files
from scripts.bootorder.errors import SettingsError
from scripts.bootorder.opening import prepare
from scripts.bootorder.places import file_variables, places
from scripts.bootorder.pointing import as_owner, as_written, pointed_at
from scripts.bootorder.processes import Completed
from scripts.bootorder.redaction import SECRETS
from scripts.bootorder.settings import SecretFile, Settings, parse

from .fakes import CONFIG, TARGET, FakeStack

PARTS = {"host": "DB_HOST", "user": "DB_USER", "password_file": "DB_PASSWORD_FILE", "database": "DB_NAME"}
FILE = {"file": "secrets/api"}


def settings(**changes: Any) -> Settings:
    """Those of the sample, with changes of the owner `api`."""
    owners = {**CONFIG["owners"], "api": {**CONFIG["owners"]["api"], **changes}}
    return parse({"bootorder": {**CONFIG, "compose": ["compose.yaml"], "owners": owners}})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_made_once_for_its_user_behind_a_folder_that_nobody_else_enters(tmp_path: Path) -> None:
    name, notes = SecretFile("secrets/db"), list[str]()

    assert list(secret_files.complete(tmp_path, [name, name], notes.append)) == [name]
    first = secret_files.read(tmp_path, name)
    assert list(secret_files.complete(tmp_path, [name], notes.append)) == []

    assert secret_files.read(tmp_path, name) == first
    assert len(first) == 48
    assert (mode(tmp_path / "secrets"), mode(tmp_path / "secrets/db"), notes) == (0o700, 0o644, [])
    assert first not in SECRETS.redact(f"the password is {first}")


def test_in_a_folder_that_others_enter_the_file_is_its_users_only(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    (tmp_path / "secrets").chmod(0o755)
    notes: list[str] = []

    list(secret_files.complete(tmp_path, [SecretFile("secrets/db")], notes.append))

    assert mode(tmp_path / "secrets/db") == 0o600
    assert "chmod 700" in notes[0]


@pytest.mark.parametrize("text", [None, b"", b"\n", b"two\nlines", b"\xff"])
def test_a_file_without_a_password_is_refused_with_its_name(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "db").write_bytes(text)

    with pytest.raises(SettingsError, match="the file db has") as refused:
        secret_files.read(tmp_path, SecretFile("db"))

    assert refused.value.exit_code == 2


def test_the_end_of_the_line_is_none_of_the_password(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"pass word \r\n")

    assert secret_files.read(tmp_path, SecretFile("db")) == "pass word "


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": {"file": ""}}, "a variable's name, or `{file: PATH}`"),
        ({"password": {"path": "x"}}, "a variable's name, or `{file: PATH}`"),
        ({"password": "not a name"}, "a variable's name"),
        ({"variables": PARTS}, "`variables.password_file` needs `password: {file: PATH}`"),
        ({"password": FILE, "variables": {**PARTS, "password": "P"}}, "which of the two"),
        ({"password": FILE, "connects": ["api"]}, "needs `variables.password_file`"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: Mapping[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**changes)

    assert words in str([refused.value.message, *refused.value.details])


def test_a_tool_is_given_the_path_of_its_file_and_never_the_password(tmp_path: Path) -> None:
    its = settings(password=FILE, variables=PARTS)
    place, owner = places(its, "shared")["api"], its.owners["api"]
    environment = dict.fromkeys(PARTS.values(), "something") | {"DB_PASSWORD_FILE": "/run/secrets/api"}

    assert as_owner(owner, place, environment) == {"DB_USER": "api", "DB_NAME": "taskflow"}
    assert as_written(owner, place, "taskflow").keys() == {"DB_USER", "DB_NAME"}
    assert "DB_PASSWORD_FILE" not in pointed_at(owner, environment, TARGET)
    on_host = pointed_at(owner, environment, TARGET, from_host=True, password_file="/here/secrets/api")
    assert on_host == {"DB_HOST": "127.0.0.1", "DB_PASSWORD_FILE": "/here/secrets/api", "DB_NAME": "taskflow"}
    assert file_variables(places(its, "shared"), tmp_path) == {"API_DB_PASSWORD_FILE": str(tmp_path / "secrets/api")}


def stack_with_files(root: Path) -> FakeStack:
    stack = FakeStack(root)
    stack.runtime.needs_no_variables = True
    stack.config["database"]["password"] = {"file": "secrets/postgres"}
    stack.config["owners"]["api"]["password"] = FILE
    return stack


def test_what_is_missing_is_made_before_a_start_and_git_is_asked_about_it(tmp_path: Path) -> None:
    stack = stack_with_files(tmp_path)
    (tmp_path / ".git").mkdir()
    stack.processes.answer("git", "check-ignore", with_=Completed(1, "", ""))
    boot = stack.boot()

    prepare(boot)

    assert "made secrets/api with a password" in stack.said
    assert "git does not ignore secrets/api: echo /secrets/api >> .gitignore" in stack.said
    assert boot.target().password == (tmp_path / "secrets/postgres").read_text(encoding="utf-8")
    assert boot.logins["api"] == (tmp_path / "secrets/api").read_text(encoding="utf-8")
    assert "secrets/api" not in (tmp_path / ".env").read_text(encoding="utf-8")


def test_a_lost_file_of_data_that_are_there_is_not_made_anew(tmp_path: Path) -> None:
    stack = stack_with_files(tmp_path)
    stack.runtime.holds_data = True

    with pytest.raises(SettingsError, match="there is no file secrets/postgres") as refused:
        prepare(stack.boot())

    assert "put the file back" in refused.value.hint
    assert not (tmp_path / "secrets").exists()
