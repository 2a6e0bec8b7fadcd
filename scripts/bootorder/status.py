"""What is there now: services, owners, their tables."""

from __future__ import annotations

from typing import Any

from . import catalog
from .boot import Boot
from .catalog import Catalog
from .probes import Ready
from .runtimes.base import Address
from .waits import health


def status(boot: Boot) -> dict[str, Any]:
    """One object, as `status --json` prints it. `missing` is null while the owner was never rehearsed."""
    services = boot.runtime.services()
    database = boot.settings.database
    shown = [database.service, *database.beside, *boot.apps]
    target = boot.target() if services[database.service].running else None
    found = Catalog({})
    if target and isinstance(target.look(), Ready):
        with target.connect() as connection:
            found = catalog.read(connection)
    owners = []
    for owner in boot.owners:
        expected = owner.rehearsed()
        wanted = expected.tables() if expected else []
        owners.append(
            {
                "name": owner.name,
                "role": database.user,
                "schema": "public",
                "tables": [".".join(table) for table in wanted if table in found.tables()] if expected else None,
                "missing": [".".join(table) for table in wanted if table not in found.tables()] if expected else None,
            }
        )
    address = services[database.service].address
    return {
        "runtime": boot.runtime.name,
        "layout": "shared",
        "database": {
            "host": address.host if address else None,
            "port": address.port if address else None,
            "name": database.name,
            "url": target.url if target else None,
        },
        "services": [
            {
                "name": name,
                "state": services[name].state,
                "health": health(services[name], boot.apps.get(name)),
                "url": _url(services[name].address, is_page=name != database.service),
            }
            for name in shown
        ],
        "owners": owners,
    }


def _url(address: Address | None, *, is_page: bool) -> str | None:
    if address is None:
        return None
    return address.url if is_page else str(address)
