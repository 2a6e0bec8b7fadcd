"""The faults that only containers have, and those of every runtime on Docker Compose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random

import psutil

from tests.proofs.faulted import (
    CALLED,
    GIVEN_UP,
    NOTHING,
    USED,
    Fault,
    Outcome,
    World,
    failed_clearly,
    fault,
    stages,
    tried,
    until,
)
from tests.stack import ROOT, ComposeStack, Ran, listed, run
from tests.task import Task

BUILT = ("sso", "sso-setup", "api", "web")
PULLED = "postgres:18"


@dataclass
class ComposeWorld(World):
    """A first boot begins with no volume and no container; images stay."""

    stack: ComposeStack

    def prepare(self) -> None:
        self.boot(NOTHING, "start")  # builds, which no fault is to wait for
        self._empty()
        self.boot(NOTHING, "start", "--quick")
        self.booted[NOTHING] = self.look()
        self.now = NOTHING
        for name in BUILT:
            self._tag(name, self._kept(name))

    def go(self, fault: Fault) -> None:
        if fault.past == NOTHING:
            self._empty()
        elif self.now != USED:
            if self.now != NOTHING:
                self._empty()
                self.boot(NOTHING, "start", "--quick")
            self.fill()
        self.now = ""

    def mend(self, fault: Fault) -> list[str]:
        problems = super().mend(fault)
        self.now = fault.leads_to or fault.past
        return problems

    def keep_builds(self, fault: Fault) -> None:
        if fault.past == GIVEN_UP:
            for name in BUILT:
                self._tag(self._kept(name), name)

    def forget_builds(self) -> None:
        for name in BUILT:
            run(["docker", "image", "rm", f"{self.stack.project}-{self._kept(name)}"])

    def _kept(self, name: str) -> str:
        return f"kept-{name}"

    def _tag(self, name: str, other: str) -> None:
        done = run(["docker", "tag", *(f"{self.stack.project}-{one}" for one in (name, other))])
        assert done.code == 0, done.err

    def remains(self) -> list[str]:
        kept = {f"{self.stack.project}-{self._kept(name)}" for name in BUILT}
        return [name for name in super().remains() if name not in kept]

    def strangers(self) -> list[str]:
        here = str(self.stack.folder.resolve())
        processes = psutil.process_iter(["cwd", "name"])
        return [f"{one.info['name']} still works in the checkout" for one in processes if one.info["cwd"] == here]

    def kill_database(self, how: str) -> None:
        """`how`: there is one way only."""
        done = run(["docker", "kill", f"{self.stack.project}-postgres-1"])
        assert done.code == 0, done.err

    def _empty(self) -> None:
        containers = listed("container", self.stack.project, "{{.ID}}")  # one-offs, too
        removed = run(["docker", "rm", "--force", *containers]) if containers else Ran(0, "", "")
        assert removed.code == 0, removed.err
        down = self.stack.docker_compose("down", "--volumes")
        assert down.code == 0, down.err


@contextmanager
def without_pgadmin(folder: Path, project: str = "") -> Iterator[ComposeStack]:
    """The sample without pgAdmin, which takes longer than all the rest."""
    stack = ComposeStack(folder, **({"project": project} if project else {}))  # type: ignore[arg-type]
    with stack, stack.edited("compose.yaml", "  pgadmin:\n", "  pgadmin:\n    profiles: [optional]\n"):
        yield stack


def out_of_memory(world: ComposeWorld, random: Random) -> Iterator[Fault]:
    for service, megabytes, past in (("sso-setup", 48, NOTHING), ("api", 24, NOTHING), ("postgres", 8, USED)):
        strike = partial(starved, world, service, megabytes, past)
        yield fault("memory", f"{service} has {megabytes} MB", strike, past, "", random)


def starved(world: ComposeWorld, service: str, megabytes: int, past: str) -> Iterator[None]:
    limits = {"services": {service: {"mem_limit": f"{megabytes}m", "memswap_limit": f"{megabytes}m"}}}
    with world.stack.added("compose.override.yaml", json.dumps(limits)), Task(world.stack, *CALLED[past]) as task:
        ran = task.end()
    failed_clearly(ran)
    assert "137" in ran.err, f"it was not killed, or nobody says so:\n{ran.err}"
    yield


# -- an engine of our own ----------------------------------------------------------------------------------------------


class OwnEngine:
    """Beside the machine's, whose containers are other people's. It lives in namespaces of its own, and so do we."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._group = f"bootorder-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self._folder / 'sock'}"

    def start(self) -> None:
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        flags = [f"--{flag}={self._folder / name}" for flag, name in places.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["dockerd", *flags, f"--host={self.address}", f"--cgroup-parent=/{self._group}"],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, "the engine")

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "log").read_text(encoding="utf-8")[-2000:]
        return run(["docker", "--host", self.address, "version"]).code == 0

    def end(self, *, politely: bool) -> None:
        assert self._process
        (self._process.terminate if politely else self._process.kill)()
        self._process.wait()
        (self._folder / "pid").unlink(missing_ok=True)

    def forget(self) -> None:
        """The control groups of its containers, which it leaves: one in each hierarchy, or a single one."""
        top = Path("/sys/fs/cgroup")
        for group in (*top.glob(self._group), *top.glob(f"*/{self._group}")):
            for folder in sorted((group, *group.rglob("*/")), reverse=True):
                if folder.is_dir():
                    folder.rmdir()

    def load(self, images: Sequence[str]) -> None:
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            done = subprocess.run(
                ["docker", "--host", self.address, "load"], stdin=saved.stdout, capture_output=True, check=False
            )
        assert done.returncode == 0, done.stderr


def restarts(world: World, engine: OwnEngine, random: Random) -> Iterator[Fault]:
    for stage, politely, past in (("migrate", False, NOTHING), ("seed", True, NOTHING), ("wait-apps", False, USED)):
        how = "restarted" if politely else "killed and started anew"
        strike = partial(restarted, world, engine, stage, random.random(), past, politely=politely)
        yield fault("engine", f"{past}: {how} within {stage}", strike, past, "", random, quick=True)


def restarted(
    world: World, engine: OwnEngine, stage: str, share: float, past: str, *, politely: bool
) -> Iterator[None]:
    """An engine that could build nothing: it has the images that were made elsewhere."""
    if past == USED:
        stopped = world.stack.inv("stop")
        assert stopped.code == 0, stopped.err
    with Task(world.stack, *CALLED[NOTHING]) as task:
        task.until_begun(stage, stages(NOTHING))
        time.sleep(share * world.lasts[NOTHING, stage])  # a random moment: there is nothing to wait for
        engine.end(politely=politely)
        engine.start()
        ran = task.end()
    if task.ended(stage) is None:
        failed_clearly(ran)
    yield


def on_an_engine_of_its_own(folder: Path, project: str, random: Random) -> Iterator[Outcome]:
    """With the first process of these namespaces all ends that it began. `project`: whose images are used."""
    ours = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # A shell comes first, which buries whom nobody waits for; an engine takes a dead containerd for one that runs.
    ours += ["sh", "-c", '"$@"; exit $?', "sh"]
    again = [sys.executable, "-m", "tests.proofs.faults_docker", str(folder), project, str(random.randrange(10**6))]
    with subprocess.Popen([*ours, *again], cwd=ROOT, stdout=subprocess.PIPE, text=True) as inside:
        for line in inside.stdout or ():
            yield Outcome(**json.loads(line))
    assert inside.returncode == 0, f"the engine of its own ended with {inside.returncode}"


def main(folder: Path, project: str, seed: int) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    engine = OwnEngine(folder)
    engine.start()
    try:
        engine.load([PULLED, *(f"{project}-{name}" for name in BUILT)])
        os.environ["DOCKER_HOST"] = engine.address
        with without_pgadmin(folder / "ein anderes Stück" / "taskflow", project) as stack:
            world = ComposeWorld(stack)
            world.boot(NOTHING, "start", "--quick")
            world.booted[NOTHING] = world.look()
            random = Random(seed)  # noqa: S311  # nothing is to be kept secret
            for one in restarts(world, engine, random):
                print(json.dumps(asdict(tried(world, one))), flush=True)
    finally:
        engine.end(politely=True)
        engine.forget()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
