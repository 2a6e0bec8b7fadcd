"""Recording the spans of a boot, and the critical path through them."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bootorder.boot import Boot
from scripts.bootorder.errors import BootError, LockedError, MigrationError, NotReadyError
from scripts.bootorder.lock import exclusive
from scripts.bootorder.probes import NotYet
from scripts.bootorder.running import run_stages, start_stack
from scripts.bootorder.timeline.critical import critical_path, own_seconds, parts, told
from scripts.bootorder.timeline.spans import Kind, Recording, Span, Timeline
from scripts.bootorder.waits import _wait_with_log

from .fakes import PASSWORD, PUSH, FakeClock, FakeDatabase, FakeStack, create_all, prints, push

# -- recording ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.sleep(100)  # a boot does not begin when its machine does
    return clock


@pytest.fixture
def timeline(clock: FakeClock) -> Timeline:
    return Timeline(clock)


def spans(timeline: Timeline) -> dict[str, Span]:
    return {span.name: span for span in timeline.recording({}).spans}


def names_of_parents(timeline: Timeline) -> dict[str, str]:
    found = timeline.recording({}).spans
    return {span.name: "" if span.parent is None else found[span.parent].name for span in found}


def test_a_span_has_its_begin_its_end_and_its_cause_in_seconds_since_the_boot_began(
    timeline: Timeline, clock: FakeClock
) -> None:
    clock.sleep(2)
    with timeline.span("push", "tool", cause="its tables are to be made", needs=["db"]):
        clock.sleep(1.5)

    assert timeline.recording({}).spans == (
        Span(0, None, "push", "tool", 2, 3.5, "done", "", "its tables are to be made", ("db",)),
    )


def test_a_span_is_within_the_one_it_was_begun_in(timeline: Timeline) -> None:
    with timeline.span("migrate", "stage"):
        with timeline.span("rehearse", "owner"), timeline.span("push", "tool"):
            pass
        with timeline.span("verify", "verify"):
            pass
    with timeline.span("seed", "stage"):
        pass

    assert names_of_parents(timeline) == {
        "migrate": "",
        "rehearse": "migrate",
        "push": "rehearse",
        "verify": "migrate",
        "seed": "",
    }


def test_what_threads_begin_is_within_the_stage_and_not_within_each_other(timeline: Timeline) -> None:
    both = threading.Barrier(2, timeout=30)

    def wait_for(name: str) -> None:
        with timeline.span(name, "wait"):
            both.wait()
            with timeline.span(f"look at {name}", "tool"):
                both.wait()

    with timeline.span("wait-apps", "stage"):
        threads = [threading.Thread(target=wait_for, args=(name,)) for name in ("sso", "api")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert names_of_parents(timeline) == {
        "wait-apps": "",
        "sso": "wait-apps",
        "api": "wait-apps",
        "look at sso": "sso",
        "look at api": "api",
    }


def test_services_that_are_started_at_once_begin_and_end_together(timeline: Timeline, clock: FakeClock) -> None:
    with timeline.span("apps-up", "stage"), timeline.spans(["sso", "api"], "start"):
        clock.sleep(2)

    assert names_of_parents(timeline) == {"apps-up": "", "sso": "apps-up", "api": "apps-up"}
    assert {(span.begin, span.end) for span in spans(timeline).values()} == {(0, 2)}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotReadyError("no answer", hint="start it"), "no answer"),
        (KeyboardInterrupt(), "interrupted"),
        (OSError("disk\nfull"), "disk full"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_span_that_an_error_ends_has_failed_and_so_have_those_around_it(
    timeline: Timeline, error: BaseException, text: str
) -> None:
    with pytest.raises(type(error)), timeline.span("wait-db", "stage"), timeline.span("postgres", "wait"):
        raise error

    assert {(span.outcome, span.text) for span in spans(timeline).values()} == {("failed", text)}
    with timeline.span("next", "stage"):
        pass
    assert names_of_parents(timeline)["next"] == ""


def test_what_still_runs_when_the_recording_is_made_ends_there(timeline: Timeline, clock: FakeClock) -> None:
    with timeline.span("build", "build"):
        clock.sleep(3)
        found = timeline.recording({})

    assert found.spans[0].end == 3
    assert json.dumps(found.spans[0].end) == "3.0"


# -- the critical path -------------------------------------------------------------------------------------------------


class Drawn:
    """A recording made of spans that are written down."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def add(
        self, name: str, kind: Kind, begin: float, end: float, within: str = "", needs: tuple[str, ...] = ()
    ) -> Drawn:
        parent = next((span.id for span in reversed(self.spans) if span.name == within), None)
        self.spans.append(Span(len(self.spans), parent, name, kind, begin, end, "done", needs=needs))
        return self

    @property
    def recording(self) -> Recording:
        return Recording(0, {}, tuple(self.spans))

    @property
    def path(self) -> list[str]:
        return [span.name for span in critical_path(self.recording)]


def a_boot() -> Drawn:
    """One after the other, but for the apps."""
    drawn = Drawn()
    drawn.add("db-up", "stage", 0, 1).add("postgres", "start", 0, 1, "db-up")
    drawn.add("wait-db", "stage", 1, 1.3).add("postgres", "wait", 1, 1.3, "wait-db", ("postgres",))
    drawn.add("migrate", "stage", 1.3, 2.5).add("migrate sso", "owner", 1.3, 2.4, "migrate")
    drawn.add("push", "tool", 1.3, 2.4, "migrate sso")
    drawn.add("apps-up", "stage", 2.5, 3.5)
    drawn.add("sso", "start", 2.5, 3.5, "apps-up").add("api", "start", 2.5, 3.5, "apps-up")
    drawn.add("wait-apps", "stage", 3.5, 4.1)
    drawn.add("sso", "wait", 3.5, 3.8, "wait-apps", ("sso",)).add("api", "wait", 3.5, 4.1, "wait-apps", ("api",))
    return drawn


def test_the_path_of_a_boot_is_told_in_one_line() -> None:
    assert told(a_boot().recording) == "critical path 4.1 s: postgres 1.3 → migrate sso 1.1 → api 1.6; 0.1 s own"


def test_the_slowest_of_those_that_are_waited_for_at_once_is_on_the_path() -> None:
    recording = a_boot().recording

    assert [(span.name, span.kind) for span in critical_path(recording)] == [
        ("postgres", "start"),
        ("postgres", "wait"),
        ("push", "tool"),
        ("api", "start"),
        ("api", "wait"),
    ]
    assert [part.name for part in parts(recording)] == ["postgres", "migrate sso", "api"]
    assert [part.seconds for part in parts(recording)] == pytest.approx([1.3, 1.1, 1.6])
    assert own_seconds(recording) == pytest.approx(0.1)


def two_owners() -> Drawn:
    """Side by side: sso 3 s and 1 s, api 2.9 s and 3 s."""
    drawn = Drawn().add("migrate", "stage", 0, 5.9)
    for owner, rehearsed, migrated in (("sso", 3.0, 4.0), ("api", 2.9, 5.9)):
        drawn.add(f"rehearse {owner}", "owner", 0, rehearsed, "migrate")
        drawn.add(f"tool of {owner}", "tool", 0, rehearsed, f"rehearse {owner}")
        drawn.add(f"migrate {owner}", "owner", rehearsed, migrated, "migrate", (f"rehearse {owner}",))
        drawn.add(f"push of {owner}", "tool", rehearsed + 0.2, migrated, f"migrate {owner}")
    return drawn


def test_of_owners_side_by_side_the_one_that_ended_last_is_on_the_path_with_what_it_needed() -> None:
    drawn = two_owners()

    assert drawn.path == ["tool of api", "push of api"], "although the rehearsal of sso ended just before its push"
    assert own_seconds(drawn.recording) == pytest.approx(0.1), "in no other moment our own code ran alone"


def test_where_no_need_is_known_what_ended_last_before_it_came_before_it() -> None:
    drawn = Drawn().add("one", "tool", 0, 2).add("other", "tool", 0, 2.5).add("last", "start", 2.6, 4)

    assert drawn.path == ["other", "last"]


def test_what_is_in_the_same_place_came_before_what_ended_later_elsewhere() -> None:
    drawn = Drawn().add("migrate", "stage", 0, 5)
    drawn.add("sso", "owner", 0, 5, "migrate").add("first", "tool", 0, 2, "sso").add("second", "tool", 2.2, 5, "sso")
    drawn.add("api", "owner", 0, 2.1, "migrate").add("beside", "tool", 0, 2.1, "api")

    assert drawn.path == ["first", "second"]


@pytest.mark.parametrize(("built", "path"), [(3.0, ["postgres", "push", "web"]), (9.0, ["build web", "web"])])
def test_a_build_beside_everything_is_on_the_path_where_it_was_waited_for(built: float, path: list[str]) -> None:
    drawn = Drawn().add("build web", "build", 0, built)
    drawn.add("db-up", "stage", 0, 2).add("postgres", "start", 0, 2, "db-up")
    drawn.add("migrate", "stage", 2, 5).add("push", "tool", 2, 5, "migrate")
    begun = max(5.0, built)
    drawn.add("apps-up", "stage", 5, begun + 1).add("web", "start", begun, begun + 1, "apps-up")

    assert drawn.path == path


def test_the_path_of_a_failure_ends_with_what_failed_and_not_with_what_was_given_up_for_it() -> None:
    drawn = Drawn().add("wait-apps", "stage", 0, 3.2)
    drawn.add("web", "wait", 0, 3, "wait-apps").add("sso", "wait", 0, 3.1, "wait-apps")
    drawn.spans[0].outcome = drawn.spans[1].outcome = "failed"
    drawn.spans[2].outcome = "skipped"

    assert drawn.path == ["web"]


def test_a_tool_that_failed_and_had_done_its_work_does_not_end_the_path() -> None:
    drawn = Drawn().add("migrate", "stage", 0, 3).add("push", "tool", 0, 3, "migrate").add("web", "start", 3, 4)
    drawn.spans[1].outcome = "failed"

    assert drawn.path == ["push", "web"]


def test_a_tool_within_a_build_is_told_once() -> None:
    drawn = Drawn().add("build web", "build", 0, 4).add("pnpm", "tool", 1, 3, "build web")

    assert drawn.path == ["pnpm"]
    assert [part.name for part in parts(drawn.recording)] == ["build web"]


def test_small_parts_are_summed() -> None:
    drawn = Drawn()
    for number in range(10):
        drawn.add(f"small {number}", "start", number * 0.1, (number + 1) * 0.1)
    drawn.add("large", "wait", 1, 100)

    assert told(drawn.recording) == "critical path 100.0 s: large 99.0; 1.0 s other"


def test_a_boot_that_waited_for_nothing_is_all_our_own() -> None:
    drawn = Drawn().add("stop", "stage", 0, 0.2)

    assert told(drawn.recording) == "critical path 0.2 s: 0.2 s own"
    assert told(Recording(0, {}, ())) == "critical path 0.0 s: "


_TIMES = st.floats(0, 100, allow_nan=False).map(lambda seconds: round(seconds, 1))


@given(st.lists(st.tuples(_TIMES, _TIMES, st.integers(0, 3)), max_size=12))
def test_any_path_goes_forward_and_with_what_is_our_own_is_no_longer_than_the_boot(
    made: list[tuple[float, float, int]],
) -> None:
    drawn = Drawn()
    for number in range(3):
        drawn.add(f"owner {number}", "owner", 0, 100)
    for number, (one, other, within) in enumerate(made):
        drawn.add(f"tool {number}", "tool", min(one, other), max(one, other), f"owner {within}")
    recording = drawn.recording

    path = critical_path(recording)

    assert all(before.end <= after.begin for before, after in itertools.pairwise(path))
    assert sum(span.seconds for span in path) + own_seconds(recording) <= recording.seconds + 1e-6
    assert not made or path[-1].end == max(max(one, other) for one, other, _ in made)


# -- of a whole boot ---------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    """Services take 1 s to be started, the SSO's tool takes 2 s."""
    start = stack.runtime.start

    def starting(started: list[str], on_line: Callable[[str], None]) -> object:
        stack.clock.sleep(1)
        if "api" in started:
            create_all(stack.database)
        return start(started, on_line)

    def pushing(database: FakeDatabase) -> object:
        stack.clock.sleep(2)
        return push(database)

    monkeypatch.setattr(stack.runtime, "start", starting)
    monkeypatch.setitem(stack.runtime.tools, PUSH, pushing)
    stack.runtime.outdated.add("postgres")  # so that nothing is rehearsed before the first stage
    return stack


def start(boot: Boot) -> None:
    start_stack(boot, with_clean=False, until="", as_json=False, dry=False)


def kept(stack: FakeStack) -> Recording:
    return Recording.load(stack.root / ".bootorder" / "timeline.json")


def test_a_start_keeps_what_it_spent_its_time_on_and_ends_with_its_critical_path(slow: FakeStack) -> None:
    start(slow.boot())

    found = {(span.name, span.kind): span for span in kept(slow).spans}
    assert [name for name, kind in found if kind == "stage"] == [
        *("stop", "db-up", "wait-db", "guard", "migrate", "seed", "apps-up", "wait-apps")
    ]
    assert found["prepare", "check"].begin == 0
    assert found["rehearse sso", "owner"].text == "it makes 2 tables"
    assert found["pnpm db:push", "tool"].seconds == 2
    assert found["verify sso", "verify"].text == "sso migrated, 2 tables verified"
    assert found["seed sso", "owner"].outcome == "done"
    assert found["api", "wait"].cause
    assert kept(slow).about == {"stack": "taskflow", "runtime": "fake", "layout": "shared"}
    # Of what is at work at the same time the fake clock does not tell which took how long.
    assert slow.said.splitlines()[-1].startswith("critical path 6.0 s: ")
    assert re.search("rehearse (sso|api) 2.0 → migrate sso 2.0 →", slow.said.splitlines()[-1])


def test_what_is_kept_has_no_secret_and_is_for_its_owner_only(slow: FakeStack) -> None:
    start(slow.boot())

    path = slow.root / ".bootorder" / "timeline.json"
    assert PASSWORD not in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [other.name for other in path.parent.glob("timeline*")] == ["timeline.json"]


@pytest.mark.parametrize(
    ("end", "error", "text"),
    [
        (lambda: prints("no config", code=1), MigrationError, "sso: drizzle failed on an empty database: no config"),
        (KeyboardInterrupt, BootError, "interrupted"),
    ],
    ids=["a tool that fails", "Ctrl-C"],
)
def test_a_start_that_failed_keeps_its_spans_too(
    slow: FakeStack, end: Callable[[], object], error: type[BaseException], text: str
) -> None:
    def ends(_: FakeDatabase) -> object:
        slow.clock.sleep(3)
        ended = end()
        if isinstance(ended, BaseException):
            raise ended
        return ended

    slow.runtime.tools[PUSH] = ends  # type: ignore[assignment]

    with pytest.raises(error):
        start(slow.boot())

    found = kept(slow)
    assert found.failed == "migrate"
    failed = [span for span in found.spans if span.outcome == "failed"]
    assert [span.name for span in failed] == ["migrate", "rehearse sso", "pnpm db:push"]
    assert {span.text for span in failed[:2]} == {text}
    assert critical_path(found)[-1].name == "pnpm db:push"
    assert "critical path" not in slow.said


def test_a_start_that_was_refused_before_its_first_stage_leaves_what_is_kept(slow: FakeStack) -> None:
    start(slow.boot())
    before = kept(slow)
    slow.runtime.outdated.clear()
    slow.runtime.images["sso-setup"] = "sha256:another"
    slow.runtime.tools[PUSH] = lambda _: prints("no config", code=1)

    with pytest.raises(MigrationError):
        start(slow.boot())

    assert kept(slow) == before


def test_an_app_that_was_given_up_as_another_one_failed_has_not_failed_itself(stack: FakeStack) -> None:
    boot = stack.boot()

    for name, given_up in (("sso", lambda: True), ("web", lambda: False)):
        with boot.runtime.watched(boot.clock.sleep) as watched, pytest.raises(NotReadyError):
            _wait_with_log(boot, name, lambda: NotYet("starting"), 1, watched, given_up=given_up)

    assert {span.name: span.outcome for span in boot.timeline.recording({}).spans} == {
        "sso": "skipped",
        "web": "failed",
    }


def test_a_task_of_one_stage_leaves_the_timeline_of_the_boot(slow: FakeStack) -> None:
    start(slow.boot())
    before = kept(slow)

    run_stages(slow.boot(), ["wait-db"], dry=False)

    assert kept(slow) == before


def test_a_start_that_was_refused_leaves_the_timeline_of_the_boot(slow: FakeStack) -> None:
    start(slow.boot())
    before = kept(slow)

    with exclusive(slow.root / ".bootorder", "clean"), pytest.raises(LockedError):
        start(slow.boot())

    assert kept(slow) == before


def test_a_timeline_that_cannot_be_written_is_a_note(slow: FakeStack) -> None:
    (slow.root / ".bootorder" / "timeline.json").mkdir(parents=True)

    start(slow.boot())

    assert "the timeline was not kept" in slow.said
    assert [path.name for path in (slow.root / ".bootorder").glob("timeline*")] == ["timeline.json"]


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    recording = a_boot().recording

    recording.save(tmp_path / "timeline.json")

    assert Recording.load(tmp_path / "timeline.json") == recording
