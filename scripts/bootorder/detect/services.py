"""Which folder a compose service runs, and what kind of service it is."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .commands import parts
from .compose_services import Described
from .dockerfiles import image_of, stage_of
from .files import Repository, folder_of, is_within
from .findings import Fact
from .manifests import Manifests

# Images that show a person what is in the database.
_BESIDE = re.compile(r"pgadmin|adminer|pgweb|cloudbeaver|dbgate|pghero|sqlpad|metabase")
_ONE_OFF = re.compile(r"migrat|setup|seed|init|prestart|bootstrap|prepare|create[-_]?bucket")
_TESTS = re.compile(r"(?:^|[-_])(?:playwright|cypress|e2e|tests?|test-runner)$")
_DOES_ITS_WORK_AND_ENDS = re.compile(
    r"migrate|db[: ]push|upgrade head|db:prepare|migration:run|(?:db|database):seed|\bseed\b|\bupdate\b|\bup$"
    r"|^exit 0$|^(?:chown|chmod|mkdir|cp)\s"
)
_SERVES = re.compile(
    r"\b(?:runserver|uvicorn|gunicorn|hypercorn|granian|fastapi (?:run|dev)|serve|server|start|dev|next|vite|node|bun"
    r"|tsx|puma|rails s|daphne|celery|worker|nginx|watch)\b"
)
_SERVICES_OF_A_MODULE = re.compile(
    r"(?:--filter[= ]|-F |--scope[= ]|--workspace[= ]|-C |--dir |--prefix |cd )([\w@./\-]+)"
)


@dataclass(frozen=True)
class Placed:
    """A service with the folder that it runs. `entrypoint`: what its image runs before, or around, the command."""

    described: Described
    folder: Fact | None
    command: Fact | None
    entrypoint: Fact | None = None

    @property
    def name(self) -> str:
        return self.described.name


def placed(service: Described, repository: Repository, manifests: Manifests) -> Placed:
    image = image_of(repository, service.build)
    folder = _folder(service, repository, manifests)
    return Placed(service, folder, service.command or image.command, image.entrypoint)


def _folder(service: Described, repository: Repository, manifests: Manifests) -> Fact | None:
    """By its build; else by what it mounts; else by its name."""
    folders = manifests.folders
    if service.build:
        found = _built(service, repository, manifests)
        if found:
            return found
    for mount in service.mounts:
        named = _named_in(_words(service), [each for each in folders if is_within(each, mount.source)])
        if mount.source in folders and (mount.source != "." or not named) and service.image:
            return Fact(mount.source, mount.where, "likely")
        if mount.source == "." and named:
            return Fact(named, mount.where, "likely")
    if service.image and not service.build:
        return None
    same = [each for each in folders if posixpath.basename(each) == service.name]
    return Fact(same[0], service.where, "guess") if same else None


def _built(service: Described, repository: Repository, manifests: Manifests) -> Fact | None:
    """The folder that is sent to the build, or the one in it that its Dockerfile is in, or is about."""
    build = service.build
    if build is None or not build.context:
        return None
    folders = manifests.folders
    of_file = folder_of(build.dockerfile) if build.dockerfile else build.context
    if of_file != build.context and of_file in folders:
        return Fact(of_file, build.where)
    inside = [each for each in folders if each != build.context and is_within(each, build.context)]
    if inside and (build.context not in folders or _is_workspace(build.context, manifests)):
        # its own stage says more than those that it shares with others
        for text in (stage_of(repository, build), repository.text(build.dockerfile)):
            if named := _named_in([*_words(service), text], inside):
                return Fact(named, build.where, "likely")
        same = [each for each in inside if posixpath.basename(each) == service.name]
        if same:
            return Fact(same[0], build.where, "likely")
    if build.context in folders or repository.has(build.dockerfile):
        return Fact(build.context, build.where)
    return None


def _is_workspace(folder: str, manifests: Manifests) -> bool:
    """Its packages are in folders below it: by itself it runs nothing."""
    package = manifests.packages.get(folder)
    below = any(each != folder and is_within(each, folder) for each in manifests.packages)
    workspace = manifests.repository.has(posixpath.normpath(f"{folder}/pnpm-workspace.yaml"))
    return below and (workspace or bool(package and package.data.get("workspaces")))


def _words(service: Described) -> list[str]:
    """What it says of itself, where a folder may be named."""
    arguments = service.command.value if service.command else ""
    return [service.working_dir, arguments, service.build.target if service.build else ""]


def _named_in(texts: Sequence[str], folders: Sequence[str]) -> str:
    """The folder that these texts name most often: as a path, or behind `--filter`."""
    counts: dict[str, int] = {}
    for folder in folders:
        path = re.compile(rf"(?<![\w.\-]){re.escape(folder)}(?![\w\-])")
        name = posixpath.basename(folder)
        count = sum(len(path.findall(text)) for text in texts) if folder != "." else 0
        wanted = (match for text in texts for match in _SERVICES_OF_A_MODULE.findall(text))
        count += sum(3 for match in wanted if posixpath.basename(match.rstrip("/.")) == name)
        if count:
            counts[folder] = count
    return max(counts, key=lambda each: (counts[each], -len(each))) if counts else ""


def kind_of(placed: Placed, waited_for: bool) -> Fact:
    """`waited_for`: another service waits until it has ended."""
    service = placed.described
    image = service.image.value if service.image else ""
    if _BESIDE.search(image.rpartition("/")[2]) or _BESIDE.search(image.rpartition("/")[0]):
        return Fact("beside", service.where)
    if waited_for:
        return Fact("one-off", service.where)
    last = parts(placed.command.value)[-1:] if placed.command else []
    ends = bool(last and _DOES_ITS_WORK_AND_ENDS.search(last[0]) and not _SERVES.search(last[0]))
    if ends or (_ONE_OFF.search(service.name) and not service.ports) or _TESTS.search(service.name):
        return Fact("one-off", service.where, "likely")
    if placed.folder is None:
        return Fact("other", service.where)
    return Fact("app", service.where)


def waited_for(services: Sequence[Described]) -> set[str]:
    """Services that others wait for until they have ended."""
    conditions = ((name, condition) for each in services for name, condition in each.depends.items())
    return {name for name, condition in conditions if condition.value == "service_completed_successfully"}


def published(service: Described) -> Fact | None:
    """The port on this machine; of several the one that the service calls its own (PORT)."""
    own = service.environment.get("PORT")
    ports = sorted(service.ports, key=lambda port: bool(own) and port.target != (own.value if own else ""))
    return ports[0].published if ports else None
