"""Data of a PostgreSQL that `docker compose down --volumes` leaves: in folders of the host, in volumes of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import MachineError, SettingsError, command
from .engine import Engine

_DATA_FOLDERS = ("PGDATA", "POSTGRESQL_DATA_DIR")  # the official image's variable, Bitnami's
_HOME = PurePosixPath("/var/lib/postgresql")
# What the first file becomes when the data are given up: of those that were removed to the half no server makes rows.
_GIVEN_UP = "bootorder-given-up"
_SEES = f'cd "$1" 2>/dev/null && {{ [ -f PG_VERSION ] || [ -f {_GIVEN_UP} ]; }}'
# Of the folder itself only: no mount below it, no symbolic link out of it.
_EMPTIES = f"""
    if {_SEES}; then
        if [ -f PG_VERSION ]; then mv -f PG_VERSION {_GIVEN_UP}; fi
        find . -xdev -mindepth 1 ! -path ./{_GIVEN_UP} -delete && rm -f {_GIVEN_UP} && [ -z "$(ls -A)" ]
    else
        exit 9
    fi
"""
_NONE_THERE = 9


@dataclass(frozen=True)
class KeptData:
    """`source`: the folder, or the name of the volume; `inside`: where in it PostgreSQL keeps its data."""

    service: str
    kind: str  # `folder` or `volume`
    source: str
    inside: str
    why: str = ""  # not the tasks' to empty

    def refusal(self) -> SettingsError:
        by_hand = f"docker volume rm {self.source} && docker volume create {self.source}"
        if self.kind == "folder":
            by_hand = f"sudo rm -r {PurePosixPath(self.source) / self.inside}"
        return SettingsError(
            f"the data of {self.service} are not this stack's to remove",
            expected=f"what {command('clean')} may remove: a volume of this stack, a folder of this checkout",
            seen=f"the {self.kind} {self.source} ({self.why}); nothing was stopped or removed",
            hint=f"remove them by hand, where nobody else needs them: {command('stop')}, then"
            f" {'docker compose down, then ' if self.kind == 'volume' else ''}{by_hand}",
        )


def data_folder(config: Mapping[str, Any], image: Mapping[str, str]) -> PurePosixPath | None:
    """Return where a service keeps the data of a PostgreSQL; nothing where it is none.

    `config`: the service's in the compose file; `image`: the environment that its image has, as far as it is known.
    """
    environment = {**image, **{name: value for name, value in (config.get("environment") or {}).items() if value}}
    for name in _DATA_FOLDERS:
        if environment.get(name):
            return PurePosixPath(environment[name])
    targets = [PurePosixPath(mount["target"]) for mount in config.get("volumes", [])]
    return _HOME / "data" if any(target.is_relative_to(_HOME) for target in targets) else None


def mount_of(config: Mapping[str, Any], folder: PurePosixPath) -> Mapping[str, Any] | None:
    """Return the mount of a service that this folder is in, of several in one another the innermost."""
    around = [mount for mount in config.get("volumes", []) if folder.is_relative_to(mount["target"])]
    return max(around, key=lambda mount: len(PurePosixPath(mount["target"]).parts), default=None)


def kept_data(
    service: str, folder: PurePosixPath, mount: Mapping[str, Any], volumes: Mapping[str, Any], root: Path
) -> KeptData | None:
    """Return where the data stay; nothing where the mount ends with the stack, as a volume of its own does."""
    inside = str(folder.relative_to(mount["target"]))
    if mount["type"] == "bind":
        return KeptData(service, "folder", mount["source"], inside, _why_not(mount["source"], root))
    if mount["type"] != "volume" or not mount.get("source"):
        return None
    volume = volumes[mount["source"]] or {}
    options = volume.get("driver_opts") or {}
    if volume.get("external"):
        return KeptData(service, "volume", volume["name"], inside, "`external: true`: it is not this stack's")
    if not options.get("device") or options.get("type") == "tmpfs":
        return None
    device = str(options["device"])
    if "bind" in str(options.get("o", "")).split(",") or options.get("type") == "none":
        return KeptData(service, "folder", device, inside, _why_not(device, root))
    return KeptData(service, "volume", volume["name"], inside, f"its files are on {device}")


def _why_not(folder: str, root: Path) -> str:
    """Why a folder is not to be emptied; symbolic links are followed first."""
    resolved, root = Path(folder).resolve(), root.resolve()
    if resolved != root and resolved.is_relative_to(root):
        return ""
    leads = "" if resolved == Path(folder) else f", which leads to {resolved}"
    return f"outside of this checkout{leads}" if resolved != root else "the checkout itself"


def holds_data(kept: KeptData, engine: Engine, image: str, labels: Mapping[str, str]) -> bool:
    """Whether a PostgreSQL has its data there; where it cannot be looked into, it counts as so."""
    if kept.kind == "volume" and not engine.has_volume(kept.source):
        return False
    if not image:
        return kept.kind == "volume" or _may_hold_data(Path(kept.source) / kept.inside)
    code, _ = engine.run_shell(image, _SEES, kept.inside, kept.kind, kept.source, labels, writes=False)
    return code == 0


def _may_hold_data(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in ("PG_VERSION", _GIVEN_UP))
    except OSError:
        return True  # the server's account is another one than ours


def remove_data(kept: KeptData, engine: Engine, image: str, labels: Mapping[str, str]) -> bool:
    """Empty PostgreSQL's folder, and return whether there was one. Raises MachineError where something of it is left.

    As root of a container: the folder belongs to the account of the server.
    """
    if not holds_data(kept, engine, image, labels):
        return False
    by_hand = PurePosixPath(kept.source) / kept.inside
    code, said = 1, f"the image of {kept.service} is not there, with which it could be emptied"
    if image:
        code, said = engine.run_shell(image, _EMPTIES, kept.inside, kept.kind, kept.source, labels, writes=True)
    if code in {0, _NONE_THERE}:
        return code == 0
    raise MachineError(
        f"the data of {kept.service} could not be removed",
        expected=f"nothing left in {by_hand}",
        seen=said.strip() or f"exit code {code}",
        hint=f"remove them by hand: sudo rm -r {by_hand}",
    )
