"""Any other tool: a command that is run before the apps, with an exit code that is honest."""

from __future__ import annotations

from ..processes import Completed
from .base import Claim, last_line


class Command:
    name = "command"
    creates_at_start = False
    hint = "correct what the command says, then migrate again"

    def claim(self, done: Completed) -> Claim:
        return Claim(done.code == 0, last_line(done.text))
