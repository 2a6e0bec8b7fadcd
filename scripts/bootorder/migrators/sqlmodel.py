"""SQLModel (SQLAlchemy) `create_all`, run by the app itself when it starts."""

from __future__ import annotations

from ..processes import Completed
from .base import Claim, last_line


class SQLModel:
    name = "sqlmodel"
    creates_at_start = True
    hint = "look whether every model is imported before create_all; it never alters a table that exists"

    def claim(self, done: Completed) -> Claim:
        return Claim(done.code == 0, last_line(done.text))
