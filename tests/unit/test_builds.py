from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.bootorder.errors import BootError, BuildError, MachineError
from scripts.bootorder.processes import Completed, build_limit
from scripts.bootorder.runtimes.embedded.builds import Builds, Step

from .fakes import Call, FakeProcesses, prints


class Site:
    """One app's folder, and the memory of what was built in it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "web"
        self.folder.mkdir()
        self.records = root / ".bootorder" / "built"
        self.processes = FakeProcesses()
        self.processes.answer("pnpm", with_=builds_next)
        self.said: list[str] = []
        self.step = Step("building web", ("pnpm", "build"), self.folder, lambda: "sources 1")

    @property
    def builds(self) -> Builds:
        """In a new run of the tasks."""
        return Builds(self.records, self.said.append)

    def do(self, step: Step | None = None) -> None:
        self.builds.do(step or self.step, self.processes, {"PATH": "/bin"}, print)

    @property
    def install(self) -> Step:
        return replace(self.step, does="installing web", argv=("pnpm", "install"), installs=True)

    def refusal(self, step: Step | None = None) -> BootError:
        with pytest.raises(BootError) as caught:
            self.do(step)
        return caught.value


def builds_next(call: Call) -> Completed:
    (call.cwd / ".next").mkdir(exist_ok=True)
    return prints("compiled")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_what_was_never_done_is_not_done(site: Site) -> None:
    assert not site.builds.is_done(site.step)
    assert not site.builds.was_done(site.step)
    assert site.builds.made_of(site.step) == ""


def test_what_was_done_is_done_for_every_later_run(site: Site) -> None:
    site.do()

    assert site.builds.is_done(site.step)
    assert site.builds.was_done(site.step)
    assert site.builds.made_of(site.step) == "sources 1"


def test_a_command_runs_in_its_folder_with_its_environment_only_and_is_told(site: Site) -> None:
    site.do()

    [call] = site.processes.calls
    assert call == Call(("pnpm", "build"), site.folder, {"PATH": "/bin"}, inherit=False, limit=build_limit(1800))
    assert site.said == ["building web: pnpm build"]


def test_what_was_made_of_older_sources_was_done_but_is_not(site: Site) -> None:
    site.do()
    changed = replace(site.step, made_of=lambda: "sources 2")

    assert not site.builds.is_done(changed)
    assert site.builds.was_done(changed)
    assert site.builds.made_of(changed) == "sources 1"

    site.do(changed)
    assert site.builds.is_done(changed)
    assert not site.builds.is_done(site.step)


@pytest.mark.parametrize("end", [prints("no", code=1), KeyboardInterrupt(), OSError("no room")])
def test_a_build_that_does_not_end_well_is_not_remembered_and_neither_is_the_one_before(
    site: Site, end: Completed | BaseException
) -> None:
    site.do()
    site.processes.answer("pnpm", with_=end)

    with pytest.raises((BuildError, KeyboardInterrupt, OSError)):
        site.do(replace(site.step, made_of=lambda: "sources 2"))

    assert not site.builds.was_done(site.step)


@pytest.mark.parametrize("deleted", [True, False])
def test_what_it_left_must_still_be_there(site: Site, deleted: bool) -> None:
    site.do()
    if deleted:
        (site.folder / ".next").rmdir()
    (site.folder / "dist").mkdir()

    assert site.builds.is_done(site.step) is not deleted
    assert site.builds.was_done(site.step)


@pytest.mark.parametrize(("deleted", "again"), [(".next", "building web"), ("node_modules", "installing web")])
def test_only_what_left_what_was_deleted_is_done_again(site: Site, deleted: str, again: str) -> None:
    steps = [site.install, site.step]
    for _ in range(2):  # the second install finds a build
        (site.folder / "node_modules").mkdir(exist_ok=True)
        for step in steps:
            site.do(step)

    (site.folder / deleted).rmdir()

    assert [step.does for step in steps if not site.builds.is_done(step)] == [again]


def test_two_services_that_share_a_folder_install_once(site: Site) -> None:
    install = Step("installing the packages of web", ("pnpm", "install"), site.folder, lambda: "lock 1")

    site.do(install)

    assert site.builds.is_done(replace(install, does="anything else"))


@pytest.mark.parametrize(
    "other",
    [
        lambda step: replace(step, argv=("pnpm", "install")),
        lambda step: replace(step, folder=step.folder.parent),
        lambda step: replace(step, argv=()),
    ],
    ids=["command", "folder", "none"],
)
def test_another_command_or_folder_is_another_step(site: Site, other: Callable[[Step], Step]) -> None:
    site.do()

    assert not site.builds.was_done(other(site.step))


def test_a_step_without_a_command_only_notes_what_its_service_was_started_from(site: Site) -> None:
    note = replace(site.step, argv=())

    site.do(note)

    assert site.processes.calls == []
    assert site.said == []
    assert site.builds.is_done(note)
    assert site.builds.made_of(note) == "sources 1"


def test_services_that_share_a_folder_do_not_share_their_notes(site: Site) -> None:
    """Otherwise one would be started anew because the environment of the other changed."""
    api = Step("building api", (), site.folder, lambda: "api 1")
    worker = Step("building worker", (), site.folder, lambda: "worker 1")

    site.do(api)
    site.do(worker)

    assert site.builds.made_of(api) == "api 1"
    assert site.builds.made_of(worker) == "worker 1"


def test_a_failed_build_is_shown_with_its_last_lines(site: Site) -> None:
    site.processes.answer("pnpm", with_=prints("Type error: no\nELIFECYCLE\n", code=2))

    error = site.refusal()

    assert isinstance(error, BuildError)
    assert error.message == "building web failed"
    assert error.expected == f"`pnpm build` in {site.folder} ends with 0"
    assert error.seen == "Type error: no"
    assert error.log
    assert (error.log.source, list(error.log.lines)) == ("pnpm build", ["Type error: no", "ELIFECYCLE"])
    assert error.hint == "correct what it says, then start again"


def test_a_failed_install_may_be_the_machine_s_or_the_network_s(site: Site) -> None:
    site.processes.answer("pnpm", with_=prints("ERR_PNPM_META_FETCH_FAIL\n", code=1))

    error = site.refusal(site.install)

    assert isinstance(error, MachineError)
    assert (error.message, error.seen) == ("installing web failed", "ERR_PNPM_META_FETCH_FAIL")
    assert "network" in error.hint


@pytest.mark.parametrize(("callers", "given"), [({}, "true"), ({"CI": "false"}, "false")])
def test_an_install_is_told_that_nobody_can_be_asked_unless_the_caller_says_otherwise(
    site: Site, callers: dict[str, str], given: str
) -> None:
    for step in (site.install, site.step):
        site.builds.do(step, site.processes, callers, print)

    assert [call.env for call in site.processes.calls] == [{"CI": given}, callers]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"made_of": "sources 1"}', '{"left": []}'])
def test_a_broken_memory_is_no_memory(site: Site, text: str) -> None:
    site.do()
    [record] = site.records.iterdir()
    record.write_text(text, encoding="utf-8")

    assert not site.builds.is_done(site.step)
    assert not site.builds.was_done(site.step)


def test_a_memory_says_what_it_is_of_and_holds_nothing_of_the_environment(site: Site) -> None:
    site.builds.do(site.step, site.processes, {"PATH": "/bin", "SESSION_SECRET": "s3cret"}, print)

    [record] = site.records.iterdir()
    assert json.loads(record.read_text(encoding="utf-8")) == {
        "does": "building web",
        "made_of": "sources 1",
        "left": [".next"],
    }


def test_forgetting_makes_all_of_it_to_be_done_again(site: Site) -> None:
    site.do()
    site.do(replace(site.step, argv=()))

    assert len(site.builds.forget()) == 2

    assert not site.builds.was_done(site.step)
    assert site.builds.forget() == []
