from __future__ import annotations

from scripts.bootorder.runtimes.base import Address, Service


def test_people_reach_loopback_by_the_name_that_cookies_and_redirects_are_made_for() -> None:
    assert Address("127.0.0.1", 3001).url == "http://localhost:3001"
    assert Address("192.0.2.1", 3001).url == "http://192.0.2.1:3001"
    assert str(Address("127.0.0.1", 5432)) == "127.0.0.1:5432"


def test_only_a_running_service_runs() -> None:
    assert Service("api", "running").running
    assert not any(Service("api", state).running for state in ("exited", "absent", "created"))
