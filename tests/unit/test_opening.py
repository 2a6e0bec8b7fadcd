from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bootorder import running as running_module
from scripts.bootorder.boot import Boot
from scripts.bootorder.choosing import Runtimes
from scripts.bootorder.console import Console
from scripts.bootorder.doctor import Finding
from scripts.bootorder.errors import BootError, LockedError, MachineError, MigrationError, NotReadyError, SettingsError
from scripts.bootorder.lock import exclusive
from scripts.bootorder.opening import open_boot
from scripts.bootorder.running import run_guard, run_nox, run_stages, start_stack
from scripts.bootorder.runtimes.base import Runtime
from scripts.bootorder.showing import follow_logs, open_shell, show_doctor, show_status, show_url, show_whole_plan

from .fakes import CONFIG, PUSH, FakeStack, prints


def start(stack: FakeStack, boot: Boot | None = None, **flags: Any) -> None:
    start_stack(boot or stack.boot(), **{"with_clean": False, "until": "", "as_json": False, "dry": False, **flags})


# -- opening -----------------------------------------------------------------------------------------------------------


def opened(root: Path, *, runtime: str = "", **parts: Any) -> Boot:
    return open_boot(root, {"bootorder": {**CONFIG, **parts}}, Console(io.StringIO()), runtime)


def test_opening_a_stack_touches_nothing(tmp_path: Path) -> None:
    for runtime in ("compose", "embedded"):
        assert opened(tmp_path, runtime=runtime).runtime.name == runtime

    assert list(tmp_path.iterdir()) == []


def test_why_a_runtime_was_chosen_is_said_unless_a_person_chose_it(tmp_path: Path) -> None:
    talk = io.StringIO()
    for runtime in ("embedded", "auto"):
        open_boot(tmp_path, {"bootorder": CONFIG}, Console(talk), runtime)

    assert talk.getvalue() == "runtime: embedded (there is no compose.yaml)\n"


def test_the_flags_are_kept_as_they_were_given(tmp_path: Path) -> None:
    boot = open_boot(tmp_path, {"bootorder": CONFIG}, Console(io.StringIO()), "", asked_for=["pgadmin"])

    assert boot.flags == {"--runtime": [], "--layout": [], "--with": ["pgadmin"], "--reseed": []}
    embedded = {"--runtime": ["embedded"], "--layout": [], "--with": [], "--reseed": []}
    assert opened(tmp_path, runtime="embedded").flags == embedded


@pytest.mark.parametrize(("flag", "setting", "layout"), [("", "", "shared"), ("", "schemas", "schemas")])
def test_the_layout_is_that_of_the_settings(tmp_path: Path, flag: str, setting: str, layout: str) -> None:
    config = {"bootorder": {**CONFIG, **({"layout": setting} if setting else {})}}

    boot = open_boot(tmp_path, config, Console(io.StringIO()), "embedded", layout=flag)

    assert (boot.layout, boot.flags["--layout"]) == (layout, [])


def test_the_layout_of_the_flag_is_kept_for_the_command_that_goes_on(tmp_path: Path) -> None:
    config = {"bootorder": {**CONFIG, "layout": "schemas"}}

    boot = open_boot(tmp_path, config, Console(io.StringIO()), "embedded", layout="databases")

    assert (boot.layout, boot.flags["--layout"]) == ("databases", ["databases"])
    assert boot.places["sso"].database == "taskflow_sso"


def test_a_stack_is_opened_as_it_was_asked_for(tmp_path: Path) -> None:
    config = {"bootorder": CONFIG}

    boot = open_boot(tmp_path, config, Console(io.StringIO()), "embedded", quick=True, asked_for=["pgadmin"])

    assert (boot.root, boot.quick, boot.asked_for) == (tmp_path, True, ["pgadmin"])
    assert not opened(tmp_path, runtime="embedded").quick


def test_the_other_runtime_is_looked_at_from_the_chosen_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Runtime] = []
    monkeypatch.setattr(Runtimes, "elsewhere", lambda runtimes, chosen: asked.append(chosen))
    boot = opened(tmp_path, runtime="embedded")
    assert asked == []

    boot.elsewhere()

    assert asked == [boot.runtime]


@pytest.mark.parametrize("flags", [{"runtime": "nonsense"}, {"layout": "schema"}, {"databse": {}}])
def test_bad_input_is_refused_when_a_stack_is_opened(tmp_path: Path, flags: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        opened(tmp_path, **flags)


@pytest.mark.parametrize(
    ("seeded", "name", "said", "hint"),
    [
        (True, "ssso", "unknown owner to --reseed `ssso`; did you mean `sso`?", "use one of these"),
        (True, "api", "unknown owner to --reseed `api`", "use one of these"),
        (False, "sso", "unknown owner to --reseed `sso`", "leave it out: there is none"),
    ],
    ids=["mistyped", "an owner without a seed", "no seed at all"],
)
def test_an_owner_to_reseed_that_there_is_not_is_refused_when_a_stack_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeded: bool, name: str, said: str, hint: str
) -> None:
    monkeypatch.setattr(Runtimes, "choose", lambda *_: pytest.fail("nothing is asked before"))
    owners = {name: dict(owner) for name, owner in CONFIG["owners"].items()}
    if not seeded:
        del owners["sso"]["seed"]

    with pytest.raises(SettingsError) as caught:
        open_boot(tmp_path, {"bootorder": {**CONFIG, "owners": owners}}, Console(io.StringIO()), "", reseed=[name])

    assert (caught.value.message, caught.value.hint) == (said, hint)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda boot: show_url(boot, "nobody", as_superuser=False), "unknown owner `nobody`"),
        (lambda boot: show_url(boot, "ssso", as_superuser=False), "unknown owner `ssso`; did you mean `sso`?"),
        (lambda boot: open_shell(boot, "nobody", "", as_superuser=False), "unknown owner `nobody`"),
        (lambda boot: open_shell(boot, "", "select 1", as_superuser=False), "which owner is meant?"),
        (lambda boot: open_shell(boot, "sso", "", as_superuser=True), "--as and --as-superuser at once"),
        (lambda boot: follow_logs(boot, ["webb"]), "unknown service `webb`; did you mean `web`?"),
        (lambda boot: run_guard(boot, assign=False, move_to="schema", dry=False), "unknown layout `schema`"),
        (lambda boot: show_whole_plan(boot, with_clean=False, until="migrat", as_json=False), "unknown stage `migrat`"),
        (
            lambda boot: start_stack(boot, with_clean=False, until="migrat", as_json=False, dry=False),
            "unknown stage `migrat`",
        ),
        (lambda boot: run_stages(replace(boot, asked_for=["pgadmn"]), ["apps-up"], dry=False), "unknown service to"),
    ],
    ids=["url", "near", "psql", "which", "both", "logs", "guard", "plan", "start", "apps-up"],
)
def test_a_wrong_name_is_refused_whatever_runs(stack: FakeStack, use: Callable[[Boot], None], said: str) -> None:
    """Before it is said that the database does not answer: that would send a person to start it for nothing."""
    stack.runtime.becomes("postgres", "exited", exit_code=0)

    with pytest.raises(SettingsError) as caught:
        use(stack.boot())

    assert caught.value.message.startswith(said)
    assert stack.runtime.changed == []


# -- the first use -----------------------------------------------------------------------------------------------------

_USES: dict[str, Callable[[Boot], None]] = {
    "a stage": lambda boot: run_stages(boot, ["db-up"], dry=False),
    "start": lambda boot: start_stack(boot, with_clean=False, until="db-up", as_json=False, dry=False),
}
_LOOKS: dict[str, Callable[[Boot], None]] = {
    "stop": lambda boot: run_stages(boot, ["stop"], dry=False),
    "clean": lambda boot: run_stages(boot, ["clean"], dry=False),
    "status": show_status,
    "logs": follow_logs,
    "doctor": lambda boot: show_doctor(boot, as_json=False),
}


@pytest.fixture
def fresh(stack: FakeStack) -> FakeStack:
    """A checkout that was never used."""
    (stack.root / ".env").unlink()
    stack.config["secrets"] = ["SESSION_SECRET"]
    return stack


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
def test_the_first_use_makes_the_secrets_and_says_so_without_showing_them(
    fresh: FakeStack, use: Callable[[Boot], None]
) -> None:
    use(fresh.boot())

    made = dict(line.split("=") for line in (fresh.root / ".env").read_text(encoding="utf-8").splitlines()[1:])
    names = ["POSTGRES_PASSWORD", "SSO_DB_PASSWORD", "API_DB_PASSWORD", "SESSION_SECRET"]
    assert list(made) == ["COMPOSE_PROJECT_NAME", *names]
    assert fresh.said.startswith(f"made .env with {', '.join(names)}\n")
    assert not any(made[name] in fresh.said for name in names)


def test_a_second_use_makes_nothing_and_says_nothing_of_it(fresh: FakeStack) -> None:
    run_stages(fresh.boot(), ["db-up"], dry=False)
    run_stages(fresh.boot(), ["db-up"], dry=False)

    assert fresh.said.count("made .env") == 1


@pytest.mark.parametrize("use", _LOOKS.values(), ids=_LOOKS)
@pytest.mark.parametrize("text", [None, "POSTGRES_PASSWORD=\n"], ids=["no file", "an empty line"])
def test_what_only_ends_or_shows_a_stack_makes_no_secrets(
    fresh: FakeStack, monkeypatch: pytest.MonkeyPatch, use: Callable[[Boot], None], text: str | None
) -> None:
    monkeypatch.setattr("scripts.bootorder.doctor.examine", lambda boot: [Finding("python", True, "3.13")])
    path = fresh.root / ".env"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    services = fresh.runtime.services
    seen: list[dict[str, str]] = []

    def declared() -> list[str]:
        seen.append(dict(os.environ))
        return list(services())

    monkeypatch.setattr(fresh.runtime, "declared", declared)

    use(fresh.boot())

    assert (path.read_text(encoding="utf-8") if path.exists() else None) == text
    assert all({"POSTGRES_PASSWORD", "SESSION_SECRET"} <= set(environment) for environment in seen), "for compose.yaml"


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
def test_no_new_password_is_made_for_old_data(fresh: FakeStack, use: Callable[[Boot], None]) -> None:
    fresh.runtime.holds_data = True

    with pytest.raises(SettingsError, match=r"their password is lost: there is no \.env"):
        use(fresh.boot())

    assert list(fresh.root.iterdir()) == []
    assert fresh.runtime.services()["postgres"].running


def test_a_start_from_nothing_needs_no_old_password(fresh: FakeStack) -> None:
    fresh.runtime.holds_data = True

    start(fresh, with_clean=True, until="db-up")

    assert "made .env with POSTGRES_PASSWORD" in fresh.said


@pytest.mark.parametrize("use", _LOOKS.values(), ids=_LOOKS)
def test_what_only_ends_or_shows_a_stack_does_so_without_the_password(
    fresh: FakeStack, monkeypatch: pytest.MonkeyPatch, use: Callable[[Boot], None]
) -> None:
    monkeypatch.setattr("scripts.bootorder.doctor.examine", lambda boot: [Finding("python", True, "3.13")])
    fresh.runtime.holds_data = True

    use(fresh.boot())

    is_status = use is show_status
    note = "note: this stack has data, and their password is lost: there is no .env; put .env back, or"
    assert (note in fresh.said) == is_status


def test_a_line_of_env_that_is_none_is_refused_by_what_starts_something_only(running: FakeStack) -> None:
    with (running.root / ".env").open("a", encoding="utf-8") as file:
        file.write("A BAD LINE\n")

    with pytest.raises(SettingsError, match="line 4, is not understood"):
        start(running)
    assert running.runtime.services()["api"].running

    run_stages(running.boot(), ["stop"], dry=False)


# -- what is checked before a boot -------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", _USES.values(), ids=_USES)
def test_wrong_settings_are_refused_before_anything_is_stopped(running: FakeStack, use: Callable[[Boot], None]) -> None:
    running.runtime.wrong = SettingsError("sso and api both want port 8000", hint="give api another one")

    with pytest.raises(SettingsError, match="both want port 8000"):
        use(running.boot())

    assert running.runtime.services()["api"].running
    assert not (running.root / ".bootorder").exists()


@pytest.mark.parametrize("use", _LOOKS.values(), ids=_LOOKS)
def test_what_only_ends_or_shows_a_stack_does_so_whatever_its_settings_say(
    running: FakeStack, monkeypatch: pytest.MonkeyPatch, use: Callable[[Boot], None]
) -> None:
    monkeypatch.setattr("scripts.bootorder.doctor.examine", lambda boot: [Finding("python", True, "3.13")])
    running.runtime.wrong = SettingsError("`processes.api.port` is not a port", hint="correct it")

    use(running.boot())


@pytest.mark.parametrize("with_clean", [False, True])
def test_a_taken_port_is_refused_before_anything_is_stopped(running: FakeStack, with_clean: bool) -> None:
    running.runtime.taken = MachineError("port 3000 for web is taken by nc (pid 7)", hint="stop it")

    with pytest.raises(MachineError, match="port 3000 for web"):
        start(running, with_clean=with_clean)

    assert running.runtime.services()["api"].running


@pytest.mark.parametrize(
    ("until", "asked"),
    [
        ("stop", []),
        ("migrate", ["postgres", "pgadmin"]),
        ("apps-up", ["postgres", "pgadmin", "sso", "api", "web"]),
    ],
)
def test_only_ports_of_what_is_to_be_started_are_looked_at(running: FakeStack, until: str, asked: list[str]) -> None:
    start(running, until=until)

    assert running.runtime.asked_ports == asked


@pytest.mark.parametrize(
    "use",
    [
        lambda boot: run_stages(boot, ["clean"], dry=True),
        lambda boot: start_stack(boot, with_clean=True, until="", as_json=False, dry=True),
    ],
    ids=["a stage", "start"],
)
def test_a_dry_use_makes_nothing(fresh: FakeStack, use: Callable[[Boot], None]) -> None:
    use(fresh.boot())

    assert list(fresh.root.iterdir()) == []


def test_a_wrong_flag_is_refused_before_anything_is_made(fresh: FakeStack) -> None:
    with pytest.raises(SettingsError):
        start_stack(fresh.boot(), with_clean=False, until="nonsense", as_json=False, dry=False)

    assert list(fresh.root.iterdir()) == []


# -- single stages -----------------------------------------------------------------------------------------------------


def test_a_stage_of_its_own_runs_and_is_told(running: FakeStack) -> None:
    run_stages(running.boot(), ["migrate"], dry=False)

    assert running.said.startswith("[1/1] migrate  sso unchanged, 2 tables verified")


def test_a_dry_stage_is_explained_and_not_run(running: FakeStack) -> None:
    run_stages(running.boot(), ["migrate"], dry=True)

    assert "migrate" in running.printed.getvalue()
    assert running.runtime.ran == []


def test_a_stage_beside_another_one_is_refused(running: FakeStack) -> None:
    boot = running.boot()

    with exclusive(boot.state_folder, "start"), pytest.raises(LockedError, match="another task") as caught:
        run_stages(boot, ["clean"], dry=False)

    assert "`start`" in caught.value.seen
    assert running.runtime.services()["api"].running


def test_a_service_that_compose_does_not_know_is_refused_before_a_stage_runs(running: FakeStack) -> None:
    running.config["database"]["beside"] = ["pgadmn"]

    with pytest.raises(SettingsError, match="did you mean `pgadmin`"):
        run_stages(running.boot(), ["stop"], dry=False)

    assert running.runtime.services()["api"].running


# -- the same stack elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture
def twice(running: FakeStack) -> FakeStack:
    """It runs under another runtime, too."""
    running.elsewhere = MachineError(
        "this stack already runs with the other runtime", seen="api running", hint="stop it first: inv stop"
    )
    return running


@pytest.mark.parametrize("stage", ["db-up", "wait-db", "migrate", "seed", "apps-up", "wait-apps"])
def test_a_stack_that_runs_elsewhere_is_not_booted_here(twice: FakeStack, stage: str) -> None:
    with pytest.raises(MachineError, match="already runs with the other runtime"):
        run_stages(twice.boot(), [stage], dry=False)

    assert twice.runtime.changed == []
    assert twice.runtime.ran == []


def test_a_start_is_refused_before_it_stops_anything(twice: FakeStack) -> None:
    with pytest.raises(MachineError):
        start(twice, as_json=True)

    assert twice.runtime.services()["api"].running
    assert twice.data["error"]["message"] == "this stack already runs with the other runtime"


@pytest.mark.parametrize(
    "use",
    [
        lambda boot: run_stages(boot, ["stop"], dry=False),
        lambda boot: run_stages(boot, ["clean"], dry=False),
        show_status,
    ],
    ids=["stop", "clean", "status"],
)
def test_what_only_ends_or_shows_a_stack_says_that_it_runs_elsewhere_and_goes_on(
    twice: FakeStack, use: Callable[[Boot], None]
) -> None:
    use(twice.boot())

    note, *_ = twice.said.splitlines()
    assert note == "note: this stack already runs with the other runtime (api running); stop it first: inv stop"
    assert twice.said.count("\n") + twice.printed.getvalue().count("\n") > 1


def test_a_stack_that_runs_nowhere_else_is_not_spoken_of(running: FakeStack) -> None:
    show_status(running.boot())

    assert "note:" not in running.said


def test_a_dry_use_does_not_look_elsewhere(twice: FakeStack) -> None:
    run_stages(twice.boot(), ["db-up"], dry=True)

    assert "note:" not in twice.said


# -- start -------------------------------------------------------------------------------------------------------------


def test_a_start_ends_with_a_table_of_services_and_what_each_owner_has(running: FakeStack) -> None:
    running.runtime.becomes("api", "running", health="healthy", port=8000)

    start(running, running.boot(quick=True))

    table = running.said.split("wait-apps", 1)[1]
    assert "http://localhost:8000" in table
    assert "sso (role sso, schema public): 2 tables" in table


def test_a_start_with_nothing_to_do_says_so(running: FakeStack) -> None:
    start(running, running.boot(quick=True))
    start(running, running.boot(quick=True))
    assert running.said.count("nothing was changed") == 1

    assert running.said.splitlines()[-1].startswith("nothing was changed: ")


def test_a_start_until_a_stage_ends_there_without_a_table(running: FakeStack) -> None:
    start(running, until="wait-db", boot=running.boot(quick=True))

    *stages, path = running.said.splitlines()
    assert [line.split()[1] for line in stages] == ["db-up", "wait-db"]
    assert path.startswith("critical path ")


def test_a_start_as_json_is_one_object_on_stdout(running: FakeStack) -> None:
    start(running, running.boot(quick=True), as_json=True)

    assert running.data["ok"] is True
    assert running.data["error"] is None
    assert [stage["stage"] for stage in running.data["stages"]] == [
        *("db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps")
    ]
    assert running.data["status"]["database"]["name"] == "taskflow"


def test_a_failed_start_as_json_says_what_failed_and_how_to_go_on(running: FakeStack) -> None:
    running.runtime.tools[PUSH] = lambda _: prints("no config", code=1)

    with pytest.raises(MigrationError):
        start(running, running.boot(quick=True), as_json=True)

    assert running.data["ok"] is False
    assert running.data["error"]["exit_code"] == 5
    assert running.data["error"]["go_on"] == "inv migrate seed apps-up wait-apps"
    assert running.data["stages"][-1]["outcome"] == "failed"
    assert running.data["status"] is None


def test_a_start_that_is_locked_out_is_told_as_json_too(running: FakeStack) -> None:
    boot = running.boot()

    with exclusive(boot.state_folder, "clean"), pytest.raises(LockedError):
        start(running, boot, as_json=True)

    assert running.data["error"]["exit_code"] == 7
    assert running.data["stages"] == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, ZeroDivisionError])
def test_json_never_says_ok_of_a_start_that_ended_otherwise(
    running: FakeStack, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise end

    monkeypatch.setattr(running_module, "print_status", ended)

    with pytest.raises(end):
        start(running, running.boot(quick=True), as_json=True)

    assert '"ok": true' not in running.printed.getvalue()


def test_a_dry_start_prints_its_plan_and_touches_nothing(running: FakeStack) -> None:
    start(running, dry=True, with_clean=True)

    assert "clean" in running.printed.getvalue()
    assert running.runtime.changed == []
    assert running.runtime.services()["api"].running
    assert not (running.root / ".bootorder").exists()


def test_an_unknown_last_stage_is_refused_before_anything_is_touched(running: FakeStack) -> None:
    with pytest.raises(SettingsError):
        start(running, until="nonsense")

    assert running.runtime.services()["api"].running


# -- the proofs --------------------------------------------------------------------------------------------------------


def nox(monkeypatch: pytest.MonkeyPatch, code: int) -> list[list[str]]:
    ran: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Any:
        ran.append(argv)
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    return ran


@pytest.mark.parametrize(("sessions", "flags"), [([], []), (["lint", "boot"], ["--session", "lint", "boot"])])
def test_the_proofs_are_run_by_nox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: list[str], flags: list[str]
) -> None:
    (tmp_path / "noxfile.py").touch()
    ran = nox(monkeypatch, 0)

    run_nox(tmp_path, sessions)

    assert ran[0][1:] == ["-m", "nox", *flags]


def test_proofs_that_fail_fail_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noxfile.py").touch()
    nox(monkeypatch, 1)

    with pytest.raises(BootError, match="the proofs failed") as caught:
        run_nox(tmp_path, [])

    assert caught.value.exit_code == 1


def test_a_session_that_nox_does_not_have_is_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noxfile.py").touch()
    nox(monkeypatch, 3)

    with pytest.raises(SettingsError, match="nox cannot run bot"):
        run_nox(tmp_path, ["bot"])


def test_a_repository_without_proofs_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no noxfile\.py"):
        run_nox(tmp_path, [])


def test_nothing_that_is_shown_holds_the_password(running: FakeStack) -> None:
    running.server.refusal = "Connection refused"
    with pytest.raises(NotReadyError):
        start(running, running.boot(quick=True, verbose=True), as_json=True)
    running.server.refusal = ""
    show_status(running.boot(), as_json=True)

    assert "c0rrect-horse" not in running.said + running.printed.getvalue()


@pytest.mark.parametrize("with_clean", [False, True])
def test_rows_that_a_removal_would_leave_are_refused_before_anything_is_stopped(
    running: FakeStack, with_clean: bool
) -> None:
    running.runtime.keeps = SettingsError("the data of postgres are not this stack's to remove", hint="remove them")
    if with_clean:
        with pytest.raises(SettingsError, match="are not this stack's to remove"):
            start(running, with_clean=True)
        assert running.runtime.services()["postgres"].running
        assert running.runtime.changed == []
    else:
        start(running, until="db-up")  # they are nobody's concern where nothing is removed


def test_the_plan_names_the_active_profiles_and_what_they_start(running: FakeStack) -> None:
    running.runtime.active_profiles = {"nobody": [], "worker": ["pgadmin", "web"]}

    show_whole_plan(running.boot(), with_clean=True, until="", as_json=False)

    assert "active profile nobody: no service has it\n" in running.printed.getvalue()
    assert "active profile worker: pgadmin and web\n" in running.printed.getvalue()
