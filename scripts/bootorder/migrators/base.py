"""What differs from one schema tool to the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..errors import page
from ..processes import Completed
from ..terminal import plain


@dataclass(frozen=True)
class Claim:
    """What a tool said of its run. Shown to people, never believed without the catalog.

    `is_silent`: it failed and does not say why; only the server knows.
    """

    succeeded: bool
    text: str
    is_silent: bool = False


# (owner, its migrate command, a way to run another one there) -> names of its models; None where they cannot be known.
# Raises MigrationError where the tool would leave a model out without a word.
ModelsCheck = Callable[[str, Sequence[str], Callable[[Sequence[str]], Completed]], Sequence[str] | None]


@dataclass(frozen=True)
class Migrator:
    """The adapter that knows one tool. As it is here it is for those whose exit code can be believed."""

    name: str
    # What to do first when the catalog is not what the tool makes; starts with a verb.
    mend: str
    # Whether the app makes its own tables when it starts: then `migrate` only rehearses.
    creates_at_start: bool = False
    # The one schema that it looks into, whatever the search path; empty where it uses the path.
    only_schema: str = ""
    # Whether its first run refuses a schema that has tables of others.
    begins_alone: bool = False
    # For a tool that knows only the models that something imported.
    check_models: ModelsCheck | None = None
    # The flag with which its push does not ask before it loses rows of its own; files that are run never ask.
    force: str = ""
    # What it prints where it did its work, and where it did not, as patterns; where none fits, its last line is shown.
    worked: str = ""
    failed: str = ""
    # The tool on whose page it stands, where that is another one.
    described: str = ""

    _PUSH: ClassVar = re.compile(r"\bpush\b")

    @property
    def hint(self) -> str:
        causes = page(f"migrators/{self.described or self.name}.md")
        return f"{self.mend}, then migrate again; {causes} has the usual causes"

    def claim(self, done: Completed) -> Claim:
        """What this run said it did."""
        succeeded = done.code == 0
        said = found(self.worked if succeeded else self.failed, done.text)
        return Claim(succeeded, said[-1 if succeeded else 0] if said else last_line(done.text))

    def asked_what_is_left(self, argv: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 a tool may need it
        """The command, told to say what it has yet to do; nothing where this tool cannot say it.

        For a tool that failed, while its exit code says that it did not: whether its tables are complete.
        """
        return []

    def left_to_do(self, done: Completed) -> Sequence[str] | None:  # noqa: ARG002 as above
        """The statements that it has yet to run, as it said; None where it did not say."""
        return None

    def forced(self, argv: Sequence[str]) -> Sequence[str]:
        """The command, told not to ask before it loses rows of its own."""
        return self._with_flag(argv, self.force) if self.force and self._is_push(argv) else argv

    def _is_push(self, argv: Sequence[str]) -> bool:
        return any(self._PUSH.search(word) for word in argv)

    @staticmethod
    def _with_flag(argv: Sequence[str], flag: str) -> Sequence[str]:
        # npm keeps flags for itself that do not stand behind `--`
        between = ["--"] if argv[0] == "npm" and "--" not in argv else []
        return [*argv, *between, flag]


def found(pattern: str, text: str) -> list[str]:
    """Whatever fits, each as one line; nothing where there is no pattern."""
    parts = re.findall(f"^(?:{pattern}).*", plain(text), re.MULTILINE) if pattern else []
    return [" ".join(part.split()) for part in parts]


def last_line(text: str) -> str:
    lines = [line.strip() for line in plain(text).splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"
