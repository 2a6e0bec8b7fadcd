"""What a copy's compose files are given beside them: so that it shares no name and no data with the original."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import env_file
from ..errors import SettingsError
from ..processes import Processes, question_limit
from ..runtimes.compose import COMPOSE_FILES
from ..runtimes.compose_cli import find_compose, last_words
from ..settings import Settings

_FILE = "compose.proving.json"  # Compose reads JSON, as that is YAML
_OVERRIDES = [f"{name}.override.{ending}" for name in ("compose", "docker-compose") for ending in ("yml", "yaml")]
_COMPOSE_FILE = "COMPOSE_FILE"


def compose_files(folder: Path, settings: Settings) -> Sequence[str]:
    """Those of the settings, else those that Compose finds by itself."""
    named = env_file.read(env_file.path_of(folder)).get(_COMPOSE_FILE) or os.environ.get(_COMPOSE_FILE, "")
    if settings.compose or named:
        return settings.compose or named.split(os.pathsep)
    there = [name for name in COMPOSE_FILES if (folder / name).exists()]
    over = [name for name in _OVERRIDES if (folder / name).exists()]
    return [*there[:1], *over[:1]]


def with_own_names(folder: Path, names: Sequence[str], database: str, processes: Processes) -> Sequence[str]:
    """The compose files of the copy in `folder`, and one that is made for it."""
    files = [part for name in names for part in ("--file", str(folder / name))]
    argv = [*find_compose(processes, folder), *files, "--profile", "*", "config", "--format", "json"]
    done = processes.run(argv, cwd=folder, limit=question_limit())
    if done.code:
        raise SettingsError(
            f"Compose refuses {', '.join(names)}", seen=last_words(done.text), hint="correct the file where it says"
        )
    config = json.loads(done.out)
    refuse_shared_data(config, database, folder)
    (folder / _FILE).write_text(json.dumps(own_names(config), indent=2), encoding="utf-8")
    return [*names, _FILE]


def own_names(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """For containers, volumes and networks whose names do not follow from the project's."""
    project = config["name"]
    services = {
        name: {"container_name": f"{project}-{name}"}
        for name, service in config["services"].items()
        if service.get("container_name")
    }
    volumes = {
        name: {"name": f"{project}_{name}", "external": False}
        for name, volume in (config.get("volumes") or {}).items()
        if volume.get("external") or not volume["name"].startswith(project)
    }
    networks = {
        name: {"name": f"{project}_{name}"}
        for name, network in (config.get("networks") or {}).items()
        if not network.get("external") and not network["name"].startswith(project)
    }
    return {"services": services, "volumes": volumes, "networks": networks}


def refuse_shared_data(config: Mapping[str, Any], database: str, folder: Path) -> None:
    """Raises SettingsError where the database's files lie in a folder that is no part of the copy."""
    volumes = config.get("volumes") or {}
    for mount in config["services"].get(database, {}).get("volumes", []):
        options = volumes.get(mount.get("source"), {}).get("driver_opts") or {}
        source = mount["source"] if mount["type"] == "bind" else options.get("device", "")
        outside = source.startswith("/") and not Path(source).resolve().is_relative_to(folder.resolve())
        if outside and not mount.get("read_only"):
            raise SettingsError(
                f"a copy of this stack would use your own data: {database} keeps files in {source}",
                expected="a volume, or a folder of the repository: then a copy has its own",
                seen="nothing was started",
                hint=f"mount a named volume at {mount['target']}, at least while this runs",
            )
