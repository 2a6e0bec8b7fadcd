"""The tools that attack: installed from their lock files, run as their users run them."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.bootorder.processes import SystemProcesses
from scripts.bootorder.runtimes.embedded.toolchain import Toolchain
from scripts.bootorder.terminal import plain

_SOURCES = Path(__file__).with_name("tools")
_LIMIT = 60  # seconds
_QUIET = 0.25  # seconds without a new letter: then a question is whole
_CHOICE = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"  # before what Enter would choose
DOWN, ENTER = "\x1b[B", "\r"
# What a person at a terminal types: the first expression that the question has decides.
Answers = Mapping[str, Sequence[str]]


class Toolbox:
    """In a folder of its own, which is kept: the second run installs nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkout"
        self._toolchain = Toolchain(self._folder, folder / "programs", SystemProcesses(), print)

    def prepare(self) -> None:
        """Raises MachineError where there is no network, and nothing was installed before."""
        shutil.copytree(_SOURCES, self._folder, dirs_exist_ok=True)
        self._toolchain.prepare(lambda _line: None)
        for argv in (
            ["pnpm", "install", "--frozen-lockfile", "--prefer-offline"],
            ["python", "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", "requirements.txt"],
        ):
            done = self._run(argv, self._folder, {})
            assert not done[0], done[1]

    def copy(self, tool: str, name: str) -> Path:
        """Another folder of a tool, to be changed, beside those that there are: what it imports is found from there."""
        shutil.rmtree(self._folder / name, ignore_errors=True)  # an earlier run's
        return Path(shutil.copytree(self._folder / tool, self._folder / name, symlinks=True))

    def run(self, tool: str, argv: Sequence[str], variables: Mapping[str, str], answers: Answers) -> tuple[int, str]:
        """One command of a tool, in its folder. Returns its exit code and what it printed."""
        if tool == "alembic":
            with tempfile.TemporaryDirectory() as folder:  # where its migrations are written to
                copy = shutil.copytree(self._folder / tool, Path(folder) / tool)
                (copy / "versions").mkdir()
                made = self._run(["alembic", "revision", "--autogenerate", "-m", "all"], copy, variables)
                return self._run(argv, copy, variables) if not made[0] else made
        if answers:
            return self._at_a_terminal(argv, self._folder / tool, variables, answers)
        return self._run(argv, self._folder / tool, variables)

    def _environment(self, cwd: Path, variables: Mapping[str, str]) -> dict[str, str]:
        # Of the caller's: what is needed to reach the indexes. `CI` would change what the tools ask.
        kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PG")}
        path = os.pathsep.join([str(cwd / "node_modules" / ".bin"), self._toolchain.search_path()])
        # Prisma looks for an engine that it could download, and for newer versions of itself.
        quiet = {"PRISMA_QUERY_ENGINE_LIBRARY": str(Path(__file__)), "CHECKPOINT_DISABLE": "1", "NO_COLOR": "1"}
        return {**kept, **quiet, **variables, "PATH": path}

    def _run(self, argv: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> tuple[int, str]:
        env = self._environment(cwd, variables)
        program = shutil.which(argv[0], path=env["PATH"]) or argv[0]
        done = subprocess.run(
            [program, *argv[1:]],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT * 5,
            check=False,
        )
        return done.returncode, plain(done.stdout.decode(errors="replace"))

    def _at_a_terminal(
        self, argv: Sequence[str], cwd: Path, variables: Mapping[str, str], answers: Answers
    ) -> tuple[int, str]:
        import pty  # not on Windows

        env = self._environment(cwd, variables)
        ours, theirs = pty.openpty()
        with subprocess.Popen(argv, cwd=cwd, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            said, question, end = "", "", time.monotonic() + _LIMIT
            while time.monotonic() < end:
                if select.select([ours], [], [], _QUIET)[0]:
                    try:
                        read = os.read(ours, 65536)
                    except OSError:  # how Linux says that the other side is closed
                        break
                    if not read:
                        break
                    question += read.decode(errors="replace")
                    continue
                if _CHOICE in question:
                    keys = next((keys for words, keys in answers.items() if re.search(words, question)), [ENTER])
                    said, question = said + question, ""
                    for key in keys:
                        os.write(ours, key.encode())
                        time.sleep(0.1)
            else:
                process.kill()
            os.close(ours)
            return process.wait(), plain(said + question)
