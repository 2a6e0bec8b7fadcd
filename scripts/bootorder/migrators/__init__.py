"""The schema tools that are known, by their name in invoke.yaml."""

from __future__ import annotations

from .base import Claim, Migrator
from .command import Command
from .drizzle import Drizzle
from .sqlmodel import SQLModel

BY_NAME: dict[str, Migrator] = {migrator.name: migrator for migrator in (Command(), Drizzle(), SQLModel())}

__all__ = ["BY_NAME", "Claim", "Migrator"]
