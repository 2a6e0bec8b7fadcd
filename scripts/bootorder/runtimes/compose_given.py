"""What the tasks give services beside what compose files say that were not written for these tasks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
            self._write(json.dumps({"services": services}, indent=2))
        return bool(services)

    def _write(self, text: str) -> None:
        """Whole, as another task may read it now; and for this user only, as a URL may have more secrets than one."""
        self.path.parent.mkdir(exist_ok=True)
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(self.path)

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
