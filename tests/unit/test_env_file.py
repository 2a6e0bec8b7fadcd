from __future__ import annotations

import errno
import os
import shutil
import stat
import string
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.bootorder import env_file
from scripts.bootorder.errors import LockedError, SettingsError
from scripts.bootorder.lock import hold

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def complete(path: Path, *names: str) -> list[str]:
    return env_file.complete(path, names, path.parent / ".bootorder" / "env.lock")


def test_a_new_file_gets_every_secret_and_says_what_it_is(path: Path) -> None:
    added = complete(path, "ONE", "TWO")

    assert added == ["ONE", "TWO"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#")
    assert "git" in text
    assert list(env_file.read(path)) == ["COMPOSE_PROJECT_NAME", "ONE", "TWO"]


def test_a_stack_is_called_by_its_folder_and_no_other_stack_is(tmp_path: Path) -> None:
    """Two checkouts of one repository would otherwise take each other's volumes for their own."""
    names = []
    for folder in ("one", "two", "two"):
        path = tmp_path / folder / "Mein Täskflow" / ".env"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        complete(path, "ONE")
        names.append(env_file.read(path)["COMPOSE_PROJECT_NAME"])

    assert names[0] != names[1] == names[2]
    assert names[0].startswith("mein-t-skflow-")


def test_it_stands_where_compose_reads_it_beside_the_first_of_its_files(tmp_path: Path) -> None:
    assert env_file.path_of(tmp_path) == tmp_path / ".env"
    assert env_file.path_of(tmp_path, ["compose.yaml"]) == tmp_path / ".env"
    assert env_file.path_of(tmp_path, ["docker/dev/compose.yaml", "more.yaml"]) == tmp_path / "docker/dev/.env"


def test_the_rest_of_a_file_is_as_it_stands(path: Path) -> None:
    path.write_text("# ours\nA='1 2'  # a note\nexport B=2\n\nC=3", encoding="utf-8")

    assert env_file.without(path, {"B"}) == "# ours\nA='1 2'  # a note\n\nC=3"
    assert env_file.without(path.with_name("none"), {"B"}) == ""


def test_a_new_file_begins_as_the_template_beside_it_with_secrets_of_its_own(path: Path) -> None:
    template = "# settings of the shop\nPORT=8000\nSECRET=\nPASSWORD=changeme\nKEPT=postgres\n"
    path.with_name(".env.example").write_text(template, encoding="utf-8")

    added = complete(path, "SECRET", "PASSWORD", "KEPT", "NEW")

    found = env_file.read(path)
    assert added == ["SECRET", "PASSWORD", "NEW"]
    assert (found["PORT"], found["KEPT"]) == ("8000", "postgres")
    assert all(len(found[name]) == 48 for name in added)
    assert "# settings of the shop" in path.read_text(encoding="utf-8")
    assert "COMPOSE_PROJECT_NAME" in found


def test_a_template_that_lacks_nothing_is_the_file_and_what_only_looks_borrows_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PORT", raising=False)
    path.with_name(".env.example").write_text("PORT=8000\n", encoding="utf-8")

    with env_file.lent(path, []):
        assert os.environ["PORT"] == "8000"
    assert "PORT" not in os.environ
    assert not path.exists()

    assert complete(path) == []
    assert env_file.read(path)["PORT"] == "8000"


@pytest.mark.parametrize("name", [".env.default", "env.template"])
def test_a_template_has_one_of_the_names_that_people_give_it(path: Path, name: str) -> None:
    path.with_name(name).write_text("PORT=8000\n", encoding="utf-8")

    complete(path, "SECRET")

    assert env_file.read(path)["PORT"] == "8000"


def test_a_template_is_not_looked_at_where_there_is_a_file(path: Path) -> None:
    path.write_text("ONE=1\n", encoding="utf-8")
    path.with_name(".env.example").write_text("TWO=2\n", encoding="utf-8")

    assert complete(path, "TWO") == ["TWO"]


def test_a_file_that_is_there_gets_no_other_name(path: Path) -> None:
    path.write_text("ONE=1\n", encoding="utf-8")
    complete(path, "ONE", "TWO")

    assert "COMPOSE_PROJECT_NAME" not in env_file.read(path)


def test_secrets_are_long_and_each_is_another(path: Path) -> None:
    complete(path, "ONE", "TWO")

    _, one, two = env_file.read(path).values()
    assert len(one) >= 32
    assert one != two
    assert set(one) <= set(string.ascii_letters + string.digits), "so that it needs no quotes, in a URL either"


@posix
def test_only_its_user_can_read_the_file_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        complete(path, "ONE")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
def test_a_file_that_others_could_read_is_closed_before_a_secret_is_added(path: Path) -> None:
    path.write_text("OWN=1\n", encoding="utf-8")
    path.chmod(0o644)

    complete(path, "ONE")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_complete_file_is_not_touched(path: Path) -> None:
    path.write_text("ONE=mine", encoding="utf-8")
    before = path.stat()

    assert complete(path, "ONE") == []

    assert path.read_text(encoding="utf-8") == "ONE=mine"
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_mode == before.st_mode


def test_a_missing_key_is_added_and_a_present_one_kept(path: Path) -> None:
    path.write_text("# mine\nONE='keep me'\n", encoding="utf-8")

    assert complete(path, "ONE", "TWO") == ["TWO"]

    assert path.read_text(encoding="utf-8").startswith("# mine\nONE='keep me'\nTWO=")
    assert env_file.read(path)["ONE"] == "keep me"


def test_a_file_without_a_newline_at_its_end_keeps_its_last_line(path: Path) -> None:
    path.write_text("ONE=mine", encoding="utf-8")

    complete(path, "TWO")

    assert path.read_text(encoding="utf-8").startswith("ONE=mine\nTWO=")


def test_a_name_wanted_twice_is_made_once(path: Path) -> None:
    assert complete(path, "ONE", "ONE") == ["ONE"]
    assert path.read_text(encoding="utf-8").count("ONE=") == 1


def test_a_checkout_that_was_used_before_gets_a_missing_key_too(path: Path) -> None:
    complete(path, "ONE")

    assert complete(path, "ONE", "TWO") == ["TWO"]


def test_a_quoted_value_is_taken_as_it_stands(path: Path) -> None:
    path.write_text("ONE='${HOME}$x'\n", encoding="utf-8")

    assert env_file.read(path) == {"ONE": "${HOME}$x"}


def test_a_second_run_makes_nothing_new(path: Path) -> None:
    complete(path, "ONE")
    text = path.read_text(encoding="utf-8")

    assert complete(path, "ONE") == []
    assert path.read_text(encoding="utf-8") == text


def test_what_the_environment_gives_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "from the environment")

    assert complete(path, "ONE") == []
    assert not path.exists()


def test_what_only_looks_is_lent_what_is_missing_or_empty_and_nothing_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("A=kept\nB=\n", encoding="utf-8")
    monkeypatch.setenv("C", "")
    before = dict(os.environ)

    with env_file.lent(path, ["A", "B", "C", "D"]):
        lent = {name: os.environ.get(name) for name in "ABCD"}
        assert env_file.PROJECT not in os.environ, "the file may have another name for it"
    assert lent["A"] is None
    assert len({lent["B"], lent["C"], lent["D"], None, ""}) == 5

    assert dict(os.environ) == before
    assert path.read_text(encoding="utf-8") == "A=kept\nB=\n"


def test_without_a_file_the_name_that_it_would_get_is_lent_too(path: Path) -> None:
    with env_file.lent(path, ["A"]):
        lent = os.environ[env_file.PROJECT]
    assert not path.exists()

    complete(path, "A")

    assert env_file.written(path)[env_file.PROJECT] == lent


def test_what_was_lent_is_taken_back_whatever_happens(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), env_file.lent(path, ["A"]):
        raise KeyboardInterrupt

    assert "A" not in os.environ


def test_the_environment_wins_over_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("ONE=file\nTWO=file\n", encoding="utf-8")
    monkeypatch.setenv("ONE", "environment")

    assert env_file.read(path) == {"ONE": "environment", "TWO": "file"}
    assert env_file.secret(path, "ONE") == "environment"
    assert env_file.secret(path, "TWO") == "file"


def test_a_secret_may_come_from_the_environment_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "environment")

    assert env_file.secret(path, "ONE") == "environment"


@pytest.mark.parametrize("text", ["", "OTHER=1\n", "ONE=\n", "ONE\n"])
def test_a_secret_without_a_value_is_refused_by_name(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match=r"ONE has no value in \.env"):
        env_file.secret(path, "ONE")


def test_a_secret_emptied_by_the_environment_is_blamed_on_the_environment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("ONE=file\n", encoding="utf-8")
    monkeypatch.setenv("ONE", "")

    with pytest.raises(SettingsError) as caught:
        env_file.secret(path, "ONE")

    assert "environment" in caught.value.message + caught.value.hint


def test_a_place_that_cannot_be_written_is_one_clear_error(path: Path) -> None:
    path.mkdir()

    with pytest.raises(SettingsError) as caught:
        complete(path, "ONE")

    assert caught.value.message.startswith("cannot write .env: ")
    assert "ONE" in caught.value.hint


def test_a_full_disk_is_passed_on_in_its_own_words(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)

    with pytest.raises(SettingsError, match="No space left on device"):
        complete(path, "ONE")


def test_a_file_that_cannot_be_read_is_one_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("ONE=1\n", encoding="utf-8")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)

    with pytest.raises(SettingsError, match="Permission denied"):
        complete(path, "ONE", "TWO")


def test_a_file_that_is_not_utf_8_is_one_clear_error(path: Path) -> None:
    path.write_bytes(b"ONE=caf\xe9\n")

    with pytest.raises(SettingsError, match=r"\.env"):
        complete(path, "ONE", "TWO")


@pytest.mark.parametrize("line", ["ONE BAD LINE", "TWO='never closed"])
def test_a_line_that_is_none_is_named_by_its_number_and_not_shown(
    path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(f"ZERO=0\n# a comment\n\n{line}\nEND=1\n", encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        env_file.check(path)

    assert caught.value.message == ".env, line 4, is not understood"
    assert line not in str(vars(caught.value)), "it may be a secret"
    assert env_file.written(path)["ZERO"] == "0"
    assert caplog.records == [], "said once, in our words"


@pytest.mark.parametrize(
    "text", ["", "# a comment\n", "ONE=1\n", "export ONE=1\n", "ONE=\n", "ONE\n", "ONE='a b' # c\n"]
)
def test_lines_that_are_understood_are_not_refused(path: Path, text: str) -> None:
    env_file.check(path)
    path.write_text(text, encoding="utf-8")

    env_file.check(path)


# -- references --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${ONE}", "first"),
        ("http://localhost:${ONE}/x${TWO}", "http://localhost:first/xsecond"),
        ("${ONE:-other}", "first"),
        ("${MISSING:-other}", "other"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${MISSING:-a b:c-d/$e}", "a b:c-d/$e"),
        ("$$", "$"),
        ("$${ONE}", "${ONE}"),
        ("$$${ONE}", "$first"),
        ("costs 5$", "costs 5$"),
        ("$ONE", "$ONE"),
        ("$", "$"),
        ("ONE}", "ONE}"),
        ("", ""),
    ],
)
def test_references_are_read_as_compose_reads_them(text: str, expanded: str) -> None:
    variables = {"ONE": "first", "TWO": "second", "EMPTY": ""}

    assert env_file.expand(text, variables, "here") == expanded


@pytest.mark.parametrize("variables", [{}, {"ONE": ""}])
def test_a_reference_without_a_value_is_refused_with_where_it_stands_and_what_to_do(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        env_file.expand("${TWO:-2} ${ONE}", variables, "processes.web.env.URL")

    assert caught.value.message == "processes.web.env.URL needs ONE, which has no value"
    assert "give ONE a value in .env" in caught.value.hint
    assert "`${ONE:-default}`" in caught.value.hint


@pytest.mark.parametrize("value", ["$x", "${TWO}", "$$", "a\\1b", "\\g<name>"])
def test_a_value_is_taken_as_it_stands(value: str) -> None:
    """A password with a dollar sign or a backslash in it is no reference and no pattern."""
    assert env_file.expand("<${ONE}>", {"ONE": value}, "here") == f"<{value}>"


@pytest.mark.parametrize("text", ["${ONE", "${1ONE}", "${}", "${ONE-x}", "${ONE:?x}", "${ONE:-${TWO}}", "${ ONE }"])
def test_a_reference_that_is_not_understood_is_refused_and_not_handed_on(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        env_file.expand(text, {"ONE": "1", "TWO": "2"}, "processes.web.env.URL")

    assert "processes.web.env.URL" in caught.value.message
    assert "${NAME:-default}" in caught.value.expected


@given(st.text(st.characters(exclude_characters="$")), st.dictionaries(st.text(max_size=5), st.text(), max_size=3))
@example("{ONE}", {"ONE": "1"})
def test_text_without_a_dollar_sign_is_itself(text: str, variables: dict[str, str]) -> None:
    assert env_file.expand(text, variables, "here") == text


@given(st.text())
def test_any_text_can_be_written_with_its_dollar_signs_doubled(text: str) -> None:
    assert env_file.expand(text.replace("$", "$$"), {}, "here") == text


# -- all together ------------------------------------------------------------------------------------------------------

_names = st.text(string.ascii_uppercase + "_", min_size=1, max_size=12).filter(lambda name: name not in os.environ)
_values = st.text(string.ascii_letters + string.digits + "-._~/+=", min_size=1, max_size=20)


@given(
    present=st.dictionaries(_names, _values, max_size=5),
    wanted=st.lists(_names, max_size=5),
    comment=st.sampled_from(["", "# a comment\n", "\n\n"]),
    ends_with_newline=st.booleans(),
)
def test_present_keys_never_change_missing_ones_are_added_and_all_are_read_back(
    present: dict[str, str], wanted: list[str], comment: str, ends_with_newline: bool
) -> None:
    wanted += list(present)[:2]
    text = comment + "\n".join(f"{name}={value}" for name, value in present.items())
    text += "\n" if ends_with_newline else ""
    with TemporaryDirectory() as folder:
        path = Path(folder, ".env")
        path.write_text(text, encoding="utf-8")

        added = complete(path, *wanted)

        after = path.read_text(encoding="utf-8")
        values = env_file.read(path)
        assert complete(path, *wanted) == []
    assert sorted(added) == sorted(set(wanted) - set(present))
    assert after.startswith(text)
    assert {name: values[name] for name in present} == present
    assert all(values[name] for name in wanted)
    assert set(values) == {*present, *wanted}


def test_a_lock_that_another_task_does_not_give_back_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That task was stopped (Ctrl-Z), or its disk hangs."""
    monkeypatch.setattr(env_file, "_LOCK_SECONDS", 0)
    lock = path.parent / ".bootorder" / "env.lock"
    lock.parent.mkdir()

    with (
        hold(lock, lock.with_suffix(".json"), "making secrets", 0, LockedError("held", hint="wait")),
        pytest.raises(LockedError, match=r"another task has been writing \.env") as caught,
    ):
        complete(path, "ONE")

    assert f"`making secrets` (pid {os.getpid()}" in caught.value.seen
    assert caught.value.exit_code == 7
    assert complete(path, "ONE") == ["ONE"]
    assert not lock.with_suffix(".json").exists()


# -- a pipe in its place -----------------------------------------------------------------------------------------------

pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes here")


@pipes
def test_a_pipe_that_a_password_manager_fills_is_read(path: Path) -> None:
    os.mkfifo(path)
    writing = threading.Thread(target=path.write_text, args=["ONE=1\n"], daemon=True)
    writing.start()

    assert env_file.written(path) == {"ONE": "1"}


@pipes
def test_a_pipe_that_nobody_fills_is_not_waited_for_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(path)
    monkeypatch.setattr(env_file, "_PIPE_SECONDS", 0.05)

    with pytest.raises(SettingsError, match="a pipe into which nobody writes") as caught:
        env_file.written(path)

    assert "password manager" in caught.value.hint
    path.write_text("", encoding="utf-8")  # which ends the one that reads


@pipes
def test_nothing_is_added_to_a_pipe(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(path)
    monkeypatch.setattr(env_file, "_missing", lambda path, names: list(names))

    with pytest.raises(SettingsError, match="is a pipe, and lacks ONE, TWO"):
        complete(path, "ONE", "TWO")


# -- the stack's name --------------------------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(env_file.PROJECT, raising=False)
    return env_file.path_of(tmp_path)


def name_at_a_start(path: Path, names: Sequence[str] = ("TOKEN",)) -> str:
    """Under which name a start runs, which must be that of what only looks afterwards; empty: what Compose says."""
    env_file.complete(path, names, path.parent / ".bootorder" / "env.lock")
    env_file.keep_name(path)
    name = env_file.written(path).get(env_file.PROJECT, "")
    with env_file.lent(path, names):
        assert env_file.written(path).get(env_file.PROJECT, os.environ.get(env_file.PROJECT, "")) == name
    return name


@pytest.mark.parametrize("first", ["no file", "a file without a name", "a file with one", "nothing to be made"])
@pytest.mark.parametrize("then", ["removed", "replaced"])
def test_a_stack_keeps_its_name_whatever_was_missing_the_first_time(named: Path, first: str, then: str) -> None:
    if first == "a file without a name":
        named.write_text("TOKEN=secret-of-mine\n", encoding="utf-8")
    elif first == "a file with one":
        named.write_text("COMPOSE_PROJECT_NAME=mine\n", encoding="utf-8")
    name = name_at_a_start(named, [] if first == "nothing to be made" else ["TOKEN"])

    named.unlink(missing_ok=True)
    if then == "replaced":
        named.write_text("OTHER=1\n", encoding="utf-8")

    assert name_at_a_start(named) == name


def test_a_name_in_the_environment_is_for_one_start(named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = name_at_a_start(named)
    with monkeypatch.context() as patch:
        patch.setenv(env_file.PROJECT, "other")
        env_file.keep_name(named)

    assert name_at_a_start(named) == name


def test_a_copy_is_a_stack_of_its_own_and_a_moved_checkout_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(env_file.PROJECT, raising=False)
    first, copy, moved = (tmp_path / name for name in ("first", "copy", "moved"))
    first.mkdir()
    name = name_at_a_start(env_file.path_of(first))
    (first / ".env").unlink()
    shutil.copytree(first, copy)

    assert name_at_a_start(env_file.path_of(copy)) != name

    first.rename(moved)
    assert name_at_a_start(env_file.path_of(moved)) == name
