"""The stages that wait: for the database's first answer, for every app's health."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .boot import Boot
from .errors import LogTail, NotReadyError, command
from .migrate import verify_created_at_start
from .outcome import Outcome
from .probes import Failed, Look, NotYet, Probe, Ready, wait_for
from .runtimes.base import Address, Service, Watched
from .settings import AppSettings

_HTTP_SECONDS = 2.0
# The exit codes of what was asked to end, by somebody else than these tasks.
_SIGNALS = {130: "SIGINT", 143: "SIGTERM"}
# Straight to loopback, whatever http_proxy says.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_db(boot: Boot) -> Outcome:
    """Wait for a real query over TCP on the stack's database."""
    name = boot.settings.database.service
    service = boot.database_service()
    if not service.running:
        raise _not_running(boot, service, "db-up")
    target = boot.target()

    with boot.runtime.watched(boot.clock.sleep) as watched:

        def look() -> Look:
            found = target.look()
            if isinstance(found, NotYet):
                service = watched.service(name)
                if not service.running:
                    return Failed(_not_running(boot, service, "db-up"))
            return found

        ready = _wait_with_log(boot, name, look, boot.settings.database.wait, watched)
    return Outcome.done(ready.seen)


def wait_apps(boot: Boot) -> Outcome:
    """Wait until every app is healthy, all at once; the first that fails for good ends the wait."""
    if not boot.apps:
        return Outcome.skipped("there are no apps")
    ended = threading.Event()

    with boot.runtime.watched(boot.clock.sleep) as watched:

        def wait_one(name: str, app: AppSettings) -> None:
            def look() -> Look:
                return look_at_app(boot, watched.service(name), app)

            _wait_with_log(boot, name, look, app.wait, watched, given_up=ended.is_set)

        with ThreadPoolExecutor(max_workers=len(boot.apps)) as pool:
            waits = {pool.submit(wait_one, name, app): name for name, app in boot.apps.items()}
            try:
                finished, _ = wait(waits, return_when=FIRST_EXCEPTION)
            finally:
                ended.set()
    for waited in finished:
        waited.result()
    services = boot.runtime.services(list(boot.apps))
    counts = [f"{name} {_well(services[name], app)}" for name, app in boot.apps.items()]
    with boot.timeline.span("verify tables", "verify"):
        made = verify_created_at_start(boot)
    return Outcome.done(", ".join(counts) + (f"; {made}" if made else ""))


def _well(service: Service, app: AppSettings) -> str:
    if app.ends:
        return "ended"
    return "healthy" if app.health or service.health else "running"


def _wait_with_log(
    boot: Boot,
    name: str,
    probe: Probe,
    limit: float,
    watched: Watched,
    *,
    given_up: Callable[[], bool] = lambda: False,
) -> Ready:
    def look() -> Look:
        found = probe()
        if isinstance(found, NotYet):
            boot.console.seen(f"{name}: {found.seen}")
        return found

    try:
        with boot.timeline.span(name, "wait", cause="started is not ready", needs=[name]) as span:
            ready = wait_for(
                look,
                what=name,
                limit=limit,
                clock=boot.clock,
                hint=f"look at its log: {command(f'logs --service {name}')}",
                given_up=given_up,
                pause=watched.wait,
            )
            span.text = ready.seen
            return ready
    except NotReadyError as error:
        if given_up():
            span.came_to(Outcome.skipped("given up, as another app failed"))
        if error.log is None:
            error.log = boot.runtime.log_tail(name)
        raise


def look_at_app(boot: Boot, service: Service, app: AppSettings) -> Look:
    """One look at one app: its process first, then its health path, else its container's health check."""
    name = service.name
    if not service.running:
        has_ended = app.ends and service.state == "exited" and service.exit_code == 0
        return Ready("ended") if has_ended else Failed(_not_running(boot, service, "apps-up"))
    if app.ends:
        return NotYet("at work")
    answer = _http_look(service.address, app.health) if app.health else None
    if isinstance(answer, Ready):
        return _still(boot, service) or answer
    if service.health == "unhealthy":
        return Failed(
            NotReadyError(
                f"{name} is unhealthy",
                expected="a health check that passes",
                seen=answer.seen if answer else "unhealthy",
                log=boot.runtime.log_tail(name),
                hint=f"look at its log: {command(f'logs --service {name}')}",
            )
        )
    if answer:
        return answer
    return Ready(service.health or "running") if service.health in {"", "healthy"} else NotYet(service.health)


def _still(boot: Boot, service: Service) -> Look | None:
    """Nothing where it is still there: another program on its port may have answered while it died."""
    now = boot.runtime.services([service.name])[service.name]
    if not now.running:
        return Failed(_not_running(boot, now, "apps-up"))
    return None if now.instance == service.instance else NotYet("it was started anew meanwhile")


def health(service: Service, app: AppSettings | None) -> str:
    """One word for `status`: what the app's health path says where it has one, else its container's check."""
    if not service.running:
        return ""
    if app and app.health:
        if isinstance(_http_look(service.address, app.health), Ready):
            return "healthy"
        return "starting" if service.health == "starting" else "unhealthy"
    return service.health


def _http_look(address: Address | None, path: str) -> Ready | NotYet:
    if address is None:
        return NotYet("it publishes no port to ask")
    url = f"http://{address.host}:{address.port}{path}"
    try:
        with _OPENER.open(url, timeout=_HTTP_SECONDS) as answer:
            return Ready(f"{url} answered {answer.status}")
    except urllib.error.HTTPError as answer:
        with answer:  # it holds the connection
            body = answer.read(300).decode(errors="replace").strip()
        return NotYet(f"{url} answered {answer.code} {body}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return NotYet(f"{url}: {error}")


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "was killed"
    return f"was ended ({_SIGNALS[code]})" if code in _SIGNALS else f"exited with code {code}"


def _not_running(boot: Boot, service: Service, first: str) -> NotReadyError:
    if service.state == "absent":
        return NotReadyError(
            f"{service.name} was never started",
            expected="a running service",
            seen="nothing of it",
            hint=f"start it first: {command(first)}",
            first=(first,),
        )
    if service.state == "created":
        return NotReadyError(
            f"{service.name} was made but never started",
            expected="a running service",
            seen="the engine made it and did not start it",
            hint=f"start it again: {command(first)}",
            first=(first,),
        )
    if boot.was_stopped(service):
        return NotReadyError(
            f"{service.name} was stopped",
            expected="a running service",
            seen=f"it was stopped by {command('stop')}, and not started since",
            log=LogTail(service.name, ()),
            hint=f"start it: {command(first)}",
            first=(first,),
        )
    # Nobody notes how a process ended that was killed together with its supervisor.
    killed = service.exit_code is None
    return NotReadyError(
        f"{service.name} is not running: it {_how_it_ended(service.exit_code)}",
        expected="a running service",
        seen=service.state if killed else f"{service.state}, exit code {service.exit_code}",
        log=boot.runtime.log_tail(service.name),
        hint=f"correct what its log says, then start it again: {command(first)}",
        first=(first,),
    )
