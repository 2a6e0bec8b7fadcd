"""The fence around the unit tests holds."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable

import psutil
import psycopg
import pytest


def _socket(verb: str) -> None:
    with socket.socket() as reaching:
        getattr(reaching, verb)(("127.0.0.1", 9))


@pytest.mark.parametrize(
    "reach_out",
    [
        lambda: subprocess.run(["true"], check=False),
        lambda: os.kill(os.getpid(), 0),
        lambda: psutil.Process().terminate(),
        lambda: time.sleep(0),
        lambda: _socket("connect"),
        lambda: _socket("bind"),
        lambda: psycopg.connect(""),
    ],
    ids=["process", "signal", "end", "sleep", "connection", "server", "database"],
)
def test_a_unit_test_that_reaches_out_fails_and_is_told_why(reach_out: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"a unit test must not .*: pass a fake in"):
        reach_out()
