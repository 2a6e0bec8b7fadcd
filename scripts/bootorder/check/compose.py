"""What a compose file says of starting, health and ports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..detect.findings import Fact
from ..detect.services import Placed
from .looking import Check, Seen, Stack

_SLOW = 10.0  # seconds: a boot waits for it to pass once, at least
_DEFAULT_INTERVAL = "30s"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNITS)})")
# Of HEALTHCHECK in a Dockerfile.
_OPTION = re.compile(r"--(interval|start-interval)=(\S+)")
# A service that looks for the database by itself before it does anything.
_WAITS = re.compile(r"\bwait|\bpg_isready\b|\buntil\b|pre_?start")
# In libpq's way; a path is that of a socket.
_HOST = re.compile(r"(?:\s-q?h\s*|--host[=\s]\s*|\bhost=|\bPGHOST=)[\"']?(?!/)\S|://[^/\s]*@[^/\s]")
# Finished images that keep data, most of them without a password; an app may be meant to be reached.
_STORES = re.compile(
    r"(?:^|/)(?:redis|valkey|keydb|dragonfly|memcached|mongo|elasticsearch|opensearch|rabbitmq|kafka|nats|minio"
    r"|clickhouse|neo4j|qdrant|weaviate|meilisearch|mailpit|mailhog)"
)


def _depends(stack: Stack) -> Iterator[Seen]:
    for name, placed in stack.services.items():
        if any(_WAITS.search(ran.text) for ran in stack.runs(placed)):
            continue
        for other, condition in placed.described.depends.items():
            if condition.value not in {"", "service_started"}:
                continue
            if stack.is_postgres(other):
                yield Seen(condition.where, f"{name} starts as soon as {other} runs, before PostgreSQL answers in it")
            elif stack.kind_of(other) == "one-off":
                yield Seen(condition.where, f"{name} starts while {other} is still at work")


def _ready(stack: Stack) -> Iterator[Seen]:
    for name, placed in stack.services.items():
        test = stack.health_test(placed.described)
        if test and stack.is_postgres(name) and "pg_isready" in test.value:
            host = placed.described.environment.get("PGHOST")
            if not _HOST.search(test.value) and (not host or host.value.startswith("/")):
                yield Seen(test.where, f"pg_isready of {name} asks the socket, where a temporary server answers first")


def _intervals(stack: Stack) -> Iterator[Seen]:
    waited_for = _waited_for(stack)
    for name, placed in stack.services.items():
        test = stack.health_test(placed.described)
        if test is None or name not in waited_for or test.value == "NONE":
            continue
        interval = _interval(placed, test)
        seconds = _seconds(interval.value)
        if seconds is not None and seconds > _SLOW:
            default = " (the default)" if interval.where == test.where and interval.value == _DEFAULT_INTERVAL else ""
            yield Seen(interval.where, f"{name} is first asked for its health after {interval.value}{default}")


def _interval(placed: Placed, test: Fact) -> Fact:
    """The shorter one while it starts, where there is one."""
    service = placed.described
    for said in (service.health_start_interval, service.health_interval):
        if said:
            return said
    options = {} if service.health_test else dict(_OPTION.findall(test.value))
    return Fact(options.get("start-interval") or options.get("interval") or _DEFAULT_INTERVAL, test.where)


def _seconds(text: str) -> float | None:
    """`1m30s`; nothing where it is no duration."""
    parts = _DURATION.findall(text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if _DURATION.sub("", text) == "" else None


def _waited_for(stack: Stack) -> set[str]:
    """Services whose health others wait for, and apps of which nobody knows another way to ask."""
    edges = (edge for placed in stack.services.values() for edge in placed.described.depends.items())
    found = {name for name, condition in edges if condition.value == "service_healthy"}
    known = {service.name for service in stack.looked.found.services if service.health}
    if stack.settings:
        known = {name for name, app in stack.settings.apps.items() if app.health}
    return found | {name for name in stack.services if stack.kind_of(name) == "app" and name not in known}


def _ports(stack: Stack) -> Iterator[Seen]:
    for name, placed in stack.services.items():
        image = placed.described.image.value if placed.described.image else ""
        if stack.kind_of(name) not in {"database", "beside"} and not _STORES.search(image):
            continue
        for port in placed.described.ports:
            if port.host.strip("[:]") in {"", "0.0.0.0"}:  # noqa: S104  # it is what is warned of
                yield Seen(port.published.where, f"{name} publishes {port.published.value} on every interface")


CHECKS = (
    Check(
        "depends-on-without-condition",
        "add `condition: service_healthy`, of a service that ends `condition: service_completed_successfully`",
        _depends,
    ),
    Check(
        "pg-isready-without-host",
        "add `-h 127.0.0.1` to pg_isready, or ask a query with `psql -h 127.0.0.1`",
        _ready,
    ),
    Check("slow-health-interval", "set `interval: 1s`, or `start_interval: 500ms` with a `start_period`", _intervals),
    Check(
        "port-on-all-interfaces",
        "write the address before the port, as in `127.0.0.1:5432:5432`: then only this machine reaches it",
        _ports,
    ),
)
