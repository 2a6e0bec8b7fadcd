"""No value of .env leaves a whole stack: tools, services and the server print it in every form, and fail with it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from scripts.bootorder.redaction import forms
from tests.stack import ROOT, free_ports

from .tiny import POSTGRES_IMAGE, PYTHON_IMAGE, EmbeddedTiny

pytestmark = pytest.mark.usefixtures("postgres_programs")

SECRETS = {
    "POSTGRES_PASSWORD": "p@ss/w%rd +\"ö&<7>'",
    "API_DB_PASSWORD": "a$b c:d?e#f[0]",
    "SESSION_SECRET": "0123456789abcdef0123456789abcdef0123456789abcdef",
    "PAYMENT": "pk_live_51HxYz\\n",
}
OF_URLS = ["Mail!pass-9"]
ENV = "".join(
    "{}='{}'\n".format(name, value.replace("\\", "\\\\").replace("'", "\\'")) for name, value in SECRETS.items()
)
ENV += f"MAIL_URL=smtp://robot:{OF_URLS[0]}@mail.example.org:25\nLOG_LEVEL=info\nNODE_ENV=development\nAPP=shop\n"

# As a program of its own would print what it was given. What it printed stands in a file beside the stack.
LEAK = """\
import base64, html, json, os, shlex, sys
from urllib.parse import quote, quote_plus, urlsplit

def leak(where):
    names = ["POSTGRES_PASSWORD", "API_DB_PASSWORD", "SESSION_SECRET", "PAYMENT"]
    values = [os.environ[name] for name in names] + [urlsplit(os.environ["MAIL_URL"]).password]
    with open(os.environ["PRINTED"], "a", encoding="utf-8") as printed:
        for value in values:
            for text in (
                value, quote(value), quote(value, safe=""), quote_plus(value), quote(value, safe="!'()*"),
                json.dumps(value)[1:-1], json.dumps(json.dumps(value))[3:-3], repr(value)[1:-1],
                value.replace("'", "''"), shlex.quote(value), html.escape(value),
                base64.b64encode(value.encode()).decode(),
            ):
                print(text, file=printed)
                print(f"{where}: error: it is {text}!", flush=True)
                print(text, file=sys.stderr, flush=True)
            print(f"\\x1b[31m{value[:3]}\\x1b[0m{value[3:]}", flush=True)
            print("\\x9b31m\\u202eturned\\x1b]0;title\\x07 \\x1b", flush=True)
        print("-" * 65530 + values[0] + "-" * 10, flush=True)
"""
TOOL = """\
import os, pathlib, sys
import psycopg
from leak import leak

mode = pathlib.Path("mode").read_text()
leak("tool")
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    try:  # so that the server's log has it, too
        connection.execute("select '" + os.environ["SESSION_SECRET"] + "'::int")
    except psycopg.Error as error:
        print(error)
    if mode == "fail":
        raise SystemExit("it failed with " + os.environ["API_DB_PASSWORD"])
    if sys.argv[1] == "migrate":
        connection.execute("create table if not exists note (id int primary key)")
    else:
        connection.execute("insert into note values (1) on conflict do nothing")
"""
WEB = """\
import http.server, os, pathlib
from leak import leak

leak("web")
if pathlib.Path("mode").read_text() == "exit":
    raise SystemExit("it ended with " + os.environ["POSTGRES_PASSWORD"])

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Hello).serve_forever()
"""


@dataclass
class Leaky:
    """A repository with these tasks, whose programs print everything that they know."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ports = free_ports(["database", "web"])
        shutil.copytree(ROOT / "scripts", self.folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in (("leak.py", LEAK), ("tool.py", TOOL), ("web.py", WEB)):
            (self.folder / "app").mkdir(exist_ok=True)
            (self.folder / "app" / name).write_text(text, encoding="utf-8")
        (self.folder / ".env").write_text(ENV, encoding="utf-8")
        (self.folder / ".env").chmod(0o600)
        home = self.folder / ".bootorder" / "postgres"
        home.mkdir(parents=True)
        (home / EmbeddedTiny.programs.name).symlink_to(EmbeddedTiny.programs)
        (self.folder / "invoke.yaml").write_text(json.dumps({"bootorder": self.config(ports)}), encoding="utf-8")
        self.mode("good")

    def config(self, ports: dict[str, int]) -> dict[str, Any]:
        given = {name: f"${{{name}}}" for name in (*SECRETS, "MAIL_URL")}
        environment = {**given, "PRINTED": str(self.printed), "PYTHONPATH": str(self.folder / "app")}
        password = quote(SECRETS["API_DB_PASSWORD"], safe="")
        environment["DATABASE_URL"] = f"postgresql://api:{password}@127.0.0.1:{ports['database']}/shop"
        process = {"directory": "app", "env": environment}
        return {
            "runtime": "embedded",
            "secrets": ["SESSION_SECRET"],
            "database": {
                "service": "db",
                "name": "shop",
                "user": "boss",
                "password": "POSTGRES_PASSWORD",
                "port": ports["database"],
            },
            "owners": {
                "api": {
                    "migrator": "command",
                    "service": "tools",
                    "migrate": "python tool.py migrate",
                    "seed": "python tool.py seed",
                }
            },
            "apps": {"web": {"health": "/", "wait": 20}},
            "processes": {"tools": process, "web": {**process, "run": "python web.py", "port": ports["web"]}},
        }

    @property
    def printed(self) -> Path:
        return self.folder / "printed.txt"

    def mode(self, mode: str) -> None:
        (self.folder / "app" / "mode").write_text(mode, encoding="utf-8")

    def inv(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(self.folder / "scripts/bootorder/__main__.py"), *arguments]
        before = os.umask(0)  # a state folder that others can read is a leak, too
        try:
            done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, check=False)
        finally:
            os.umask(before)
        if arguments[0] != "url":
            self.said += [done.stdout, done.stderr]
        return done

    def leaks(self, text: str) -> set[str]:
        known = {form for value in (*SECRETS.values(), *OF_URLS) for form in forms(value)}
        known |= set(self.printed.read_text(encoding="utf-8").splitlines())
        return {form for form in known if form in text}

    def kept(self) -> list[Path]:
        """What the tasks keep, but for the database itself and its programs."""
        state = self.folder / ".bootorder"
        return [path for path in state.rglob("*") if path.is_file() and "postgres" not in path.relative_to(state).parts]


@pytest.fixture(scope="module")
def leaky(new_folder: Callable[[], Path], postgres_programs: None) -> Iterator[Leaky]:
    """It failed in its migration, booted, failed in its app, and was looked at in all ways."""
    stack = Leaky(new_folder())
    try:
        stack.mode("fail")
        failed = stack.inv("start", "--json", "--verbose")
        assert failed.returncode == 5, failed.stderr
        assert json.loads(failed.stdout)["error"]["log"]
        stack.inv("timeline", "--format", "json")
        stack.mode("exit")
        failed = stack.inv("start")
        assert failed.returncode == 4, failed.stderr
        stack.mode("good")
        booted = stack.inv("start", "--verbose")
        assert booted.returncode == 0, booted.stderr
        for arguments in (
            *(["doctor"], ["doctor", "--json"], ["status", "--json"], ["tables", "--json"], ["plan", "--json"]),
            *(["migrate", "--plan", "--json"], ["migrate"], ["logs"], ["logs", "--service", "db"]),
            *(["timeline"], ["timeline", "--format", "trace"], ["timeline", "--format", "json"]),
        ):
            done = stack.inv(*arguments)
            assert done.stdout or arguments == ["migrate"], done.stderr
        yield stack
    finally:
        stack.inv("clean")


def test_the_programs_did_print_their_secrets(leaky: Leaky) -> None:
    """Else nothing below says anything."""
    printed = leaky.printed.read_text(encoding="utf-8")

    assert not [value for value in (*SECRETS.values(), *OF_URLS) if value not in printed]
    said = "".join(leaky.said)
    for where in ("| tool: error: it is ***", "web          | web: error: it is ***", "invalid input syntax"):
        assert where in said


def test_no_secret_is_on_the_console(leaky: Leaky) -> None:
    assert leaky.leaks("".join(leaky.said)) == set()


def test_no_secret_is_in_what_the_tasks_keep(leaky: Leaky) -> None:
    kept = leaky.kept()

    assert {"timeline.json", "timeline.svg", "timeline.html", "timeline.trace.json", "web.log", "db.log"} <= {
        path.name for path in kept
    }
    found = {path.name: leaky.leaks(path.read_bytes().decode(errors="replace")) for path in kept}
    assert {name: leaks for name, leaks in found.items() if leaks} == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_what_the_tasks_keep_is_for_this_user_only_whatever_the_umask(leaky: Leaky) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in leaky.kept()}

    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077 and not name.endswith("lock")} == {}
    folder = stat.S_IMODE((leaky.folder / ".bootorder").stat().st_mode)
    assert folder == (0o711 if os.geteuid() == 0 else 0o700)


def test_no_control_character_is_on_the_console(leaky: Leaky) -> None:
    said = "".join(leaky.said)

    assert not [letter for letter in said if letter in "\x1b\x9b\x07\u202e"]
    assert "\\x9b31m\\u202eturned" in said


def test_words_that_are_no_secrets_are_readable(leaky: Leaky) -> None:
    status = json.loads(leaky.inv("status", "--json").stdout)

    assert [service["name"] for service in status["services"]] == ["db", "web"]
    assert status["owners"][0]["role"] == "api"


@pytest.mark.parametrize(("arguments", "user"), [(["--as-superuser"], "boss"), (["--as", "api"], "api")])
def test_a_url_that_was_asked_for_has_its_password_and_opens_the_database(
    leaky: Leaky, arguments: list[str], user: str
) -> None:
    done = leaky.inv("url", *arguments)

    with psycopg.connect(done.stdout.strip()) as connection:
        assert connection.execute("select current_user").fetchone() == (user,)
    assert leaky.leaks(done.stderr) == set()


# -- with Docker -------------------------------------------------------------------------------------------------------

LITERAL = "in compose/yaml-1"
COMPOSE_FILE = f"""\
services:
  db:
    image: {POSTGRES_IMAGE}
    environment: {{POSTGRES_USER: postgres, POSTGRES_PASSWORD: "{LITERAL}", POSTGRES_DB: shop}}
    ports: ["127.0.0.1::5432"]
  web:
    image: {PYTHON_IMAGE}
    environment: {{TOKEN: "${{TOKEN}}", DATABASE_PASSWORD: "{LITERAL}"}}
    command: [python, -c, "import os; print('it is', os.environ['TOKEN'], os.environ['DATABASE_PASSWORD']); exit(3)"]
"""


@pytest.mark.usefixtures("engine")
def test_the_literal_password_of_a_compose_file_is_hidden_in_logs_and_errors(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "compose.yaml").write_text(COMPOSE_FILE, encoding="utf-8")
    (tmp_path / ".env").write_text("TOKEN=tok/en 1\n", encoding="utf-8")
    database = {"service": "db", "name": "shop", "user": "postgres", "service_password": "POSTGRES_PASSWORD"}
    settings = {
        "runtime": "compose",
        "compose": ["compose.yaml"],
        "database": database,
        "apps": {"web": {"ends": True}},
    }
    (tmp_path / "invoke.yaml").write_text(json.dumps({"bootorder": settings}), encoding="utf-8")

    def inv(*arguments: str) -> str:
        argv = [sys.executable, str(tmp_path / "scripts/bootorder/__main__.py"), *arguments]
        environment = {**os.environ, "COMPOSE_PROJECT_NAME": f"bootorder-test-{tmp_path.name.replace('_', '-')}"}
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    try:
        said = "".join(inv(*arguments) for arguments in (["start", "--verbose"], ["logs"], ["doctor"], ["status"]))
        url = inv("url", "--as-superuser")
    finally:
        inv("clean")

    assert said.count("it is *** ***") >= 2, said
    assert not [form for value in (LITERAL, "tok/en 1") for form in forms(value) if form in said]
    assert quote(LITERAL, safe="") in url
