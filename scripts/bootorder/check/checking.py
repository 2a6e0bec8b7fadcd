"""All checks, and what is to be passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..detect.findings import Note, Where
from ..errors import page
from ..settings import unknown
from . import commands, compose, filters, models, tables
from .looking import Check, Stack

CHECKS: Mapping[str, Check] = {
    check.code: check for check in (*filters.CHECKS, *tables.CHECKS, *models.CHECKS, *commands.CHECKS, *compose.CHECKS)
}
_IGNORED = re.compile(r"bootorder: ignore\[([^\]\n]*)\]")
_COMMENT = re.compile(r"^\s*(?:#|//|--|/?\*)")


@dataclass(frozen=True, order=True)
class Warned:
    """One warning. `help` starts with a verb; `page` is in this repository."""

    where: Where
    code: str
    message: str
    help: str
    page: str


@dataclass(frozen=True)
class Checked:
    """`notes`: what could not be looked at."""

    warnings: tuple[Warned, ...]
    notes: tuple[Note, ...]


def check(root: Path, config: Mapping[str, Any] | None = None) -> Checked:
    """Everything that will hurt, by place. Raises SettingsError where the folder or its invoke.yaml is none."""
    stack = Stack(root, config)
    passed_over = stack.settings.check.ignore if stack.settings else ()
    for code in passed_over:
        if code not in CHECKS:
            raise unknown("check in `check.ignore`", code, CHECKS)
    found = {
        Warned(seen.where, each.code, seen.message, each.help, page(f"checks/{each.code}.md"))
        for each in CHECKS.values()
        if each.code not in passed_over
        for seen in each.look(stack)
        if not _is_ignored(stack, seen.where, each.code)
    }
    return Checked(tuple(sorted(found)), tuple(sorted({*stack.looked.found.notes, *stack.repository.notes})))


def _is_ignored(stack: Stack, where: Where, code: str) -> bool:
    """By a comment in its line, or by one alone in the line above."""
    lines = stack.repository.text(where.file).split("\n") if where.line else []
    own = lines[where.line - 1 : where.line]
    above = [line for line in lines[max(0, where.line - 2) : where.line - 1] if _COMMENT.match(line)]
    codes = (name for line in (*own, *above) for found in _IGNORED.findall(line) for name in found.split(","))
    return code in {name.strip() for name in codes}
