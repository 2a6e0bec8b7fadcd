"""What is missing is a skip on a laptop and an error in CI."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import settings

from scripts.bootorder.proving.report import Report
from scripts.bootorder.redaction import SECRETS
from tests.stack import ROOT, STACKS, ComposeStack, Stack

# Who runs tests in the background of a shell hands them an ignored Ctrl-C, and so to the tasks that they interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a busy machine is not a bug. Nothing is kept between runs, and in CI every run tries the same cases.
settings.register_profile(
    "quick", max_examples=50, deadline=None, database=None, print_blob=True, derandomize="CI" in os.environ
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=1000, derandomize=False)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _no_known_secrets() -> Iterator[None]:
    """What one test wrote into an .env is no secret of the next one."""
    SECRETS.forget()
    yield
    SECRETS.forget()


@cache
def _engine_trouble() -> str:
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker Engine that answers."""
    trouble = _engine_trouble()
    if trouble:
        unavailable(f"no Docker Engine: {trouble}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runtime", choices=list(STACKS), default="compose", help="what the boot and browser tests boot on"
    )
    parser.addoption("--layout", default="shared", help="where the owners keep their tables meanwhile")
    parser.addoption("--report", metavar="NAME", help="leave .bootorder/reports/NAME.json: what became of this run")


_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    if name := config.getoption("--report"):
        seed = config.getoption("--hypothesis-seed", None)
        config.stash[_REPORT] = Report(ROOT, name, int(seed) if seed else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    if made := config.stash.get(_REPORT, None):
        made.ok = exitstatus == pytest.ExitCode.OK
        told = {what: len(terminalreporter.stats.get(what, ())) for what in ("passed", "failed", "error", "skipped")}
        made.counts = {what: count for what, count in told.items() if count or what == "passed"}
        terminalreporter.write_line(made.end())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of what only one runtime or layout has is not one of the other's: left out, not skipped."""
    given = {config.getoption("--runtime"), config.getoption("--layout")}
    left_out = [item for item in items for mark in item.iter_markers("only") if not given & set(mark.args)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def random_seed(pytestconfig: pytest.Config) -> int:
    """For the choices that a test makes at random: `--hypothesis-seed`, or any; the report says which."""
    given = pytestconfig.getoption("--hypothesis-seed", None)
    seed = int(given) if given else random.randrange(2**32)  # noqa: S311
    if made := pytestconfig.stash.get(_REPORT, None):
        made.seed = seed
    return seed


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The checkout that the boot and browser tests share, in a folder with a space and an umlaut. Nothing runs yet."""
    runtime = request.config.getoption("--runtime")
    if runtime == "compose":
        request.getfixturevalue("engine")
    folder = tmp_path_factory.mktemp("ein Stück") / "taskflow"
    with STACKS[runtime](folder, request.config.getoption("--layout")) as made:
        yield made


@pytest.fixture(scope="session")
def compose_stack(stack: Stack) -> ComposeStack:
    """The same, for what is asked of Compose itself."""
    assert isinstance(stack, ComposeStack)
    return stack


def unavailable(what: str) -> None:
    """Skip on a laptop, fail where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
