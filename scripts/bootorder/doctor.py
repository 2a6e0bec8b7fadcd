"""What this machine has and lacks, one finding a line, each with its mend."""

from __future__ import annotations

import contextlib
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from . import env_file, ports
from .boot import Boot
from .errors import BootError

OLDEST_PYTHON = (3, 11)
_DISK_WANTED = 3 * 1024**3  # bytes: the sample's images and their build


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` starts with a verb; it is empty where all is well."""

    name: str
    ok: bool
    seen: str
    mend: str = ""

    def __post_init__(self) -> None:
        if self.ok:
            object.__setattr__(self, "mend", "")

    def as_data(self) -> dict[str, object]:
        return asdict(self)


def examine(boot: Boot) -> Iterator[Finding]:
    """Every finding, as it is made."""
    secrets = _secrets(boot)
    yield _python()
    with env_file.lent(boot.env_path, boot.secrets):
        needs = [_need(name, look) for name, look in boot.runtime.needs().items()]
        yield from needs
        yield _disk(boot)
        yield secrets
        yield from _host_tools(boot)
        if all(need.ok for need in needs):
            settings = _settings(boot)
            with contextlib.suppress(BootError):  # what keeps it from being asked is in the finding
                boot.learn_declared()
            yield settings
            if settings.ok:
                yield from _ports(boot)


def _python() -> Finding:
    return Finding(
        "python",
        sys.version_info >= OLDEST_PYTHON,
        platform.python_version(),
        f"install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer",
    )


def _need(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except BootError as error:
        return _refused(name, error)


def _refused(name: str, error: BootError) -> Finding:
    return Finding(name, False, ": ".join(filter(None, (error.message, error.seen))), error.hint)


def _settings(boot: Boot) -> Finding:
    try:
        boot.check()
    except BootError as error:
        return _refused("settings", error)
    return Finding("settings", True, "in order")


def _disk(boot: Boot) -> Finding:
    free = shutil.disk_usage(boot.root).free
    return Finding("disk", free >= _DISK_WANTED, f"{free / 1024**3:.1f} GiB free", "make room: at least 3 GiB")


def _secrets(boot: Boot) -> Finding:
    path = boot.env_path
    with contextlib.suppress(BootError):  # what keeps it from being asked is a finding of its own
        if lost := boot.lost_password():
            return Finding("secrets", False, lost.message, lost.hint)
    if not path.exists():
        return Finding("secrets", True, f"no {path.name} yet; it is made on first use")
    if sys.platform == "win32":
        return Finding("secrets", True, f"{path.name} is there")
    mode = stat.S_IMODE(path.stat().st_mode)
    return Finding(
        "secrets",
        not mode & 0o077,
        f"{path.name} has mode {mode:04o}",
        f"run `chmod 600 {path.name}`: others can read it",
    )


def _host_tools(boot: Boot) -> Iterator[Finding]:
    """Only what the settings run on this machine: in containers nothing is needed here."""
    for owner in boot.owners:
        if owner.settings.run == "host":
            for tool in dict.fromkeys((owner.settings.migrate[0], *owner.settings.seed[:1])):
                path = shutil.which(tool)
                yield Finding(
                    tool, bool(path), path or "not found", f"install {tool}; owner {owner.name} runs it on this machine"
                )


def _ports(boot: Boot) -> Iterator[Finding]:
    try:
        services = boot.runtime.services()
    except BootError as error:
        yield _refused("stack", error)
        return
    wanted = {boot.settings.database.service, *boot.beside, *boot.apps}  # not what nobody asked for
    for name, service in services.items():
        if service.address is None or name not in wanted:
            continue
        port = service.address.port
        label = f"port {port}"
        if service.running:
            yield Finding(label, True, f"held by {name} of this stack")
        elif ports.is_free(port):
            yield Finding(label, True, f"free for {name}")
        else:
            who = ports.holder(port, boot.runtime.port_holder)
            seen = f"wanted by {name}, held by {who or 'a program that the system does not name'}"
            yield Finding(label, False, seen, _how_to_free(boot, name))


def _how_to_free(boot: Boot, service: str) -> str:
    """As a start would say it."""
    try:
        boot.runtime.check_ports([service])
    except BootError as error:
        return error.hint
    return "run this again: it is free by now"
