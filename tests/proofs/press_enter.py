"""Runs a command on a terminal of its own, and presses Enter at each question: what somebody in a hurry does."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress

QUESTION = b"created or renamed from another"


def main(argv: list[str]) -> int:
    process, terminal = pty.fork()
    if not process:
        os.execvp(argv[0], argv)  # noqa: S606 -- no shell is wanted
    said = b""
    with suppress(OSError):  # Linux ends a terminal that nobody writes to any more with an error
        while part := os.read(terminal, 65536):
            os.write(sys.stdout.fileno(), part)
            asked = said.count(QUESTION)
            said += part
            os.write(terminal, b"\r" * (said.count(QUESTION) - asked))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
