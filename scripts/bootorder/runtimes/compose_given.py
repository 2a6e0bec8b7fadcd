"""What the tasks give services beside what compose files say that were not written for these tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import state_files

# A service's environment in, the variables of it that are to be others out.
Turned = Callable[[Mapping[str, str]], Mapping[str, str]]


@dataclass(frozen=True)
class Given:
    """`connections` by service; `database`: the service that the tasks must reach from this machine."""

    path: Path  # of the compose file that says it
    connections: Mapping[str, Turned]
    database: str

    def write(self, config: Mapping[str, Any]) -> bool:
        """Make the file, which is to be read after those that `config` is of. False where it would say nothing."""
        services = self._services(config["services"])
        if services:
            state_files.make_folder(self.path.parent)
            state_files.write(self.path, json.dumps({"services": services}, indent=2))
        return bool(services)

    def _services(self, declared: Mapping[str, Any]) -> Mapping[str, Any]:
        services: dict[str, Any] = {}
        for name, turned in self.connections.items():
            # dollar signs are doubled in it, as a compose file wants them
            environment = declared.get(name, {}).get("environment") or {}
            if changed := turned({variable: value or "" for variable, value in environment.items()}):
                services[name] = {"environment": dict(changed)}
        if self.database in declared and not declared[self.database].get("ports"):
            services.setdefault(self.database, {})["ports"] = ["127.0.0.1::5432"]  # one that is free
        return services
