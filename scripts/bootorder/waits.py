"""The stages that wait: for the database's first answer, for every app's health."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, wait

from . import http_get
from .boot import Boot
from .catalog import described, shortened
from .errors import LogTail, NotReadyError, command
from .migrate import missing_tables, verify_created_at_start
from .outcome import Outcome
from .probes import Failed, Look, NotYet, Probe, Ready, wait_for
from .processes import begin
from .runtimes.base import Address, Service, Watched
from .settings import AppSettings

_HTTP_SECONDS = 2.0  # for the whole answer
# How long the other waits may take to notice that one has failed; one of them may ask an engine that does not answer.
_NOTICE_SECONDS = 5.0
# The exit codes of what was asked to end, by somebody else than these tasks.
_SIGNALS = {130: "SIGINT", 143: "SIGTERM"}


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
    _refuse_hopeless(boot)
    _wait_for_apps(boot, boot.apps)
    with boot.timeline.span("verify tables", "verify"):
        made = verify_created_at_start(boot)
    boot.note_tables_made([owner.settings.service for owner in boot.owners if owner.migrator.creates_at_start])
    counts = [f"{name} {_well(service, boot.apps[name])}" for name, service in _still_ready(boot).items()]
    return Outcome.done(", ".join(counts) + (f"; {made}" if made else ""))


def _refuse_hopeless(boot: Boot) -> None:
    """Raises NotReadyError where no wait would help: no database runs, or tables are missing that only the start of an
    app makes, and it had its start."""
    services = boot.runtime.services(list(boot.apps))
    if any(isinstance(_state(boot, services[name], app), Failed) for name, app in boot.apps.items()):
        return  # its own wait ends at once
    boot.target()  # the tables are verified in the end
    creators = [
        owner
        for owner in boot.owners
        if owner.migrator.creates_at_start and boot.has_made_tables(services[owner.settings.service])
    ]
    made = {owner.name: known for owner in creators if (known := owner.rehearsed())}
    if not made:
        return
    with boot.database() as stack:
        missing = missing_tables([owner for owner in creators if owner.name in made], made, stack)
    for owner in creators:
        service = owner.settings.service
        if owner.name in missing and services[service].running:
            raise NotReadyError(
                f"{owner.name} has lost tables, and {service} makes them only when it starts",
                expected=f"its {described(made[owner.name])}",
                seen=f"{', '.join(shortened(missing[owner.name]))} missing, which {service} had made",
                hint=f"start it anew: {command('apps-up wait-apps')}",
                first=("apps-up",),
            )


def _wait_for_apps(boot: Boot, apps: Mapping[str, AppSettings]) -> None:
    given_up = threading.Event()

    with boot.runtime.watched(boot.clock.sleep) as watched:

        def wait_one(name: str) -> None:
            def look() -> Look:
                return look_at_app(boot, watched.service(name), apps[name])

            _wait_with_log(boot, name, look, apps[name].wait, watched, given_up=given_up.is_set)

        waits = begin(wait_one, list(apps))
        try:
            finished, _ = wait(waits, return_when=FIRST_EXCEPTION)
        finally:
            given_up.set()
            wait(waits, timeout=_NOTICE_SECONDS)
    for waited in finished:
        waited.result()


def _still_ready(boot: Boot) -> Mapping[str, Service]:
    """Look once more at the very end: an app may have exited, or become unhealthy, while the others were waited for."""
    services = boot.runtime.services(list(boot.apps))
    # One that was ready before its container's check had noticed is in no other state than it was.
    lost = {
        name: app
        for name, app in boot.apps.items()
        if isinstance(_state(boot, services[name], app), Failed) or services[name].health == "unhealthy"
    }
    if not lost:
        return services
    # What restarts by itself is given the time that it had before.
    _wait_for_apps(boot, lost)
    return boot.runtime.services(list(boot.apps))


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
    """One look at one app: its processes first, then its health path, else its container's health check."""
    name = service.name
    if (state := _state(boot, service, app)) is not None:
        return state
    answer = _http_look(boot, service, app.health) if app.health else None
    if isinstance(answer, Ready):
        return _still(boot, service) or answer
    if service.health == "unhealthy":
        return Failed(
            NotReadyError(
                f"{name} is unhealthy",
                expected="a health check that passes",
                seen=answer.seen if answer else "unhealthy",
                log=boot.runtime.log_tail(name),
                hint=(answer and answer.hint) or f"look at its log: {command(f'logs --service {name}')}",
            )
        )
    if answer:
        return answer
    return Ready(service.health or "running") if service.health in {"", "healthy"} else NotYet(service.health)


def _state(boot: Boot, service: Service, app: AppSettings) -> Look | None:
    """Return what its processes alone decide; None where it runs and its health is to be asked."""
    if not service.running:
        if app.ends and service.state == "exited" and service.exit_code == 0:
            return NotYet(f"at work: {service.counted}") if service.up else Ready("ended")
        return Failed(_not_running(boot, service, "apps-up"))
    return NotYet("at work") if app.ends else None


def _still(boot: Boot, service: Service) -> Look | None:
    """Nothing where it is still there: another program on its port may have answered while it died."""
    now = boot.runtime.services([service.name])[service.name]
    if not now.running:
        return Failed(_not_running(boot, now, "apps-up"))
    return None if now.instance == service.instance else NotYet("it was started anew meanwhile")


def health(boot: Boot, service: Service, app: AppSettings | None) -> str:
    """One word for `status`: what the app's health path says where it has one, else its container's check."""
    if not service.running:
        return ""
    if app and app.health:
        if isinstance(_http_look(boot, service, app.health), Ready):
            return "healthy"
        return "starting" if service.health == "starting" else "unhealthy"
    return service.health


def _http_look(boot: Boot, service: Service, path: str) -> Ready | NotYet:
    """Ask each replica that can be asked. An answer counts where it comes from the service itself."""
    if not service.addresses:
        return NotYet("it publishes no port to ask")
    answers = [_ask(service.name, address, path) for address in service.addresses]
    if refused := next((answer for answer in answers if isinstance(answer, NotYet)), None):
        return refused
    if other := boot.runtime.foreign_listener(service):
        return NotYet(
            f"{other} answers at {', '.join(map(str, service.addresses))}, and is not {service.name}",
            f"stop it, or give {service.name} another port",
        )
    return answers[0]


def _ask(name: str, address: Address, path: str) -> Ready | NotYet:
    url = f"http://{address}{path}"
    try:
        answer = http_get.get(address.host, address.port, path, _HTTP_SECONDS)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return NotYet(f"{url}: {error}")
    if answer.is_redirect:
        return NotYet(
            f"{url} answered {answer.status}, a redirect to {answer.location or 'nowhere'}",
            f"set `apps.{name}.health` in invoke.yaml to a path that answers itself",
        )
    if not answer.is_success:
        return NotYet(f"{url} answered {answer.status} {answer.body}".rstrip())
    return Ready(f"{url} answered {answer.status}")


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "was killed"
    return f"was ended ({_SIGNALS[code]})" if code in _SIGNALS else f"exited with code {code}"


def _not_running(boot: Boot, service: Service, first: str) -> NotReadyError:
    if service.state == "absent" and not service.up:
        return NotReadyError(
            f"{service.name} was never started",
            expected="a running service",
            seen="nothing of it",
            hint=f"start it first: {command(first)}",
            first=(first,),
        )
    if service.state == "created" and not service.up:
        return NotReadyError(
            f"{service.name} was made but never started",
            expected="a running service",
            seen="the engine made it and did not start it",
            hint=f"start it again: {command(first)}",
            first=(first,),
        )
    if service.up:
        return NotReadyError(
            f"{service.name} is not running: only {service.counted}",
            expected=f"{service.wanted} running replicas, as Compose would run",
            seen="the others were never made"
            if service.state == "absent"
            else f"one of the others {_how_it_ended(service.exit_code)}"
            if service.state == "exited"
            else "the others were never started",
            log=boot.runtime.log_tail(service.name),
            hint=f"correct what its log says, then start it again: {command(first)}",
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
