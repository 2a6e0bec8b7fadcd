"""What is there now: services, owners, their tables."""

from __future__ import annotations

import contextlib
from typing import Any

from .boot import Boot
from .database import Target
from .errors import SettingsError
from .owners import Owner
from .probes import Ready
from .runtimes.base import Address
from .waits import health


def status(boot: Boot) -> dict[str, Any]:
    """One object, as `status --json` prints it.

    An owner's `tables` and `missing` are null while the database does not answer, or the owner was never rehearsed.
    """
    services = boot.runtime.services()
    database = boot.settings.database
    asked_for = [name for name in boot.runtime.optional() if services[name].running]
    shown = dict.fromkeys([database.service, *boot.beside, *asked_for, *boot.apps])
    address = services[database.service].address
    target = boot.target() if services[database.service].running and address else None
    with target.kept() if target else contextlib.nullcontext():
        answers = target is not None and isinstance(target.look(), Ready)
        owners = [_owner(owner, target if answers else None) for owner in boot.owners]
    return {
        "runtime": boot.runtime.name,
        "layout": boot.layout,
        "database": {
            "host": address.host if address else None,
            "port": address.port if address else None,
            "name": database.name,
            "url": target.url if target else None,
            "answers": answers,
        },
        "services": [
            {
                "name": name,
                "state": services[name].state,
                # A real query says more than any check; without Docker there is no other.
                "health": "healthy"
                if name == database.service and answers
                else health(boot, services[name], boot.apps.get(name)),
                "url": _url(services[name].address, is_page=name != database.service),
                **({"replicas": services[name].counted} if services[name].counted else {}),
            }
            for name in shown
        ],
        "owners": owners,
    }


def _owner(owner: Owner, stack: Target | None) -> dict[str, Any]:
    expected = None
    # Settings that are wrong are refused by what starts something; what runs can be seen even so.
    with contextlib.suppress(SettingsError):
        expected = owner.rehearsed() if stack else None
    wanted = expected.tables() if expected else []
    there = owner.tables(stack) if stack and wanted else set()
    return {
        "name": owner.name,
        "role": owner.place.role,
        "schema": owner.place.schema,
        "tables": [".".join(table) for table in wanted if table in there] if expected else None,
        "missing": [".".join(table) for table in wanted if table not in there] if expected else None,
    }


def _url(address: Address | None, *, is_page: bool) -> str | None:
    if address is None:
        return None
    return address.url if is_page else str(address)
