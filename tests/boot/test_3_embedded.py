"""What only the boot without Docker promises, on the stack that runs by now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack import EmbeddedStack, Stack

pytestmark = pytest.mark.only("embedded")


@pytest.fixture
def embedded(stack: Stack) -> EmbeddedStack:
    assert isinstance(stack, EmbeddedStack)
    return stack


@pytest.fixture
def decoy(tmp_path: Path) -> Iterator[psutil.Process]:
    """A process of another checkout's stack, as its label says."""
    label = "0123456789abcdef/service/web/fedcba9876543210"
    argv = [sys.executable, "-c", "import time; time.sleep(600)", label]
    with subprocess.Popen(argv, cwd=tmp_path, env={**os.environ, "BOOTORDER_PROCESS": label}) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_the_runtime_and_the_reason_for_it_are_said(embedded: EmbeddedStack) -> None:
    assert "runtime: embedded (it runs this stack)" in embedded.inv("status").err


def test_nothing_is_installed_or_built_twice(embedded: EmbeddedStack) -> None:
    ran = embedded.inv("start")

    assert ran.code == 0, ran.err
    assert "installing" not in ran.err
    assert "building" not in ran.err


def test_after_kill_9_of_everything_stop_leaves_nothing_and_start_boots(embedded: EmbeddedStack) -> None:
    before = embedded.fingerprint()
    embedded.kill_all()

    stopped = embedded.inv("stop")

    assert stopped.code == 0, stopped.err
    assert embedded.remaining_processes() == []
    assert embedded.inv("start").code == 0
    assert embedded.fingerprint() == before


def test_processes_whose_supervisors_were_killed_are_stopped(embedded: EmbeddedStack) -> None:
    embedded.kill_supervisors()

    ran = embedded.inv("start")

    assert ran.code == 0, ran.err
    assert set(embedded.running()) == {"api", "postgres", "sso", "web"}


def test_an_app_that_is_killed_is_seen_with_its_exit_code(embedded: EmbeddedStack) -> None:
    embedded.signal("web", signal.SIGKILL)
    ran = embedded.inv("wait-apps")

    assert ran.code == 4, ran.err
    assert "web is not running: it exited with code 137" in ran.err
    assert embedded.inv("apps-up", "wait-apps").code == 0


def test_logs_of_all_are_shown_with_their_names(embedded: EmbeddedStack) -> None:
    ran = embedded.inv("logs")

    assert {line.partition("|")[0].strip() for line in ran.out.splitlines()} >= {"postgres", "sso", "api", "web"}


def test_the_other_checkout_s_process_is_left_alone(embedded: EmbeddedStack, decoy: psutil.Process) -> None:
    assert embedded.inv("stop").code == 0

    assert decoy.status() != psutil.STATUS_ZOMBIE
    assert embedded.inv("start").code == 0


def test_pgadmin_is_started_when_it_is_asked_for(embedded: EmbeddedStack) -> None:
    ran = embedded.inv("db-up", "--with", "pgadmin")

    assert ran.code == 0, ran.err
    assert "pgadmin started" in ran.err
    deadline = time.monotonic() + 60
    while not answers(embedded.url("pgadmin", "/misc/ping")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert answers(embedded.url("pgadmin", "/misc/ping"))
    shown = {service["name"]: service["state"] for service in embedded.inv("status", "--json").json["services"]}
    assert shown["pgadmin"] == "running"


def test_an_optional_service_that_is_not_declared_is_named(embedded: EmbeddedStack) -> None:
    ran = embedded.inv("start", "--with", "pgadmn")

    assert ran.code == 2, ran.err
    assert "did you mean `pgadmin`?" in ran.err


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
