"""Any other tool: a command that is run before the apps, with an exit code that is honest."""

from __future__ import annotations

from collections.abc import Sequence

from ..processes import Completed
from .base import Claim, ModelsCheck, last_line


class Command:
    name = "command"
    only_schema = ""
    creates_at_start = False
    check_models: ModelsCheck | None = None
    hint = "correct what the command says, then migrate again"

    def claim(self, done: Completed) -> Claim:
        return Claim(done.code == 0, last_line(done.text))

    def forced(self, argv: Sequence[str]) -> Sequence[str]:
        return argv  # it never asks
