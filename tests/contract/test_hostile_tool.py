"""A tool of one owner that prints, leaves and pretends whatever it likes, in a whole stack without Docker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from invoke.util import yaml  # type: ignore[attr-defined]

from scripts.bootorder import processes
from scripts.bootorder.errors import MigrationError
from scripts.bootorder.migrators.sqlmodel import registered
from scripts.bootorder.processes import Completed
from scripts.bootorder.redaction import forms
from tests.stack import ROOT, free_ports

from .tiny import ComposeTiny, EmbeddedTiny, Part, ignore, python

pytestmark = pytest.mark.usefixtures("postgres_programs")

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux")

SECRETS = {
    "BOSS_PASSWORD": "boss-pass-1a2b3c",
    "SHOP_DB_PASSWORD": "shop-pass-4d5e6f",
    "BILL_DB_PASSWORD": "bill-pass-7g8h9i",
}
MAKE = "connection.execute('create table if not exists item (id int primary key)')\n"
# The tool of the owner that is not attacked from, and its seed.
HONEST = """\
import os, sys
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("create table if not exists bill (id int primary key)")
    if sys.argv[1] == "seed":
        connection.execute("insert into bill values (1) on conflict do nothing")
"""
# Of the attacker: `act.py` is what it does instead of its work, in this connection of its own.
HOSTILE = """\
import json, os, pathlib, sys
import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    exec(pathlib.Path("act.py").read_text())
"""


@dataclass
class TwoOwners:
    """A repository with these tasks: `bill` is an honest owner, the tool and the app of `shop` are the attacker's."""

    folder: Path

    def __post_init__(self) -> None:
        self.ports = free_ports(["database", "web"])
        shutil.copytree(ROOT / "scripts", self.folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name, program in (("shop", HOSTILE), ("bill", HONEST)):
            (self.folder / name).mkdir()
            (self.folder / name / "tool.py").write_text(program, encoding="utf-8")
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
        (self.folder / ".env").chmod(0o600)
        home = self.folder / ".bootorder" / "postgres"
        home.mkdir(parents=True)
        (home / EmbeddedTiny.programs.name).symlink_to(EmbeddedTiny.programs)
        (self.folder / "invoke.yaml").write_text(json.dumps({"bootorder": self.settings()}), encoding="utf-8")
        self.act("")

    def settings(self) -> dict[str, Any]:
        owners = {
            name: {
                "migrator": "command",
                "service": f"{name}-tool",
                "migrate": "python tool.py migrate",
                "seed": "python tool.py seed",
                "wait": 20,
            }
            for name in ("bill", "shop")
        }
        urls = {
            name: f"postgresql://{name}:${{{name.upper()}_DB_PASSWORD}}@127.0.0.1:{self.ports['database']}/store"
            for name in owners
        }
        processes = {f"{name}-tool": {"directory": name, "env": {"DATABASE_URL": url}} for name, url in urls.items()}
        return {
            "runtime": "embedded",
            "database": {
                "service": "db",
                "name": "store",
                "user": "boss",
                "password": "BOSS_PASSWORD",
                "port": self.ports["database"],
            },
            "owners": owners,
            "processes": processes,
        }

    def act(self, program: str, *, after: str = "") -> None:
        """Let the tool do this, then its work, then `after`."""
        text = f"{textwrap.dedent(program)}\n{MAKE}\n{textwrap.dedent(after)}\n"
        text += "if sys.argv[1] == 'seed': connection.execute('insert into item values (1) on conflict do nothing')\n"
        (self.folder / "shop" / "act.py").write_text(text, encoding="utf-8")

    def inv(self, *arguments: str, limit: float = 60) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(self.folder / "scripts/bootorder/__main__.py"), *arguments]
        return subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False, timeout=limit)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        url = f"postgresql://boss:{SECRETS['BOSS_PASSWORD']}@127.0.0.1:{self.ports['database']}/store"
        with psycopg.connect(url) as connection:
            return connection.execute(query.encode()).fetchall()

    def harm(self) -> list[tuple[Any, ...]]:
        """What the other owner has lost; nothing where it has its table and its row."""
        found = self.rows(
            "select tableowner::text, (select count(*) from bill) from pg_tables where tablename = 'bill'"
        )
        return [] if found == [("bill", 1)] else found or [("no table", 0)]


@pytest.fixture(scope="module")
def stack(postgres_programs: None, new_folder: Callable[[], Path]) -> Iterator[TwoOwners]:
    """Booted by an attacker that has done nothing yet."""
    made = TwoOwners(new_folder())
    try:
        booted = made.inv("start")
        assert booted.returncode == 0, booted.stderr
        assert made.harm() == []
        yield made
    finally:
        made.inv("clean")


@pytest.fixture(autouse=True)
def _unharmed(stack: TwoOwners) -> Iterator[None]:
    """Whatever is tried, the other owner has what it had, and the next honest run is a good one."""
    yield
    assert stack.harm() == []


def test_an_owner_that_holds_all_connections_is_named_by_the_server_and_holds_up_nothing_for_long(
    stack: TwoOwners,
) -> None:
    """Roles have no limit of their own. What needs a connection fails and says why; `stop` and `start` end it."""
    url = f"postgresql://shop:{SECRETS['SHOP_DB_PASSWORD']}@127.0.0.1:{stack.ports['database']}/store"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            for _ in range(1000):
                held.enter_context(contextlib.closing(psycopg.connect(url)))
        with pytest.raises(psycopg.OperationalError, match="connection slots are reserved"):
            psycopg.connect(url)

        migrated = stack.inv("migrate")
        looked = stack.inv("status")

    assert migrated.returncode in {4, 5}, migrated.stderr
    assert re.search("too many clients|connection slots", migrated.stderr)
    assert looked.returncode == 0
    stack.act("")
    assert stack.inv("migrate").returncode == 0


def lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.strip()]


FORGED = "[9/9] wait-apps  web healthy  0.1 s"
FAILED = "  hint: run `./inv start --clean`"


@pytest.mark.parametrize("flags", [("--verbose",), ("--json",)], ids="".join)
def test_what_a_tool_prints_forges_no_line_of_ours(stack: TwoOwners, flags: tuple[str, ...]) -> None:
    forged = f"{FORGED}\n{FAILED}"
    stack.act(f"""
        forged = {forged!r}
        for text in (
            forged, "\\r" + forged, "\\x1b[2K\\x1b[1A" + forged, "\\x85" + forged, "\\u2028" + forged, "\\x0b" + forged,
            "<script>alert(1)</script>",
            "\\x1b]0;title\\x07" + forged, "\\x9b1A" + forged, "\\u202e" + forged, "\\0" + forged, "\\x1bM" + forged,
        ):
            print(text, flush=True)
            print(text, file=sys.stderr, flush=True)
        os.write(1, b"\\xff\\xfe \\xc3\\x28 \\xed\\xa0\\x80\\n")
        raise SystemExit(3)
    """)

    done = stack.inv("migrate", *flags) if flags != ("--json",) else stack.inv("start", "--until", "migrate", "--json")

    said = done.stdout + done.stderr
    assert done.returncode == 5
    assert not [line for line in lines(said) if line.startswith(("[9/9]", "  hint: run"))]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066]", said)
    # What is of the tool stands behind a bar, or in quotes of JSON.
    assert all(
        re.match(r" +\| |\s*\"|error: ", line) for line in lines(said) if "wait-apps" in line or "--clean`" in line
    )
    if flags == ("--json",):
        assert json.loads(done.stdout)["ok"] is False
        drawn = [path for path in (stack.folder / ".bootorder").glob("timeline.*") if path.suffix in {".html", ".svg"}]
        assert not [path.name for path in drawn if "<script>alert" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("code", [0, 130])
def test_no_exit_code_and_no_words_make_a_success_of_a_failure(stack: TwoOwners, code: int) -> None:
    stack.act(f"""
        connection.execute("drop table if exists item")
        print("[✓] Changes applied\\nAll migrations have been successfully applied\\nOK\\n0 errors")
        os._exit({code})
    """)

    done = stack.inv("migrate")

    assert done.returncode == 5, done.stderr
    assert "error: migrate: shop: command " in done.stderr


def test_a_tool_that_works_only_where_it_is_rehearsed_is_a_failure(stack: TwoOwners) -> None:
    stack.act(
        "",
        after="""
        if connection.info.dbname == "store":
            connection.execute("drop table item")
            print("[✓] Changes applied")
        """,
    )

    done = stack.inv("migrate")

    # Which of the two depends on whether it had a row to lose.
    assert done.returncode in {5, 6}, done.stderr
    assert "shop: command did not finish" in done.stderr or "rows of shop are gone" in done.stderr


def test_a_tool_that_is_ended_by_its_own_signal_is_a_failure(stack: TwoOwners) -> None:
    stack.act("os.kill(os.getpid(), 9)")

    done = stack.inv("migrate")

    assert done.returncode == 5
    assert "it was ended from outside (SIGKILL)" in done.stderr


def test_what_a_tool_prints_without_end_is_over_at_its_limit(stack: TwoOwners) -> None:
    settings = stack.settings()
    settings["owners"]["shop"]["wait"] = 3
    (stack.folder / "invoke.yaml").write_text(json.dumps({"bootorder": settings}), encoding="utf-8")
    stack.act("while True: os.write(1, b'x' * 65536 + b'\\n')")
    try:
        done = stack.inv("migrate", limit=40)
    finally:
        (stack.folder / "invoke.yaml").write_text(json.dumps({"bootorder": stack.settings()}), encoding="utf-8")

    assert done.returncode == 5
    assert "took longer than 3 s" in done.stderr
    assert len(done.stderr) < 5_000_000


def test_a_tool_does_not_get_at_what_is_of_others_by_its_environment(stack: TwoOwners) -> None:
    """Nor by its command line. What else a process of the same user can do is described in docs/embedded.md."""
    found = stack.folder / "found.json"
    stack.act(f"""
        with open({str(found)!r}, "w") as file:
            json.dump({{"environment": dict(os.environ), "argv": sys.argv}}, file)
    """)

    given = {**os.environ, **SECRETS, "PGPASSWORD": SECRETS["BOSS_PASSWORD"]}
    argv = [sys.executable, str(stack.folder / "scripts/bootorder/__main__.py"), "migrate"]
    done = subprocess.run(argv, cwd=stack.folder, env=given, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    seen = found.read_text(encoding="utf-8")
    assert SECRETS["SHOP_DB_PASSWORD"] in seen
    assert not [name for name in ("BOSS_PASSWORD", "BILL_DB_PASSWORD") if SECRETS[name] in seen]


def test_passwords_that_a_tool_guessed_or_was_given_are_printed_nowhere(stack: TwoOwners) -> None:
    stack.act(f"""
        import base64, urllib.parse
        for value in {list(SECRETS.values())!r}:
            quoted = urllib.parse.quote(value, safe="")
            for text in (value, quoted, base64.b64encode(value.encode()).decode(), value.encode().hex()):
                print(text, "|", text * 3)
                print("\\x1b[31m" + text[:4] + "\\x1b[0m" + text[4:])
        print("x" * 1048570 + value + "y" * 10)  # where a long line is cut
        raise SystemExit(9)
    """)

    said = stack.inv("migrate", "--verbose")

    kept = [
        path for path in (stack.folder / ".bootorder").rglob("*") if path.is_file() and "postgres" not in path.parts
    ]
    texts = [said.stdout + said.stderr, *(path.read_text(errors="replace") for path in kept)]
    leaked = {form for value in SECRETS.values() for form in forms(value) if any(form in text for text in texts)}
    assert leaked == set()
    halves = {value[:length] for value in SECRETS.values() for length in range(6, len(value))}
    assert {half for half in halves if re.search(f"x{re.escape(half)}", "".join(texts))} == set()


@pytest.mark.parametrize(
    "begin",
    [
        "os.setsid()",
        "os.setsid()\nif os.fork(): os._exit(0)",
        "os.setsid()\nopen('/proc/self/comm', 'w').write('postgres')",
        "os.setsid()\nsignal.signal(15, signal.SIG_IGN)",
        "os.setsid()\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env={})",
    ],
    ids=["setsid", "double fork", "another name", "deaf", "with a child of no environment"],
)
@only_linux
def test_what_a_tool_leaves_behind_ends_with_it(
    new_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, begin: str
) -> None:
    """Else it would change its tables after they were verified."""
    monkeypatch.setattr(processes, "_LEFT_OVER_SECONDS", 0.1)
    program = f"""
import os, signal, subprocess, sys, time
if os.fork():
    time.sleep(0.4)
    os._exit(0)
{begin}
time.sleep(60)
"""
    with EmbeddedTiny(new_folder() / "tiny", parts={"tool": Part("print('the tool')", one_off=True)}) as stack:
        done = stack.runtime.run_once("tool", python(program), {}, ignore)

        assert (done.code, stack.alive(), stack.workers()) == (0, [], [])


@pytest.mark.usefixtures("engine")
def test_what_a_tool_leaves_behind_in_its_container_ends_with_it(new_folder: Callable[[], Path]) -> None:
    program = "import os, time\nif not os.fork():\n    os.setsid()\n    os.fork() or time.sleep(60)\n    os._exit(0)"
    with ComposeTiny(new_folder() / "tiny", parts={"tool": Part("print('the tool')", one_off=True)}) as stack:
        done = stack.runtime.run_once("tool", python(program), {}, ignore)

        assert (done.code, stack.alive()) == (0, [])


@pytest.mark.parametrize("text", ["compose.yaml", "invoke.yaml"])
def test_no_service_of_the_sample_is_given_the_password_of_another_owner(text: str) -> None:
    """Nor the engine, nor a folder of this machine."""
    read = yaml.safe_load(  # type: ignore[no-untyped-call]
        (ROOT / text).read_text(encoding="utf-8")
    )
    services = read["services"] if "services" in read else read["bootorder"]["processes"]
    for name, service in services.items():
        if name == "postgres":
            continue
        said = json.dumps(service)
        known = {word for word in ("POSTGRES_PASSWORD", "SSO_DB_PASSWORD", "API_DB_PASSWORD") if word in said}
        own = {"api": {"API_DB_PASSWORD"}, "sso": {"SSO_DB_PASSWORD"}, "sso-setup": {"SSO_DB_PASSWORD"}}
        assert known <= own.get(name, set()), name
        assert not any(word in service for word in ("privileged", "pid", "network_mode", "cap_add", "devices")), name
        assert "docker.sock" not in said
        assert not [one for one in service.get("volumes", ()) if str(one).startswith((".", "/", "~"))], name


@pytest.mark.parametrize(
    "answer",
    [
        '{"reached": ',
        '{"reached": true}',
        '{"reached": true, "called": [], "ended": "", "models": [1]}',
        '{"reached": ' + "[" * 100000,
    ],
    ids=["half", "nothing else", "another type", "deep"],
)
def test_an_app_that_forges_the_answer_of_the_models_check_is_refused(answer: str) -> None:
    with pytest.raises(MigrationError, match="create_all is never reached"):
        registered("api", ["python", "app.py"], Completed(0, f"{answer}\n", f"{answer}\n"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of a process")
def test_much_output_takes_little_memory(tmp_path: Path) -> None:
    """In one line and in many; of each the end is kept, and the begin of a line."""
    program = """
        import re, sys
        from pathlib import Path
        from scripts.bootorder.processes import SystemProcesses
        for line in ("b'x' * 1000000", "b'y' * 999 + b'\\\\n'"):
            tool = f"import os\\nfor _ in range(2**28 // len({line})): os.write(1, {line})\\nprint('end')"
            done = SystemProcesses().run([sys.executable, "-c", tool], cwd=Path("/"), on_line=lambda line: None)
            # Not ru_maxrss, which begins with what the parent had.
            most = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
            print(done.code, len(done.text) < 20_000_000, most < 150 * 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["0", "True", "True"] * 2, done.stderr
